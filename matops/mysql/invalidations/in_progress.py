"""The rows in progress (status 1): whose, since when, and whether anything will free them.

Matomo frees a row by itself only if it has a ``ts_started`` that is older than
``archive_failure_recovery_timeout`` (Model::resetFailedArchivingJobs); one without ``ts_started``
stays for ever, and so it is for ``core:reset-invalidations`` (both ask for ts_started IS NOT NULL).
Until then an abandoned row blocks its site's longer periods: the archiver ends with 0 archives.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from matops import sqlfile
from matops.mysql.invalidations import ranges
from matops.mysql.invalidations.again import once_more
from matops.mysql.quote import fill
from matops.mysql.session import Row, Session

DEFAULT_RECOVERY = 86400
MOST = 1000
"""Rows kept for showing; all are counted."""


@dataclass(frozen=True)
class Recovery:
    """``archive_failure_recovery_timeout`` in seconds; ``sites``: those with one of their own."""

    default: int = DEFAULT_RECOVERY
    sites: Mapping[int, int] = field(default_factory=dict)

    def of(self, idsite: int) -> int:
        """Seconds for that site."""
        return self.sites.get(idsite, self.default)


@dataclass(frozen=True)
class Started:
    """One row in progress. ``age``: seconds since ts_started (None: it has none)."""

    id: int
    idsite: int
    period: int
    date1: str
    date2: str
    name: str
    report: str
    ts_invalidated: str
    ts_started: str
    age: Optional[int]
    host: str
    process: str
    stale: bool
    """Older than the recovery time-out: the next archiver frees it."""

    @property
    def fresh(self) -> bool:
        """Somebody may be at work on it: not to be touched while that is so."""
        return self.age is not None and not self.stale


@dataclass
class InProgress:
    """All rows in progress, counted; at most ``MOST`` kept in ``rows``."""

    fresh: int = 0
    stale: int = 0
    no_start: int = 0
    rows: list[Started] = field(default_factory=list)
    complete: bool = True
    """False: there was no time for the whole table."""

    @property
    def total(self) -> int:
        """Rows with status 1 that were seen."""
        return self.fresh + self.stale + self.no_start

    def add(self, row: Started) -> None:
        """Counts a row, and keeps it while there is room."""
        self.fresh += row.fresh
        self.stale += row.stale
        self.no_start += row.age is None
        if len(self.rows) < MOST:
            self.rows.append(row)

    def owners(self) -> dict[tuple[str, str], int]:
        """(host, process id) → rows, of the rows that are kept and fresh."""
        found: dict[tuple[str, str], int] = {}
        for row in self.rows:
            if row.fresh:
                found[row.host, row.process] = found.get((row.host, row.process), 0) + 1
        return found


def look(
    session: Session,
    table: str,
    *,
    recovery: Optional[Recovery] = None,
    has_owner: bool = True,
    max_seconds: float = 60,
    within: Optional[Sequence[ranges.Range]] = None,
) -> InProgress:
    """Reads the primary key once, in short statements: some 0.2 s per million rows.

    ``has_owner``: the table has processing_host and process_id. ``within``: ranges at hand.
    DatabaseError.
    """
    until = time.monotonic() + max_seconds
    found = InProgress()
    parts = ranges.plan(session, table) if within is None else within
    for part in ranges.fair(parts):
        if time.monotonic() > until:
            found.complete = False
            break
        for row in of_range(session, table, part, recovery or Recovery(), has_owner):
            found.add(row)
    return found


def of_range(
    session: Session, table: str, part: ranges.Range, recovery: Recovery, has_owner: bool = True
) -> list[Started]:
    """The rows in progress of one range of ids, all of them: it has ``LARGE`` rows at most."""
    text = sqlfile.load("invalidations_in_progress")
    for mark, column in (("host", "processing_host"), ("process", "process_id")):
        if not has_owner:
            text = text.replace("{{" + mark + "}}", "''")
        text = fill(text, {mark: column}, bound=True)
    text = fill(text, {"table": table}, bound=True)
    args = (part.low, part.high)
    rows = once_more(lambda: session.run(text, args, doing="invalidations_in_progress"))
    return [started(row, recovery) for row in rows]


def started(row: Row, recovery: Recovery) -> Started:
    """A row of ``invalidations_in_progress.sql``, judged. Pure."""
    age = None if row["age_seconds"] is None else int(row["age_seconds"])
    site = int(row["idsite"])

    def text(key: str) -> str:
        value: Any = row[key]
        return "" if value is None else str(value)

    return Started(
        id=int(row["id"]),
        idsite=site,
        period=int(row["period"]),
        date1=text("date1"),
        date2=text("date2"),
        name=text("name"),
        report=text("report"),
        ts_invalidated=text("ts_invalidated"),
        ts_started=text("ts_started"),
        age=age,
        host=text("processing_host"),
        process=text("process_id"),
        stale=age is not None and age > recovery.of(site),
    )
