"""How large the next chunk is: as many rows as take 0.2 to 0.5 s. Pure."""

from __future__ import annotations

TARGET = 0.25  # seconds a chunk shall take
LEAST, MOST, FIRST = 20, 50_000, 3000  # rows in one chunk
MOST_VISITS = 5_000
"""A list of so many numbers stays well within what both servers plan as a range (chunk.KEYS)."""


class Steer:
    """Follows the pace. ``rows``: the budget of the next chunk; ``weight``: rows a visit has."""

    def __init__(self, target: float = TARGET, first: int = FIRST) -> None:
        self.target = target
        self.rows = first
        self.weight = 4.0

    @property
    def visits(self) -> int:
        """How many visits to take at the most: some more than the budget, which then cuts."""
        return max(1, min(MOST_VISITS, int(1.3 * self.rows / self.weight) + 1))

    def after(self, seconds: float, rows: int, visits: int) -> None:
        """A chunk of ``rows`` (``visits`` of them visits) took so long."""
        if not visits:
            return
        self.weight = 0.7 * self.weight + 0.3 * max(rows / visits, 1.0)
        factor = self.target / max(seconds, 0.001)
        if rows < self.rows / 3 and factor > 1:
            return  # the end of a site: its pace says nothing
        self._set(self.rows * min(max(factor, 0.4), 1.3))

    def smaller(self) -> None:
        """A chunk met somebody else's locks."""
        self._set(self.rows / 4)

    @property
    def smallest(self) -> bool:
        """It cannot be made smaller."""
        return self.rows <= LEAST

    def _set(self, rows: float) -> None:
        self.rows = int(min(max(rows, LEAST), MOST))

    def cut(self, weights: list[int]) -> int:
        """How many of the visits fit the budget, by the rows that each is said to have; ≥ 1."""
        total = 0
        for count, weight in enumerate(weights):
            total += 1 + max(weight, 0)
            if total > self.rows and count:
                return count
        return len(weights)
