"""Processes of this very machine that work on the queue; ending them between two batches. There.

PHP's command line dies at once of TERM: the batch that it was at is rolled back by the database
and waits on. One moment is bad: after the commit, before the batch leaves the list; then it is
recorded twice. So a worker gets its TERM while no list is locked, wherever that can be.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matops.errors import MatopsError
from matops.matomo.probes import background
from matops.matomo.queue_setup import look as look_at_setup
from matops.matomo.queue_store import Store, opened
from matops.matomo.schedules import words

_PROCESS = re.compile(r"\bqueuedtracking:process\b")
_PHP = re.compile(r"^(?:\S*/)?(?:php[\w.-]*|console)\s")
_CYCLES = re.compile(r"(?:\s-c\s*=?|--cycle[= ])\s*(\d+)")
_LOOK, _GRACE, _BETWEEN = 0.2, 10.0, 30.0  # seconds


@dataclass(frozen=True)
class Worker:
    """One process. ``endless``: it begins anew by itself (``-c``), so it is not waited for."""

    pid: int
    user: str
    seconds: int
    line: str
    endless: bool
    parent: str = ""


def running(docroot: str) -> list[Worker]:
    """The PHP processes that work on this installation's queue, the oldest first."""
    found = []
    for one in background.processes():
        line, pid = str(one["line"]), int(one["pid"])
        if not _PROCESS.search(line) or not _PHP.search(line):
            continue
        if words.meaning(line, docroot, {}, _folder(pid)).ours is False:
            continue
        cycles = _CYCLES.search(line)
        endless = bool(cycles) and cycles is not None and cycles[1] != "1"
        found.append(
            Worker(pid, str(one["user"]), int(one["seconds"]), line[:200], endless, _parent(pid))
        )
    return found


def look(docroot: str) -> list[dict[str, Any]]:
    """``running`` as plain data."""
    return [asdict(one) for one in running(docroot)]


def end(docroot: str, patience: float = 120.0) -> dict[str, Any]:
    """Waits for those that end by themselves, ends the others.

    ``{"ended": [how, a line each], "endless": [what was run, of those that would have gone on],
    "again": what has started workers anew}``. MatopsError where one does not go. A pass that takes
    longer than ``patience`` seconds is ended, too.
    """
    until = time.monotonic() + patience
    ended: list[str] = []
    endless: list[str] = []
    waited: set[int] = set()
    while left := running(docroot):
        over = time.monotonic() > until
        waited.update(one.pid for one in left)
        due = [one for one in left if one.endless or over]
        if due and (_between_batches(docroot) or time.monotonic() > until + _BETWEEN):
            for one in due:
                ended.append(_stop(one))
                endless += [f"as {one.user}: {one.line}"] if one.endless else []
        time.sleep(_LOOK)
    by_themselves = len(waited) - len(ended)
    if by_themselves > 0:
        ended.append(f"{by_themselves} ended by themselves")
    time.sleep(1.5 if waited else 0)  # what starts them anew has had the time to
    again = [f"process {one.pid}, started by {one.parent}" for one in running(docroot)]
    return {"ended": ended, "endless": endless, "again": again}


def _stop(one: Worker) -> str:
    how = "TERM"
    with contextlib.suppress(ProcessLookupError):
        os.kill(one.pid, signal.SIGTERM)
        until = time.monotonic() + _GRACE
        while _alive(one.pid):
            if time.monotonic() > until:
                how = "KILL"
                os.kill(one.pid, signal.SIGKILL)
                until = time.monotonic() + _GRACE
            time.sleep(0.05)
            if how == "KILL" and time.monotonic() > until:
                raise MatopsError(
                    f"the worker with process {one.pid} does not end, not even by KILL",
                    state="It may go on processing the queue",
                    next="look at it: it hangs in the kernel (disk, network file system?)",
                )
    return f"process {one.pid} of {one.user} ({how}): {one.line}"


def _between_batches(docroot: str) -> bool:
    """True while no list is locked; also where nobody can tell."""
    try:
        setup = look_at_setup(docroot)
        with opened(setup, docroot) as store:
            return _free(store)
    except MatopsError:
        return True


def _free(store: Store) -> bool:
    for _ in range(20):  # a lock is given back for milliseconds only
        if not store.locks():
            return True
        time.sleep(0.01)
    return False


def _alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def _folder(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd")
    return ""


def _parent(pid: int) -> str:
    """What started it: ``process 7: bash /root/loop.sh``."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        parent = int(stat.rpartition(")")[2].split()[1])
        line = Path(f"/proc/{parent}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return f"process {parent}: {background.hide(line)[:120]}"
    return "?"
