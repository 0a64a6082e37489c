"""supervisor's programs: stopped, and started again. Its configuration is not touched.

A restart of supervisord itself starts a held program again (autostart): ``verify`` sees that.
"""

from __future__ import annotations

import configparser
import glob
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Optional

from matops.errors import MatopsError

_FILES = (
    "/etc/supervisord.conf", "/etc/supervisor/*.conf", "/etc/supervisor/conf.d/*.conf",
    "/etc/supervisord.d/*.ini", "/etc/supervisord.d/*.conf",
)  # fmt: skip
_LINE = re.compile(r"^(\S+)\s+(RUNNING|STARTING|BACKOFF|STOPPING|STOPPED|EXITED|FATAL|UNKNOWN)\b")
_UP = ("RUNNING", "STARTING", "BACKOFF")


@dataclass(frozen=True)
class Program:
    """A ``[program:name]``. ``processes``: full names of those that are up, ``group:name``."""

    name: str
    path: str
    command: str
    user: str
    folder: str
    processes: tuple[str, ...] = ()


def look(hidden: list[str]) -> list[Program]:
    """The programs that are configured, and what of them is up."""
    found = []
    for path in dict.fromkeys(p for pattern in _FILES for p in sorted(glob.glob(pattern))):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found += parse(path, file.read())
        except OSError as error:
            hidden.append(f"{path} ({error.strerror})")
    if not found:
        return []
    states = status() or {}
    return [_with_state(one, states) for one in found]


def parse(path: str, text: str) -> list[Program]:
    """The programs of one file. Pure."""
    reader = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",))
    try:
        reader.read_string(text)
    except configparser.Error:
        return []
    return [
        Program(
            section[8:], path, reader.get(section, "command", fallback=""),
            reader.get(section, "user", fallback="root"),
            reader.get(section, "directory", fallback=""),
        )
        for section in reader.sections()
        if section.startswith("program:")
    ]  # fmt: skip


def _with_state(one: Program, states: dict[str, str]) -> Program:
    up = tuple(n for n, state in states.items() if state in _UP and one.name in _names(n))
    return Program(one.name, one.path, one.command, one.user, one.folder, up)


def _names(process: str) -> set[str]:
    """The programs that a process may be of: ``program``, ``program:program_00``, ``group:x``."""
    group, _, name = process.partition(":")
    return {group, name, re.sub(r"_\d+$", "", name)}


def status() -> Optional[dict[str, str]]:
    """Process name → state; None where supervisord does not answer."""
    out = _ctl("status")
    lines = [found for found in map(_LINE.match, out.splitlines()) if found]
    return {found[1]: found[2] for found in lines} if lines else None


def _ctl(*words: str) -> str:
    program = shutil.which("supervisorctl", path=os.environ.get("PATH", "") + ":/usr/local/bin")
    if not program:
        return ""
    try:
        done = subprocess.run(
            [program, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def _set(names: list[str], action: str, good: tuple[str, ...]) -> None:
    now = status()
    if now is None:
        raise MatopsError("supervisord does not answer", next="supervisorctl status")
    todo = [name for name in names if name in now and now[name] not in good]
    if todo:
        _ctl(action, *todo)
    now = status() or {}
    wrong = [f"{name} is {now[name]}" for name in names if name in now and now[name] not in good]
    if wrong:
        raise MatopsError(f"supervisorctl {action}: {', '.join(wrong)}")


def hold(names: list[str]) -> None:
    """Stops these processes, and waits until they are. MatopsError. Safe to repeat."""
    _set(names, "stop", ("STOPPED", "EXITED", "FATAL"))


def release(names: list[str]) -> str:
    """Starts them again; '' or which are not known any more. MatopsError. Safe to repeat."""
    _set(names, "start", _UP)
    gone = [name for name in names if name not in (status() or {})]
    return f"not configured any more: {', '.join(gone)}" if gone else ""
