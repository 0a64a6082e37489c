"""What is found before a tree is built: no room, a link in the way, a file that nobody may replace.

Runs on the host. Asked for the plan already, and once more before the first byte is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from matops.errors import Refused
from matops.matomo.install import clone, whose
from matops.matomo.release.faults import room
from matops.units import show_size

_SPARE = 64 << 20  # bytes that must be left free
_LINKS = ("tmp", "misc/user")
"""Folders of a release that hold nothing of it: where they are links, they stay links."""


def parents(name: str) -> Iterable[str]:
    """The folders above a path, the nearest first. Pure."""
    while name := os.path.dirname(name):
        yield name


def links_of(docroot: Path) -> list[str]:
    """Those of the folders without anything of a release that are links in the docroot."""
    return [name for name in _LINKS if (docroot / name).is_symlink()]


def ours_to_change(docroot: str) -> None:
    """Refused: we are not root, and the docroot belongs to another account than ours. Whatever we
    made there would be ours: Matomo could not write its own files any more."""
    owner = os.stat(docroot).st_uid
    if os.geteuid() not in (0, owner):
        raise Refused(
            f"{docroot} belongs to uid {owner}, and only root can make files for it",
            state="Nothing was changed",
            next="give the login user sudo",
        )


def no_link_in_the_way(docroot: Path, new: whose.Listed) -> None:
    """Refused: a folder of the release is a link in the docroot, and it is to be exchanged."""
    folders = {parent for name in new for parent in parents(name)}
    for name in sorted(folders - set(_LINKS)):
        there = docroot / name
        if there.is_symlink():
            raise Refused(
                f"{there} is a symbolic link to {os.readlink(there)}, and the release brings "
                "a folder of that name: an exchange would not reach what it leads to",
                state="Nothing was changed",
                next="release.install --how copy follows the link",
            )


def nothing_fixed(docroot: Path, names: Iterable[str]) -> None:
    """Refused: one of these files, or the folder that holds it, is immutable (``chattr +i``).

    Found out half way, it would leave the docroot half copied."""
    asked: dict[str, bool] = {}
    for name in names:
        for each in (name, os.path.dirname(name)):
            if each not in asked:
                asked[each] = clone.fixed(str(docroot / each))
    if found := sorted(name or "." for name, is_so in asked.items() if is_so):
        raise Refused(
            f"{len(found)} files or folders that the release replaces are immutable, first "
            f"{docroot / found[0]}",
            state="Nothing was changed",
            next=f"chattr -i -a {docroot / found[0]} (lsattr shows them), then run this again",
        )


def has_room(root: str, size: int, count: int, built: Path, copy: str = "") -> None:
    """Refused where ``size`` bytes in ``count`` entries do not fit on the disk of ``root``.

    ``built``: a folder that goes before the first byte is written. ``copy``: what else can be done.
    """
    size += count * 2048 + _SPARE  # half a block each
    disk = os.statvfs(root)
    bytes_, entries = _held(built)
    free = disk.f_bavail * disk.f_frsize + bytes_
    if size > free or (disk.f_files and count > disk.f_favail + entries):
        raise Refused(
            f"not enough room at {root} for the new tree: {show_size(size)} and "
            f"{count} inodes are needed, {room(root)}",
            state="Nothing was changed",
            next=f"free some space there, then run this again{copy}",
        )


def _held(folder: Path) -> tuple[int, int]:
    """(bytes, entries) that its removal sets free; files with a second name are not counted."""
    size = count = 0
    for top, _, names in os.walk(folder):
        count += 1
        for name in names:
            try:
                found = os.lstat(os.path.join(top, name))
            except OSError:
                continue
            if found.st_nlink == 1:
                size, count = size + found.st_blocks * 512, count + 1
    return size, count
