"""One configuration file on the host: read, kept, exchanged in one rename. Runs there.

The temporary file ends in ``.php`` and begins, as the original, with ``; <?php exit; ?>``: a
file with another ending is served in clear text, password included (measured, Apache).
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from matops.errors import MatopsError, PrivilegeMissing, Refused

_LIMIT = 4 << 20  # bytes; no configuration file is longer
SAME = "Nothing was changed"


def path_of(docroot: str) -> str:
    """The real file: config.ini.php, or the config folder, may be a symlink."""
    return os.path.realpath(f"{docroot}/config/config.ini.php")


def changed_at(docroot: str) -> float:
    """When the file took its place here: a rename sets the inode's change time. MatopsError."""
    return read(path_of(docroot))[1].st_ctime


def clock() -> float:
    """This server's clock, seconds since 1970."""
    return time.time()


def digest(docroot: str) -> str:
    """sha256 of the file's content. MatopsError."""
    return hashlib.sha256(encode(read(path_of(docroot))[0])).hexdigest()


def read(path: str) -> tuple[str, os.stat_result]:
    """The text (any bytes survive the round trip) and the file's identity. MatopsError."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            seen = os.fstat(file.fileno())
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > _LIMIT:
                raise Refused(f"{path} is no configuration file", state=SAME)
            text = file.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise MatopsError(
            f"{path} cannot be read: {error.strerror}", state=SAME,
            next="check its file system, or give this account sudo",
        ) from None  # fmt: skip
    if not re.search(r"(?m)^[ \t]*\[[\w -]+\]", text):
        # As root we follow a link that the web user made: nothing else may be hit by that.
        raise Refused(f"{path} has no section: it is no configuration of Matomo", state=SAME)
    return text, seen


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def keep(path: str, text: str, keep: str, docroot: str) -> str:
    """Puts the previous version into ``keep``; its path there ('' without a folder)."""
    if not keep:
        return ""
    real = os.path.realpath(keep)
    if f"{real}/".startswith(f"{os.path.realpath(docroot)}/"):
        raise Refused(f"{keep} is inside the docroot: a copy there may be served", state=SAME)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    digest = hashlib.sha256(encode(text)).hexdigest()[:8]
    target = f"{real}/config.ini.{stamp}-{digest}.php"
    try:
        os.makedirs(real, mode=0o700, exist_ok=True)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(encode(text))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise MatopsError(
            f"the previous configuration could not be kept in {keep}: {error.strerror}",
            state=SAME, next="free some space there, then run this again",
        ) from None  # fmt: skip
    return target


def _temp(path: str) -> str:
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.matops-{os.getpid()}.php"


def sweep(path: str) -> None:
    """Removes what a killed run left: the process whose number is in the name is gone, or has
    ours, which has not begun."""
    folder, name = os.path.split(path)
    for left in glob.glob(f"{glob.escape(f'{folder}/.{name}.matops-')}*.php"):
        pid = left.rpartition("-")[2][: -len(".php")]
        if pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}"):
            with contextlib.suppress(OSError):
                os.unlink(left)


@dataclass(frozen=True)
class Exchanged:
    """When the new text took the old one's place: epoch seconds just before and just after."""

    before: float
    after: float
    notes: tuple[str, ...] = ()


def exchange(path: str, old: str, new: str, seen: os.stat_result) -> Optional[Exchanged]:
    """Puts ``new`` in the place of ``old``. None: somebody else changed it meanwhile."""
    with prepared(path, new, seen) as temp, open(path, "rb") as before:
        if before.read() != encode(old):
            return None
        began = time.time()
        try:
            os.replace(temp, path)
        except OSError as error:
            if error.errno != errno.EBUSY:  # mounted by itself, as in containers: no rename
                raise
            _in_place(path, new)
            note = f"{path} is mounted by itself: it was written in place, not exchanged"
            return Exchanged(began, time.time(), (note,))
        ended = time.time()
        _sync_folder(path)
        before.seek(0)
        late = before.read()  # a writer that had opened the old file before the rename
        if late != encode(old):
            _in_place(path, late.decode("utf-8", "surrogateescape"))
            return None
    return Exchanged(began, ended)


@contextlib.contextmanager
def prepared(path: str, new: str, seen: os.stat_result) -> Iterator[str]:
    """The new text in a file beside the old one, with all that belongs to it; gone afterwards."""
    temp = _temp(path)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))  # chattr +i, read-only, mode
        with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(encode(new))
            number = file.fileno()
            if (os.fstat(number).st_uid, os.fstat(number).st_gid) != (seen.st_uid, seen.st_gid):
                os.fchown(number, seen.st_uid, seen.st_gid)
            os.fchmod(number, stat.S_IMODE(seen.st_mode))
            _copy_attributes(path, number)
            file.flush()
            os.fsync(number)
        yield temp
    except OSError as error:
        raise _not_writable(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temp)


def _copy_attributes(path: str, number: int) -> None:
    # SELinux' context, ACLs: a file without them may be unreadable for the web server.
    try:
        names = os.listxattr(path)
    except OSError:
        return
    for name in names:
        value = os.getxattr(path, name)
        with contextlib.suppress(OSError):
            if os.getxattr(number, name) == value:
                continue
        os.setxattr(number, name, value)


def _in_place(path: str, text: str) -> None:
    # One write, then cut: never an empty file, as Matomo's own saving makes for a moment.
    data = encode(text)
    with open(path, "rb+", buffering=0) as file:
        file.write(data)
        file.truncate(len(data))
        os.fsync(file.fileno())


def _sync_folder(path: str) -> None:
    number = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _not_writable(path: str, error: OSError) -> MatopsError:
    kind = PrivilegeMissing if isinstance(error, PermissionError) else MatopsError
    return kind(
        f"{path} cannot be changed: {error.strerror}",
        state=SAME,
        next="make it and its folder writable (mount, chattr, owner), or give this account sudo",
    )
