"""Counting what would go, exactly, in short statements: no read view stays open for long."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Callable, Optional

from matops.mysql.purge.tables import Table, Tables
from matops.mysql.session import Session

_SPAN = 31  # days counted by one statement
_VISITS = 20_000  # visits whose rows are counted by one statement, unless one day has more
SLOW_ROWS = 50_000  # rows of a table without an index that are gone through by one statement

Days = dict[str, int]
Look = Callable[[], bool]
"""True = stop counting: what was counted until then is given."""


@dataclass
class Counted:
    """Visits by day (UTC) and by site; with ``rows``, those of each table by day, too.

    ``spans``: (site, from, to, visits) with some 20,000 visits each: the pieces counted by.
    """

    days: Days = field(default_factory=dict)
    sites: dict[int, int] = field(default_factory=dict)
    rows: dict[str, Days] = field(default_factory=dict)
    spans: list[tuple[int, str, str, int]] = field(default_factory=list)

    @property
    def visits(self) -> int:
        """All of them."""
        return sum(self.sites.values())


def visits(
    session: Session, tables: Tables, sites: Sequence[int], start: str, end: str,
    *, spans: bool = False,
) -> Counted:  # fmt: skip
    """Visits of ``sites`` with visit_last_action_time in [start, end) (``YYYY-MM-DD …``, UTC)."""
    counted = Counted()
    for site in sites:
        total = 0
        pieces: list[tuple[str, int]] = []
        for day, count in _days_of(session, tables, site, start, end):
            counted.days[day] = counted.days.get(day, 0) + count
            total += count
            pieces.append((day, count))
        if total:
            counted.sites[site] = total
        if spans:
            counted.spans += [(site, *piece) for piece in grouped(pieces, start, end)]
    counted.days = dict(sorted(counted.days.items()))
    return counted


def left(
    session: Session, tables: Tables, sites: Sequence[int], start: str, end: str
) -> dict[int, int]:
    """Visits that are still there, by site; sites without any are left out."""
    return visits(session, tables, sites, start, end).sites


def _days_of(
    session: Session, tables: Tables, site: int, start: str, end: str
) -> Iterator[tuple[str, int]]:
    names = {"log_visit": tables.visit, "time_index": tables.time_index}
    row = session.rows("purge_bounds", (site, start, end), **names)[0]
    if row["first"] is None:
        return
    day, last = row["first"].date(), row["last"].date()
    while day <= last:
        until = day + dt.timedelta(days=_SPAN)
        args = (site, max(str(day), start), min(str(until), end))
        for found in session.rows("purge_count_visits", args, **names):
            yield str(found["day"]), int(found["n"])
        day = until
        if day <= last:  # over a gap of years in one step
            row = session.rows("purge_bounds", (site, str(day), end), **names)[0]
            if row["first"] is None:
                return
            day = row["first"].date()


def grouped(
    days: Sequence[tuple[str, int]], start: str, end: str, most: int = _VISITS
) -> Iterator[tuple[str, str, int]]:
    """(from, to, visits) of successive days with at most ``most`` visits, or one day. Pure."""
    first, total, last = "", 0, ""
    for day, count in days:
        if first and total + count > most:
            yield max(first, start), min(_next(last), end), total
            first, total = "", 0
        first, total, last = first or day, total + count, day
    if first:
        yield max(first, start), min(_next(last), end), total


def _next(day: str) -> str:
    return str(dt.date.fromisoformat(day) + dt.timedelta(days=1))


def children(
    session: Session, tables: Tables, counted: Counted, start: str, end: str,
    tell: Optional[Callable[[int], object]] = None,
) -> None:  # fmt: skip
    """Adds ``rows`` of every table to what ``visits(…, spans=True)`` found."""
    for table in tables.quick:
        found: Counter[str] = Counter()
        for site, since, until, visits_ in counted.spans:
            name, names = _statement(tables, table)
            for row in session.rows(name, (site, since, until), **names):
                found[str(row["day"])] += int(row["n"])
            if tell:
                tell(visits_)
        counted.rows[table.name] = dict(sorted(found.items()))
    for table in tables.slow:
        counted.rows[table.name] = _slow(session, tables, table, counted, start, end)
    counted.rows[tables.visit] = counted.days


def _statement(tables: Tables, table: Table) -> tuple[str, dict[str, str]]:
    names = {"log_visit": tables.visit, "time_index": tables.time_index,
             "table": table.name, "index": table.index}  # fmt: skip
    if not table.parent:
        return "purge_count_children", names
    between = {"parent": table.parent, "parent_index": table.parent_index, "key": table.key}
    return "purge_count_through", {**names, **between}


def _slow(
    session: Session, tables: Tables, table: Table, counted: Counted, start: str, end: str
) -> Days:
    found: Counter[str] = Counter()
    if not counted.sites:
        return {}
    for low, high in ranges(session, table):
        name, names = slow_names("purge_count_slow", tables, table)
        args = (low, high, list(counted.sites), start, end)
        for row in session.rows(name, args, **names):
            found[str(row["day"])] += int(row["n"])
    return dict(sorted(found.items()))


def slow_names(statement: str, tables: Tables, table: Table) -> tuple[str, dict[str, str]]:
    """The statement (its twin for a table reached through another) and its identifiers."""
    names = {"log_visit": tables.visit, "table": table.name, "pk": table.pk}
    if not table.parent:
        return statement, names
    return f"{statement}_through", {**names, "parent": table.parent, "key": table.key}


def ranges(session: Session, table: Table, size: int = SLOW_ROWS) -> Iterator[tuple[int, int]]:
    """[low, high) of the table's own key, some ``size`` rows each, over the whole table as it is
    when the generator begins; what grows behind is not gone after."""
    bounds = session.rows("key_range", key=table.pk, table=table.name)[0]
    if bounds["low"] is None:
        return
    low, last = int(bounds["low"]), int(bounds["high"])
    while low <= last:
        key = session.value("purge_key_after", (low, size), pk=table.pk, table=table.name)
        if key is None:
            return
        yield low, int(key) + 1
        low = int(key) + 1
