"""Spans of the index (idsite, date1, period) with about as many rows each.

Where to cut is found from rows at evenly spread places of the primary key: their sites and days,
sorted, cut the index where the rows are.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from matops import sqlfile
from matops.mysql.invalidations import ranges
from matops.mysql.invalidations.again import once_more
from matops.mysql.quote import fill
from matops.mysql.session import Row, Session

Point = tuple[int, str]
"""(idsite, date1)."""
ROWS = 25_000
"""Rows of one span: a statement of about 0.05 s, or of some tenths where rows are read, too."""
_POINTS = 8
"""Points for one span: so that spans are about as large as meant."""
_LEAST, _MOST = 1_500, 4_000
"""Points in all: some 0.3 ms each."""


@dataclass(frozen=True)
class Sampled:
    """A row from an even place of the primary key; it stands for ``weight`` rows."""

    idsite: int
    date1: str
    date2: str
    period: int
    weight: int


@dataclass(frozen=True)
class Span:
    """From ``low`` up to below ``high``; None: from the beginning, to the end."""

    low: Optional[Point] = None
    high: Optional[Point] = None

    def condition(self) -> tuple[str, tuple[Any, ...]]:
        """A condition on idsite and date1 that both servers turn into index ranges, and its
        values. Row comparisons, ``(a, b) >= (1, 2)``, would read the whole index."""
        if self.low and self.high and self.low[0] == self.high[0]:
            return "(idsite = %s AND date1 >= %s AND date1 < %s)", (*self.low, self.high[1])
        parts: list[str] = []
        values: list[Any] = []
        if self.low:
            parts.append("(idsite = %s AND date1 >= %s)")
            values += self.low
        between = [(op, p[0]) for op, p in ((">", self.low), ("<", self.high)) if p]
        parts.append("(" + (" AND ".join(f"idsite {op} %s" for op, _ in between) or "TRUE") + ")")
        values += [site for _, site in between]
        if self.high:
            parts.append("(idsite = %s AND date1 < %s)")
            values += self.high
        return "(" + " OR ".join(parts) + ")", tuple(values)


def sample(
    session: Session, table: str, parts: Sequence[ranges.Range], until: float = math.inf
) -> list[Sampled]:
    """Rows from even places of the primary key's ``parts``; none for a small table.

    At most some 4,000 reads of one row: 1 s, on a cold disk twenty; after ``until`` (monotonic
    seconds) not more than half of the least. DatabaseError.
    """
    wanted = sum(part.rows for part in parts) // ROWS
    if wanted < 2:
        return []
    each = max(min(max(wanted * _POINTS, _LEAST), _MOST) // len(parts), 1)
    found: list[Sampled] = []
    # Rows come in batches with the sites in turn: a regular step would meet the same ones. The
    # seed makes two looks comparable.
    places = random.Random(17)
    for part in ranges.fair(parts):
        if len(found) >= _LEAST // 2 and time.monotonic() > until:
            break
        for i in range(each):
            at = part.low + int((part.high - part.low) * (i + places.random()) / each)
            found += _point(session, table, at, part.high, max(part.rows // each, 1))
    return found


def _point(session: Session, table: str, low: int, high: int, weight: int) -> list[Sampled]:
    # None in a hole of the ids: the row behind it would stand for rows that are not there.
    rows = once_more(lambda: session.rows("invalidations_size_point", (low, high), table=table))
    return [
        Sampled(int(r["idsite"]), str(r["date1"]), str(r["date2"]), int(r["period"]), weight)
        for r in rows
    ]


def spans(points: Sequence[Sampled], rows: int) -> list[Span]:
    """Spans of about ``ROWS`` of ``rows`` rows that hold the whole index, in its order. Pure."""
    cuts = sorted((point.idsite, point.date1) for point in points)
    step = max(len(cuts) // max(rows // ROWS, 1), 1)
    return between(cuts[step::step])


def between(cuts: Sequence[Point]) -> list[Span]:
    """The spans that those points cut. Pure."""
    ends: list[Optional[Point]] = [None, *sorted(set(cuts)), None]
    return [Span(low, high) for low, high in zip(ends, ends[1:])]


def ask(
    session: Session, name: str, table: str, index: str, span: Union[Span, ranges.Range],
    before: Sequence[Any] = (),
) -> list[Row]:  # fmt: skip
    """Statement ``sql/<name>`` for one span; ``before``: values bound before the span's."""
    condition, bound = span.condition()
    values = (*before, *bound)
    text = sqlfile.load(name).replace("/*span*/", condition)
    # A span of everything binds nothing: then a % of the table's name must not be doubled.
    text = fill(text, {"table": table, "index": index}, bound=bool(values))
    return once_more(lambda: session.run(text, values, doing=name))
