"""What starts work of Matomo by itself: one entry, wherever it stands; how all are found."""

from __future__ import annotations

import glob
import hashlib
import os
import pwd
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from matops.matomo.probes.background import hide
from matops.matomo.schedules import cron, scripts, supervisor, units
from matops.matomo.schedules.words import Meaning, meaning, read_script, wanted

CRON, SCRIPT, UNIT, SUPERVISOR, ODD = "cron", "script", "unit", "supervisor", "odd"
_HOME_UNITS = "/home/*/.config/systemd/user/*.service", "/root/.config/systemd/user/*.service"
_AT_JOBS = "/var/spool/cron/atjobs/*", "/var/spool/at/*"
_RUNIT = "/etc/service/*/run", "/service/*/run", "/run/service/*/run", "/etc/services.d/*/run"


@dataclass(frozen=True)
class Entry:
    """One of them. ``line``: secrets are hidden. ``ours`` None: it cannot be told whose it is.

    ``live``: it would start something. ``endless``: a service or program that runs now: it has no
    schedule whose end could be waited for. ``held``: by whom. ``why_not``: why it cannot be held.
    """

    id: str
    place: str
    where: str
    line: str
    user: str
    when: str
    kinds: tuple[str, ...]
    ours: Any = None
    number: int = 0
    via: tuple[str, ...] = ()
    elsewhere: str = ""
    live: bool = True
    endless: bool = False
    held: str = ""
    why_not: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """What its place needs to hold it."""

    def data(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def shown(self) -> str:
        """``/etc/cron.d/matomo line 2 (5 * * * *, www-data): php …``."""
        line = f" line {self.number}" if self.number else ""
        what = ", ".join(part for part in (self.when, self.user) if part)
        return f"{self.where}{line}{f' ({what})' if what else ''}: {self.line[:120]}"


def find(docroot: str, what: Sequence[str], hidden: list[str]) -> list[Entry]:
    """Every entry of this installation, or perhaps of it, that does work of the kinds ``what``.

    Those that are held are among them. ``hidden`` gets what could not be looked into.
    """
    kinds = tuple(what)
    every = [*_cron(docroot, hidden), *_scripts(docroot, hidden), *_units(docroot),
             *_supervisor(docroot, hidden), *_odd(docroot)]  # fmt: skip
    return [one for one, seen, text in every if wanted(seen, kinds, text)]


Found = Iterator[tuple[Entry, Meaning, str]]


def _cron(docroot: str, hidden: list[str]) -> Found:
    for table in cron.tables(hidden):
        for line in cron.lines(table, hidden):
            names = {"HOME": _home(line.user), **line.environment}
            seen = meaning(line.command, docroot, names, names["HOME"])
            yield Entry(
                line.id, CRON, table.path, hide(line.command), line.user, line.when, seen.kinds,
                seen.ours, line.number, seen.via, seen.elsewhere, held=line.held,
                more=asdict(table),
            ), seen, line.command  # fmt: skip


def _home(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except (KeyError, ValueError):
        return "/"


def _scripts(docroot: str, hidden: list[str]) -> Found:
    for one in scripts.look(hidden):
        text = read_script(one.path)
        seen = meaning(text, docroot, {}, "/") if text else Meaning()
        first = next((x for x in text.splitlines() if meaning(x, docroot).kinds), "")
        yield Entry(
            _id(SCRIPT, one.path), SCRIPT, one.path, hide(first) or "(calls another script)",
            "root", one.when, seen.kinds, seen.ours, via=seen.via, elsewhere=seen.elsewhere,
        ), seen, text  # fmt: skip


def _units(docroot: str) -> Found:
    for one in units.look():
        text = "\n".join(one.commands)
        names = dict(re.findall(r"(\w+)=(\S+)", one.environment))
        seen = meaning(text, docroot, names, one.folder)
        if not seen.kinds:
            continue
        yield Entry(
            _id(UNIT, one.name), UNIT, one.name, hide(text.splitlines()[-1]), one.user,
            ", ".join(one.timers) or "a service", seen.kinds, seen.ours, via=seen.via,
            elsewhere=seen.elsewhere, live=one.enabled, endless=one.active and not one.timers,
            held=",".join(one.holders),
            more={"timers": list(one.timers), "active": one.active and not one.timers},
        ), seen, text  # fmt: skip


def _supervisor(docroot: str, hidden: list[str]) -> Found:
    for one in supervisor.look(hidden):
        seen = meaning(one.command, docroot, {}, one.folder)
        yield Entry(
            _id(SUPERVISOR, one.name), SUPERVISOR, f"supervisor program {one.name}",
            hide(one.command), one.user, "", seen.kinds, seen.ours, via=seen.via,
            elsewhere=seen.elsewhere, live=bool(one.processes), endless=bool(one.processes),
            more={"processes": list(one.processes)},
        ), seen, one.command  # fmt: skip


def _odd(docroot: str) -> Found:
    """Places that are found, but not held."""
    for pattern in _HOME_UNITS:
        for path in sorted(glob.glob(pattern)):
            text = "\n".join(re.findall(r"(?m)^\s*Exec\w*\s*=\s*(.*)$", read_script(path)))
            seen = meaning(text, docroot) if text else Meaning()
            owner = path.split("/")[2] if path.startswith("/home/") else "root"
            why = f"systemctl --user stop {os.path.basename(path)}, as {owner}"
            yield _odd_one(path, text, owner, "a user's own systemd", seen, why)
    for patterns, when, why, lines in (
        (_AT_JOBS, "at", "look with atq, remove it with atrm", -5),  # before: its environment
        (_RUNIT, "runit or s6", "sv down, or s6-svc -d, with its folder", -100),
    ):
        for path in (p for pattern in patterns for p in sorted(glob.glob(pattern))):
            text = "\n".join(read_script(path).splitlines()[lines:])
            seen = meaning(text, docroot) if text else Meaning()
            yield _odd_one(path, text, "", when, seen, why)


def _odd_one(
    path: str, text: str, user: str, when: str, seen: Meaning, why: str
) -> tuple[Entry, Meaning, str]:
    line = hide(text.splitlines()[-1]) if text else ""
    return Entry(
        _id(ODD, path), ODD, path, line, user, when, seen.kinds, seen.ours, via=seen.via,
        elsewhere=seen.elsewhere, why_not=why,
    ), seen, text  # fmt: skip


def _id(place: str, name: str) -> str:
    return hashlib.sha256(f"{place}\0{name}".encode()).hexdigest()[:12]
