"""One attempt at one statement, watched until it ends. Looks several times a second."""

from __future__ import annotations

import contextlib
import enum
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Protocol

from matops.errors import MatopsError
from matops.mysql.guard import Guard, Sight, Verdict
from matops.mysql.monitor import Monitor
from matops.mysql.session import DatabaseError
from matops.mysql.watch import Progress, Watcher

TICK = 0.15  # seconds between two looks
_AGAIN = 15.0  # seconds after which a cancel that had no effect is sent again

Tell = Callable[..., None]
"""``tell("event", **facts)``: where the run tells what happens."""


class Why(enum.Enum):
    """Why a statement was cancelled, by us."""

    NOT = ""
    START = "clients piled up behind its start"
    COMMIT = "clients piled up behind its commit"
    FLUSH = "clients piled up behind a FLUSH that waits for it"
    STOP = "told to stop"
    LOAD = "the server's load is critical"
    SPACE = "the disk is filling up"
    LOCK = "another run took over"


class Statement(Protocol):
    """What is watched: one of ours, or one that an earlier run left running."""

    id: int
    tag: str
    """What its text begins with, as a comment: by this it is found, and cancelled."""

    def wait(self, seconds: float) -> bool:
        """Waits at most so long; True once it has ended."""


class Stop:
    """Whether somebody asked us to stop: ``reason`` ('' = no) and the exit ``code`` then."""

    def __init__(self) -> None:
        self.reason = ""
        self.code = 130

    def ask(self, reason: str, code: int = 130) -> None:
        """Asks; the first reason counts."""
        if not self.reason:
            self.reason, self.code = reason, code


@dataclass
class Hooks:
    """What an attempt asks of the rest of the run, about once a second at the most.

    ``critical`` and ``disk``: why to cancel now, or ''. ``blockers``: who holds the table's
    metadata lock, for the report, None = cannot be known. ``end_idle``: ends those that may be
    ended, returns what was done. ``grown``: bytes of the new file, 0 = cannot be seen.
    """

    stop: Stop
    tell: Tell
    critical: Callable[[], str] = lambda: ""
    disk: Callable[[], str] = lambda: ""
    blockers: Callable[[int], Optional[list[str]]] = lambda own: None
    end_idle: Callable[[int], list[str]] = lambda own: []
    grown: Callable[[], int] = lambda: 0
    predicted: int = 0
    _held: tuple[str, ...] = ()

    def held(self, table: str, by: list[str]) -> None:
        """Tells who holds the table that is waited for, when that changes."""
        if by and tuple(by) != self._held:
            self.tell("held", table=table, by=by)
        self._held = tuple(by)


@dataclass
class Attempt:
    """Watches ``statement`` to its end; cancels it by the guard's rules."""

    statement: Statement
    watcher: Watcher
    guard: Guard
    progress: Progress
    monitor: Monitor
    hooks: Hooks
    why: Why = Why.NOT
    detail: str = ""
    blockers: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    _cancelled_at: float = 0.0
    _second: float = 0.0
    _warned: bool = False
    _blind: float = 0.0
    _asked: bool = False

    def run(self) -> Why:
        """Returns once the statement has ended: why it was cancelled by us, or NOT."""
        while not self.statement.wait(TICK):
            sight = self._look()
            if self.why is not Why.NOT:
                self._insist()
                if sight:
                    self.guard.judge(sight)
            elif self.hooks.stop.reason:
                self._cancel(Why.STOP, self.hooks.stop.reason)
            elif sight:
                self._judge(sight)
        return self.why

    def _look(self) -> Optional[Sight]:
        with contextlib.suppress(DatabaseError):
            sight = self.monitor.ask(self.watcher.look)
            if sight is not None:
                self._blind = 0.0
                return sight
        if not self._blind:
            self._blind = time.monotonic()
            self.hooks.tell("blind", seconds=0)
        return None

    def _judge(self, sight: Sight) -> None:
        verdict = self.guard.judge(sight, TICK)
        if sight.is_waiting and not self._asked:
            self._asked = True
            self.blockers += [b for b in self._who() if b not in self.blockers]
        elif not sight.is_waiting:
            self._asked = False
        if verdict is Verdict.CANCEL_START:
            self._cancel(Why.START)
        elif verdict is Verdict.CANCEL_COMMIT:
            self._cancel(Why.COMMIT)
        elif verdict is Verdict.CANCEL_FLUSH:
            self.blockers += [b for b in [sight.flush] if b and b not in self.blockers]
            self._cancel(Why.FLUSH, sight.flush)
        elif verdict is Verdict.KILL_IDLE:
            self._end_idle()
        elif time.monotonic() - self._second >= 1:
            self._second = time.monotonic()
            self._each_second(sight)

    def _who(self) -> list[str]:
        with contextlib.suppress(DatabaseError):
            return self.hooks.blockers(self.statement.id) or []
        return []

    def _end_idle(self) -> None:
        with contextlib.suppress(DatabaseError):
            self.killed += self.hooks.end_idle(self.statement.id)

    def _each_second(self, sight: Sight) -> None:
        if self.monitor.lost_lock:
            self._cancel(Why.LOCK)
            return
        with contextlib.suppress(MatopsError):  # what the account may not know
            self.monitor.ask(self.progress.look)
        grown = self.hooks.grown()
        self.progress.by_file = self.progress.by_file or bool(grown and self.hooks.predicted)
        self.progress.grown(grown, self.hooks.predicted)
        if (self.progress.row_log or 0) > 0.5 and not self._warned:
            self._warned = True
            self.hooks.tell("row_log", used=self.progress.row_log)
        for why, ask in ((Why.LOAD, self.hooks.critical), (Why.SPACE, self.hooks.disk)):
            if why is Why.LOAD and (sight.waiters or sight.behind):
                continue  # they run because they wait for us: the guard's to judge, not the load's
            reason = ""
            with contextlib.suppress(MatopsError):  # not to be known now is no reason to cancel
                reason = ask()
            if reason:
                self._cancel(why, reason)
                return
        self.hooks.tell("progress", **self.facts(sight))

    def facts(self, sight: Sight) -> dict[str, Any]:
        """For the operator: phase, share, ETA in seconds, waiters now."""
        eta = self.progress.eta
        return {
            "phase": sight.state,
            "share": round(self.progress.share, 3),
            "eta": None if eta is None else round(eta, 1),
            "waiters": len(sight.waiters) + len(sight.behind),
            "oldest_wait": round(max([sight.oldest, *(w.age for w in sight.behind)]), 2),
            "row_log": self.progress.row_log,
        }

    def _cancel(self, why: Why, detail: str = "") -> None:
        self.why, self.detail = why, detail
        self.hooks.tell("cancel", why=why.value, detail=detail)
        self._kill()

    def _insist(self) -> None:
        if time.monotonic() - self._cancelled_at > _AGAIN:
            self._kill()

    def _kill(self) -> None:
        # Where the link is down now, the next look tries again.
        with contextlib.suppress(DatabaseError):
            if self.monitor.kill(self.statement.tag):
                self._cancelled_at = time.monotonic()
