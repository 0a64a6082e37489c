"""Two folders change places in one atomic step, or a symbolic link changes its target in one.

``renameat2(RENAME_EXCHANGE)`` (Linux 3.15) is called directly: the ``mv`` of coreutils before 9.5
cannot, Python has no name for it, and glibc has one since 2.28 only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from matops.errors import MatopsError

_EXCHANGE = 2  # RENAME_EXCHANGE, linux/fs.h
_HERE = -100  # AT_FDCWD
# arch/*/…/syscall*.tbl of the kernel; all that came after asm-generic share one number.
_NUMBERS = {
    "x86_64": 316,
    "i386": 353,
    "i686": 353,
    "aarch64": 276,
    "riscv64": 276,
    "loongarch64": 276,
    "armv7l": 382,
    "armv6l": 382,
    "ppc64le": 357,
    "ppc64": 357,
    "s390x": 347,
}


_Call = Callable[[int, bytes, int, bytes, int], int]


def exchange(first: Path, second: Path) -> None:
    """Each takes the other's name. OSError: the filesystem or the kernel cannot, or may not."""
    call = _libc_call() or _kernel_call()
    if call is None:
        raise OSError(errno.ENOSYS, f"no renameat2 is known for {platform.machine()}")
    names = [os.fsencode(first), os.fsencode(second)]
    if call(_HERE, names[0], _HERE, names[1], _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(first))


def _libc_call() -> Optional[_Call]:
    found = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if found is None:
        return None
    found.argtypes = [
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint,
    ]  # fmt: skip
    call: _Call = found
    return call


def _kernel_call() -> Optional[_Call]:
    machine = platform.machine()
    if machine == "x86_64" and ctypes.sizeof(ctypes.c_void_p) == 4:
        machine = "i386"  # a 32-bit Python on a 64-bit kernel
    if machine not in _NUMBERS:
        return None
    call, number = ctypes.CDLL(None, use_errno=True).syscall, _NUMBERS[machine]

    def made(a: int, b: bytes, c: int, d: bytes, flags: int) -> int:
        code: int = call(
            ctypes.c_long(number), ctypes.c_int(a), ctypes.c_char_p(b), ctypes.c_int(c),
            ctypes.c_char_p(d), ctypes.c_uint(flags),
        )  # fmt: skip
        return code

    return made


def tried(parent: Path, other: Path) -> str:
    """Why a folder in ``parent`` and one in ``other`` cannot change places; '' where they can.

    Tries it with a pair of empty folders, which are removed again: overlayfs, NFS, and ZFS
    before 2.2 refuse what their kernel knows.
    """
    word = secrets.token_hex(4)
    pair = [parent / f".matops-{word}-a", other / f".matops-{word}-b"]
    try:
        for each in pair:
            each.mkdir(mode=0o700)
        before = [each.stat().st_ino for each in pair]
        exchange(*pair)
        after = [each.stat().st_ino for each in pair]
        return "" if after == before[::-1] else "the kernel says yes, and does not do it"
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            return "this filesystem or kernel cannot exchange two folders"
        return f"two folders cannot be exchanged there: {error.strerror} ({error.filename})"
    finally:
        for each in pair:
            with contextlib.suppress(OSError):
                each.rmdir()


def links(docroot: str) -> list[str]:
    """The symbolic links that lead from ``docroot`` to its folder, the last one last."""
    return list(_links(docroot))


def _links(path: str) -> Iterator[str]:
    for _ in range(40):  # as many as the kernel follows
        if not os.path.islink(path):
            return
        yield path
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.readlink(path))
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def point(link: str, target: str) -> None:
    """A new symbolic link takes the name of ``link``, in one rename. OSError, MatopsError.

    ``target`` is written as the old one was: relative where that was relative.
    """
    old = os.readlink(link)
    if not os.path.isabs(old):
        target = os.path.relpath(target, os.path.realpath(os.path.dirname(link)))
    fresh = f"{link}.matops-{secrets.token_hex(4)}"
    os.symlink(target, fresh)
    try:
        with contextlib.suppress(OSError):
            owner = os.lstat(link)
            os.chown(fresh, owner.st_uid, owner.st_gid, follow_symlinks=False)
        os.replace(fresh, link)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    if os.readlink(link) != target:
        raise MatopsError(f"{link} does not lead to {target} although it was switched")
