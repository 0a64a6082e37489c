"""A set of positions of a gap file's lines: a bit for each 32 bytes of the file, however many."""

from __future__ import annotations

_STEP = 32  # bytes; no line is as short (its first four fields alone are longer)


class Positions:
    """Where lines begin. Memory: the file's size / 256 at the most (a gap of 10 GB: 40 MB)."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._count = 0

    def __contains__(self, position: object) -> bool:
        byte, bit = divmod(int(position) // _STEP, 8)  # type: ignore[call-overload]
        return byte < len(self._bits) and bool(self._bits[byte] >> bit & 1)

    def __len__(self) -> int:
        return self._count

    def add(self, position: int) -> bool:
        """False where it is there already."""
        byte, bit = divmod(position // _STEP, 8)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits)))
        new = not self._bits[byte] >> bit & 1
        self._bits[byte] |= 1 << bit
        self._count += new
        return new
