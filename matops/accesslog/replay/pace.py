"""How fast: as many workers as the server bears, and not more hits a second than allowed.

The server is asked every few seconds how long a tracker request takes that records nothing: that
is what a live visitor waits. While it takes more than ``max_load`` times as long as before the
replay, fewer workers send at the same time, then the last one rests between its batches, three
times as long as a batch takes at the most: somebody else's load never brings a replay to a stand.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from typing import Callable, Optional

EVERY = 2.0  # seconds between two looks
FAST = 0.05
"""Seconds: a tracker request that takes no longer is never called slow, whatever was normal."""

_MOST_REST = 3.0  # times as long as the last batch took


class Pace:
    """Shared by all workers. ``rate``: hits a second, 0 = as fast as the server bears."""

    def __init__(self, workers: int, max_load: float, rate: float = 0.0) -> None:
        self.workers, self.max_load, self.rate = workers, max_load, rate
        self.active = workers
        self.rest = 0.0
        self.normal: Optional[float] = None
        self.latest = 0.0
        self._recent: deque[float] = deque(maxlen=3)
        self._turn = threading.Condition()
        self._busy = 0
        self._alone = 0
        self._closed = False
        self._next = 0.0

    def calibrate(self, seconds: list[float]) -> None:
        """What a request takes while nothing is replayed."""
        self.normal = max(statistics.median(seconds), FAST)

    @property
    def load(self) -> float:
        """How many times as long as before; 0 = not known."""
        return self.latest / self.normal if self.normal and self.latest else 0.0

    def look(self, seconds: float) -> None:
        """A request took so long now."""
        self._recent.append(seconds)
        self.latest = statistics.median(self._recent)
        if not self.max_load or self.normal is None:
            return
        with self._turn:
            if self.load > self.max_load:
                if self.active > 1:
                    self.active -= 1
                else:
                    self.rest = min(_MOST_REST, self.rest + 0.5)
            elif self.rest:
                self.rest = max(0.0, self.rest - 0.5)
            elif self.load < 0.9 * self.max_load and self.active < self.workers:
                self.active += 1
            self._turn.notify_all()

    def begin(self, hits: int, stopped: Callable[[], bool], alone: bool = False) -> bool:
        """Waits until so many hits may be sent, ``alone``: while nobody else sends; False where it
        was stopped meanwhile.

        After True comes ``end``.
        """
        with self._turn:
            self._alone += alone
            while not self._may(alone) and not stopped():
                self._turn.wait(0.2)
            self._alone -= alone
            if stopped():
                return False
            self._busy += 1
            self._closed = alone
            until = max(time.monotonic(), self._next)
            if self.rate:
                self._next = until + hits / self.rate
        self._sleep(until, stopped)
        return True

    def end(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """A batch took so long; rests where the server wants it."""
        self._sleep(time.monotonic() + self.rest * seconds, stopped)
        with self._turn:
            self._busy -= 1
            self._closed = False
            self._turn.notify_all()

    def _may(self, alone: bool) -> bool:
        if self._closed or (self._alone and not alone):
            return False
        return self._busy == 0 if alone else self._busy < self.active

    def _sleep(self, until: float, stopped: Callable[[], bool]) -> None:
        while not stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
