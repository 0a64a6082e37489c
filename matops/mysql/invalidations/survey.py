"""Counts the queue: one pass over its index, one over its rows, one over keys for duplicates.

Every statement is short (0.05-0.3 s) and a consistent read of its own: no lock, no long read
view, nothing that the archiver could wait for. Ranges come in bit-reversed order, so a pass that
is stopped by the clock has seen an even sample, and its figures scale to the whole table.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar, Union

from matops.mysql.invalidations import in_progress, index_ranges, ranges
from matops.mysql.invalidations.again import TOO_LONG, once_more
from matops.mysql.invalidations.in_progress import InProgress, Recovery
from matops.mysql.invalidations.index_ranges import Sampled, Span
from matops.mysql.invalidations.shape import Shape
from matops.mysql.invalidations.tally import (
    AGES,
    KEEP_DAYS,
    MOST_SITES,
    NEVER,
    Bounded,
    Duplicates,
    IndexTally,
    RowTally,
)
from matops.mysql.session import DatabaseError, Session

Part = TypeVar("Part")
SHARES = (0.3, 0.75, 1.0)
"""When the passes over index, rows and duplicates end, as parts of the time given: what one does
not need the next one has."""
_PLANNED, _SAMPLED = 0.1, 0.2
"""When, as parts of that time, cutting the table and taking a sample become less careful."""
_LEAST = 16
_GRACE = 5.0
_SEEN = 30
"""Rows of a site in the sample from which it is named (within 18 %); fewer are mostly luck."""


@dataclass
class Survey:
    """What was found. ``began``, ``ended``: monotonic seconds around the look at the rows."""

    index: IndexTally = field(default_factory=IndexTally)
    rows: RowTally = field(default_factory=RowTally)
    duplicates: Duplicates = field(default_factory=Duplicates)
    in_progress: InProgress = field(default_factory=InProgress)
    estimate: int = 0
    """Rows as the server estimates them."""
    seen: float = 0.0
    """Monotonic seconds when the rows in progress were seen, about."""

    @property
    def total(self) -> int:
        """Rows in the table: counted where a pass was whole, else estimated by primary key,
        whose ranges are cut more evenly than the index's."""
        if self.index.share >= 1:
            return self.index.rows
        if not self.rows.share:
            return self.index.rows or self.estimate
        return round(self.rows.rows / self.rows.share)

    @property
    def exact(self) -> bool:
        """``total`` was counted."""
        return max(self.index.share, self.rows.share) >= 1


def look(
    session: Session, shape: Shape, now: float, *, recovery: Recovery, max_seconds: float = 60
) -> Survey:
    """Counts what it can within ``max_seconds``. ``now``: the server's clock, seconds since 1970.

    Cost: about 3 s per million rows, and for duplicates 5-20 s per million. Changes nothing.
    DatabaseError.
    """
    began = time.monotonic()
    ends = [began + share * max_seconds for share in SHARES]
    found = Survey()
    parts = ranges.plan(session, shape.name, until=began + _PLANNED * max_seconds)
    if not parts:
        found.seen = time.monotonic()
        return found
    found.estimate = sum(part.rows for part in parts)
    points = index_ranges.sample(session, shape.name, parts, began + _SAMPLED * max_seconds)
    spans = index_ranges.spans(points, sum(part.rows for part in parts)) if shape.index else []
    found.duplicates.share = 0.0
    # Without that index (somebody dropped it) the same is read from the rows.
    found.index = _by_index(session, shape, spans or parts, now, ends[0])
    _by_rows(session, shape, parts, now, recovery, ends[1], found)
    if found.index.share < 1:
        _sampled(found.index, points, found.total, now)
    if spans:
        found.duplicates = _duplicates(session, shape, spans, ends[2])
    return found


def _sampled(tally: IndexTally, points: Sequence[Sampled], total: int, now: float) -> None:
    """Puts the groups of an even sample in place of those of a part of the index."""
    if not points:  # a small table on a slow server: what was counted must do
        tally.factor = total / max(tally.rows, 1)
        return
    tally.sites, tally.periods, tally.reaches = Bounded(MOST_SITES), {}, {}
    today = dt.datetime.fromtimestamp(now, dt.timezone.utc).date()
    days = [(str(today - dt.timedelta(days=n)), n) for n in KEEP_DAYS]
    for point in points:
        reach = next((n for day, n in days if point.date2 >= day), NEVER)
        tally.sites.add(point.idsite, point.weight)
        tally.periods[point.period] = tally.periods.get(point.period, 0) + point.weight
        tally.reaches[reach] = tally.reaches.get(reach, 0) + point.weight
    tally.factor = total / max(sum(point.weight for point in points), 1)
    tally.least = round(_SEEN * total / max(len(points), 1))


def _each(parts: Sequence[Part], until: float, weigh: Callable[[Part], int],
          do: Callable[[Part], object]) -> float:  # fmt: skip
    """Does the parts in fair order until the time is up; the share that was done, by weight.

    Figures from two or three parts would be a guess: ``_LEAST`` are done, unless that takes
    ``_GRACE`` seconds more (a server that scans where it should seek: stale statistics). One part
    is done in any case: no figure at all would look like an empty table.
    """
    done = 0
    total = sum(max(weigh(part), 1) for part in parts)
    for number, part in enumerate(ranges.fair(parts)):
        if number and time.monotonic() > until + (0 if number >= _LEAST else _GRACE):
            break
        try:
            do(part)
        except DatabaseError as error:
            if error.number not in TOO_LONG:
                raise
            break
        done += max(weigh(part), 1)
    return 1.0 if done == total else done / total


def _by_index(
    session: Session, shape: Shape, spans: Sequence[Union[Span, ranges.Range]], now: float,
    until: float,
) -> IndexTally:  # fmt: skip
    tally = IndexTally()
    began = time.monotonic()
    days = reach_days(now)

    def count(span: Union[Span, ranges.Range]) -> None:
        name, index = "invalidations_size_by_site", shape.index or "PRIMARY"
        for row in index_ranges.ask(session, name, shape.name, index, span, days):
            number, period, reach = int(row["number"]), int(row["period"]), int(row["reaches"])
            tally.rows += number
            tally.sites.add(int(row["idsite"]), number)
            tally.periods[period] = tally.periods.get(period, 0) + number
            tally.reaches[reach] = tally.reaches.get(reach, 0) + number

    tally.share = _each(spans, until, lambda span: 1, count)
    tally.seconds = time.monotonic() - began
    return tally


def reach_days(now: float) -> list[Any]:
    """The bound values of ``invalidations_size_by_site``: day, N, day, N, … Pure."""
    today = dt.datetime.fromtimestamp(now, dt.timezone.utc).date()
    pairs = ((today - dt.timedelta(days=days), days) for days in KEEP_DAYS)
    return [value for day, days in pairs for value in (str(day), days)]


def _by_rows(
    session: Session, shape: Shape, parts: Sequence[ranges.Range], now: float,
    recovery: Recovery, until: float, found: Survey,
) -> None:  # fmt: skip
    tally, times = found.rows, age_times(now)
    sightings: list[float] = []

    def count(part: ranges.Range) -> None:
        args = (*times, part.low, part.high)
        rows = once_more(lambda: session.rows("invalidations_size_rows", args, table=shape.name))
        started = 0
        for row in rows:
            started += _add(tally, row)
        if started:
            sightings.append(time.monotonic())
            for one in in_progress.of_range(session, shape.name, part, recovery, shape.has_owner):
                found.in_progress.add(one)

    tally.share = _each(parts, until, lambda part: part.rows, count)
    found.in_progress.complete = tally.share >= 1
    found.seen = sum(sightings) / len(sightings) if sightings else time.monotonic()


def age_times(now: float) -> list[str]:
    """The bound values of ``invalidations_size_rows``: UTC, as Matomo writes them. Pure."""
    moments = (dt.datetime.fromtimestamp(now - age, dt.timezone.utc) for age in AGES)
    return [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in moments]


def _add(tally: RowTally, row: dict[str, Any]) -> int:
    """Counts one group; how many rows of it are in progress."""
    number, status = int(row["number"]), row["status"]
    tally.rows += number
    tally.names.add(str(row["name"]), number)
    if row["report"]:
        tally.reports.add(str(row["report"]), number)
    if status == 1:
        tally.in_progress += number
        tally.no_start += 0 if row["started"] else number
        return number
    if status != 0:
        # Matomo looks for status != 1 (not NULL), and starts only what has status = 0.
        tally.strange += number
        return 0
    tally.queued += number
    tally.ages[int(row["age"])] = tally.ages.get(int(row["age"]), 0) + number
    oldest: Optional[str] = row["oldest"]
    if oldest and (not tally.oldest or oldest < tally.oldest):
        tally.oldest = oldest
    return 0


def _duplicates(session: Session, shape: Shape, spans: Sequence[Span], until: float) -> Duplicates:
    found = Duplicates()

    def count(span: Span) -> None:
        name = "invalidations_size_duplicates"
        row = index_ranges.ask(session, name, shape.name, shape.index, span)[0]
        found.queued += int(row["queued"] or 0)
        found.superfluous += int(row["superfluous"] or 0)

    found.share = _each(spans, until, lambda span: 1, count)
    return found
