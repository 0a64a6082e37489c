"""Holding the installation's lock while something changes: take, heartbeat, give back."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import threading
from pathlib import Path
from typing import Any, Optional

from matops.errors import Locked, MatopsError, Refused
from matops.matomo.site import Site
from matops.units import show_duration, show_epoch

BEAT_EVERY = 60  # seconds; a lock counts as stale after settings.lock_stale_after
FENCE = "MATOPS_FENCE"
"""In the environment of a job: the fencing number of the run that started it."""


class Hold:
    """The lock of one installation. Use as a context manager; ``check`` before each change.

    ``take_over``: replace a *stale* holder (or any, with ``force``). A holder that was an
    earlier run of this very operator on this machine and is dead is simply resumed: its number
    is kept, because the jobs that it started carry it.
    """

    def __init__(self, site: Site, task: str, *, take_over: bool = False) -> None:
        self._site = site
        self._task = task
        self._take_over = take_over
        self._adopted = os.environ.get(FENCE, "")
        self._stop = threading.Event()
        self._lost = False
        self.fence = 0
        self.note = ""
        """How the lock was come by, where that is worth a line."""

    def __enter__(self) -> Hold:
        if self._adopted:
            self.fence = int(self._adopted)
            self.check()
        else:
            self.fence = self._take()
        threading.Thread(target=self._beat_on, daemon=True).start()
        return self

    def _take(self) -> int:
        owner = identity(self._task, self._site.host.name)
        answer = self._site.ask("matomo.lock:take", owner=owner)
        if not answer["taken"]:
            held, now = answer["lock"], answer["now"]
            resume = is_dead_self(held["owner"], owner)
            stale = now - held["beat"] > self._site.settings.lock_stale_after
            if not resume and not (stale and self._take_over):
                raise self._refusal(held, now, stale)
            self.note = (
                "resuming: the lock was still held by your earlier run, which is gone"
                if resume
                else f"taking over a stale lock ({describe(held, now)})"
            )
            answer = self._site.ask(
                "matomo.lock:take", owner=owner, over=held["fence"], resume=resume
            )
            if not answer["taken"]:
                raise self._refusal(answer["lock"], answer["now"], False)
        return int(answer["lock"]["fence"])

    def _refusal(self, held: dict[str, Any], now: float, stale: bool) -> Locked:
        fix = (
            "no sign of life: if that run is really gone, add --take-over"
            if stale
            else "wait for it, or look with `status` and `jobs`"
        )
        return Locked(
            f"another run holds this installation's lock: {describe(held, now)}",
            host=self._site.host.name,
            state="Nothing was changed",
            next=fix,
        )

    def check(self) -> None:
        """Raises Refused when the lock is no longer ours: somebody took it over."""
        if self._lost or not self._site.ask("matomo.lock:beat", fence=self.fence):
            raise Refused(
                "this run's lock was taken over by another one",
                host=self._site.host.name,
                state="What this run had done stays; it stops here",
                next="`status` shows who holds it",
            )

    def _beat_on(self) -> None:
        while not self._stop.wait(BEAT_EVERY):
            # A link that is down for a while is not a lost lock: only the database's word is.
            with contextlib.suppress(MatopsError):
                self._lost = not self._site.ask("matomo.lock:beat", fence=self.fence)

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        if not self._adopted:
            # Not given back when the link is gone: our next run resumes it.
            with contextlib.suppress(MatopsError):
                self._site.ask("matomo.lock:release", fence=self.fence)


def identity(task: str, host: str) -> dict[str, Any]:
    """Who we are, for the lock: enough to tell later whether we are still alive."""
    return {
        "user": getpass.getuser(),
        "machine": socket.gethostname(),
        "machine_id": _machine_id(),
        "pid": os.getpid(),
        "started": _start_of(os.getpid()),
        "task": task,
        "host": host,
    }


def is_dead_self(held: Optional[dict[str, Any]], mine: dict[str, Any]) -> bool:
    """True where the holder was a process of this user on this machine, and is no more."""
    if not held or any(held.get(k) != mine[k] for k in ("user", "machine", "machine_id")):
        return False
    return _start_of(int(held["pid"])) != held["started"] or not held["started"]


def describe(held: dict[str, Any], now: float) -> str:
    """``ops@laptop (prep on web1, pid 123) since …, last heartbeat 20 s ago, number 7``."""
    owner = held["owner"]
    return (
        f"{owner['user']}@{owner['machine']} ({owner['task']} on {owner['host']}, "
        f"pid {owner['pid']}) since {show_epoch(held['taken'])}, last heartbeat "
        f"{show_duration(max(now - held['beat'], 0))} ago, fencing number {held['fence']}"
    )


def _machine_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/etc/machine-id").read_text().strip()[:12]
    return ""


def _start_of(pid: int) -> str:
    """When a process began (clock ticks since boot); '' when it is gone. Guards pid reuse."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return "alive"
        return ""
