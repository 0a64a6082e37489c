"""Rebuilds one table: waits for a clear moment, tries, gives way, tries again, and says how."""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable, Optional, Union

from matops import sqlfile
from matops.mysql import running as codes
from matops.mysql.attempt import Attempt, Hooks, Why
from matops.mysql.gate import Clear
from matops.mysql.guard import Guard, Policy
from matops.mysql.monitor import Monitor
from matops.mysql.quote import fill
from matops.mysql.running import Running
from matops.mysql.session import AccessDenied, Address, ConnectionCut, DatabaseError
from matops.mysql.treatments import Part
from matops.mysql.watch import Progress, Watcher

LOST_AFTER = 2  # copies thrown away at their commit before a table is given up


class Ended(enum.Enum):
    """How the rebuild of one table ended. Only DONE changed anything."""

    DONE = "done"
    BLOCKED = "blocked"
    FAILED = "failed"
    LEFT = "left"
    STOPPED = "stopped"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Report:
    """What happened to one table. Stalls in seconds: the longest wait of any client."""

    ended: Ended = Ended.DONE
    reason: str = ""
    attempts: int = 0
    lost_copies: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    lock_stall: float = 0.0
    commit_stall: float = 0.0
    clients: int = 0
    blockers: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    hopeless: bool = False
    """No other table would fare better: a privilege is missing, the server is read-only."""

    def take(self, attempt: Attempt) -> None:
        """Adds what one attempt saw."""
        guard = attempt.guard
        self.lock_stall = max(self.lock_stall, guard.lock_stall)
        self.commit_stall = max(self.commit_stall, guard.commit_stall)
        self.clients = max(self.clients, guard.clients)
        self.note(attempt.blockers)
        self.killed += attempt.killed

    def note(self, blockers: list[str]) -> None:
        """Remembers who was in the way, each once."""
        self.blockers += [b for b in blockers if b not in self.blockers]


@dataclass
class Rebuilder:
    """Rebuilds tables of one schema, one statement at a time.

    ``variables``: of the session that rebuilds. ``clear`` tells who holds a table's metadata lock
    for longer than a second. ``patience``: seconds that a blocked table is waited for.
    """

    address: Address
    monitor: Monitor
    policy: Policy
    hooks: Hooks
    clear: Callable[[str], Clear]
    variables: Mapping[str, Union[int, float, str]]
    performance_schema: bool
    sees_all: bool
    patience: float = 600.0
    on_start: Callable[[int], None] = lambda id: None
    doing: str = "rebuild"

    def rebuild(self, table: str, part: Part, tag: str, progress: Callable[[], Progress],
                report: Report) -> Report:  # fmt: skip
        """Rebuilds a part of a table, with as many attempts as patience allows."""
        text = statement(part, table, tag, self.monitor.must(lambda s: s.flavour))
        return self.run(table, text, tag, progress, report)

    def run(self, table: str, text: str, tag: str, progress: Callable[[], Progress],
            report: Report) -> Report:  # fmt: skip
        """Runs one statement, whose text begins with the comment ``tag``, on a table to its end,
        with as many attempts as patience allows.
        """
        until = time.monotonic() + self.patience
        blocked = 0
        while True:
            if not self._wait_for_clear(table, until, report, blocked):
                return report
            report.attempts += 1
            ended, reason = self._try(table, text, tag, progress(), report)
            if ended is not Ended.BLOCKED:
                report.ended, report.reason = ended, reason
                return report
            blocked += 1
            if time.monotonic() > until or report.lost_copies >= LOST_AFTER:
                report.ended = Ended.BLOCKED
                report.reason = f"given up after {report.attempts} attempts: {reason}"
                return report
            self.hooks.tell("back_off", table=table, reason=reason, attempt=report.attempts)

    def _wait_for_clear(self, table: str, until: float, report: Report, blocked: int) -> bool:
        """No blind attempt while somebody holds the table: waiting for that stalls nobody."""
        began = time.monotonic()
        try:
            while True:
                if self.hooks.stop.reason:
                    report.ended, report.reason = Ended.STOPPED, self.hooks.stop.reason
                    return False
                clear = self.clear(table)
                report.note(clear.held)
                now = time.monotonic()
                if now - began >= clear.after(blocked):
                    return True
                if now > until:
                    report.ended = Ended.BLOCKED
                    report.reason = f"the table is held by {'; '.join(clear.held) or 'somebody'}"
                    return False
                self.hooks.held(table, clear.held)
                time.sleep(0.3)
        finally:
            report.waited += time.monotonic() - began

    def _try(self, table: str, text: str, tag: str, progress: Progress, report: Report
             ) -> tuple[Ended, str]:  # fmt: skip
        try:
            running = Running(self.address, text, self.variables, tag, self.doing)
        except DatabaseError as error:
            full = error.number in codes.NO_CONNECTION_FREE  # a peak of load: it passes
            return (Ended.BLOCKED if full else Ended.FAILED), error.what
        watcher = Watcher(
            self.address.schema, table, running.id,
            performance_schema=self.performance_schema, sees_all=self.sees_all,
        )  # fmt: skip
        attempt = Attempt(running, watcher, Guard(self.policy), progress, self.monitor, self.hooks)
        self.on_start(running.id)
        running.start()
        try:
            why = attempt.run()
        except BaseException:
            with contextlib.suppress(DatabaseError):
                self.monitor.kill(tag)  # never leave it running unguarded
            raise
        finally:
            running.close()
        report.take(attempt)
        report.seconds += running.seconds
        return self._ended(running, attempt, why, report)

    def _ended(self, running: Running, attempt: Attempt, why: Why, report: Report
               ) -> tuple[Ended, str]:  # fmt: skip
        error = running.error
        if error is None:
            return Ended.DONE, ""  # a cancel that came too late included
        copied = attempt.guard.copied
        if why in (Why.START, Why.COMMIT, Why.FLUSH) or error.number == codes.LOCK_TIMEOUT:
            report.lost_copies += copied
            lost = f", {running.seconds:.0f} s of copying lost" if copied else ""
            return Ended.BLOCKED, f"{why.value or 'lock wait timeout of the session'}{lost}"
        if isinstance(error, ConnectionCut):
            return Ended.UNKNOWN, error.what
        report.hopeless = isinstance(error, AccessDenied) or error.number in codes.READ_ONLY
        return classify(error, why, attempt.detail)


def classify(error: DatabaseError, why: Why, detail: str) -> tuple[Ended, str]:
    """How a statement that came back with an error ended, in words. Pure."""
    if why is Why.STOP:
        return Ended.STOPPED, f"cancelled: {detail}; the table is as it was"
    if why is not Why.NOT:
        return Ended.FAILED, f"cancelled: {why.value}: {detail}; the table is as it was"
    number = error.number
    if number in codes.NOT_ONLINE:
        return Ended.LEFT, f"the server does not do it online ({error.what})"
    if number == codes.ROW_LOG_FULL:
        return Ended.FAILED, (
            "the row log ran full (1799): more was written meanwhile than "
            "innodb_online_alter_log_max_size holds; raise it, or take a quieter hour"
        )
    if number == codes.ROW_VERSIONS:
        return Ended.LEFT, (
            "the table has used up its instant changes (4092): db.optimize --tables NAME "
            "--min-gain 0 rebuilds it, then it has new ones"
        )
    if number == codes.ROW_TOO_WIDE:
        return Ended.FAILED, "the row would be too wide (1118): core:update would fail, too"
    if number in codes.NO_TABLE:
        return Ended.LEFT, "the table is gone: it was dropped meanwhile"
    if number == codes.INTERRUPTED:
        return Ended.FAILED, "somebody else cancelled the statement, or the server was shut down"
    return Ended.FAILED, error.what


def statement(part: Part, table: str, tag: str, flavour: str) -> str:
    """The statement with its tag, by which a later run finds it in the process list."""
    text = fill(sqlfile.load(part.statement, flavour), part.marks(table), bound=False)
    return f"/* {tag} */ {text}"


def outcome(created_before: Optional[str], created_now: Optional[str]) -> Ended:
    """Of a statement that nobody heard the end of: a rebuild makes the table anew. Pure."""
    if created_before is None or created_now is None:
        return Ended.UNKNOWN
    return Ended.DONE if created_now != created_before else Ended.FAILED
