"""Sorting more lines than memory holds: nearly sorted lines in, sorted files out.

The lines sort by their bytes (see ``gapfile``). A log is sorted but for lines written late, so
half of a full buffer can be written at a time; what comes later than that goes into a run of
its own, and all runs are merged.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from matops.accesslog.gapfile import HEADER

BUFFER = 24 << 20
"""Bytes of lines held; two or three such buffers may be open."""
_WRITE = 1 << 20


class Runs:
    """Takes lines in any order, leaves sorted runs ``<path>.0``, ``.1`` … behind."""

    def __init__(self, path: str, buffer: int = BUFFER) -> None:
        self._path, self._limit = path, buffer
        self._held: list[bytes] = []
        self._bytes = 0
        self._last = b""
        self._late: list[bytes] = []
        self.paths: list[str] = []
        self._main = open(self._new(), "wb", _WRITE)  # noqa: SIM115 (open as long as we are)
        self._main.write(HEADER)
        self.count = 0

    def _new(self) -> str:
        self.paths.append(f"{self._path}.{len(self.paths)}")
        return self.paths[-1]

    def add(self, lines: list[bytes]) -> None:
        """More lines, in the order in which they were found."""
        self.count += len(lines)
        self._held += lines
        self._bytes += sum(map(len, lines))
        if self._bytes > self._limit:
            self._held.sort()
            keep = len(self._held) // 2
            self._write(self._held[:keep])
            self._held = self._held[keep:]
            self._bytes = sum(map(len, self._held))

    def _write(self, lines: list[bytes]) -> None:
        """Sorted lines, to the main run; those that belong before its end are late."""
        if lines and lines[0] < self._last:
            late = next((i for i, line in enumerate(lines) if line >= self._last), len(lines))
            self._late += lines[:late]
            lines = lines[late:]
            if len(self._late) > 20_000:
                self._spill()
        if lines:
            self._main.write(b"".join(lines))
            self._last = lines[-1]

    def _spill(self) -> None:
        if self._late:
            with open(self._new(), "wb", _WRITE) as file:
                file.write(HEADER)
                file.write(b"".join(sorted(self._late)))
            self._late = []

    def close(self) -> list[str]:
        """The paths of the runs; each is a sorted gap file."""
        self._held.sort()
        self._write(self._held)
        self._held = []
        self._spill()
        self._main.close()
        return self.paths

    def discard(self) -> None:
        """Removes what was written."""
        self._main.close()
        remove(self.paths)


def remove(paths: Iterable[str]) -> None:
    """The files, where they are there."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def join(paths: Sequence[str], target: str) -> None:
    """Makes one gap file of these, which go."""
    if len(paths) == 1:
        os.replace(paths[0], target)
        return
    with open(target, "wb", _WRITE) as file:
        file.write(HEADER)
        for lines in merged(paths):
            file.writelines(lines)
    remove(paths)


def merged(paths: Iterable[str]) -> Iterator[list[bytes]]:
    """All lines of sorted gap files in order, some thousands at a time.

    Sorting blocks that are sorted runs is four times as fast as ``heapq.merge``.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb", _WRITE)) for path in paths]
        for file in files:
            file.seek(len(HEADER))
        sources = [(file, file.readlines(_WRITE)) for file in files]
        while sources := [(file, block) for file, block in sources if block]:
            bound = min(block[-1] for _, block in sources)
            taken: list[bytes] = []
            rest = []
            for file, block in sources:
                place = bisect.bisect_right(block, bound)
                taken += block[:place]
                rest.append((file, block[place:] or file.readlines(_WRITE)))
            if len(sources) > 1:
                taken.sort()
            sources = rest
            yield taken
