"""Rows stuck in progress become queued again, as Matomo's own reset does it.

Model::releaseInProgressInvalidations (5.3.1): a row goes if an identical one is queued, or was
begun on after this one was asked for; else it is queued again, with nobody's name on it. Matomo
decides and changes in two statements each; here it is one transaction on locked rows. Matomo
itself never frees rows without ``ts_started`` (see ``in_progress``); here they are freed, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matops.mysql.invalidations import moving
from matops.mysql.invalidations.in_progress import Started
from matops.mysql.invalidations.tools import Tools
from matops.mysql.session import Session


@dataclass(frozen=True)
class Freed:
    """``queued`` rows are queued again; ``dropped`` went because an identical one is there;
    ``gone``: their archiver had ended or changed them meanwhile."""

    queued: int = 0
    dropped: int = 0
    gone: int = 0


def free(tools: Tools, rows: Sequence[Started], has_owner: bool = True) -> Freed:
    """Frees these rows, those that are still as they were seen. One transaction a row."""
    counts = {"queued": 0, "dropped": 0, "gone": 0}
    for row in rows:
        tools.check()
        how = moving.again(lambda row=row: _one(tools.session, tools.table, row, has_owner))  # type: ignore[misc]
        counts[how] += 1
        tools.moved(1)
    return Freed(**counts)


def left(tools: Tools, rows: Sequence[Started]) -> int:
    """How many of these rows are in progress still, by the same start: for reading it back."""
    return sum(
        bool(tools.session.rows("invalidations_still_stuck", _as_seen(row), table=tools.table))
        for row in rows
    )


def _one(session: Session, table: str, row: Started, has_owner: bool) -> str:
    with moving.transaction(session):
        name = "invalidations_lock_stuck"
        if not session.rows(name, _as_seen(row), table=table):
            return "gone"
        twin = session.rows(
            "invalidations_twin",
            (row.idsite, row.date1, row.date2, row.period, row.name, row.report,
             row.ts_invalidated or None, row.id),
            table=table,
        )  # fmt: skip
        if twin:
            session.execute("invalidations_drop_stuck", (row.id,), table=table)
            return "dropped"
        parts = {"owner": ", processing_host = NULL, process_id = NULL" if has_owner else ""}
        moving.change(session, "invalidations_queue_again", (row.id,), parts=parts, table=table)
        return "queued"


def _as_seen(row: Started) -> tuple[object, ...]:
    return row.id, row.ts_started or None
