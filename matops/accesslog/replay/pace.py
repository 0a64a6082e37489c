"""How fast: as many workers as the server bears, and not more hits a second than allowed.

The server is asked every few seconds how long a tracker request takes that records nothing: that
is what a live visitor waits. While it takes more than ``max_load`` times as long as before the
replay, workers stand still, then the last one pauses; when it is better, they come back.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from typing import Callable, Optional

EVERY = 2.0  # seconds between two looks
_FLOOR = 0.005  # seconds: what is faster than that is noise
_LONGEST = 5.0  # seconds that the last worker pauses between two batches


class Pace:
    """Shared by all workers. ``rate``: hits a second, 0 = as fast as the server bears."""

    def __init__(self, workers: int, max_load: float, rate: float = 0.0) -> None:
        self.workers, self.max_load, self.rate = workers, max_load, rate
        self.active = 1 if max_load else workers
        self.pause = 0.0
        self.normal: Optional[float] = None
        self.latest = 0.0
        self._recent: deque[float] = deque(maxlen=3)
        self._turn = threading.Condition()
        self._next = 0.0

    def calibrate(self, seconds: list[float]) -> None:
        """What a request takes while nothing is replayed."""
        self.normal = max(statistics.median(seconds), _FLOOR)

    def look(self, seconds: float) -> None:
        """A request took so long now."""
        self._recent.append(seconds)
        self.latest = statistics.median(self._recent)
        if not self.max_load or self.normal is None:
            return
        load = self.latest / self.normal
        with self._turn:
            if load > self.max_load:
                if self.active > 1:
                    self.active -= 1
                else:
                    self.pause = min(_LONGEST, max(0.1, self.pause * 2))
            elif self.pause:
                self.pause = self.pause / 2 if self.pause > 0.1 else 0.0
            elif load < 0.8 * self.max_load and self.active < self.workers:
                self.active += 1
            self._turn.notify_all()

    @property
    def load(self) -> float:
        """How many times as long as before; 0 = not known."""
        return self.latest / self.normal if self.normal and self.latest else 0.0

    def wait(self, worker: int, hits: int, stopped: Callable[[], bool]) -> None:
        """Until this worker (from 0 on) may send so many hits."""
        with self._turn:
            while worker >= self.active and not stopped():
                self._turn.wait(0.2)
            now = time.monotonic()
            until = now + self.pause
            if self.rate:
                begin = max(now, self._next)
                self._next = begin + hits / self.rate
                until = max(until, begin)
        while not stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
