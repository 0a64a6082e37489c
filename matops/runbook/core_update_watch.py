"""Watching one ``core:update``: its output as it comes, its statement inside the server, who is in
its way. It only watches: the update goes on whatever becomes of us."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from matops.errors import MatopsError, OutcomeUnknown, UsageError
from matops.host import jobs as host_jobs
from matops.matomo import core_update_look
from matops.matomo.site import Site
from matops.matomo.update_output import Step, UpdateOutput
from matops.mysql.guard import Policy
from matops.mysql.session import DatabaseError
from matops.mysql.update_eyes import Eyes, Sight
from matops.mysql.update_watch import Blocked, Connection, squeezed
from matops.runbook.core_update_expected import Expected
from matops.units import show_duration, show_size

EVERY = 60.0  # seconds between two lines about the same statement
FIRST = 10.0  # seconds after which a statement is worth a line
PATIENCE = 600.0  # seconds that a look at our own job may fail
TOLD = 2.0  # seconds that a wait for a lock may last before it is told
ALERT = 30.0  # seconds of such a wait before somebody is woken
ENDED = 600.0
"""Seconds without a statement's being seen in the server, after it was: php then waits for an
answer that never comes, where a firewall forgot the silent connection (an ALTER of hours)."""
_MANY = 200  # migrations: beyond that only slow ones have a line of their own
_SLOW = 5.0  # seconds
_TICKS = (0.2, 1.0)  # seconds between two looks, at the beginning and later


@dataclass(frozen=True)
class Care:
    """What is to be done about blockers. ``alert``: (in some words, the text)."""

    end_idle: bool = False
    policy: Policy = field(default_factory=Policy)
    alert: Callable[[str, str], Any] = lambda what, text: None
    guard: Callable[[], Any] = lambda: None
    """Called every ``EVERY`` seconds."""


class Watch:
    """Follows job ``name`` to its end. ``eyes``: they, or how to get them (None: not now)."""

    def __init__(
        self,
        site: Site,
        name: str,
        eyes: Union[Eyes, Callable[[], Optional[Eyes]]],
        expected: Expected,
        care: Care,
        say: Callable[[str], object],
        done: Sequence[str] = (),
    ) -> None:
        """``done``: statements of earlier runs of this update, which a crash cut off."""
        self._site, self.name = site, name
        self._eyes = eyes if isinstance(eyes, Eyes) else None
        self._get_eyes = (lambda: None) if isinstance(eyes, Eyes) else eyes
        self._eyes_at = -EVERY
        self._expected, self._care, self._say = expected, care, say
        self.output = UpdateOutput()
        self._began = time.monotonic()
        self._pid = 0
        self._statement, self._since = "", self._began
        self._line_at = self._began - EVERY + FIRST
        self._blockers: tuple[int, str] = (0, "")
        self._blocked_told = self._alerted = 0.0
        self._blind_told = self._disk_told = False
        self._done = list(done)
        self._seen_at = self._began
        self._gone_told = ""
        self._guarded = self._began
        self._swept = 0.0

    def follow(self) -> Optional[int]:
        """Until the job has ended and no core:update is left; its exit code, None = nobody wrote
        one. A job that lost its keeper is not over before its php is."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        offset = 0
        while True:
            poll = self._poll(offset)
            offset = poll.offset
            if poll.log:
                self._hear(decoder.decode(poll.log))
            running = poll.job.state == host_jobs.RUNNING
            if not running and poll.job.code is None:
                running = bool(core_update_look.running(self._site.docroot))
            if len(poll.log) >= host_jobs.CHUNK:
                continue
            if not running and not poll.log:
                self.output.end()
                return poll.job.code
            if running:
                self._look()
                time.sleep(_TICKS[time.monotonic() - self._began > 5])

    def _poll(self, offset: int) -> host_jobs.Poll:
        """A machine that is out of memory cannot start a process for a while: no reason to go."""
        until, told = time.monotonic() + PATIENCE, False
        while True:
            try:
                return self._site.jobs.poll(self.name, offset)
            except UsageError:
                raise
            except (MatopsError, OSError) as error:
                why = error.what if isinstance(error, MatopsError) else str(error)
                if time.monotonic() > until:
                    raise OutcomeUnknown(
                        f"job {self.name} cannot be looked at any more: {why}",
                        host=self._site.host.name,
                        state="core:update most likely goes on",
                        next="run the same again: it attaches",
                    ) from None
                if not told:
                    told = True
                    self._say(f"  job {self.name} cannot be looked at, trying on: {why}")
                time.sleep(2.0)

    # --- its output --------------------------------------------------------------------------

    def _hear(self, text: str) -> None:
        for step in self.output.feed(text, time.monotonic() - self._began):
            if step.of <= _MANY or step.seconds >= _SLOW or not step.number:
                self._say(f"  {_done(step)}")

    # --- its statement -----------------------------------------------------------------------

    def _look(self) -> None:
        statement, now = self.output.current, time.monotonic()
        if statement != self._statement:
            self._statement, self._since, self._line_at = statement, now, now - EVERY + FIRST
            self._seen_at = 0.0
        sight = None
        if self._eyes is None and now - self._eyes_at >= EVERY:
            self._eyes_at, self._eyes = now, self._get_eyes()
        if self._eyes is not None:
            with contextlib.suppress(DatabaseError):  # what the account may not see
                sight = self._eyes.look(statement, self._ports())
        self._about_lock(sight)
        self._about_gone(sight, now)
        if now - self._guarded >= EVERY:
            self._guarded = now
            self._care.guard()
        if now - self._line_at >= EVERY:
            self._line_at = now
            self._say(f"  {self.line(sight)}")
            self._about_disk()

    def _ports(self) -> set[int]:
        ports = core_update_look.local_ports(self._pid) if self._pid else set()
        if not ports and time.monotonic() - self._swept > 2.0:
            self._swept = time.monotonic()
            with contextlib.suppress(MatopsError):
                found = core_update_look.running(self._site.docroot)
                self._pid = found[0].pid if found else 0
        return ports

    def line(self, sight: Optional[Sight]) -> str:
        """Where it stands: ``[4 / 18] since 2 min: ALTER …: altering table, 41 %, …``."""
        done, total = self._counts()
        now = time.monotonic()
        if not self._statement:
            return f"core:update runs since {show_duration(now - self._began)}, no statement yet"
        elapsed = now - self._since
        words = [f"[{done + 1} / {total or '?'}] since {show_duration(elapsed)}: "
                 f"{_short(self._statement)}"]  # fmt: skip
        words += _inside(sight)
        words += self._expected.words(self._statement, elapsed)
        ended = [*self._done, *(step.statement for step in self.output.steps)]
        eta = sight.eta if sight else None
        left = self._expected.left(ended, elapsed, self._statement, eta)
        if left is not None:
            words.append(f"all migrations: about {show_duration(left)} left by the plan")
        return "; ".join(words)

    def _counts(self) -> tuple[int, int]:
        steps = self.output.steps
        if not steps:
            return 0, self._expected.total
        return len(steps), max(step.of for step in steps)

    # --- who is in its way -------------------------------------------------------------------

    def _about_lock(self, sight: Optional[Sight]) -> None:
        if sight is None:
            return  # the database is away: nothing is known
        blocked = sight.blocked
        if sight.connection is None or blocked is None:
            if self._blocked_told:
                self._say("  it goes on: nothing holds it up any more")
            self._blockers, self._blocked_told, self._alerted = (0, ""), 0.0, 0.0
            return
        seconds = max(blocked.seconds, sight.connection.seconds)
        if seconds < TOLD:
            return
        now = time.monotonic()
        known = (len(blocked.by), blocked.object)
        if known != self._blockers or now - self._blocked_told >= EVERY:
            self._blockers, self._blocked_told = known, now
            self._say(f"  BLOCKED: {_short(self._statement)} {blocked.words}")
        self._end_idle(sight.connection, blocked)
        if seconds >= ALERT and (not self._alerted or now - self._alerted >= 600):
            self._alerted = now
            self._care.alert("core:update is held up", f"{self._statement}\n{blocked.words}")

    def _end_idle(self, mine: Connection, blocked: Blocked) -> None:
        if not self._care.end_idle or self._eyes is None or not blocked.table:
            return
        why = self._eyes.why_blind()
        if why:
            if not self._blind_told:
                self._blind_told = True
                self._say(f"  --end-idle-blockers can do nothing: {why}")
            return
        with contextlib.suppress(DatabaseError):
            for words in self._eyes.end_idle(mine.id, blocked.table, self._care.policy):
                self._say(f"  ended: {words}")

    def _about_gone(self, sight: Optional[Sight], now: float) -> None:
        """A statement of SQL that the server worked on and does not any more, and php waits."""
        if sight is None or not self._statement:
            return
        if sight.connection is not None:
            self._seen_at = now if _same(sight.connection, self._statement) else 0.0
        elif self._seen_at and now - self._seen_at > ENDED and self._gone_told != self._statement:
            self._gone_told = self._statement
            text = (
                f"the server ended this {show_duration(now - self._seen_at)} ago, php still waits "
                f"for it: {_short(self._statement)}; most likely a firewall dropped the silent "
                f"connection. jobs.stop {self.name}, then core.update again: what is there already "
                "is passed over"
            )
            self._say(f"  STUCK? {text}")
            self._care.alert("core:update waits for a statement that has ended", text)

    def _about_disk(self) -> None:
        low = None
        if self._eyes is not None:
            with contextlib.suppress(OSError):
                low = self._eyes.low_disk()
        if low is not None and not self._disk_told:
            self._disk_told = True
            text = f"only {show_size(low)} are free where the database keeps its files"
            self._say(f"  LOW DISK: {text}")
            self._care.alert("the disk is filling up during core:update", text)


def _same(connection: Connection, statement: str) -> bool:
    """The very statement, not one that a console command runs as its part."""
    return squeezed(connection.statement)[:900] == squeezed(statement)[:900]


def _inside(sight: Optional[Sight]) -> list[str]:
    """What the server says of the statement."""
    if sight is None:
        return ["the database does not answer now"]
    if sight.connection is None:
        return ["not seen in the server now: php itself works, or this account does not see it"]
    words = [sight.connection.state.lower()] if sight.connection.state else []
    if sight.share is not None:
        words.append(f"{100 * sight.share:.0f} %")
    if sight.rows:
        words.append(f"{sight.rows} rows changed")
    if sight.eta is not None:
        words.append(f"about {show_duration(sight.eta)} left")
    return [", ".join(words)] if words else []


def _done(step: Step) -> str:
    if not step.number:
        return f"FAILED: {_short(step.statement)}"
    return f"[{step.number} / {step.of}] {_short(step.statement)} ({show_duration(step.seconds)})"


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= 110 else f"{text[:109]}…"
