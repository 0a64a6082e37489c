"""Sorting more lines than memory holds: nearly sorted lines in, sorted files out.

The lines sort by their bytes (see ``gapfile``). A log is sorted but for lines written late. So
what is in order is kept as it comes, in whole pieces; a late line goes into the piece where it
belongs while that is still held, else into a file of its own. All files are merged in the end.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NoReturn

from matops.accesslog.gapfile import HEADER
from matops.errors import MatopsError

BUFFER = 12 << 20
"""Bytes of lines held; two or three such buffers may be open."""
_WRITE = 1 << 20
_LATE = 8 << 20  # bytes of lines that came too late for what is held
_FILES = 16  # from so many on they become one


class _Piece:
    """Sorted lines as one, and late ones that belong between them."""

    def __init__(self, first: bytes, text: bytes) -> None:
        self.first, self.text = first, text
        self.late: list[bytes] = []

    def whole(self) -> bytes:
        """All of its lines."""
        if not self.late:
            return self.text
        parts, done = [], 0
        for line in sorted(self.late):
            at = _place(self.text, line, done)
            parts += [self.text[done:at], line]
            done = at
        return b"".join([*parts, self.text[done:]])


def _place(text: bytes, line: bytes, low: int) -> int:
    """Where a line belongs in sorted lines; ``low``: a line's start at or before that place."""
    high = len(text)
    while low < high:
        middle = (low + high) // 2
        start = text.rfind(b"\n", low, middle) + 1 or low
        end = text.find(b"\n", middle) + 1
        if text[start:end] < line:
            low = end
        else:
            high = start
    return low


class Runs:
    """Takes lines, leaves sorted runs ``<path>.0``, ``.1`` … behind. MatopsError where the disk
    does not take them."""

    def __init__(self, path: str, buffer: int = BUFFER) -> None:
        self._path, self._limit = path, buffer
        self._made = 0
        self._held: list[_Piece] = []
        self._bytes = 0
        self._written = b""
        self._late: list[bytes] = []
        self._late_bytes = 0
        self.last = b""
        """The last line of this run so far."""
        self.count = 0
        self.paths: list[str] = []
        self._main = self._open()

    def _open(self) -> IO[bytes]:
        path = f"{self._path}.{self._made}"
        self._made += 1
        try:
            file = _private(path, 0)
            self.paths.append(path)
            file.write(HEADER)
        except OSError as error:
            self._fails(error)
        return file

    def _fails(self, error: OSError) -> NoReturn:
        folder = os.path.dirname(self._path)
        raise MatopsError(f"the gap file cannot be written: {error.strerror or error}",
                          next=f"free space in {folder}") from None  # fmt: skip

    def put(self, text: bytes, count: int) -> None:
        """So many sorted lines in one piece."""
        late = _place(text, self.last, 0) if self.last and text < self.last else 0
        if late > len(text) // 2 and count > 200:
            self.turn()
        elif late:
            lines = text[:late].splitlines(True)
            for line in lines:
                self._insert(line)
            text, count = text[late:], count - len(lines)
        if not text:
            return
        self.count += count
        self._held.append(_Piece(text[: text.find(b"\n") + 1], text))
        self._bytes += len(text)
        self.last = text[text.rfind(b"\n", 0, len(text) - 1) + 1 :]
        if self._bytes > self._limit:
            self._let_go(self._limit // 2)

    def add(self, lines: list[bytes]) -> None:
        """Lines in any order."""
        if lines:
            self.put(b"".join(sorted(lines)), len(lines))

    def turn(self) -> None:
        """Begins a new run: what comes now is older by far (a clock that was set, files that
        overlap)."""
        self._let_go(0)
        self._main.close()
        if len(self.paths) >= _FILES:
            paths, self.paths = self.paths, []
            with self._open() as file:
                for lines in merged(paths):
                    self._write(file, b"".join(lines))
            remove(paths)
        self._main = self._open()
        self.last = self._written = b""

    def _insert(self, line: bytes) -> None:
        self.count += 1
        if line <= self._written or not self._held:
            self._late.append(line)
            self._late_bytes += len(line)
            if self._late_bytes > _LATE:
                self._spill()
            return
        low, high = 0, len(self._held)
        while low < high:
            middle = (low + high) // 2
            if self._held[middle].first <= line:
                low = middle + 1
            else:
                high = middle
        self._held[max(low - 1, 0)].late.append(line)
        self._bytes += len(line)
        if self._bytes > self._limit:
            self._let_go(self._limit // 2)

    def _let_go(self, keep: int) -> None:
        """Writes the oldest pieces until no more than ``keep`` bytes are held."""
        gone = 0
        while gone < len(self._held) and (self._bytes > keep or not keep):
            text = self._held[gone].whole()
            self._bytes -= len(text)
            self._write(self._main, text)
            self._written = text[text.rfind(b"\n", 0, len(text) - 1) + 1 :]
            gone += 1
        del self._held[:gone]

    def _write(self, file: IO[bytes], text: bytes) -> None:
        left = memoryview(text)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            self._fails(error)

    def _spill(self) -> None:
        """Late lines into a file of their own."""
        if self._late:
            with self._open() as file:
                self._write(file, b"".join(sorted(self._late)))
            self._late, self._late_bytes = [], 0
            if len(self.paths) >= 2 * _FILES:
                self.turn()

    def close(self) -> list[str]:
        """The paths of the runs; each is a sorted gap file."""
        self._let_go(0)
        self._spill()
        self._main.close()
        return self.paths

    def discard(self) -> None:
        """Removes what was written."""
        self._main.close()
        remove(self.paths)


def _private(path: str, buffering: int) -> IO[bytes]:
    # It holds visitors' addresses.
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering)


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
    with _private(target, _WRITE) as file:
        file.write(HEADER)
        for lines in merged(paths):
            file.write(b"".join(lines))
    remove(paths)


def merged(paths: Iterable[str]) -> Iterator[list[bytes]]:
    """All lines of sorted gap files in order, some thousands at a time.

    Sorting blocks that are sorted runs is four times as fast as ``heapq.merge``.
    """
    paths = list(paths)
    size = max(min(8 * _WRITE // max(len(paths), 1), _WRITE), _WRITE >> 4)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb", size)) for path in paths]
        for file in files:
            file.seek(len(HEADER))
        sources = [(file, file.readlines(size)) for file in files]
        while sources := [(file, block) for file, block in sources if block]:
            bound = min(block[-1] for _, block in sources)
            taken: list[bytes] = []
            rest = []
            for file, block in sources:
                place = bisect.bisect_right(block, bound)
                taken += block[:place]
                rest.append((file, block[place:] or file.readlines(size)))
            if len(sources) > 1:
                taken.sort()
            sources = rest
            yield taken
