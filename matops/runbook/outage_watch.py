"""Watches an outage from the leading host, in a job of its own: deadline, and room in the queue.

Reads the outage's record and never writes it (that is the phases', under the lock). What it has
told is kept beside it, so that a watcher that was killed and started again does not repeat it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.host import files
from matops.matomo.site import Site
from matops.runbook import alert, rollback, update_begin
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import DEADLINE, LEADER, MODE, clock, watch_path, watched
from matops.runbook.outage_words import at_deadline, held_line, on_the_way
from matops.runbook.step import Say
from matops.runbook.tracking_mode import QUEUE
from matops.units import show_duration

LEVELS = (50, 75, 100)
"""Percent of the time to the deadline at which somebody is told."""

SHORT = 3600.0
"""Seconds until the queue is full: fewer is told; a quarter of it has the queue drained."""

AGAIN = 900.0
"""Seconds between two drainings for want of room."""

RunTask = Callable[[Sequence[str]], int]
"""Runs a task of matops on this host to its end; its exit code."""


@dataclass
class Told:
    """What this outage's operators know already. ``tried``: when something was tried last."""

    began: str = ""
    beat: float = 0.0
    """When the watcher looked last, by the host's clock."""
    deadline: float = 0.0
    levels: list[int] = field(default_factory=list)
    queue: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    over: bool = False


def level(began: float, deadline: float, now: float, told: Sequence[int]) -> Optional[int]:
    """The highest of LEVELS that has been reached and not been told; None for none. Pure."""
    share = (now - began) / max(deadline - began, 1.0) * 100
    reached = [each for each in LEVELS if share >= each]
    return reached[-1] if reached and reached[-1] not in told else None


def queue_state(seen: dict[str, Any], left: Optional[float]) -> str:
    """``''`` all is well, ``short`` room runs out soon or before the deadline, ``urgent`` drain
    now, ``trouble`` hits are being lost, or may be. ``left``: seconds to the deadline. Pure."""
    if seen.get("errors"):
        return "trouble"
    full = seen.get("full_in_seconds")
    if full is None:
        return ""
    if full < SHORT / 4:
        return "urgent"
    return "short" if full < SHORT or (left is not None and left > 0 and full < left) else ""


class Watch:
    """``site``: the leader, as seen from itself. ``run_task`` starts another task of ours."""

    def __init__(self, site: Site, say: Say, run_task: RunTask) -> None:
        self._site, self._say, self._run = site, say, run_task
        self._began = ""

    def tick(self) -> bool:
        """One look; False when the outage is over (or another one began). Raises nothing that
        the world can cause: a watcher that stumbles goes on watching."""
        try:
            data = Outage(self._site).read()
            if not data["began"] or (self._began and data["began"] != self._began):
                self._say("the outage is over")
                return False
            self._began = data["began"]
            self._look(data)
        except MatopsError as error:
            self._say(f"not seen this time: {error.line()}")
        return True

    def _look(self, data: dict[str, Any]) -> None:
        told = self._told(data)
        now, notes = clock(self._site), data["notes"]
        told.beat = now
        self._write(told)  # at once: whoever started us waits for it
        deadline = float(notes.get(DEADLINE, {}).get("at", 0))
        if told.deadline != deadline:  # it was moved: its levels count anew
            told.deadline, told.levels, told.over = deadline, [], False
        queue = self._queue(data, told, deadline - now if deadline else None, now)
        if deadline:
            self._deadline(data, told, now, queue)
        self._write(told)

    # --- the deadline ------------------------------------------------------------------------

    def _deadline(self, data: dict[str, Any], told: Told, now: float, queue: str) -> None:
        began, deadline = float(data["notes"][LEADER]["at"]), told.deadline
        reached = level(began, deadline, now, told.levels)
        if reached is not None and reached < 100:
            told.levels.append(reached)
            left = show_duration(max(deadline - now, 0))
            self._alert(f"{reached} % of the outage's time is over", on_the_way(data, left, queue))
        if now >= deadline and not told.over and self._may_try(told, "rollback", now, self._again):
            self._at_deadline(data, told)

    def _at_deadline(self, data: dict[str, Any], told: Told) -> None:
        why_not = self._why_no_rollback(data)
        first = 100 not in told.levels
        told.levels = sorted({*told.levels, 100})
        if why_not:
            told.over = True
            self._alert("the outage's deadline is past", at_deadline(data, why_not))
            return
        self._write(told)
        if first:
            self._alert("the deadline is past: rolling back", held_line(data))
        # A holder without a sign of life must not keep the system down: its laptop may be gone.
        # One that is alive, or whose job runs here, keeps the lock all the same.
        code = self._run(["rollback", "--yes", "--take-over"])
        if code == 0:
            told.over = True
            logs = (
                ""
                if data["notes"].get(MODE) == QUEUE
                else "The hits of the outage are in the "
                "access logs only: logs.gap and logs.replay, as that output says. "
            )
            self._alert("rolled back", "The old release is served again, everything that was "
                        f"switched off is on. {logs}Its output is in the job's log.")  # fmt: skip
        elif first:
            why = "another run holds the lock" if code == 75 else f"it ended with code {code}"
            self._alert("rollback did not end well", f"{why}. It is tried again every "
                        f"{show_duration(self._again)}; outage.status shows the state, "
                        "jobs.follow the output.")  # fmt: skip

    def _why_no_rollback(self, data: dict[str, Any]) -> str:
        if not data["found"]:  # recover is at it, or was: rollback would close its record
            return "every switch is put back already; `recover` has still to come to its end"
        listed = {*self._site.settings.servers, *self._site.settings.archivers}
        others = sorted(listed - {self._site.host.name, data["notes"][LEADER]["name"]})
        if others:
            return (f"other servers belong to it ({', '.join(others)}), which cannot be reached "
                    "from here")  # fmt: skip
        try:
            verdict = rollback.look(self._site, data)
        except Refused as refused:
            return refused.what
        if verdict is not None and not verdict.way_back:
            return "migrations ran: there is no way back, only forward"
        return ""

    # --- the queue ---------------------------------------------------------------------------

    def _queue(
        self, data: dict[str, Any], told: Told, left: Optional[float], now: float
    ) -> str:  # fmt: skip
        """Looks at the queue, tells, drains; a line for the alerts."""
        if data["notes"].get(MODE) != QUEUE:
            return ""
        seen = self._site.ask("matomo.queue:look")
        state = queue_state(seen, left)
        line = queue_line(seen)
        if state and state != told.queue:
            self._alert(f"the queue: {state}", f"{line}. {_cure(state)}")
        told.queue = state
        if state == "urgent" and self._may_drain(data) and self._may_try(told, "drain", now):
            self._write(told)
            self._say(f"draining: {line}")
            below = max(int(seen["depth"] or 0) // 10, 100)
            code = self._run(["queue.drain", "--below", str(below)])
            self._say(f"draining ended with code {code}")
            if code:
                why = "another run holds the lock" if code == 75 else f"it ended with code {code}"
                self._alert("draining the queue did not end well", f"{why}; {line}. {_cure(state)}")
        return line

    def _may_drain(self, data: dict[str, Any]) -> bool:
        """Not while new files may meet the old schema: workers would stumble over it."""
        proved = (data["notes"].get("update") or {}).get("proved")
        return update_begin.INSTALL not in data["found"] or bool(proved)

    @property
    def _again(self) -> float:
        """Seconds between two tries to roll back: a lock of a dead run is stale before long."""
        return max(self._site.settings.lock_stale_after / 5, 10.0)

    def _may_try(self, told: Told, what: str, now: float, again: float = AGAIN) -> bool:
        if now - told.tried.get(what, 0.0) < again:
            return False
        told.tried[what] = now
        return True

    # --- telling and remembering -------------------------------------------------------------

    def _alert(self, what: str, text: str) -> None:
        self._say(f"ALERT: {what}: {text}")
        for line in alert.send(self._site, what, text, by="outage.watch"):
            self._say(f"  {line}")

    def _told(self, data: dict[str, Any]) -> Told:
        try:
            found = Told(**watched(self._site))
        except TypeError:  # of another version
            found = Told()
        return found if found.began == data["began"] else Told(began=data["began"])

    def _write(self, told: Told) -> None:
        files.write(self._site.host, watch_path(self._site), json.dumps(asdict(told)).encode(),
                    user=self._site.keeper, mode="0600")  # fmt: skip


def queue_line(seen: dict[str, Any]) -> str:
    """``1234 request sets wait, full in 3 h``. Pure."""
    if seen.get("errors"):
        return "; ".join(str(each) for each in seen["errors"])
    line = f"{seen['depth']} request sets wait"
    full = seen.get("full_in_seconds")
    return f"{line}, room for {show_duration(full)} at this pace" if full is not None else line


def _cure(state: str) -> str:
    if state == "trouble":
        return "Look at once: hits may be lost. queue.status shows more."
    return "queue.drain --below N makes room; or raise Redis' maxmemory."
