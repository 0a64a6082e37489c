"""Which numbers of a range were seen: one bit each, so 12 MB for a hundred million."""

from __future__ import annotations

from collections.abc import Iterable


class Bitmap:
    """Numbers of [low, high)."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self._bits = bytearray((max(high - low, 0) + 7) // 8)

    def add(self, numbers: Iterable[int]) -> None:
        """Numbers outside the range are passed over."""
        for number in numbers:
            if self.low <= number < self.high:
                at = number - self.low
                self._bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, number: int) -> bool:
        at = number - self.low
        return self.low <= number < self.high and bool(self._bits[at >> 3] & (1 << (at & 7)))
