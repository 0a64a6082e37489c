"""Archives marked invalid that no row of the queue will ever rebuild.

Matomo's archiver looks at the queue only: an archive whose done flag is 4 (DONE_INVALIDATED) or 6
stays so for ever once its row is gone. Such archives are looked for in every archive_numeric
table, the newest month first, and compared with the rows that are there, or that would be left:
``Rows`` says which rows count.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from matops import sqlfile
from matops.mysql.invalidations import ranges, segments
from matops.mysql.invalidations.again import once_more
from matops.mysql.invalidations.shape import BASE, like
from matops.mysql.quote import fill
from matops.mysql.session import DatabaseError, Session

MOST = 5_000
"""Groups kept; what does not fit is in ``others``."""
_BATCH = 100_000
"""Invalid flags held at once: some 20 MB."""
_SITES = 20
"""Sites asked for with one statement."""
RANGE = 5
"""The period of custom ranges: Matomo makes no rows for them unless told to."""

NOT_READ = {
    1205: "locked by somebody for longer than we wait",
    1146: "gone meanwhile",
    1054: "not a table of Matomo's",
    1176: "its index_idsite_dates_period is missing",
    1969: "a statement took too long",
    3024: "a statement took too long",
}
"""Errors for which one archive table is passed over, and what they mean."""

Tuple = tuple[int, int, str, str]
"""(idsite, period, date1, date2)."""


@dataclass(frozen=True)
class Rows:
    """Which rows count as there: all of a table, or those that a condition keeps.

    ``condition``: SQL on the columns of archive_invalidations, made by matops only, its values
    as ``%s`` (and ``%`` doubled), bound from ``args``.
    """

    table: str
    condition: str = ""
    args: tuple[Any, ...] = ()


@dataclass
class Group:
    """Archives of one site, period and name: how many, the first and the last day they cover."""

    count: int
    first: str
    last: str


@dataclass
class Uncovered:
    """Invalid archives without a row. ``looked`` tables ``of`` all; ``left_out`` names the rest."""

    total: int = 0
    """Those that the archiver would build, had it a row."""
    on_request: int = 0
    """Built when somebody looks: custom ranges, segments that are not archived ahead."""
    deleted_sites: int = 0
    """Of sites that do not exist any more: nobody misses them."""
    groups: dict[tuple[int, int, str], Group] = field(default_factory=dict)
    """(idsite, period, name) → archives, of ``total`` only."""
    others: int = 0
    """Archives of ``total`` in groups that did not fit."""
    months: dict[str, int] = field(default_factory=dict)
    """``2026_01`` → archives of ``total``."""
    looked: int = 0
    of: int = 0
    left_out: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Those of ``left_out`` that could not be read → why; the others: there was no time."""

    @property
    def complete(self) -> bool:
        """Every archive_numeric table was looked at."""
        return not self.left_out

    def sites(self) -> dict[int, Group]:
        """By site: how many archives, from the first day to the last: what to invalidate again."""
        found: dict[int, Group] = {}
        for (site, _, _), group in self.groups.items():
            _join(found, site, group.count, group.first, group.last)
        return found

    def add(self, key: Tuple, name: str, month: str) -> None:
        """One more of ``total``."""
        site, period, first, last = key
        self.total += 1
        self.months[month] = self.months.get(month, 0) + 1
        if (site, period, name) in self.groups or len(self.groups) < MOST:
            _join(self.groups, (site, period, name), 1, first, last)
        else:
            self.others += 1


def _join(into: dict[Any, Group], key: Any, count: int, first: str, last: str) -> None:
    group = into.setdefault(key, Group(0, first, last))
    group.count += count
    group.first, group.last = min(group.first, first), max(group.last, last)


def look(
    session: Session,
    prefix: str,
    *rows: Rows,
    max_seconds: float = 60,
    known: segments.Segments | None = None,
    sites: Collection[int] | None = None,
) -> list[Uncovered]:
    """One answer for each of ``rows`` (none: the live table as it is), from one pass.

    ``known``: the segments; ``sites``: the ids of sites that exist (both are read if not given).
    Cost: reads the archive_numeric tables through, some 1 s per million rows, in statements of
    0.1-0.3 s. Stops after ``max_seconds`` and says what was left out. Changes nothing.
    """
    until = time.monotonic() + max_seconds
    counted = rows or (Rows(prefix + BASE),)
    known = segments.look(session, prefix) if known is None else known
    if sites is None:
        sites = {int(row["idsite"]) for row in session.rows("site_ids", site=f"{prefix}site")}
    found = [Uncovered() for _ in counted]
    tables = numeric_tables(session, prefix)
    left_out, failed = [], {}
    for month, table in tables:
        sorter = _Sorter(session, counted, found, month, known, sites)
        try:
            whole = _month(session, table, sorter, until)
        except DatabaseError as error:
            if error.number not in NOT_READ:
                raise
            whole, failed[table] = False, NOT_READ[error.number]
        if not whole:
            left_out.append(table)
    for one in found:
        one.of, one.looked = len(tables), len(tables) - len(left_out)
        one.left_out, one.failed = list(left_out), dict(failed)
    return found


def numeric_tables(session: Session, prefix: str) -> list[tuple[str, str]]:
    """(``2026_01``, table) of the archive_numeric tables, the newest month first."""
    begins = f"{prefix}archive_numeric_"
    names = [str(r["name"]) for r in session.rows("archive_tables", (like(begins) + "%",))]
    months = [(name[len(begins) :], name) for name in names]
    return sorted(((m, n) for m, n in months if re.fullmatch(r"\d{4}_\d{2}", m)), reverse=True)


def _month(session: Session, table: str, sorter: _Sorter, until: float) -> bool:
    """False where the time was up before the end of the table."""
    if time.monotonic() > until:
        return False
    for part in ranges.plan(session, table, "idarchive", until=until):
        if time.monotonic() > until:
            sorter.flush()
            return False
        sorter.take(
            session.rows("invalidations_uncovered_flags", (part.low, part.high), numeric=table)
        )
    sorter.flush()
    return True


class _Sorter:
    """Holds the invalid flags of one month until they are compared with the rows."""

    def __init__(self, session: Session, counted: Sequence[Rows], found: Sequence[Uncovered],
                 month: str, known: segments.Segments, sites: Collection[int]) -> None:  # fmt: skip
        self._session, self._counted, self._found = session, counted, found
        self._month, self._known, self._sites = month, known, sites
        self._held: dict[Tuple, list[str]] = {}
        self._count = 0

    def take(self, flags: Iterable[dict[str, Any]]) -> None:
        for flag in flags:
            key = (int(flag["idsite"]), int(flag["period"]), flag["date1"], flag["date2"])
            self._held.setdefault(key, []).append(str(flag["name"]))
            self._count += 1
        if self._count >= _BATCH:
            self.flush()

    def flush(self) -> None:
        for wanted, result in zip(self._counted, self._found):
            for site_ids in _pieces(sorted({key[0] for key in self._held}), _SITES):
                self._compare(wanted, result, set(site_ids))
        self._held, self._count = {}, 0

    def _compare(self, wanted: Rows, result: Uncovered, site_ids: set[int]) -> None:
        held = {key: names for key, names in self._held.items() if key[0] in site_ids}
        there = _there(self._session, wanted, site_ids, held)
        for key, names in held.items():
            for name in names:
                if (key, name) in there or (key, segments.whole(name)) in there:
                    continue
                if key[0] not in self._sites:
                    result.deleted_sites += 1
                elif key[1] == RANGE or not segments.built_by_archiver(name, self._known):
                    result.on_request += 1
                else:
                    result.add(key, name, self._month)


def _there(
    session: Session, wanted: Rows, site_ids: set[int], held: Collection[Tuple]
) -> set[tuple[Tuple, str]]:
    """What the rows of those sites will rebuild, as far as it is among ``held``."""
    text = sqlfile.load("invalidations_uncovered_rows")
    text = text.replace("/*sites*/", ", ".join(["%s"] * len(site_ids)))
    text = text.replace("/*and*/", f" AND ({wanted.condition})" if wanted.condition else "")
    text = fill(text, {"table": wanted.table}, bound=True)
    days = sorted(key[2] for key in held)
    args = (*sorted(site_ids), days[0], days[-1], *wanted.args)
    rows = once_more(lambda: session.run(text, args, doing="invalidations_uncovered_rows"))
    there = set()
    for row in rows:
        key = (int(row["idsite"]), int(row["period"]), str(row["date1"]), str(row["date2"]))
        if key in held:
            there.add((key, str(row["name"])))
    return there


def _pieces(items: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (items[at : at + size] for at in range(0, len(items), size))
