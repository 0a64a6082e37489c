"""Queued rows that say the same: same site, dates, period, name and report. One of them is enough.

Which one stays: the one with the highest id, because that is the one Matomo takes
(Model::getNextInvalidatedArchive: ORDER BY … idinvalidation DESC; the others it then deletes as
duplicates, one by one, in QueueConsumer). An archive is built from what is in the log when it is
built, so no older request is lost with them. A key of which a row is in progress is left alone:
the archiver decides on its twins itself (Model::releaseInProgressInvalidations counts them).

Rows of one key have the same site and first day, so the table is looked at by slices of its
index (idsite, date1, period): memory and read views stay small however large it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from matops.mysql.invalidations import moving
from matops.mysql.invalidations.carve import Doomed, Find
from matops.mysql.invalidations.keep import Rule
from matops.mysql.session import Session

SLICE = 20_000
"""Rows looked at with one statement, unless one day of one site has more."""
_PAGE = 1000
_MOST = 50_000


@dataclass(frozen=True)
class Slice:
    """Days ``first`` … ``last`` of one site, with so many rows."""

    idsite: int
    first: str
    last: str
    rows: int


def slices(session: Session, table: str) -> Iterator[Slice]:
    """The whole table, by site and first day. Reads the index once, in pages."""
    site, day = -1, "1000-01-01"
    held: Optional[Slice] = None
    while True:
        rows = session.rows("invalidations_days", (site, site, day, _PAGE), table=table)
        for row in rows:
            site, day, number = int(row["idsite"]), str(row["day"]), int(row["number"])
            if held and held.idsite == site and held.rows + number <= SLICE:
                held = Slice(site, held.first, day, held.rows + number)
                continue
            if held and held.rows > 1:
                yield held
            held = Slice(site, day, day, number)
        if len(rows) < _PAGE:
            break
    if held and held.rows > 1:
        yield held


def surplus(session: Session, table: str, rule: Rule) -> int:
    """How many rows ``finder`` would find now. Reads the whole table."""
    kept, values = rule.kept()
    total = 0
    for part in slices(session, table):
        rows = moving.run(
            session, "invalidations_twins_count", (part.idsite, part.first, part.last, *values),
            parts={"kept": kept}, table=table,
        )  # fmt: skip
        total += int(rows[0]["number"] or 0)
    return total


def finder(session: Session, table: str, rule: Rule) -> Find:
    """Finds the surplus rows, each with the one that stays for it."""
    kept, values = rule.kept()

    def of(part: Slice) -> list[Doomed]:
        rows = moving.run(
            session, "invalidations_twins",
            (part.idsite, part.first, part.last, *values, _MOST),
            parts={"kept": kept}, table=table,
        )  # fmt: skip
        return [(int(row["id"]), int(row["keeper"])) for row in rows]

    def find() -> Iterator[list[Doomed]]:
        for part in slices(session, table):
            seen = -1
            while True:
                found = of(part)
                if found:
                    yield found
                # A full answer may have left some; the same answer again means they do not go.
                if len(found) < _MOST or found[-1][0] == seen:
                    break
                seen = found[-1][0]

    return find
