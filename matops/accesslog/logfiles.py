"""The files of each access log, rotated ones included, found by name and judged by content.

A *family* is what one log directive writes: the live file and all that was rotated away from
it, by numbers, dates, into another folder, compressed or not. What a file is, and when it
begins, is read from it; names only say what may belong together.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Optional

from matops.accesslog import discover, lineform, stamps, stream
from matops.accesslog.lineform import Form
from matops.errors import MatopsError

HEAD = 256 << 10  # bytes of content looked at for a first stamp and the format
_NOT_LOGS = re.compile(r"(error|\.swp$|\.lock$|~$|\.pos$|\.offset$)", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(gz|bz2|xz|zst|Z|lz4)$")


@dataclass
class LogFile:
    """One file as it was when it was found: a file that changes meanwhile is noticed by it."""

    path: str
    size: int
    mtime: float
    inode: tuple[int, int]
    kind: str = "plain"
    first: Optional[bytes] = None
    """When it begins (``stamps.key``): the middle one of its first five stamps, for a line may be
    of a request that took an hour. None where no line has one that is understood."""
    head: bytes = b""
    """Its first line that has a stamp, with its line feed: where an overlap begins."""
    trouble: str = ""
    number: int = 0
    skip: int = 0
    """Bytes of content that another file has, too (``overlap``)."""

    @property
    def name(self) -> str:
        """Without its folder."""
        return os.path.basename(self.path)


@dataclass
class Family:
    """One log. ``forms``: formats to try, the likeliest first."""

    name: str
    forms: Sequence[Form] = ()
    files: list[LogFile] = field(default_factory=list)


def siblings(path: str, folders: Iterable[str] = ()) -> list[str]:
    """The log at ``path`` (or a pattern) and what was rotated away from it, by name.

    ``folders``: where else rotated files go (logrotate's olddir).
    """
    folder, name = os.path.split(path)
    stem = re.sub(r"\.log$", "", name)
    found: dict[str, None] = {}
    for place in (folder, *folders):
        if "*" in name:
            found.update(dict.fromkeys(sorted(glob.glob(os.path.join(place, name + "*")))))
            continue
        wanted = os.path.basename(discover.family(path))
        for other in sorted(glob.glob(os.path.join(glob.escape(place), glob.escape(stem) + "*"))):
            same = os.path.basename(discover.family(other)) == wanted
            if same or os.path.basename(other).startswith(name + "."):
                found[other] = None
    return [p for p in found if os.path.isfile(p) and not _NOT_LOGS.search(os.path.basename(p))]


def assign(
    logs: Sequence[str], folders: Callable[[str], Iterable[str]] = lambda log: ()
) -> dict[str, list[str]]:
    """Log => its files; a file belongs to the log whose name it shares most of.

    ``folders(log)``: where else its rotated files may be.
    """
    owner: dict[str, str] = {}
    for log in sorted(logs, key=lambda p: len(os.path.basename(p))):
        for path in siblings(log, folders(log)):
            if path not in logs or path == log:
                owner[path] = log
    found: dict[str, list[str]] = {log: [] for log in logs}
    for path, log in owner.items():
        found[log].append(path)
    return {log: paths for log, paths in found.items() if paths}


def shipped(folder: str, server: str) -> dict[str, list[str]]:
    """Logs that lie elsewhere: those of ``folder/<server>`` where it is there, by family."""
    own = os.path.join(folder, server)
    root = own if os.path.isdir(own) else folder
    found: dict[str, list[str]] = {}
    for place, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if not _NOT_LOGS.search(name) and not name.startswith("."):
                path = os.path.join(place, name)
                found.setdefault(discover.family(path), []).append(path)
    return found


def servers_in(folder: str) -> list[str]:
    """The sub-folders of a folder with shipped logs."""
    try:
        return sorted(e.name for e in os.scandir(folder) if e.is_dir())
    except OSError as error:
        raise MatopsError(f"{folder} cannot be read: {error.strerror}") from None


def look(path: str, forms: Sequence[Form]) -> LogFile:
    """Size, kind, first stamp. What cannot be read has ``trouble``, one line."""
    try:
        data = os.stat(path)
        found = LogFile(path, data.st_size, data.st_mtime, (data.st_dev, data.st_ino))
        if not data.st_size:
            return found
        found.kind = stream.kind_of(path)
        content = _head(found)
    except OSError as error:
        return LogFile(path, 0, 0, (0, 0), trouble=f"{path}: {error.strerror or error}")
    except MatopsError as error:
        found.trouble = error.line()
        return found
    lines = [line.lstrip(b"\0") for line in content.split(b"\n")[:-1]]
    seen: list[bytes] = []
    for line in lines:
        stamp = stamp_of(line, forms)
        if stamp:
            found.head = found.head or line + b"\n"
            seen.append(stamp)
        if len(seen) == 5:
            break
    if seen:
        found.first = sorted(seen)[(len(seen) - 1) // 2]
    elif content.strip(b"\0\n "):
        found.trouble = f"{path}: no line of it has a time stamp that is understood"
    return found


def _head(file: LogFile) -> bytes:
    if file.kind == "plain":
        with open(file.path, "rb") as plain:
            content = plain.read(HEAD)
            while content and not content.strip(b"\0"):  # a hole: rotated under its writer
                content = plain.read(HEAD)
            return content
    content = b""
    chunks = stream.Stream(file.path, file.kind).chunks()
    for chunk in chunks:
        content += chunk
        if len(content) >= HEAD:
            break
    chunks.close()  # type: ignore[attr-defined]
    return content[:HEAD]


def stamp_of(line: bytes, forms: Sequence[Form]) -> Optional[bytes]:
    """The line's stamp by the first format that reads it; any stamp in it, as a last try."""
    for form in forms:
        found = form.stamp(line)
        if found:
            return found
    seen = stamps.ANY.search(line[:4000])
    return stamps.key(seen[1] or seen[2]) if seen else None


def rank(forms: Sequence[Form], lines: Sequence[bytes]) -> list[Form]:
    """The formats that read some of the lines, the best first; of equals the first given."""
    score = {id(form): sum(_fits(form, line) for line in lines) for form in forms}
    fitting = [form for form in forms if score[id(form)]]
    return sorted(fitting, key=lambda form: -score[id(form)])


def _fits(form: Form, line: bytes) -> int:
    fields = form.whole(line)
    return 0 if fields is None else 3 if lineform.sound(fields) else 1


def sample(file: LogFile, count: int = 100) -> list[bytes]:
    """Its first lines, for ``rank``."""
    try:
        return [line for line in _head(file).split(b"\n")[:-1] if line.strip(b"\0 ")][:count]
    except (OSError, MatopsError):
        return []


def matches(pattern: str, path: str) -> bool:
    """True where ``path`` is what a directive with ``pattern`` writes, or was rotated from it."""
    plain = _SUFFIX.sub("", path)
    return fnmatch.fnmatch(plain, pattern) or discover.family(path) == discover.family(pattern)
