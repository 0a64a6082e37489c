"""Lines of cron: found, commented out with a marker, and put back to the byte.

A held line reads ``#matops-hold WHO MTIME # the line as it was``: it says itself what it is, who
holds it and when its file was changed last before any hold, so that it can be put back (by hand,
too) without any other record. Cron reads a table again when its file's or its folder's time is
another one (vixie cron, Debian's and RHEL's: each minute, before it starts anything): every
writing is a rename in the folder, and in the end the folder's time is set (``poke``).
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from matops.errors import MatopsError

MARK = re.compile(rb"^#matops-hold ([\w.-]+) (\d+) # ", re.ASCII)
_FOLDERS = ("/etc/cron.d",)
_SPOOLS = ("/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron")
_SETTING = re.compile(r"^\s*[\"']?(\w+)[\"']?\s*=\s*(.*?)\s*$")
_AT = re.compile(r"^\s*(@\w+)\s+(.*)$")
_TIMES = re.compile(r"^\s*(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(.*)$")
_ANACRON = re.compile(r"^\s*(\S+\s+\S+)\s+(\S+)\s+(.*)$")
_PLAIN_NAME = re.compile(r"^[A-Za-z0-9_-]+$")
_PASSED_OVER = re.compile(r"^\.|~$|\.(?:rpmsave|rpmorig|rpmnew|swp|cfsaved|dpkg-\w+)$|^#.*#$")


@dataclass(frozen=True)
class Table:
    """A file of cron. ``user``: whose; '' where each line names it. ``watched``: whose time cron
    looks at."""

    path: str
    user: str = ""
    anacron: bool = False
    watched: str = ""


@dataclass(frozen=True)
class Line:
    """A line that starts something. ``raw``: as it is, or was before it was held, with its end."""

    table: Table
    number: int
    raw: bytes
    when: str
    user: str
    command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    held: str = ""

    @property
    def id(self) -> str:
        """The same for the same line of the same file, held or not."""
        return hashlib.sha256(self.table.path.encode() + b"\0" + self.raw).hexdigest()[:12]


def tables(hidden: list[str]) -> list[Table]:
    """All that cron reads on this host; what this account may not look into goes to ``hidden``."""
    found = [Table("/etc/crontab", watched="/etc")]
    found.append(Table("/etc/anacrontab", "root", anacron=True, watched="/etc"))
    relaxed = os.path.exists("/usr/sbin/crond")  # cronie takes names with dots, Debian's does not
    for folder in _FOLDERS:
        for path in sorted(glob.glob(f"{folder}/*")):
            name = os.path.basename(path)
            if not _PASSED_OVER.search(name) and (relaxed or _PLAIN_NAME.match(name)):
                found.append(Table(path, watched=folder))
    for spool in _SPOOLS:
        if os.path.isdir(spool) and os.geteuid() == 0:
            names = [n for n in sorted(os.listdir(spool)) if not _PASSED_OVER.search(n)]
            found += [Table(f"{spool}/{n}", n, watched=spool) for n in names]
    if os.geteuid() != 0:
        hidden.append("crontabs of users (this account is not root)")
    return [table for table in found if os.path.isfile(table.path)]


def lines(table: Table, hidden: list[str]) -> list[Line]:
    """The lines of a table that start something, those that are held too."""
    try:
        with open(table.path, "rb") as file:
            data = file.read()
    except OSError as error:
        hidden.append(f"{table.path} ({error.strerror})")
        return []
    return parse(table, data)


def parse(table: Table, data: bytes) -> list[Line]:
    """The same of what a file holds. Pure."""
    names: dict[str, str] = {}
    found = []
    for number, whole in enumerate(data.splitlines(keepends=True), 1):
        mark = MARK.match(whole)
        raw = whole[mark.end() :] if mark else whole
        text = raw.decode(errors="replace").rstrip("\r\n")
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        setting = _SETTING.match(text)
        if setting and not text.lstrip().startswith("@"):
            names[setting[1]] = setting[2].strip("\"'")
            continue
        parts = _parts(table, text)
        if parts:
            when, user, command = parts
            held = mark[1].decode() if mark else ""
            found.append(Line(table, number, raw, when, user, command, dict(names), held))
    return found


def _parts(table: Table, text: str) -> Optional[tuple[str, str, str]]:
    """When, who, what."""
    if table.anacron:
        found = _ANACRON.match(text)
        return (f"every {found[1]}", "root", found[3]) if found else None
    found = _AT.match(text) or _TIMES.match(text)
    if not found:
        return None
    when, rest = " ".join(found[1].split()), found[2]
    if table.user:
        return when, table.user, _percent(rest)
    user, *command = rest.split(None, 1)
    return when, user, _percent("".join(command))


def _percent(command: str) -> str:
    """An unescaped % is the end of the line for cron; the rest is given to it on stdin."""
    return re.sub(r"(?<!\\)%", "\n", command).replace("\\%", "%")


def clean(data: bytes) -> bytes:
    """The file as it would be with nothing held by anybody. Pure."""
    return b"".join(MARK.sub(b"", line) for line in data.splitlines(keepends=True))


def comment(table: Table, ids: Sequence[str], who: str) -> int:
    """Comments these lines out, where they are not; how many. MatopsError where it cannot."""

    def change(data: bytes, mtime: int) -> bytes:
        held = [mark for mark in map(MARK.match, data.splitlines()) if mark]
        since = int(held[0][2]) if held else mtime
        goes = {line.number for line in parse(table, data) if line.id in ids and not line.held}
        lead = f"#matops-hold {who} {since} # ".encode()
        every = enumerate(data.splitlines(keepends=True), 1)
        return b"".join(lead + one if number in goes else one for number, one in every)

    before, after = rewrite(table, change)
    return _held(after, who) - _held(before, who)


def uncomment(table: Table, who: str, pristine: str) -> tuple[int, bool]:
    """Takes the marker of ``who`` off; how many lines, and is the file as it was before the hold?

    ``pristine``: SHA-256 of the file as it was. Its old time is put back, too, where it is, and
    nobody else holds a line of it.
    """
    times: list[int] = []

    def change(data: bytes, mtime: int) -> bytes:
        del mtime
        out = []
        for line in data.splitlines(keepends=True):
            mark = MARK.match(line)
            mine = mark and mark[1].decode() == who
            if mark and mine:
                times.append(int(mark[2]))
            out.append(line[mark.end() :] if mark and mine else line)
        return b"".join(out)

    before, after = rewrite(table, change)
    same = sha(clean(after)) == pristine
    if same and times and after == clean(after):
        # Cron may have read it already: what it read is what stands there, whatever its time.
        os.utime(table.path, ns=(os.stat(table.path).st_atime_ns, times[0]))
    return _held(before, who) - _held(after, who), same


def _held(data: bytes, who: str) -> int:
    marks = [MARK.match(line) for line in data.splitlines()]
    return sum(1 for mark in marks if mark and mark[1].decode() == who)


def sha(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def rewrite(table: Table, change: Callable[[bytes, int], bytes]) -> tuple[bytes, bytes]:
    """Replaces the file by what ``change(content, mtime)`` makes of it; before and after.

    In one rename, with owner, mode and extended attributes (SELinux) of the old one. MatopsError
    where that is not possible, or somebody else wrote it at the same time (twice).
    """
    path = os.path.realpath(table.path)
    for _ in range(3):
        try:
            with open(path, "rb") as file:
                seen, data = os.fstat(file.fileno()), file.read()
            after = change(data, seen.st_mtime_ns)
            if after == data or _replace(path, seen, after):
                return data, after
        except OSError as error:
            raise MatopsError(
                f"{table.path} cannot be changed: {error.strerror}",
                state="It is as it was",
                next="is it immutable (lsattr), or its file system read-only?",
            ) from None
    raise MatopsError(
        f"{table.path} is being written by somebody else again and again",
        state="It is as they left it", next="ask who edits it, then run this again",
    )  # fmt: skip


def _replace(path: str, seen: os.stat_result, data: bytes) -> bool:
    """False where the file was changed since it was ``seen``."""
    folder, name = os.path.split(path)
    temp = f"{folder}/.{name}.matops-{os.getpid()}"  # cron passes over names with a leading dot
    try:
        handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchown(file.fileno(), seen.st_uid, seen.st_gid)
            os.fchmod(file.fileno(), seen.st_mode & 0o7777)
            _keep_attributes(path, file.fileno())
            file.flush()
            os.fsync(file.fileno())
        now = os.stat(path)
        if (now.st_ino, now.st_mtime_ns, now.st_size) != (
            seen.st_ino, seen.st_mtime_ns, seen.st_size,
        ):  # fmt: skip
            return False
        os.rename(temp, path)
        sync = os.open(folder, os.O_RDONLY)
        os.fsync(sync)
        os.close(sync)
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)


def _keep_attributes(path: str, handle: int) -> None:
    try:
        for key in os.listxattr(path):
            os.setxattr(handle, key, os.getxattr(path, key))
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise


def poke(changed: Sequence[Table]) -> None:
    """Makes cron read these tables again at its next minute: it compares whole seconds, and may
    have read some of them in the very second in which others were changed."""
    if changed:
        time.sleep(1 - time.time() % 1 + 0.01)
    for folder in {table.watched or os.path.dirname(table.path) for table in changed}:
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder)
