"""What a disk can do to us, as one line each."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from matops.errors import MatopsError
from matops.units import show_size

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def told(doing: str, where: str, state: str, remedy: str = "") -> Iterator[None]:
    """Turns an OSError into one line: full (with figures), read-only, or not allowed.

    The figures are those at the moment of the error, before anything is cleaned up.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise MatopsError(
                f"{doing}: the disk of {where} is full ({room(where)})",
                state=state,
                next=f"free some space there, then run this again{remedy}",
            ) from None
        if error.errno == errno.EROFS:
            raise MatopsError(
                f"{doing}: {where} is on a read-only filesystem",
                state=state,
                next=f"mount it writable{remedy or ', or name another place'}",
            ) from None
        raise MatopsError(
            f"{doing}: {error.strerror or error} ({error.filename or where})",
            state=state,
            next=f"check owner and mode of {where}{remedy}",
        ) from None


def room(path: str) -> str:
    """``12 MB and 300 inodes free`` of the filesystem that holds, or would hold, ``path``."""
    while not os.path.isdir(path) and path not in ("", "/"):
        path = os.path.dirname(path)
    data = os.statvfs(path or "/")
    inodes = f" and {data.f_favail} inodes" if data.f_files else ""
    return f"{show_size(data.f_bavail * data.f_frsize)}{inodes} free"
