"""What a docroot looks like: one line a file, to see later what was written meanwhile."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from matops.matomo.install import gate
from matops.matomo.install.clone import is_plain

Seen = dict[str, list[int]]
"""``{path below the docroot: [kind, inode, size, mtime ns, ctime ns]}``; of folders only owner,
group and mode: what is in them is told by itself."""

FILE, FOLDER, ODD = 0, 1, 2

OURS = re.compile(r"matops-([0-9a-f]{24}\.(php|lock|closed)|[0-9a-f]{8}\.(txt|php))")
"""What ``serve``, ``bell``, ``gate`` and ``exposure`` put into a tree for a moment."""


def take(docroot: Path, beside: str = "") -> Seen:
    """Every entry below ``docroot``; links are not followed, nor is ``beside`` entered.

    What vanishes meanwhile was never there. OSError where a folder cannot be read.
    """
    return dict(_below(str(docroot), "", beside))


def _ours(entry: os.DirEntry[str]) -> bool:
    if entry.name == gate.NAME:
        return gate.is_gate(entry.path)
    return bool(OURS.fullmatch(entry.name))


def _below(top: str, prefix: str, beside: str) -> Iterator[tuple[str, list[int]]]:
    folders = []
    try:
        with os.scandir(os.path.join(top, prefix)) as entries:
            for entry in entries:
                if not prefix and _ours(entry):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                name = f"{prefix}{entry.name}"
                if stat.S_ISDIR(found.st_mode):
                    if f"{top}/{name}" != beside:
                        folders.append(name)
                        yield name, [FOLDER, found.st_uid, found.st_gid, found.st_mode, 0]
                else:
                    kind = FILE if is_plain(found.st_mode) else ODD
                    size = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
                    yield name, [kind, found.st_ino, *size]
    except FileNotFoundError:
        if not prefix:
            raise
    for name in folders:
        yield from _below(top, f"{name}/", beside)


def files(seen: Mapping[str, list[int]]) -> dict[str, int]:
    """``{path: odd}`` of all but folders, as ``whose.divide`` wants it. Pure."""
    return {name: each[0] // ODD for name, each in seen.items() if each[0] != FOLDER}


def changed(before: Seen, now: Seen) -> tuple[list[str], list[str]]:
    """(files that are new or were written, files that are gone). Pure."""
    fresh = [name for name, each in now.items() if each[0] != FOLDER and before.get(name) != each]
    gone = [name for name, each in before.items() if each[0] != FOLDER and name not in now]
    return sorted(fresh), sorted(gone)
