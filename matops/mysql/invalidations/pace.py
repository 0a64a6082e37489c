"""How fast rows leave the queue: seen in a sample, and told by the archives written lately.

A row leaves when its archive is built, or when there is nothing to build. Both figures are
chances to finish *at best*: the last rows are the old, large months, and new rows come.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops import sqlfile
from matops.mysql.invalidations.again import once_more
from matops.mysql.invalidations.shape import Shape
from matops.mysql.invalidations.uncovered import NOT_READ, numeric_tables
from matops.mysql.quote import fill
from matops.mysql.session import DatabaseError, Session

DAY = 86400
LOCKED = 1205
COUNTED, WATCHED = "counted", "rows in progress watched"
FAST = 3.0
"""Seconds: a table that is counted in less is counted twice for the sample."""


@dataclass(frozen=True)
class Mark:
    """The queue at one moment. ``rows``: with ids up to ``newest``; None: not counted."""

    at: float
    newest: int
    rows: Optional[int]


@dataclass(frozen=True)
class Pace:
    """Rows a day. None = not known; the archives' figures are None where time was short."""

    left: Optional[int] = None
    added: Optional[int] = None
    seconds: float = 0.0
    how: str = ""
    hour: Optional[int] = None
    """Archives written in the last hour, by whomever."""
    day: Optional[int] = None

    @property
    def sampled(self) -> Optional[float]:
        """Rows a day that left during the sample."""
        return None if self.left is None or not self.seconds else self.left * DAY / self.seconds

    @property
    def added_per_day(self) -> Optional[float]:
        """Rows a day that were added during the sample."""
        return None if self.added is None or not self.seconds else self.added * DAY / self.seconds

    @property
    def per_day(self) -> Optional[float]:
        """The best of what is known: sample, last hour, last day."""
        hourly = None if self.hour is None else self.hour * 24.0
        known = [p for p in (self.sampled, hourly, self.day) if p is not None]
        return max(known) if known else None

    def days(self, rows: int) -> Optional[float]:
        """Days until so many rows are gone, at best; None where that cannot be told."""
        pace = self.per_day
        return 0.0 if not rows else rows / pace if pace else None


def mark(session: Session, shape: Shape, *, count: bool) -> Mark:
    """The queue now; ``count``: its rows, too (from the index: 0.1-0.3 s per million)."""
    newest = once_more(lambda: session.value("invalidations_size_newest", table=shape.name))
    at = time.monotonic()
    return Mark(at, int(newest or 0), _upto(session, shape, int(newest or 0)) if count else None)


def _upto(session: Session, shape: Shape, newest: int) -> int:
    # Only old rows: what comes while we count would else be taken for rows that left.
    names = {"table": shape.name, "index": shape.index or "PRIMARY"}
    return int(once_more(lambda: session.value("invalidations_size_count", (newest,), **names)))


def since(session: Session, shape: Shape, began: Mark, ids: Sequence[int], seen: float) -> Pace:
    """What left since ``began``, where it was counted; else of the rows ``ids`` seen at ``seen``.

    Rows that came and left meanwhile are not seen: it is the least that left.
    """
    names = {"table": shape.name}
    added = int(
        once_more(lambda: session.value("invalidations_size_after", (began.newest,), **names))
    )
    if began.rows is not None:
        at = time.monotonic()
        left = max(began.rows - _upto(session, shape, began.newest), 0)
        return Pace(left, added, max(at - began.at, 0.001), COUNTED)
    now_at = time.monotonic()
    if not ids:
        return Pace(None, added, max(now_at - began.at, 0.001), "")
    text = sqlfile.load("invalidations_size_alive").replace("/*ids*/", ", ".join(["%s"] * len(ids)))
    text = fill(text, names, bound=True)
    rows = once_more(lambda: session.run(text, tuple(ids), doing="invalidations_size_alive"))
    seconds = max(now_at - seen, 0.001)
    # Both figures of one pace are over the same time.
    added_then = round(added * seconds / max(now_at - began.at, 0.001))
    return Pace(len(ids) - int(rows[0]["number"]), added_then, seconds, WATCHED)


def archived(
    session: Session, prefix: str, now: float, max_seconds: float = 10
) -> tuple[Optional[int], Optional[int]]:
    """Archives written in the last (hour, day). None, None where time was too short, or a table
    was locked.

    Cost: two index dives for each archive_numeric table, and the entries written in that day.
    """
    until = time.monotonic() + max_seconds
    moments = [_utc(now - 3600), _utc(now - DAY)]
    hour = day = 0
    for _, table in numeric_tables(session, prefix):
        if time.monotonic() > until:
            return None, None
        row: dict[str, Any]
        try:
            row = session.rows("invalidations_size_archived", moments, numeric=table)[0]
        except DatabaseError as error:
            if error.number not in NOT_READ:
                raise
            if error.number == LOCKED:
                return None, None
            continue  # not there any more, or somebody's own
        hour, day = hour + int(row["hour"]), day + int(row["day"])
    return hour, day


def _utc(epoch: float) -> str:
    moment = dt.datetime.fromtimestamp(epoch, dt.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
