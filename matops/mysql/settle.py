"""What became of a rebuild that nobody heard the end of: matops was killed, or a link was cut.

A server goes on with an ALTER after its client is gone (measured on both). So: is a statement
with our tag still running there? Then it is watched to its end by the same rules. If not: a
rebuild makes the table anew, so its creation time tells whether it was finished or rolled back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Optional

from matops.errors import OutcomeUnknown
from matops.mysql import treatments
from matops.mysql.attempt import Attempt, Hooks
from matops.mysql.guard import Guard, Policy
from matops.mysql.monitor import Monitor
from matops.mysql.optimize_journal import Begun
from matops.mysql.rebuild import Ended, Report
from matops.mysql.watch import Progress, Watcher

PATIENCE = 90.0
"""Seconds that a server may take to come back after a crash, before we say that we do not know."""


class Left:
    """A statement that an earlier run left behind."""

    def __init__(self, monitor: Monitor, id: int, tag: str) -> None:
        self.id, self.tag = id, tag
        self._monitor = monitor
        self.seconds = monitor.must(lambda s: seconds(s.rows, tag))

    def wait(self, seconds: float) -> bool:
        """True once it is no longer in the process list."""
        time.sleep(seconds)
        found = self._monitor.ask(lambda s: (find(s.rows, self.tag),))
        return found is not None and found[0] != self.id


def find(rows: Callable[..., list[dict[str, object]]], tag: str) -> Optional[int]:
    """The connection whose statement carries the tag; None where none does."""
    found = _tagged(rows, tag)
    return int(str(found[0]["id"])) if found else None


def seconds(rows: Callable[..., list[dict[str, object]]], tag: str) -> float:
    """For how long the statement with that tag has run; 0 where none does."""
    found = _tagged(rows, tag)
    return float(str(found[0]["seconds"] or 0)) if found else 0.0


def _tagged(rows: Callable[..., list[dict[str, object]]], tag: str) -> list[dict[str, object]]:
    prefix = f"/* {tag} */"
    return rows("statement_tagged", (prefix, prefix))


def settle(
    begun: Begun,
    schema: str,
    monitor: Monitor,
    policy: Policy,
    hooks: Hooks,
    make: Callable[[int], Watcher],
    patience: float = PATIENCE,
) -> Report:
    """How it ended: DONE, FAILED (rolled back: the table is as it was), STOPPED or UNKNOWN.

    Waits for the server to come back, and for a statement that still runs. ``make`` makes the
    watcher of a connection.
    """
    report = Report(Ended.UNKNOWN)
    began = time.monotonic()
    try:
        await_end(begun, monitor, policy, hooks, make, report, patience)
        shape = monitor.must(lambda s: treatments.look(s, schema, begun.table), patience)
    except OutcomeUnknown as error:
        report.reason = error.what
        return report
    report.seconds = time.monotonic() - began
    if shape is None:
        report.ended, report.reason = Ended.LEFT, "the table is gone: it was dropped meanwhile"
    elif str(shape.created) != begun.created and begun.partition:
        report.ended = Ended.FAILED
        report.reason = f"the server finished partition {begun.partition}; the others are not known"
    elif str(shape.created) != begun.created:
        report.ended, report.reason = Ended.DONE, "the server finished it by itself"
    else:
        rolled_back(report, hooks)
    return report


def rolled_back(report: Report, hooks: Hooks) -> None:
    """The effect is not there: cancelled by us, or the server undid it."""
    if hooks.stop.reason:
        report.ended = Ended.STOPPED
        report.reason = f"cancelled: {hooks.stop.reason}; the table is as it was"
    else:
        report.ended = Ended.FAILED
        report.reason = "the server rolled it back: the table is as it was"


def await_end(
    begun: Begun,
    monitor: Monitor,
    policy: Policy,
    hooks: Hooks,
    make: Callable[[int], Watcher],
    report: Report,
    patience: float = PATIENCE,
) -> None:
    """Waits for the server to come back, and watches a statement of ours that still runs there.

    Raises OutcomeUnknown where the server does not answer for ``patience`` seconds.
    """
    id = monitor.must(lambda s: find(s.rows, begun.tag), patience)
    if id is not None:
        hooks.tell("adopted", table=begun.table, id=id)
        _watch(Left(monitor, id, begun.tag), begun, monitor, policy, hooks, make, report)


def _watch(
    left: Left,
    begun: Begun,
    monitor: Monitor,
    policy: Policy,
    hooks: Hooks,
    make: Callable[[int], Watcher],
    report: Report,
) -> None:
    watcher = make(left.id)
    progress = Progress(watcher.schema, begun.table, 0, 0)
    # Its start is behind it where a new file grows, or where it has run for longer than it could
    # have waited there: then a copy is at stake.
    copied = hooks.grown() > 0 or left.seconds > policy.backstop
    attempt = Attempt(left, watcher, Guard(policy, copied), progress, monitor, hooks)
    attempt.run()
    report.attempts += 1
    report.take(attempt)
