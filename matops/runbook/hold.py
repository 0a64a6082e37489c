"""Holding the installation's lock while something changes: take, heartbeat, give back."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from matops.errors import Locked, MatopsError, Refused, UsageError
from matops.host.jobs import RUNNING
from matops.matomo.site import Site
from matops.units import show_duration, show_epoch

BEAT_EVERY = 60  # seconds; a lock counts as stale after settings.lock_stale_after
FENCE = "MATOPS_FENCE"
"""In the environment of a job: the fencing number of the run that started it."""


class Hold:
    """The lock of one installation. Use as a context manager; ``check`` before each change.

    A holder that was an earlier run of this very operator on this machine and is dead is
    resumed: its number is kept, because the job that it started carries it. ``take_over``
    replaces a *stale* holder. Neither happens while the holder's job runs on this host, unless
    it is the job that this task (``attaches``: labels of jobs) would start itself.
    """

    def __init__(
        self,
        site: Site,
        task: str,
        *,
        take_over: bool = False,
        attaches: Sequence[str] = (),
    ) -> None:
        self._site = site
        self._task = task
        self._take_over = take_over
        self._attaches = attaches
        self._adopted = os.environ.get(FENCE, "")
        self._stop = threading.Event()
        self._lost = False
        self.fence = 0
        self.keep = False
        """True where something may still be at work when we leave: the lock stays."""
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
            resume = self._may_replace(answer, owner)
            answer = self._site.ask(
                "matomo.lock:take", owner=owner, over=answer["lock"]["fence"], resume=resume
            )
            if not answer["taken"]:
                raise self._refusal(answer, "")
        return int(answer["lock"]["fence"])

    def _may_replace(self, answer: dict[str, Any], owner: dict[str, Any]) -> bool:
        """True: resume our own dead run. False: take over a stale one. Raises Locked."""
        held, now = answer["lock"], answer["now"]
        mine = is_dead_self(held["owner"], owner) or self._died_there(held["owner"])
        stale = now - float(held.get("beat", 0)) > self._site.settings.lock_stale_after
        job = held.get("job") or {}
        here = job.get("machine") == self._hostname
        if job and here and self._at_work(str(job.get("name", ""))):
            raise self._refusal(answer, f"its job {job['name']} runs here: jobs.follow shows it")
        if mine and (not job or here or self._take_over):
            self.note = f"resuming: the lock was still held by {_who(held['owner'])}, which is gone"
            return True
        if stale and self._take_over:
            self.note = f"taking over a stale lock ({describe(held, now)})"
            return False
        if job and not here and (mine or stale):
            raise self._refusal(
                answer,
                f"its job {job['name']} on {job['machine']} may still run: look there with "
                "`jobs`; if it is gone, add --take-over",
            )
        fix = "no sign of life: if that run is really gone, add --take-over" if stale else ""
        if job and here and not stale and self._runs(str(job.get("name", ""))):
            fix = f"its job {job['name']} runs here: jobs.follow shows it"
        raise self._refusal(answer, fix)

    @property
    def _hostname(self) -> str:
        return str(self._site.machine.get("hostname", ""))

    def _died_there(self, held: dict[str, Any]) -> bool:
        """True where the holder was a process of the very host we work on (a job, the watcher,
        inv), and is no more: there we can look, so nobody need ask or wait."""
        if not str(held.get("started")).isdigit() or held.get("machine") != self._hostname:
            return False
        # Without /proc/1 other users' processes are hidden from us: then nothing is known.
        result = self._site.host.run(
            '[ -r /proc/1/stat ] || exit 3; head -c 12 /etc/machine-id 2>/dev/null; echo; '
            'cat "/proc/$1/stat" 2>/dev/null || true',
            str(int(held.get("pid", 0))), user=self._site.keeper, check=False,
            what="look for the lock's holder",
        )  # fmt: skip
        if result.code != 0:
            return False
        machine, _, stat = result.text.partition("\n")
        return machine.strip() == held.get("machine_id") and _began(stat) != held["started"]

    def _at_work(self, job: str) -> bool:
        """Does that job run here, and is it not one that this task would attach to?"""
        return job.rpartition(".")[0] not in self._attaches and self._runs(job)

    def _runs(self, job: str) -> bool:
        try:
            return self._site.jobs.poll(job).job.state == RUNNING
        except UsageError:
            return False

    def _refusal(self, answer: dict[str, Any], fix: str) -> Locked:
        return Locked(
            "another run holds this installation's lock: "
            + describe(answer["lock"], answer["now"]),
            host=self._site.host.name,
            state="Nothing was changed",
            next=fix or "wait for it, or look with `status` and `jobs`",
        )

    def check(self, job: str = "") -> None:
        """Raises Refused when the lock is no longer ours: somebody took it over.

        ``job``: the name of one that is about to be started; it is written into the lock.
        """
        noted = {"name": job, "machine": self._site.machine.get("hostname", "")} if job else None
        if self._lost or not self._site.ask("matomo.lock:beat", fence=self.fence, job=noted):
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
        if not self._adopted and not self.keep:
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
    return not held.get("started") or _start_of(int(held.get("pid", 0))) != held["started"]


def describe(held: dict[str, Any], now: float) -> str:
    """``ops@laptop (prep on web1, pid 123) since …, last heartbeat 20 s ago, number 7``."""
    owner = {key: held["owner"].get(key, "?") for key in ("user", "machine", "task", "host", "pid")}
    return (
        f"{owner['user']}@{owner['machine']} ({owner['task']} on {owner['host']}, "
        f"pid {owner['pid']}) since {show_epoch(held.get('taken', 0))}, last heartbeat "
        f"{show_duration(max(now - held.get('beat', 0), 0))} ago, fencing number {held['fence']}"
    )


def _machine_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/etc/machine-id").read_text().strip()[:12]
    return ""


def _who(owner: dict[str, Any]) -> str:
    return f"{owner.get('user')}@{owner.get('machine')}'s {owner.get('task')}"


def _began(stat: str) -> str:
    """Field 22 of /proc/PID/stat (behind the command, which may hold blanks); '' for none."""
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _start_of(pid: int) -> str:
    """When a process began (clock ticks since boot); '' when it is gone. Guards pid reuse."""
    with contextlib.suppress(OSError):
        if found := _began(Path(f"/proc/{pid}/stat").read_text()):
            return found
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return "alive"
    return ""
