"""The files of a dump: gzip, 0600, with the sha256 of what lies on the disk."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import urllib.parse
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from matops.errors import MatopsError

LEVEL = 3
"""Of gzip: 4.3 to 4.8 times smaller at 85 to 185 MB/s; level 6 is a tenth better, three times
slower, and slower than what the server sends."""

_PIECE = 2**20
_LONGEST = 200


class Damaged(MatopsError):
    """A file of a backup is not what was written."""


class DumpFile:
    """One file being written. Use as a context manager; ``close`` makes ``sha256`` known."""

    def __init__(self, path: Path, room: Callable[[], None] = lambda: None) -> None:
        """Creates it. ``room`` is called every few MB and raises where the disk gets full."""
        self.path = path
        self.sha256 = ""
        self.size = 0
        self._room = room
        self._digest = hashlib.sha256()
        self._since = 0
        self._raw: Optional[int] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._gzip = gzip.GzipFile(
            filename="", mode="wb", compresslevel=LEVEL, fileobj=_Sink(self), mtime=0
        )

    def write(self, text: bytes) -> None:
        """Adds text; MatopsError where the disk is full."""
        try:
            self._gzip.write(text)
        except OSError as error:
            raise unwritten(self.path, error) from None

    def put(self, data: bytes) -> None:
        """Compressed bytes on their way to the disk."""
        assert self._raw is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._raw, view) :]
        self._digest.update(data)
        self.size += len(data)
        self._since += len(data)
        if self._since > 16 * _PIECE:
            self._since = 0
            self._room()

    def close(self) -> None:
        """Everything to the disk; then ``sha256`` and ``size`` (bytes) are final."""
        if self._raw is None:
            return
        try:
            self._gzip.close()
            os.fsync(self._raw)
        except OSError as error:
            raise unwritten(self.path, error) from None
        finally:
            os.close(self._raw)
            self._raw = None
        self.sha256 = self._digest.hexdigest()

    def drop(self) -> None:
        """Gives the descriptor back without finishing: the file is of no use."""
        if self._raw is not None:
            os.close(self._raw)
            self._raw = None

    def __enter__(self) -> DumpFile:
        return self

    def __exit__(self, kind: object, *unused: object) -> None:
        if kind is None:
            self.close()
        else:
            self.drop()


class _Sink:
    """What gzip writes into."""

    def __init__(self, file: DumpFile) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        """All of it."""
        self._file.put(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is no buffer."""


def unwritten(path: Path, error: OSError) -> MatopsError:
    """The error of a backup that could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return MatopsError(
        f"{path.parent}: {error.strerror}",
        state="What was written of this backup is removed; older backups stay",
        next="free some space there, or set db_backup_dir to another disk" if full
        else "look at the disk (dmesg), then run it again",
    )  # fmt: skip


def name_of(order: int, table: str) -> str:
    """``10-piwik_option.sql.gz``: in the order in which they are to be read back.

    A name of 64 characters may be 576 long when quoted, a file's 255: then its end is a digest.
    """
    name = urllib.parse.quote(table, safe="")
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 65]}-{hashlib.sha256(table.encode()).hexdigest()}"
    return f"{order:02d}-{name}.sql.gz"


def sha256_of(path: Path) -> str:
    """Of the bytes on the disk. Damaged where it is gone."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def last_line(path: Path) -> str:
    """The last line of the text in it, every byte before it unpacked. Damaged."""
    tail = b""
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                tail = (tail + piece)[-400:]
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(f"{path} cannot be unpacked: {error}") from None
    return tail.decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
