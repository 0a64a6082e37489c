"""Is there room for a rebuild? Where the server's files are on this machine, we look."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from matops.mysql.filenames import encode
from matops.mysql.server import Server
from matops.units import show_size

RESERVE = 512 << 20
"""Bytes that stay free on the data directory whatever happens: a full disk stops the server."""


@dataclass(frozen=True)
class Room:
    """Free bytes. ``tmp`` None = on the data directory's own file system; ``how`` was it found."""

    data: int
    tmp: Optional[int]
    how: str


@dataclass(frozen=True)
class Need:
    """Bytes that one rebuild may take at its peak, beside the old file."""

    data: int
    tmp: int


def need(file_bytes: int, expected: int, index_bytes: int, row_log: int) -> Need:
    """The new file is at the most as large as the old one; ``expected`` is the upper end of the
    estimate (0 = there is none). A quarter on top, for pages that fill less well than foreseen;
    secondary indexes are sorted in tmpdir.
    """
    new = min(file_bytes, int(expected * 1.25)) if expected else file_bytes
    return Need(new + row_log, index_bytes)


def why_not(room: Room, needs: Need, reserve: int = RESERVE) -> str:
    """Why the rebuild does not fit, with the figures; '' where it does. Pure."""
    both = needs.data + (needs.tmp if room.tmp is None else 0)
    if room.data - both < reserve:
        return (
            f"needs {show_size(both)} beside the old file, {show_size(room.data)} are free "
            f"({room.how}) and {show_size(reserve)} stay in reserve"
        )
    if room.tmp is not None and room.tmp < needs.tmp:
        return f"needs {show_size(needs.tmp)} in tmpdir, {show_size(room.tmp)} are free there"
    return ""


def look(server: Server, local: bool, given: Optional[int] = None) -> Optional[Room]:
    """Free space where the server keeps its tables; None where nothing can tell.

    ``local``: the server's files are on this machine. ``given``: bytes that the operator says
    are free (``--free-space``), which goes before looking.
    """
    if given is not None:
        return Room(given, None, "as told by --free-space")
    # 127.0.0.1 may be a tunnel, a proxy or a container's port: then this disk is not its disk.
    if not local or not server.is_here:
        return None
    data = _mount(server.text("datadir"))
    if data is None:
        return None
    tmp = _mount(server.tmpdir)
    same = tmp is None or _device(tmp) == _device(data)
    return Room(_free(data), None if same or tmp is None else _free(tmp), f"df {data}")


def new_file_bytes(server: Server, schema: str) -> int:
    """Bytes of the files that a rebuild under way writes; 0 where they cannot be seen.

    ``#sql-alter-…`` and ``#sql-ib…`` beside the tables; linear in the rebuilt size.
    """
    with contextlib.suppress(OSError):
        folder = Path(server.text("datadir")) / encode(schema)
        return sum(p.stat().st_size for p in folder.glob("#sql*.ibd"))
    return 0


def _mount(path: str) -> Optional[str]:
    # The data directory may be closed to us (0700): its nearest readable parent is as good,
    # unless the directory itself is a mount point, which the parent's listing would not show.
    here = Path(path)
    for folder in (here, *here.parents):
        with contextlib.suppress(OSError):
            os.statvfs(folder)
            return str(folder)
    return None


def _device(path: str) -> int:
    return os.stat(path).st_dev


def _free(path: str) -> int:
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize
