"""What to do about a migration that failed, by the server's own words. Pure."""

from __future__ import annotations

import re

from matops.matomo.core_update_judge import Ending

_NUMBER = r"(?:: |\[)(?:{})\b"
_AGAIN = "then run this again"
_ADVICE = tuple(
    (re.compile(pattern), f"{what}, {_AGAIN}")
    for pattern, what in (
        (r"memory size",
         "raise PHP's memory_limit for this one (setting php: a wrapper with -d memory_limit=8G)"),
        (_NUMBER.format("1205|1213"),
         "somebody held its lock for too long (BLOCKED above says who): end that, or add "
         "--end-idle-blockers"),
        (_NUMBER.format("1114|1021|1026|1030|1878|3675") + r"|No space left|rrcode: 28\b",
         "make room where the database keeps its files (df; its tmpdir, too)"),
        (_NUMBER.format("1290|1792|1836") + r"|read.only",
         "this database server does not let Matomo write (read_only? a replica?): put that right"),
        (_NUMBER.format("1044|1045|1142|1143|1227"),
         "GRANT Matomo's account what the message names (db.privileges shows the statements)"),
        (_NUMBER.format("1317"),
         "somebody ended its statement (matops never does): find out who and why"),
        (r"not writable", "let the web user write config/config.ini.php"),
    )
)  # fmt: skip
"""(pattern in the message, what to do): the first that fits."""


def advice(ending: Ending) -> str:
    """The ``next`` of the error; finished update files are not repeated by the next run."""
    for pattern, what in _ADVICE:
        if pattern.search(ending.why):
            return what
    if ending.step is None:
        return "repair what the message says, then run this again: it goes on where it stopped"
    return (
        "repair the schema as the message says (a missing table or column, rows that do not fit), "
        "then run this again: finished update files are not repeated, what is there already is "
        "passed over"
    )
