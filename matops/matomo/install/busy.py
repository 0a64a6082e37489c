"""Processes that work in the docroot while it changes: they go on with the old code.

One that was started there keeps the old tree as its current folder, and one that was started with
its ``console`` loads the rest of its code from the new tree. Runs on the host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_COMMAND = re.compile(rb"[a-z][\w-]*:[a-z][\w:-]*")  # console's: its other words may be secret


def within(*folders: str) -> list[str]:
    """A line for each process whose current folder or program file lies in one of ``folders``:
    ``php (pid 12, core:archive)``. What is not ours to see is not seen."""
    tops = [f"{os.path.realpath(folder)}/" for folder in folders]
    names = [f"{folder.rstrip('/')}/" for folder in folders]
    return [
        _line(pid, words)
        for pid, words in _others()
        if _inside(_cwd(pid), tops) or any(_inside(os.fsdecode(word), names) for word in words[:6])
    ]


def _inside(path: str, tops: list[str]) -> bool:
    return f"{path}/".startswith(tuple(tops))


def _others() -> Iterator[tuple[str, list[bytes]]]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read(4096).split(b"\0")
        except OSError:
            continue
        if pid != str(os.getpid()) and words != [b""]:
            yield pid, words


def _cwd(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _line(pid: str, words: list[bytes]) -> str:
    command = next((os.fsdecode(word) for word in words[1:] if _COMMAND.fullmatch(word)), "")
    try:
        with open(f"/proc/{pid}/comm") as file:
            name = file.read().strip()
    except OSError:
        name = "a process"
    return f"{name} (pid {pid}{', ' if command else ''}{command})"
