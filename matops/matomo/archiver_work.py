"""What archives on this host now, who started it, and its end. Called on the host, as root.

A ``core:archive`` that is killed leaves its children behind, re-parented to init, and its rows in
progress; TERM kills it, too (Matomo 5 handles TERM only with its feature flag SystemSignals, which
is off). A script around it would only start the next one: it is ended first, the children last.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matops.matomo import archiver, ini, schedules
from matops.matomo.database import Database
from matops.matomo.probes import background
from matops.matomo.schedules import ARCHIVE, TASKS, words
from matops.mysql.invalidations import in_progress, shape
from matops.mysql.session import DatabaseError

_LOOKING = {"lock_wait_timeout": 5}
_JOB = re.compile(r"/jobs/([\w.:-]+)/run\b")
KINDS = (ARCHIVE, TASKS)
AROUND = "script around it"
_ORDER = {AROUND: 0, archiver.ARCHIVER: 1, archiver.TASKS: 2, archiver.CHILD: 3}
_TRIGGER = "enableBrowserTriggerArchiving"
_STARTERS = (
    ("cron", "by cron"), ("crond", "by cron"), ("anacron", "by anacron"), ("atd", "by at"),
    ("supervisord", "by supervisor"), ("runsv", "by runit"), ("s6-supervise", "by s6"),
    ("apache2", "by the web server"), ("php-fpm", "by the web server"), ("sshd", "over SSH"),
    ("systemd", "by systemd"), ("containerd-shim", "in a container"), ("conmon", "in a container"),
)  # fmt: skip


def survey(docroot: str, what: Sequence[str], keep: str) -> list[dict[str, Any]]:
    """``schedules.find`` and ``look`` in one call."""
    return [schedules.find(docroot, what, keep), look(docroot)]


def look(docroot: str) -> dict[str, Any]:
    """``{"host", "processes", "statements", "owners", "stuck", "browser", "sees_all"}``.

    ``processes``: pid, kind, user, seconds, line, by (who started it), tty ('' = none). ``owners``:
    (host, process, rows) of fresh rows in progress on other hosts. ``stuck``: rows of processes
    that are gone here. ``browser``: '' or what lets requests archive. DatabaseError.
    """
    with Database(docroot, timeout=60) as db:
        db.session.set(_LOOKING)
        found = shape.look(db.session, db.prefix)
        rows = in_progress.look(
            db.session, found.name, recovery=archiver.recovery(db.config),
            has_owner=found.has_owner, max_seconds=60,
        )  # fmt: skip
        seen = archiver.look(docroot, rows.owners(), db.session)
        browser = _browser(db)
    return {
        "host": socket.gethostname(),
        "processes": processes(docroot),
        "statements": [{"id": s.id, "client": s.client, "seconds": s.seconds}
                       for s in seen.statements],
        "owners": [[o.host, o.process, o.rows] for o in seen.elsewhere],
        "stuck": sum(o.rows for o in seen.gone),
        "browser": browser,
        "sees_all": seen.sees_all,
    }  # fmt: skip


def processes(docroot: str) -> list[dict[str, Any]]:
    """This installation's archivers, their children and scheduled tasks, and the scripts around
    them, in the order in which they are to be ended."""
    every = background.processes()
    found = {p.pid: p for p in archiver.of_this(every, docroot)}
    around: dict[int, str] = {}
    for pid in found:
        for parent in _ancestors(pid):
            if parent not in found and _is_around(parent, docroot):
                around[parent] = _line(parent)
    listed = [
        {"pid": pid, "kind": AROUND, "user": _user(pid), "line": background.hide(line),
         "seconds": 0, **_origin(pid)}
        for pid, line in around.items()
    ]  # fmt: skip
    listed += [
        {"pid": p.pid, "kind": p.kind, "user": p.user, "line": p.line, "seconds": p.seconds,
         **_origin(p.pid)}
        for p in found.values()
    ]  # fmt: skip
    return sorted(listed, key=lambda p: (_ORDER[p["kind"]], len(_ancestors(p["pid"]))))


def clock(docroot: str) -> float:
    """This host's time, by which its cron goes; seconds since 1970."""
    del docroot
    return time.time()


def _is_around(pid: int, docroot: str) -> bool:
    """A script that itself, or by what it calls, runs the archiver; never a login shell."""
    line = _line(pid)
    _, session, terminal = _stat(pid)
    if not line or (terminal and session == pid):
        return False  # the leader of a terminal's session: somebody's shell
    try:
        seen = words.meaning(line, docroot, {}, os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return False
    return bool(seen.via) and seen.ours is not False and bool(set(seen.kinds) & set(KINDS))


def stop(docroot: str, grace: float = 30) -> dict[str, Any]:
    """Ends them: TERM, and KILL for what is left after ``grace`` seconds.

    ``{"ended": [as in ``look``, with "how"], "left": [pids that live on]}``. Looks again until
    nothing is left, for a child may be started while its parent ends. Safe to repeat.
    """
    ended: dict[tuple[int, str], dict[str, Any]] = {}
    until = time.monotonic() + grace
    told: set[tuple[int, str]] = set()
    while True:
        now = processes(docroot)
        for one in now:
            key = one["pid"], _start(one["pid"])
            if key not in told:
                told.add(key)
                _signal(one["pid"], key[1], signal.SIGTERM)
                ended[key] = {**one, "how": "TERM"}
        if not now:
            break
        if time.monotonic() > until:
            for one in now:
                key = one["pid"], _start(one["pid"])
                _signal(one["pid"], key[1], signal.SIGKILL)
                ended[key] = {**one, "how": "KILL"}
            time.sleep(0.3)
            if time.monotonic() > until + 10:
                break
        time.sleep(0.2)
    return {"ended": list(ended.values()), "left": [p["pid"] for p in processes(docroot)]}


def _signal(pid: int, start: str, number: int) -> None:
    if start and _start(pid) == start:  # the number may be another process's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter: it is "left"
            os.kill(pid, number)


def _browser(db: Database) -> str:
    """What lets a request archive: Rules::isBrowserTriggerEnabled() of Matomo 4 and 5."""
    setting = ini.text_of(db.config, "General", "enable_browser_archiving_triggering", "1")
    source = "[General] enable_browser_archiving_triggering"
    if ini.text_of(db.config, "General", "enable_general_settings_admin", "1") != "0":
        with contextlib.suppress(DatabaseError):
            chosen = db.session.value("option_read", (_TRIGGER,), option=db.table("option"))
            if chosen is not None:
                setting, source = str(chosen), f"option {_TRIGGER} (General settings in the UI)"
    return "" if setting in ("", "0") else f"{source} = {setting}"


def _ancestors(pid: int) -> Sequence[int]:
    found: list[int] = []
    while pid > 1 and len(found) < 50:
        pid = _stat(pid)[0]
        if pid > 1:
            found.append(pid)
    return found


def _stat(pid: int) -> tuple[int, int, int]:
    """Parent, session, terminal; zeros where it is gone."""
    fields = _fields(pid)
    return (int(fields[1]), int(fields[3]), int(fields[4])) if fields else (0, 0, 0)


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _start(pid: int) -> str:
    fields = _fields(pid)
    return fields[19] if len(fields) > 19 else ""


def _line(pid: int) -> str:
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return data.replace(b"\0", b" ").decode(errors="replace").strip()


def _user(pid: int) -> str:
    try:
        return background.name_of(os.stat(f"/proc/{pid}").st_uid)
    except OSError:
        return ""


def _origin(pid: int) -> dict[str, str]:
    """Who started it: ``by`` in words, ``tty`` the terminal's name where it has one."""
    device = _stat(pid)[2]
    tty = ""
    if device:
        major, minor = os.major(device), os.minor(device)
        tty = f"pts/{minor}" if 136 <= major <= 143 else f"tty{minor}"
        return {"by": f"by hand, in terminal {tty}", "tty": tty}
    for parent in _ancestors(pid):
        job = _JOB.search(_line(parent))
        if job:
            return {"by": f"by matops, job {job[1]}", "tty": ""}
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{parent}/comm").read_text().strip().lower()
            for sign, text in _STARTERS:
                if name.startswith(sign):
                    return {"by": text, "tty": ""}
    return {"by": "not known", "tty": ""}
