"""``invalidations.size``: one screen to decide from."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from matops.errors import OutcomeUnknown, Refused, UsageError
from matops.matomo.site import Site
from matops.mysql.invalidations import verdict
from matops.mysql.invalidations.verdict import Facts, Thresholds
from matops.report import invalidations as shown
from matops.report.tables import as_json
from matops.runbook.invalidations_facts import facts_of
from matops.tasks.desk import JSON_HELP, Desk, host_name, is_remote, operation
from matops.units import parse_duration

_MARGIN = 90
"""Seconds that a look may take beyond its own limits, before it counts as hung."""


@operation(
    help={
        "max-seconds": "time for counting; what is not done by then is an estimate that says so",
        "sample": "how long to watch rows leave while an archiver runs, like 10s or 5m; 0s = not",
        "top": "sites and segments shown",
        "days": "days to finish from which the queue counts as flooded",
        "fail-above": "for cron: exit 3 when a figure is larger, like "
        "rows=1000000,days=7,duplicates=20%,stuck=0,uncovered=0",
        "json": JSON_HELP,
    }
)
def size(
    c: Any,
    max_seconds: str = "60",
    sample: str = "10s",
    top: str = "10",
    days: str = "7",
    fail_above: str = "",
    json: bool = False,
) -> None:
    """Show the archiver's queue (archive_invalidations) and say what to do about it.

    Rows by status, site, segment and plugin, period, age; duplicates; rows of deleted sites; what
    will be added; the archiver and its pace; archives marked invalid that no row asks for. Reads
    in short statements without locks; takes no lock of the installation, changes nothing.
    Verdicts: healthy, stuck (invalidations.reset), duplicated (invalidations.dedupe), flooded
    (invalidations.truncate --keep-days N), unknown. ~ marks estimates.
    Example: fab -H web1 invalidations.size
    Cron: inv invalidations.size --fail-above rows=1000000,stuck=0
    """
    limits = verdict.parse_limits(fail_above)
    thresholds = Thresholds(days=_positive(days, "--days"))
    seconds, watch = _positive(max_seconds, "--max-seconds"), parse_duration(sample, "--sample")
    most = int(_positive(top, "--top"))
    desk = Desk(c, json=json)
    site = desk.site()
    if sys.stderr.isatty():
        print(f"looking, for {seconds + watch:.0f} s at most …", file=sys.stderr, flush=True)
    found: dict[str, Any] = _ask(site, seconds + watch, max_seconds=seconds, sample=watch, top=most)
    facts = facts_of(found)
    command = f"fab -H {host_name(c)}" if is_remote(c) else "inv"
    advice = verdict.judge(facts, thresholds, command)
    if json:
        found["verdict"] = [dataclasses.asdict(one) for one in advice]
        print(as_json({"host": desk.host.name, **found}), flush=True)
    else:
        desk.say("\n\n".join(shown.screen(found, advice)))
    _enforce(facts, found["rows"], limits)


def _ask(site: Site, seconds: float, **options: Any) -> Any:
    """Where the database is reached, as root where we may: it sees all processes and files."""
    user = site.keeper
    if site.host.is_local and (user is None or os.geteuid() == 0):
        user = None  # in this very process
    return site.agent.call(
        "matops.matomo.invalidations_size:look",
        {"docroot": site.docroot, **options},
        user=user,
        timeout=1.5 * seconds + _MARGIN,
    )


def _enforce(facts: Facts, rows: int, limits: dict[str, float]) -> None:
    over, unknown = verdict.crossed(facts, rows, limits)
    if over:
        raise Refused(f"archive_invalidations is above its limits: {'; '.join(over)}")
    if unknown:
        raise OutcomeUnknown(
            f"whether archive_invalidations is above its limits cannot be told: "
            f"{', '.join(unknown)} unknown",
            next="look at the figures: invalidations.size",
        )


def _positive(text: str, flag: str) -> float:
    if not text.isdecimal() or not int(text):
        raise UsageError(f"{flag}: '{text}' is not a whole number above 0")
    return int(text)


TASKS: tuple[Any, ...] = (size,)
