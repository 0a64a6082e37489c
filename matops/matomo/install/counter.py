"""How far a long copy is, for a job's log."""

from __future__ import annotations

import sys
import time

_EVERY = 10.0  # seconds between two lines


class Counter:
    """A line of progress every few seconds, for the job's log."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._began = self._said = time.monotonic()
        print(f"copying {total} {what}", file=sys.stderr, flush=True)

    def add(self) -> None:
        """One more."""
        self._done += 1
        now = time.monotonic()
        if now - self._said > _EVERY:
            self._said = now
            rest = (now - self._began) / self._done * (self._total - self._done)
            print(f"{self._done} of {self._total} {self._what}, about {rest:.0f} s to go",
                  file=sys.stderr, flush=True)  # fmt: skip
