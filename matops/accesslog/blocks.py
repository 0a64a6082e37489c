"""A log's lines in blocks, beginning near the window and ending after it.

Lines are written when a request ends and stamped when it begins: near the window's ends they
may stand up to SLACK seconds away from their place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

from matops.accesslog import stream
from matops.accesslog.gapfile import stamp as shown
from matops.accesslog.lineform import Form
from matops.accesslog.logfiles import LogFile, stamp_of
from matops.errors import MatopsError

SLACK = 600.0
LONGEST = 4 << 20
"""Bytes of one line; what is longer is no log line and is left out."""


WITNESSES = 5
"""Lines that are asked for their stamps where one may be far from its place."""


class Changed(MatopsError):
    """A log was rotated or cut while it was read: look at the files again."""


class Blocks:
    """The blocks of one file. After use: ``damage``, and ``loose``: bytes of a last line
    without its end, ``long``: lines left out for their length. ``read`` gets bytes of progress."""

    def __init__(self, file: LogFile, forms: Sequence[Form], low: bytes, high: bytes,
                 read: Callable[[int], object]) -> None:  # fmt: skip
        self._file, self._forms, self._read = file, forms, read
        self._from = shown(max(float(low) - SLACK, 0))
        self._to = shown(float(high) + SLACK)
        self.damage = ""
        self.loose = b""
        self.long = 0
        self.older = 0.0
        """The last stamp that was skipped; to be asked for before the first block is used."""
        self.ended = False
        """True where the file's end was reached: not stopped at the window's."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """``(offset, whole lines)``. Changed, MatopsError, OSError."""
        pieces = self._plain() if self._file.kind == "plain" else self._near(self._packed())
        for offset, block in self._whole(pieces):
            first = self._first(block)
            yield offset, block
            if first is not None and first >= self._to:
                return  # the lines of this block say that the log goes on
        self.ended = True

    def _near(self, pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Passes over what is older than the window, without taking it apart."""
        before, at = b"", 0
        for offset, piece in pieces:
            last = self._last(piece)
            if last is not None and last < self._from:
                self.older = float(last)
                end = piece.rfind(b"\n") + 1
                before, at = piece[end:], offset + end
                continue
            if before:
                yield at, before
            yield offset, piece
            break
        else:
            if before:
                yield at, before
        yield from pieces

    def _first(self, block: bytes) -> Optional[bytes]:
        """The earliest stamp of its first lines: one alone may be of a clock that was set."""
        return min(self._stamps(block, 0), default=None)

    def _last(self, block: bytes) -> Optional[bytes]:
        """The latest stamp of its last lines: one alone may be of a request that took an hour."""
        found: list[bytes] = []
        end = block.rfind(b"\n")
        for _ in range(20):
            start = block.rfind(b"\n", 0, max(end, 0)) + 1
            stamp = stamp_of(block[start:end], self._forms)
            found += [stamp] if stamp else []
            if len(found) == WITNESSES or not start:
                break
            end = start - 1
        return max(found, default=None)

    def _stamps(self, data: bytes, at: int) -> list[bytes]:
        """Of the first WITNESSES lines from ``at`` on that have one."""
        found: list[bytes] = []
        while len(found) < WITNESSES and (stop := data.find(b"\n", at)) >= 0:
            stamp = stamp_of(data[at:stop], self._forms)
            found += [stamp] if stamp else []
            at = stop + 1
        return found

    def _whole(self, pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        rest, at, lost = b"", 0, False
        for offset, piece in pieces:
            if lost:  # within a line that is too long
                start = piece.find(b"\n") + 1
                if not start:
                    continue
                offset, piece, lost = offset + start, piece[start:], False
            if not rest:
                at = offset
            end = piece.rfind(b"\n") + 1
            if not end:
                rest += piece
                if len(rest) > LONGEST:
                    # A hole (rotated under its writer) is NULs, and then a line.
                    lost = bool(rest.strip(b"\0"))
                    self.long += lost
                    at, rest = at + len(rest), b""
                continue
            yield at, rest + piece[:end]
            at, rest = offset + end, piece[end:]
        self.loose = rest

    def _packed(self) -> Iterator[tuple[int, bytes]]:
        self._same(os.stat(self._file.path))
        source = stream.Stream(self._file.path, self._file.kind)
        told, at, skip = 0, 0, self._file.skip
        for chunk in source.chunks():
            if source.read > told:
                self._read(source.read - told)
                told = source.read
            if at + len(chunk) > skip:
                start = max(skip - at, 0)
                yield at + start, chunk[start:] if start else chunk
            at += len(chunk)
        self.damage = source.damage
        with contextlib.suppress(FileNotFoundError):  # gone, but read
            self._same(os.stat(self._file.path))

    def _same(self, data: os.stat_result) -> None:
        """Changed where another file has this name now: rotation renames them all."""
        if (data.st_dev, data.st_ino) != self._file.inode:
            raise Changed(f"{self._file.path} was rotated while it was read")

    def _plain(self) -> Iterator[tuple[int, bytes]]:
        fd = os.open(self._file.path, os.O_RDONLY)
        try:
            data = os.fstat(fd)
            self._same(data)
            if data.st_size < self._file.size:
                raise Changed(f"{self._file.path} was rotated while it was read")
            at = max(self._bisect(fd), self._file.skip)
            while at < self._file.size:
                # pread, never mmap: a file that is cut under a map kills us (SIGBUS).
                data_read = os.pread(fd, min(stream.CHUNK, self._file.size - at), at)
                if not data_read:
                    break
                yield at, data_read
                at += len(data_read)
                self._read(len(data_read))
            if os.fstat(fd).st_size < self._file.size:
                raise Changed(f"{self._file.path} was cut while it was read")
        finally:
            os.close(fd)

    def _bisect(self, fd: int) -> int:
        """A line's offset before which all lines are older than the window.

        A line stamped before ``start - SLACK`` was written before ``start``, and so was all
        above it.
        """
        low, high = 0, self._file.size
        while high - low > stream.CHUNK:
            middle = (low + high) // 2
            place, found = self._stamp_after(fd, middle, high)
            if found is None or found >= self._from:
                high = middle
            else:
                low = place
        return low

    def _stamp_after(self, fd: int, offset: int, end: int) -> tuple[int, Optional[bytes]]:
        """The beginning of a line after ``offset``, and the latest stamp of some from there on."""
        data = os.pread(fd, min(256 << 10, end - offset), offset)
        at = data.find(b"\n") + 1
        found = self._stamps(data, at) if at else []
        return offset + at, max(found, default=None)


def may_matter(file: LogFile, following: Optional[bytes], low: bytes, high: bytes) -> bool:
    """False where the file has no line of the window: it begins after it, or was last written,
    and followed by another file, before it. ``following``: that file's first stamp."""
    if file.first is None:
        return False
    if file.first >= shown(float(high) + SLACK):
        return False
    over = file.mtime < float(low) - SLACK
    return not (over and following is not None and float(following) <= float(low) - SLACK)
