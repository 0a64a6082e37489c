"""What a purge is told, and what it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matops.mysql import throttle
from matops.mysql.purge.chunk import Chunk
from matops.mysql.session import Address
from matops.mysql.window import Window


@dataclass(frozen=True)
class Options:
    """``start``, ``end`` (exclusive): ``YYYY-MM-DD``, UTC. ``pause``: the longest for load, s."""

    start: str
    end: str
    sites: Sequence[int]
    limits: throttle.Limits = field(default_factory=lambda: throttle.Limits(10.0, None, 100_000))
    replicas: Sequence[Address] = ()
    window: Window = field(default_factory=Window)
    pause: float = 1800.0


@dataclass
class Summary:
    """What was done. ``left``: visits still there, by site, when it ended. Seconds."""

    rows: Counter[str] = field(default_factory=Counter)
    chunks: int = 0
    retries: int = 0
    longest: float = 0.0
    paused: float = 0.0
    seconds: float = 0.0
    visits: int = 0
    left: dict[int, int] = field(default_factory=dict)
    late: str = ""
    """Why it ended before the end, where that was foreseen (the window)."""

    def add(self, chunk: Chunk, visit: str) -> None:
        """One more chunk came about."""
        self.rows.update(chunk.rows)
        self.visits += chunk.rows[visit]
        self.chunks += 1
        self.longest = max(self.longest, chunk.seconds)

    def merge(self, other: Summary) -> None:
        """What another connection of the same run did since it was merged last."""
        self.rows.update(other.rows)
        self.visits, self.chunks = self.visits + other.visits, self.chunks + other.chunks
        self.retries, self.paused = self.retries + other.retries, self.paused + other.paused
        self.longest = max(self.longest, other.longest)
        other.rows, other.visits, other.chunks = Counter(), 0, 0
        other.retries, other.paused = 0, 0.0

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())

    def data(self) -> dict[str, Any]:
        """For the journal and JSON."""
        return {
            "visits": self.visits, "rows": dict(self.rows), "chunks": self.chunks,
            "retries": self.retries, "longest_chunk_seconds": round(self.longest, 3),
            "paused_seconds": round(self.paused, 1), "seconds": round(self.seconds, 1),
            "left": {str(site): n for site, n in self.left.items()}, "ended_early": self.late,
        }  # fmt: skip
