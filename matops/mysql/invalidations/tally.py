"""What was counted, in flat memory: a bounded number of groups, the rest as ``others``."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

MOST_SITES = 200_000
MOST_NAMES = 5_000
AGES = (-3600, 3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400, 180 * 86400, 365 * 86400)
"""Seconds before now: where one age class ends and the next begins. What is ahead by less than an
hour came while we looked, or from a host whose clock is ahead: it is new, not in the future."""
AGE_NAMES = (
    "in the future", "under 1 hour", "1 hour to 1 day", "1 to 7 days", "7 to 30 days",
    "30 to 90 days", "90 to 180 days", "180 days to 1 year", "over 1 year", "none",
)  # fmt: skip
FUTURE, NO_TIME = 0, 9
KEEP_DAYS = (1, 2, 7, 14, 30, 60, 90, 365)
"""For how many days back it is known how many rows ``truncate --keep-days`` would leave."""


NEVER = 99999
"""In place of N for a row that reaches into none of them (as in the statement)."""


class Bounded(Generic[Key]):
    """Counts by key; keys that came when there were ``most`` already are one: ``others``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.counts: dict[Key, int] = {}
        self.others = 0

    def add(self, key: Key, number: int) -> None:
        """``number`` more of ``key``."""
        if key in self.counts or len(self.counts) < self._most:
            self.counts[key] = self.counts.get(key, 0) + number
        else:
            self.others += number

    def top(self, number: int) -> tuple[list[tuple[Key, int]], int]:
        """The largest ``number``, and the sum of all others."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], str(item[0])))
        return ordered[:number], sum(n for _, n in ordered[number:]) + self.others


@dataclass
class IndexTally:
    """From the index (idsite, date1, period) alone. ``share``: of the table, 1.0 = all of it.

    A part of the index is whole sites: it tells how many rows there are, but not whose. So where
    ``share`` is less, the groups are those of an even sample of rows, each times ``factor``.
    """

    rows: int = 0
    sites: Bounded[int] = field(default_factory=lambda: Bounded(MOST_SITES))
    periods: dict[int, int] = field(default_factory=dict)
    reaches: dict[int, int] = field(default_factory=dict)
    """The least N of ``KEEP_DAYS`` whose days the row's period reaches into → rows."""
    share: float = 1.0
    factor: float = 1.0
    least: int = 0
    """Rows: a site that is estimated to have fewer is not worth naming."""
    seconds: float = 0.0

    def scaled(self, number: int) -> int:
        """A count of one of the groups, for the whole table."""
        return round(number * self.factor)

    def kept(self, days: int) -> int:
        """Rows that ``--keep-days days`` would leave, for the whole table."""
        return self.scaled(sum(n for reach, n in self.reaches.items() if reach <= days))


@dataclass
class RowTally:
    """From the rows themselves, by ranges of the primary key."""

    rows: int = 0
    queued: int = 0
    in_progress: int = 0
    no_start: int = 0
    strange: int = 0
    """Rows with another status than Matomo knows (0, 1), or none: it never takes them."""
    ages: dict[int, int] = field(default_factory=dict)
    """Index into ``AGE_NAMES`` → queued rows."""
    oldest: str = ""
    names: Bounded[str] = field(default_factory=lambda: Bounded(MOST_NAMES))
    reports: Bounded[str] = field(default_factory=lambda: Bounded(MOST_NAMES))
    share: float = 1.0

    def scaled(self, number: int) -> int:
        """A count of this tally, for the whole table."""
        return number if self.share >= 1 or not self.rows else round(number / self.share)


@dataclass
class Duplicates:
    """Of ``queued`` rows looked at, ``superfluous`` could go: another one asks for the same."""

    queued: int = 0
    superfluous: int = 0
    share: float = 1.0
    """Of the index that was walked; 0: there was no time for any."""

    @property
    def part(self) -> float:
        """Superfluous rows for each queued one, 0.0 to 1.0."""
        return self.superfluous / self.queued if self.queued else 0.0
