"""Does an archiver run now? Asked of this host's processes, the rows in progress, and the server.

``core:archive`` starts children (``climulti:request … CoreAdminHome.archiveReports``) that outlive
it when it is killed, re-parented to init: they count as running. The rows name the host
(gethostname()) and the process id of the ``core:archive``; a process of another host cannot be
looked at from here, and that is said, not guessed.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from matops.matomo import ini
from matops.matomo.probes import background
from matops.mysql.invalidations.in_progress import DEFAULT_RECOVERY, Recovery
from matops.mysql.session import Session

ARCHIVER, CHILD, TASKS = "core:archive", "archiving request", "scheduled tasks"
_KINDS = (
    (ARCHIVER, re.compile(r"\bcore:archive\b(?!-)|\barchive\.(?:php|sh)\b")),
    (CHILD, re.compile(r"CoreAdminHome\.archiveReports|\btrigger=archivephp\b")),
    (TASKS, re.compile(r"\bscheduled-tasks:run\b|\bcore:run-scheduled-tasks\b")),
)
_CONSOLE = re.compile(r"(?:^|[\s'\"=])([^\s'\"=]*?)(?:console|archive\.(?:php|sh))(?=[\s'\"]|$)")
_WEB = re.compile(r"^(?:\S*/)?(?:php-fpm|php-cgi|lsphp|apache2|httpd|frankenphp|nginx)")
_NOT_IT = re.compile(
    r"^(?:\S*/)?(?:sudo|su|runuser|[ef]?grep|pgrep|ssh|vim?|nano|less|tail|ps)\s"
    r"|\bmatops-\w+\.pyz\b|\binvoke\b"
)


@dataclass(frozen=True)
class Process:
    """One process of this host. ``seconds`` since it began; ``line``: secrets are hidden."""

    kind: str
    pid: int
    user: str
    seconds: int
    line: str


@dataclass(frozen=True)
class Owner:
    """Who is named by rows in progress: a host, a process id, how many rows."""

    host: str
    process: str
    rows: int


@dataclass(frozen=True)
class Statement:
    """An archiving query that the server runs now, from which client, for how many seconds."""

    id: int
    client: str
    seconds: int


@dataclass(frozen=True)
class Archiver:
    """What was found. ``elsewhere``: owners on other hosts; ``gone``: here, and not alive."""

    processes: tuple[Process, ...] = ()
    statements: tuple[Statement, ...] = ()
    alive: tuple[Owner, ...] = ()
    elsewhere: tuple[Owner, ...] = ()
    gone: tuple[Owner, ...] = ()
    sees_all: bool = True
    """False: this account does not see other users' processes (hidepid)."""
    host: str = ""

    @property
    def running(self) -> Optional[bool]:
        """True: one runs. None: another host's rows are in progress, or we cannot see."""
        if self.statements or self.alive or any(p.kind != TASKS for p in self.processes):
            return True
        return None if self.elsewhere or not self.sees_all else False

    def why(self) -> list[str]:
        """What speaks for it, one line each; the surest first. Pure."""
        found = [
            f"{p.kind}: process {p.pid} of {p.user} on {self.host}, since {p.seconds} s"
            for p in self.processes
        ]
        found += [
            f"an archiving query from {s.client}, connection {s.id}, since {s.seconds} s"
            for s in self.statements
        ]
        found += [
            f"{o.rows} rows are in progress by process {o.process or '?'} on "
            f"{o.host or 'a host that they do not name'}: "
            + (
                "a web server's, or hidden: may archive"
                if o.host == self.host
                else f"cannot be checked from {self.host}"
            )
            for o in self.elsewhere
        ]
        found += [
            f"{o.rows} rows are in progress by process {o.process} on {o.host}, "
            "which is not there any more"
            for o in self.gone
        ]
        if not self.sees_all:
            found.append("this account does not see the processes of other users")
        return found

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "running": self.running, "why": self.why()}


def look(
    docroot: str,
    owners: Optional[Mapping[tuple[str, str], int]] = None,
    session: Optional[Session] = None,
) -> Archiver:
    """Looks at the processes of this very machine (some 20 ms), and asks the server.

    ``owners``: (host, process id) → rows, from ``in_progress.InProgress.owners``. Without
    ``session`` the server is not asked. DatabaseError.
    """
    me = socket.gethostname()
    seen = background.processes()
    processes = of_this(seen, docroot)
    pids = {pid for one in processes if one.kind == ARCHIVER for pid in _pids(one.pid)}
    alive, elsewhere, gone = [], [], []
    sees_all = os.geteuid() == 0 or _readable("/proc/1/cmdline")
    for (host, process), rows in sorted((owners or {}).items()):
        owner = Owner(host, process, rows)
        if host != me:
            elsewhere.append(owner)
        elif process.isdecimal() and int(process) in pids:
            alive.append(owner)
        elif sees_all and not _by_web(process):
            gone.append(owner)
        else:
            elsewhere.append(owner)
    return Archiver(
        processes=tuple(processes),
        statements=tuple(_statements(session)) if session else (),
        alive=tuple(alive),
        elsewhere=tuple(elsewhere),
        gone=tuple(gone),
        sees_all=sees_all,
        host=me,
    )


def _pids(pid: int) -> set[int]:
    """That process's number here, and in its containers, where Matomo wrote it down: with the
    host's network a container has the host's name, too."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return {pid, *map(int, line.split()[1:])}
    return {pid}


def _by_web(process: str) -> bool:
    """True where a web server's PHP process has that number: archive.php, called by its address,
    writes that down, and its command line says nothing of archiving."""
    if not process.isdecimal():
        return False
    try:
        line = Path(f"/proc/{int(process)}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return bool(_WEB.search(line.replace("\0", " ")))


def _readable(path: str) -> bool:
    """hidepid=2 hides other users' processes, hidepid=1 shows the folder only."""
    try:
        return bool(Path(path).read_bytes())
    except OSError:
        return False


def of_this(seen: Sequence[Mapping[str, Any]], docroot: str) -> list[Process]:
    """Those of the running commands that archive this installation.

    A shell that changes to the docroot first is not seen as ours; its php is.
    """
    found = []
    for one in seen:
        line, pid = str(one["line"]), int(one["pid"])
        kind = kind_of(line)
        if kind and not _is_other(line, pid, docroot):
            found.append(Process(kind, pid, str(one["user"]), int(one["seconds"]), line[:200]))
    return found


def kind_of(line: str) -> str:
    """ARCHIVER, CHILD, TASKS, or '' for a command that has nothing to do with archiving. Pure."""
    if _NOT_IT.search(line.split(" -c ", 1)[0]):
        return ""
    return next((kind for kind, pattern in _KINDS if pattern.search(line)), "")


def _is_other(line: str, pid: int, docroot: str) -> bool:
    """True where the command's console surely is another installation's.

    Compared by inode, through the process's own root: containers, and other docroots of this
    host, may well have the same path. What cannot be looked at is taken for ours.
    """
    named = _CONSOLE.search(line)
    folder = named[1] if named else ""
    try:
        base = f"/proc/{pid}/root" if folder.startswith("/") else f"/proc/{pid}/cwd/"
        seen = os.stat(base + folder)
    except OSError:
        return folder.startswith("/") and os.path.realpath(folder) not in _ours(docroot)
    for ours in _ours(docroot):
        with contextlib.suppress(OSError):
            if os.path.samestat(seen, os.stat(ours)):
                return False
    return True


def _ours(docroot: str) -> tuple[str, str]:
    """Where console and the old archive.php are."""
    real = os.path.realpath(docroot)
    return real, os.path.join(real, "misc", "cron")


def _statements(session: Session) -> list[Statement]:
    rows = session.rows("invalidations_archiver_statements")
    return [Statement(int(r["id"]), str(r["host"]), int(r["seconds"] or 0)) for r in rows]


def recovery(config: ini.Sections) -> Recovery:
    """When Matomo itself frees abandoned rows: [General], and [General_<idsite>] (4.x, 5.x)."""

    def seconds(section: str, default: int) -> int:
        text = ini.text_of(config, section, "archive_failure_recovery_timeout")
        return int(text) if text.strip().isdecimal() else default

    default = seconds("General", DEFAULT_RECOVERY)
    sites = {
        int(name[8:]): seconds(name, default)
        for name in config
        if name.startswith("General_") and name[8:].isdecimal()
    }
    return Recovery(default, sites)
