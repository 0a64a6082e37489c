"""Does a log have all of its lines? Seen from all lines, not only the tracker's.

A busy log is never silent for long. How long a silence is one line in a million's chance
follows from how busy it is: with a rate of r lines a second the longest silence among n lines
is about ln(n)/r. Ten times that (nights are quieter), and a minute at least, is a hole: a
rotated file is missing, the web server stood still, or the log was cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Optional

STEP = 16 << 10  # bytes between two lines whose stamps are compared
SILENCE = 30.0  # seconds; shorter ones are not even noted
LEAST = 60.0

Stamp = Callable[[bytes], Optional[bytes]]


class Coverage:
    """Watches the stamps go by, in the order of the log's files. Times in seconds since 1970."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self.silences: list[tuple[float, float]] = []
        self.lines = 0
        self.before: Optional[float] = None
        """The last stamp before the window; None: no line of before was seen."""
        self.after: Optional[float] = None
        """The first stamp after the window."""
        self._latest: Optional[float] = None
        self.first: Optional[float] = None
        """The very first stamp of the log."""

    def block(self, block: bytes, stamp: Stamp) -> None:
        """Whole lines, in order: looked at every STEP bytes, and closer where time jumps."""
        self.lines += block.count(b"\n")
        at = 0
        while at < len(block):
            end = block.find(b"\n", at)
            line = block[at : end if end >= 0 else len(block)]
            found = stamp(line)
            if found and self._jumps(float(found)) and at:
                self._closer(block[max(at - STEP, 0) : at], stamp)
            if found:
                self.seen(float(found))
            following = block.find(b"\n", max(at + STEP, end + 1) - 1) if end >= 0 else -1
            at = following + 1 if following >= 0 else len(block)
        last = block.rfind(b"\n", 0, len(block) - 1) + 1
        found = stamp(block[last:].rstrip(b"\n"))
        if found:
            if self._jumps(float(found)):
                self._closer(block[max(last - STEP, 0) : last], stamp)
            self.seen(float(found))

    def _jumps(self, epoch: float) -> bool:
        return self._latest is not None and epoch - self._latest > SILENCE

    def _closer(self, part: bytes, stamp: Stamp) -> None:
        for line in part.split(b"\n")[1:-1]:
            found = stamp(line)
            if found:
                self.seen(float(found))

    def seen(self, epoch: float) -> None:
        """A line's stamp; lines written late do not count back."""
        if self.first is None or epoch < self.first:
            self.first = epoch
        if epoch < self._low and (self.before is None or epoch > self.before):
            self.before = epoch
        if epoch >= self._high and (self.after is None or epoch < self.after):
            self.after = epoch
        if self._latest is not None and epoch - self._latest > SILENCE:
            self.silences.append((self._latest, epoch))
        if self._latest is None or epoch > self._latest:
            self._latest = epoch

    def earlier(self, epoch: float) -> None:
        """A stamp of before the window, of lines that were not looked at one by one."""
        if epoch < self._low:
            self.before = max(self.before or 0.0, epoch)
            self._latest = max(self._latest or 0.0, epoch)

    @property
    def last(self) -> Optional[float]:
        """The latest stamp so far."""
        return self._latest

    def holes(self) -> list[tuple[float, float]]:
        """Silences that touch the window and are longer than chance allows, as [from, to)."""
        inside = [s for s in self.silences if s[1] > self._low and s[0] < self._high]
        if self.first is None or self._latest is None:
            return []
        span, found = max(self._latest - self.first, 1.0), []
        quiet = 0.0
        for _ in range(4):  # a hole must not make the log look quieter than it is
            limit = longest_silence(self.lines, span - quiet)
            found = [s for s in inside if s[1] - s[0] > limit]
            quiet = min(sum(b - a for a, b in found), span - 1)
        return found


def longest_silence(lines: int, seconds: float) -> float:
    """Seconds without a line that chance still allows."""
    rate = max(lines, 1) / max(seconds, 1.0)
    return max(LEAST, 10 * (math.log(max(lines, 2)) + 10) / rate)
