"""Mount points at, in and of a folder, seen from every mount namespace of the machine.

``os.path.ismount`` does not see a bind mount of the same filesystem, and a container that binds
the docroot keeps the old folder when the host gives another one its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mount:
    """One line of /proc/<pid>/mountinfo (proc(5)). ``root``: the folder inside its filesystem."""

    device: str
    root: str
    point: str
    kind: str


def parse(text: str) -> list[Mount]:
    """The mounts of a mountinfo file. Pure."""
    found = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        words = left.split(" ")
        if len(words) > 4 and right:
            names = [_plain(word) for word in words[2:5]]
            found.append(Mount(names[0], names[1], names[2], right.split(" ")[0]))
    return found


def _plain(word: str) -> str:
    # Space, tab, newline and backslash stand there as \040 and the like.
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def at(folder: str, mounts: list[Mount]) -> str:
    """How ``folder`` itself is a mount point, or ''. Pure."""
    found = [each for each in mounts if each.point == folder]
    return f"{found[-1].kind}" if found and folder != "/" else ""


def below(folder: str, mounts: list[Mount]) -> list[Mount]:
    """Mount points inside ``folder``. Pure."""
    return [each for each in mounts if each.point.startswith(f"{folder.rstrip('/')}/")]


def place_of(folder: str, mounts: list[Mount]) -> tuple[str, str]:
    """(device, path inside its filesystem) of a folder; ('', '') where it cannot be told. Pure."""
    best = Mount("", "", "", "")
    for each in mounts:
        top = each.point.rstrip("/")
        if f"{folder}/".startswith(f"{top}/") and len(each.point) >= len(best.point):
            best = each
    if not best.device:
        return "", ""
    rest = folder[len(best.point.rstrip("/")) :]
    return best.device, f"{best.root.rstrip('/')}{rest}" or "/"


def elsewhere(folder: str, mounts: list[Mount]) -> str:
    """A process in another mount namespace (a container, a chroot of systemd) in which ``folder``
    or something inside it is mounted by itself: ``apache2 (pid 12) at /app``, or ''."""
    device, inside = place_of(folder, mounts)
    if not device:
        return ""
    for pid, theirs in _other_namespaces():
        for each in theirs:
            if each.device == device and f"{each.root}/".startswith(f"{inside.rstrip('/')}/"):
                return f"{_name(pid)} (pid {pid}) at {each.point}"
    return ""


def mine() -> list[Mount]:
    """This process' own mounts."""
    return _of("self")


def _of(pid: str) -> list[Mount]:
    try:
        with open(f"/proc/{pid}/mountinfo", errors="surrogateescape") as file:
            return parse(file.read())
    except OSError:
        return []


def _other_namespaces() -> Iterator[tuple[str, list[Mount]]]:
    try:
        seen = {os.readlink("/proc/self/ns/mnt")}
    except OSError:
        return
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name = os.readlink(f"/proc/{pid}/ns/mnt")
        except OSError:
            continue  # gone, or not ours to see
        if name not in seen:
            seen.add(name)
            yield pid, _of(pid)


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "a process"
