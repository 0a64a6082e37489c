"""Progress with an ETA: a bar on a terminal, one plain line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Optional

from matops.units import show_duration

EVERY = 60  # seconds between plain lines


class Progress:
    """Counts towards ``total`` (in ``unit``). Use as a context manager.

    ``say`` gets the plain lines; the bar goes to stderr.
    """

    def __init__(self, what: str, total: int, unit: str, say: Callable[[str], None]) -> None:
        self._what, self._total, self._unit, self._say = what, total, unit, say
        self._done, self._began, self._told = 0, time.monotonic(), time.monotonic()
        self._bar: Optional[Any] = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from tqdm import tqdm

            scale = self._unit == "B"
            self._bar = tqdm(
                total=self._total, desc=self._what, unit=self._unit, unit_scale=scale, leave=False
            )
        return self

    def add(self, amount: int) -> None:
        """That much more is done."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            self._say(self.line())

    def line(self) -> str:
        """``purge: 12 of 30 days (40 %), about 3 min left``."""
        share = f" ({100 * self._done // self._total} %)" if self._total else ""
        return f"{self._what}: {self._done} of {self._total} {self._unit}{share}{self._eta()}"

    def _eta(self) -> str:
        elapsed = time.monotonic() - self._began
        if not self._done or elapsed < 1 or self._done >= self._total:
            return ""
        return f", about {show_duration(elapsed / self._done * (self._total - self._done))} left"

    def __exit__(self, *unused: object) -> None:
        if self._bar is not None:
            self._bar.close()
