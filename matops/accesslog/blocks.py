"""A log's lines in blocks, beginning near the window and ending after it.

Lines are written when a request ends and stamped when it begins: near the window's ends they
may stand up to SLACK seconds away from their place.
"""

from __future__ import annotations

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
        return stamp_of(block[: block.find(b"\n")], self._forms)

    def _last(self, block: bytes) -> Optional[bytes]:
        end = block.rfind(b"\n")
        for _ in range(20):
            start = block.rfind(b"\n", 0, end) + 1
            found = stamp_of(block[start:end], self._forms)
            if found or not start:
                return found
            end = start - 1
        return None

    def _whole(self, pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        rest, at = b"", 0
        for offset, piece in pieces:
            if not rest:
                at = offset
            end = piece.rfind(b"\n") + 1
            if not end:
                rest += piece
                if len(rest) > LONGEST:
                    self.long += bool(rest.strip(b"\0"))
                    at, rest = at + len(rest), b""
                continue
            yield at, rest + piece[:end]
            at, rest = offset + end, piece[end:]
        self.loose = rest

    def _packed(self) -> Iterator[tuple[int, bytes]]:
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

    def _plain(self) -> Iterator[tuple[int, bytes]]:
        fd = os.open(self._file.path, os.O_RDONLY)
        try:
            data = os.fstat(fd)
            if (data.st_dev, data.st_ino) != self._file.inode or data.st_size < self._file.size:
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
        data = os.pread(fd, min(256 << 10, end - offset), offset)
        at = data.find(b"\n") + 1
        while at and (stop := data.find(b"\n", at)) >= 0:
            found = stamp_of(data[at:stop], self._forms)
            if found:
                return offset + at, found
            at = stop + 1
        return offset, None


def may_matter(file: LogFile, following: Optional[bytes], low: bytes, high: bytes) -> bool:
    """False where the file has no line of the window: it begins after it, or was last written,
    and followed by another file, before it. ``following``: that file's first stamp."""
    if file.first is None:
        return False
    if file.first >= shown(float(high) + SLACK):
        return False
    over = file.mtime < float(low) - SLACK
    return not (over and following is not None and float(following) <= float(low) - SLACK)
