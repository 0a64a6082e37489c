"""The backups there are; dropping one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from matops.errors import Refused, UsageError
from matops.mysql.invalidations.record import (
    BEGUN,
    CARVE,
    DONE,
    FLAGS,
    REPLACED,
    RESTORING,
    SWAP,
    Record,
    Records,
)  # fmt: skip
from matops.mysql.invalidations.shape import BASE, beside
from matops.mysql.invalidations.tools import Tools
from matops.mysql.session import Session
from matops.units import show_epoch

HOW = {
    SWAP: "the whole table as it was",
    CARVE: "the rows that were taken out",
    REPLACED: "the whole table that a restore put aside",
    FLAGS: "the archives whose invalid flag was cleared",
}


@dataclass(frozen=True)
class Backup:
    """One backup table. ``rows`` exact where ``exact``; ``at`` seconds since 1970 (0: not known).

    ``ours`` False: a table of that name that matops keeps no record of.
    """

    name: str
    ours: bool
    rows: int
    exact: bool
    bytes: int
    at: float
    why: str
    kept: str
    how: str
    state: str
    finished: bool

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return dict(self.__dict__)


def look(session: Session, prefix: str) -> list[Backup]:
    """All of them, the oldest first. Reads names and records only; changes nothing."""
    tables = {one.name: one for one in beside(session, prefix + BASE)}
    found = []
    for record in Records(session, prefix + "option").all():
        table = tables.pop(record.backup, None)
        found.append(
            Backup(
                record.backup, True, record.rows or (table.rows if table else 0),
                bool(record.rows), table.bytes if table else 0, record.at, record.why,
                record.rule.kept_words, HOW.get(record.method, record.method),
                state(record, table is not None or _there(session, record.backup)),
                record.finished,
            )
        )  # fmt: skip
        if record.method == SWAP and not record.finished:
            tables.pop(record.new, None)
    for one in tables.values():
        found.append(
            Backup(one.name, False, one.rows, False, one.bytes, 0.0, "", "", "",
                   "not made by matops (no record of it): left alone", True)
        )  # fmt: skip
    return found


def _there(session: Session, name: str) -> bool:
    # Asked by its name: LIKE fails where sql_mode has NO_BACKSLASH_ESCAPES, or names lose case.
    return bool(session.rows("invalidations_shape_table", (name,)))


def state(record: Record, there: bool) -> str:
    """In words: where it stands, and what ends it. Pure."""
    if not there:
        if record.state == BEGUN:
            return "stopped before anything happened: the next run tidies up"
        return "its table is gone: dropped or renamed by hand"
    if record.state == RESTORING:
        return f"putting it back was stopped: invalidations.restore {record.backup} ends it"
    if record.state != DONE:
        ends = "invalidations.restore" if record.method == REPLACED else "invalidations.truncate"
        return f"stopped before its end: {ends} goes on"
    if record.restored:
        return f"complete; was put back at {show_epoch(record.restored)}"
    return "complete"


def choose(records: Records, name: str) -> Record:
    """The record of the backup of that name. UsageError: no such backup; Refused: not ours."""
    every = records.all()
    found = next((record for record in every if record.backup == name), None)
    if found:
        return found
    known = ", ".join(record.backup for record in every) or "none"
    raise UsageError(
        f"{name} is no backup made by matops; there are: {known}",
        state="Nothing was changed",
        next="invalidations.backups lists them",
    )


def may_drop(record: Record) -> None:
    """Refused while its rows are still needed."""
    if not record.finished:
        raise Refused(
            f"{record.backup} is needed: {state(record, True)}",
            state="Nothing was dropped",
        )


def drop(tools: Tools, name: str) -> Optional[int]:
    """Drops a finished backup and its record; how many rows it had (None: it was gone already).

    The table goes first: a run that is killed between leaves a record without a table, which
    dropping again forgets. Refused where somebody holds it, or it is still needed.
    """
    record = choose(tools.records, name)
    if not tools.there(record.backup):
        if record.method == SWAP and record.state == BEGUN:
            tools.drop_empty(record.new, "the new table")
        tools.records.drop(record)
        return None
    may_drop(record)
    try:
        tools.drop(record.backup)
    except Refused as error:
        error.state = "Nothing was dropped"
        raise
    tools.records.drop(record)
    return record.rows
