"""Steps ``outage.begin`` and ``outage.end``: the outage's record is opened, watched, set aside."""

from __future__ import annotations

import datetime as dt
import functools
import json
import time
from typing import Any, Optional

from matops.errors import MatopsError, Refused, UsageError
from matops.host import files
from matops.host.jobs import RUNNING, Job
from matops.matomo.site import Site
from matops.runbook import tracking_edge
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Step
from matops.runbook.there import start_there
from matops.runbook.tracking_mode import QUEUE, Decision
from matops.units import show_duration, show_epoch

LEADER, DEADLINE = "leader", "deadline"
GAP = "gap"
"""Key of the merged gap file that ``recover`` has cut (``recover_replay``)."""
MODE, REASON, SWITCH = "tracking_mode", "tracking_reason", "tracking_switch_on"
WATCH = "outage.watch"
"""Label of the watcher's job, and the name of its task."""
WATCHER = "watcher"
"""Note: the name of this outage's job. The one of an outage just closed may run for a while."""
EVERY = 30
_FIRST_LOOK = 30.0  # seconds that the watcher's first look may take


class OutageBegin(Step):
    """Writes down who leads the outage, how its hits are kept, when it must be over; starts the
    watcher, anew where it died. On the other servers (``leader``: the leading site) only who
    leads. Without ``decision`` and ``limit`` what is noted stays.

    ``limit``: seconds from the outage's beginning, None = no deadline. Typed again with another
    one, the deadline moves; the beginning stays.
    """

    name = "outage.begin"
    title = "Open the outage's record"

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        decision: Optional[Decision] = None,
        limit: Optional[int] = None,
        leader: Optional[Site] = None,
    ) -> None:
        super().__init__(site, say)
        self._decision, self._limit = decision, limit
        self._leader = leader or site
        self._outage = Outage(site)
        self._beat: Any = None
        """The last look of a watcher that was there before the one that we started."""

    def look(self) -> Look:
        """What of it is not yet written down."""
        notes = self._outage.read()["notes"]
        actions = []
        if notes.get(LEADER, {}).get("machine") != machine(self._leader):
            _same_leader(self._leader, notes)
            actions.append(Action("open the outage's record", "what is switched off is put back "
                                  f"from it: {self._outage.path}", LEADER))  # fmt: skip
        if self._decision and notes.get(MODE) != self._decision.mode:
            actions.append(Action(f"note: {self._decision.line}", "update, recover and rollback go "
                                  "by it", MODE))  # fmt: skip
        if self._limit is not None and notes.get(DEADLINE, {}).get("seconds") != self._limit:
            actions.append(Action(f"set the deadline: {show_duration(self._limit)} from the "
                                  "beginning", "--max-outage", DEADLINE))  # fmt: skip
        if self._wants_watcher(notes) and not watcher(self.site, notes):
            actions.append(Action("start the watcher, a job on this host", "it tells when the "
                                  "deadline or the queue's end comes near", WATCH))  # fmt: skip
        if actions:
            return Look(actions)
        return Look(because=f"the record is open: {self._outage.path}")

    def _wants_watcher(self, notes: dict[str, Any]) -> bool:
        if self.site is not self._leader:
            return False
        mode = self._decision.mode if self._decision else notes.get(MODE)
        return mode == QUEUE or self._limit is not None or DEADLINE in notes

    def act(self, action: Action) -> None:
        """Writes one note, or starts the job."""
        if action.payload == LEADER:
            who = {"machine": machine(self._leader), "name": self._leader.host.name,
                   "at": clock(self.site)}  # fmt: skip
            self._outage.note(LEADER, who)
        elif action.payload == MODE and self._decision:
            self._outage.note(REASON, self._decision.reason)
            self._outage.note(SWITCH, self._decision.switch_on)
            self._outage.note(MODE, self._decision.mode)  # last: the others belong to it
        elif action.payload == DEADLINE and self._limit is not None:
            began = float(self._outage.noted(LEADER)["at"])
            self._outage.note(DEADLINE, {"at": began + self._limit, "seconds": self._limit})
        elif action.payload == WATCH:
            self._beat = watched(self.site).get("beat")
            words = [WATCH, "--every", f"{self._every()}s"]
            begin = functools.partial(self._outage.note, WATCHER)
            start_there(self.site, WATCH, words, begin=begin)

    def _every(self) -> int:
        """Seconds between two looks of the watcher: a deadline is not overslept."""
        limit = self._outage.noted(DEADLINE, {}).get("seconds", EVERY * 20)
        return int(min(EVERY, max(limit / 20, 1)))

    def verify(self) -> Evidence:
        """Reads the record back; the watcher's job must run."""
        notes = self._outage.read()["notes"]
        if LEADER not in notes:
            raise MatopsError(f"{self._outage.path} was not written", host=self.site.host.name)
        running = self._at_work(notes) if self._wants_watcher(notes) else ""
        if self._wants_watcher(notes) and not running:
            raise MatopsError(
                f"the watcher ended at once: {last_words(self.site, notes)}",
                host=self.site.host.name,
                state="Nothing was switched by this step",
                next="jobs.follow last shows its output; then run this again",
            )
        parts = [f"record {self._outage.path}"]
        if DEADLINE in notes:
            parts.append(f"deadline {show_epoch(notes[DEADLINE]['at'])}")
        if running:
            parts.append(f"watched by job {running}")
        return Evidence(", ".join(parts), {"mode": notes.get(MODE, "")})

    def _at_work(self, notes: dict[str, Any]) -> str:
        """The watcher's job, once it has looked at this outage for the first time."""
        began, until = self._outage.read()["began"], time.monotonic() + _FIRST_LOOK
        while name := watcher(self.site, notes):
            seen = watched(self.site)
            if seen.get("began") == began and seen.get("beat") != self._beat:
                return name
            if time.monotonic() > until:
                break
            time.sleep(0.3)
        return ""


class OutageEnd(Step):
    """Sets the record aside, once all is put back; with it the watcher ends by itself."""

    name = "outage.end"
    title = "Close the outage's record"

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)
        self._outage = Outage(site)
        self._target, self._left = "", ""

    def look(self) -> Look:
        """Is there an open record?"""
        data = self._outage.read()
        if not data["began"]:
            return Look(because="no outage's record is open")
        return Look([Action("set the outage's record aside", f"it began {data['began']}")])

    def act(self, action: Action) -> None:
        """Raises MatopsError while something is still to be put back."""
        notes = self._outage.read()["notes"]
        leads = notes.get(LEADER, {}).get("machine") == machine(self.site)
        self._left = not_replayed(notes) if leads else ""
        self._target = self._outage.close()

    def verify(self) -> Evidence:
        """No record is open any more."""
        if self._outage.read()["began"]:
            raise MatopsError("the outage's record is still open", host=self.site.host.name)
        return Evidence(f"the outage is over; its record: {self._target}{self._left}",
                        {"kept": self._target})  # fmt: skip


def not_replayed(notes: dict[str, Any]) -> str:
    """The gap that nobody replays: after ``rollback`` its hits are in the logs only. Pure."""
    off, on = notes.get(tracking_edge.OFF), notes.get(tracking_edge.ON)
    gap = notes.get(GAP) or {}
    if not off or not on or gap.get("begun") or gap.get("hits") == 0:
        return ""
    start = off["at"].get("before") or off["at"].get("after")
    end = on["at"].get("after") or on["at"].get("before")
    if not start or not end:
        return ""
    span = " ".join(
        f"--{flag} {dt.datetime.fromtimestamp(t, dt.timezone.utc).isoformat()}"
        for flag, t in (("from", start), ("to", end))
    )
    return (
        f". THE HITS OF {show_epoch(start)} TO {show_epoch(end)} ARE IN THE ACCESS LOGS ONLY: "
        f"logs.gap {span}; then logs.replay, archive.invalidate {span}, archive.run"
    )


def machine(site: Site) -> str:
    """The host's own name: the same, however it was called behind -H."""
    return str(site.machine.get("hostname", ""))


def clock(site: Site) -> float:
    """The host's own clock, seconds since 1970."""
    return float(site.host.run("date +%s.%N", what="read the clock").text)


def watcher(site: Site, notes: dict[str, Any]) -> str:
    """The name of the job that watches the outage with these notes; '' where it does not run."""
    job = _job(site, notes)
    return job.name if job and job.state == RUNNING else ""


def last_words(site: Site, notes: dict[str, Any]) -> str:
    """The last line of that job's output."""
    job = _job(site, notes)
    if job is None:
        return "no job of it is there"
    return site.jobs.last_line(job.name) or "it said nothing"


def _job(site: Site, notes: dict[str, Any]) -> Optional[Job]:
    try:
        return site.jobs.poll(notes[WATCHER]).job if notes.get(WATCHER) else None
    except UsageError:  # noted, and killed before it was started
        return None


def watch_path(site: Site) -> str:
    """Where the watcher keeps what it told, and when it looked last."""
    return f"{site.state_dir}/outage-watch.json"


def watched(site: Site) -> dict[str, Any]:
    """What lies there; {} where nothing does, or it is damaged."""
    try:
        found = json.loads(files.read(site.host, watch_path(site), user=site.keeper))
    except (files.NotThere, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def lead(site: Site, phase: str) -> dict[str, Any]:
    """The open record. Refused where there is none, or another host leads the outage."""
    data = Outage(site).read()
    if LEADER not in data["notes"]:
        raise Refused(
            f"{phase}: no outage has begun here",
            host=site.host.name,
            state="Nothing was changed",
            next="`offline` begins it; if another server leads it, type this there",
        )
    _same_leader(site, data["notes"])
    return data


def _same_leader(site: Site, notes: dict[str, Any]) -> None:
    held = notes.get(LEADER)
    if held and held["machine"] != machine(site):
        raise Refused(
            f"an outage is under way that is led from {held['name']}, since "
            f"{show_epoch(held['at'])}",
            host=site.host.name,
            state="Nothing was changed",
            next=f"type it there: fab -H {held['name']} …",
        )
