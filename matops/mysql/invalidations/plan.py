"""What a truncate would do: exact counts, and which of the two methods it takes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matops.mysql.invalidations import dedupe, moving
from matops.mysql.invalidations.keep import DUPLICATES, PERIODS, Rule
from matops.mysql.invalidations.record import CARVE, SWAP
from matops.mysql.session import Session

MOST = 0.5
"""Share of the rows above which a new table is swapped in: copying back costs as much a row as
carving out, but a swap also gives the space back."""


@dataclass(frozen=True)
class Period:
    """Rows of one period: all, those that go, those in progress; the days they cover."""

    period: int
    rows: int
    goes: int
    in_progress: int
    first: str
    last: str

    @property
    def name(self) -> str:
        """``day``; the number where it is not one of Matomo's."""
        return next((n for n, number in PERIODS.items() if number == self.period), str(self.period))


@dataclass(frozen=True)
class Plan:
    """Counts of rows, exact when they were made. ``method`` '' = nothing goes."""

    rule: Rule
    rows: int
    goes: int
    method: str
    because: str
    periods: tuple[Period, ...]

    @property
    def stays(self) -> int:
        """Rows that stay."""
        return self.rows - self.goes

    def data(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "rule": self.rule.data(), "words": self.rule.words, "rows": self.rows,
            "goes": self.goes, "stays": self.stays, "method": self.method, "because": self.because,
            "periods": [{"name": p.name, **p.__dict__} for p in self.periods],
        }  # fmt: skip


def look(session: Session, table: str, rule: Rule) -> Plan:
    """Counts. Reads the whole table once, without locks: about a second per two million rows."""
    text, values = rule.goes()
    rows = moving.run(
        session, "invalidations_count_by", values, parts={"condition": text}, table=table
    )
    periods = [
        Period(int(r["period"]), int(r["all_rows"]), int(r["matching"]), int(r["in_progress"] or 0),
               str(r["first_day"]), str(r["last_day"]))
        for r in rows
    ]  # fmt: skip
    every, goes = sum(p.rows for p in periods), sum(p.goes for p in periods)
    if rule.only == DUPLICATES:
        goes = dedupe.surplus(session, table, rule)
        periods = [Period(p.period, p.rows, 0, p.in_progress, p.first, p.last) for p in periods]
    method, because = choose(rule, every, goes)
    return Plan(rule, every, goes, method, because, tuple(periods))


def choose(rule: Rule, rows: int, goes: int) -> tuple[str, str]:
    """(method, why). Pure."""
    if not goes:
        return "", f"none of {rows} rows goes"
    if rule.only == DUPLICATES:
        return CARVE, "duplicates are found group by group, and taken out in small batches"
    if goes > rows * MOST:
        return SWAP, f"{goes} of {rows} rows go: a new table is swapped in, at once"
    return CARVE, f"{goes} of {rows} rows go: they are taken out in small batches"
