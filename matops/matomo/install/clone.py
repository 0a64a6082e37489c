"""Copies one entry of a tree with all that belongs to it: owner, mode, ACL, SELinux context and
other extended attributes, times, holes; a link as a link. Runs on the host.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
import sys

from matops.errors import MatopsError

_FICLONE = 0x40049409  # linux/fs.h: shares the blocks where the filesystem can (btrfs, xfs)
_GETFLAGS = 0x80086601 if ctypes.sizeof(ctypes.c_long) == 8 else 0x80046601  # linux/fs.h
_FIXED = 0x10 | 0x20  # FS_IMMUTABLE_FL, FS_APPEND_FL
_PIECE = 8 << 20
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_UNSAID = ("security.ima", "security.evm", "system.nfs4_acl")
"""Made by the kernel or the filesystem for the inode itself: not ours to copy."""


def copy(source: str, target: str) -> None:
    """``source`` (a file or a link) as ``target``, in one rename. OSError, MatopsError."""
    fresh = beside(target)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    found = os.lstat(source)
    try:
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(source), fresh)
        else:
            _content(source, fresh)
        dress(source, fresh)
        os.replace(fresh, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise


def beside(path: str) -> str:
    """The name of ``path`` while it is made. Its ending stays: config.ini.php under one that is not
    PHP's would be given out in clear text, were we killed just then."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".matops-new-{name}")


def folder(source: str, target: str) -> None:
    """The folder ``target`` is there, dressed as ``source``."""
    if not os.path.isdir(target) or os.path.islink(target):
        os.mkdir(target, 0o700)
    dress(source, target)


def dress(source: str, target: str, *, mode: int = -1, times: bool = True) -> None:
    """Owner, attributes, mode (or ``mode``) and times of ``source`` for ``target``.

    In this order: a change of owner takes setuid away, and an ACL sets the group's bits.
    MatopsError where an attribute, read back, is another one.
    """
    found = os.lstat(source)
    link = stat.S_ISLNK(os.lstat(target).st_mode)
    if os.geteuid() == 0:
        os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    elif not link:
        with contextlib.suppress(OSError):  # a group that we are in; never needed of others
            os.chown(target, -1, found.st_gid)
    if not link:
        os.chmod(target, stat.S_IMODE(found.st_mode) if mode < 0 else mode)
    _attributes(source, target, keep_acl=mode < 0)
    if times:
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def attributes(path: str) -> dict[str, bytes]:
    """The extended attributes that belong to a copy: ACL, SELinux context, user's own."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return {}
        raise
    found = {}
    for name in names:
        if name not in _UNSAID:
            with contextlib.suppress(OSError):  # gone, or not to be read: then not to be set
                found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def _attributes(source: str, target: str, keep_acl: bool) -> None:
    wanted, there = attributes(source), attributes(target)
    for name in there:
        # Inherited from a default ACL of the folder above: it would let in whom the source does
        # not. The mode stays as it was set.
        if name.startswith("system.posix_acl") and name not in wanted:
            os.removexattr(target, name, follow_symlinks=False)
    for name, value in wanted.items():
        if there.get(name) == value or (name.startswith("system.posix_acl") and not keep_acl):
            continue
        try:
            os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if os.geteuid() != 0 or error.errno in _UNSUPPORTED:
                continue  # trusted.* and security.* are root's to set
            raise
        if os.getxattr(target, name, follow_symlinks=False) != value:
            raise MatopsError(f"{name} of {target} is not that of {source} although it was set")


def _content(source: str, target: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    # Whoever may write there could put a link or a pipe in the file's place since it was looked at.
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as read, os.fdopen(os.open(target, flags, 0o600), "wb") as write:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file any more", source)
        try:
            fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
            return
        except OSError:
            pass
        _pieces(read.fileno(), write.fileno())


def _pieces(read: int, write: int) -> None:
    size, at = os.fstat(read).st_size, 0
    os.ftruncate(write, size)
    while at < size:
        try:
            start = os.lseek(read, at, os.SEEK_DATA)
            end = os.lseek(read, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # nothing but a hole up to the end
            start, end = at, size
        os.lseek(read, start, os.SEEK_SET)
        os.lseek(write, start, os.SEEK_SET)
        at = start
        while at < end:
            piece = os.read(read, min(_PIECE, end - at))
            if not piece:
                return  # it became shorter meanwhile: the next look sees that
            view = memoryview(piece)
            while view:
                view = view[os.write(write, view) :]
            at += len(piece)


def remove(path: str) -> None:
    """A file, link or folder is gone; no error where it was not there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def is_plain(mode: int) -> bool:
    """A file, folder or link: neither a socket, nor a pipe, nor a device."""
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def fixed(path: str) -> bool:
    """Immutable or append-only (``chattr +i``, ``+a``): not even root may replace it.

    False for what is no file or folder, and where the filesystem has no such flags."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = fcntl.ioctl(handle, _GETFLAGS, bytes(8))
        return bool(int.from_bytes(found[:4], sys.byteorder) & _FIXED)
    except OSError:
        return False
    finally:
        os.close(handle)


def flush(path: str) -> None:
    """All that was written to the filesystem of ``path`` is on its disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        call = getattr(ctypes.CDLL(None), "syncfs", None)
        if call is None or call(handle):
            os.sync()
    finally:
        os.close(handle)
