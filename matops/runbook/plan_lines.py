"""A plan's lines: a step each, with its time from low to high, its disk, and how that is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.mysql.ddl.forecast import Range

UP, DOWN, AFTER = "up", "down", "after"
"""While the system is up; during the outage; when it is back, and reports catch up."""


@dataclass(frozen=True)
class Line:
    """One step. ``time`` None = not known, ``basis`` says why. ``disk``, ``tmp``: bytes at its
    peak. ``stays``: of them, bytes that it keeps. ``fails``: core:update would stop here."""

    phase: str
    what: str
    time: Optional[Range] = None
    disk: int = 0
    tmp: int = 0
    stays: int = 0
    basis: str = ""
    number: int = 0
    """Of the migration; 0 for other steps."""
    fails: bool = False
    ahead: bool = False
    """migrate.ahead would do it while the system is up."""
    table: str = ""
    rows: int = 0
    bytes: int = 0
    way: str = ""
    notes: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def total(lines: Iterable[Line]) -> Range:
    """The sum of those that are known."""
    found = Range(0.0, 0.0, 0.0)
    for line in lines:
        if line.time is not None:
            found = found + line.time
    return found


def unknown(lines: Iterable[Line]) -> list[str]:
    """What is not in the sum, a line each."""
    return [f"{line.what}: {line.basis}" for line in lines if line.time is None]


@dataclass(frozen=True)
class Plan:
    """All lines, in order, and what they come to. ``quick``: migrations folded into one line."""

    lines: tuple[Line, ...]
    quick: tuple[Line, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    def of(self, phase: str, *, ahead: bool = False) -> list[Line]:
        """The lines of a phase. ``ahead``: as they are once migrate.ahead has run."""
        return [
            moved for moved in (self._move(line, ahead) for line in self.lines)
            if moved is not None and moved.phase == phase
        ]  # fmt: skip

    @staticmethod
    def _move(line: Line, ahead: bool) -> Optional[Line]:
        return dataclasses.replace(line, phase=UP) if ahead and line.ahead else line

    def peak(self) -> tuple[int, int]:
        """(bytes on the data directory, bytes in tmpdir) at the most at any one time: what the
        steps before have kept, and what the largest needs beside it."""
        kept = peak = tmp = 0
        for line in self.lines:
            peak = max(peak, kept + line.disk)
            tmp = max(tmp, line.tmp)
            kept += line.stays
        return peak, tmp

    @property
    def failing(self) -> Sequence[Line]:
        """Migrations that core:update would stop at."""
        return [line for line in self.lines if line.fails]
