"""Steps ``archiver.stop`` and ``archiver.rows``: nothing archives until ``archiver.start``."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any

from matops.errors import MatopsError, Refused
from matops.matomo.schedules import ARCHIVE, CONSOLE, TASKS
from matops.matomo.site import Site
from matops.runbook import archiver_words as words
from matops.runbook.invalidations_reset import Reset
from matops.runbook.invalidations_step import Voices, ask
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Step

WHAT = (ARCHIVE, TASKS, CONSOLE)
"""Queue workers are held by ``queue.hold``; a line that does both is held here."""
WHO = "archiver"
KEY = "schedules"
"""Of the outage's record."""
GRACE = 30.0
"""Seconds between TERM and KILL."""
_POLL = 2.0
_MINUTE = 60.0
_TELL = 60.0


def keep(site: Site) -> str:
    """Where what is held is written down, on the host."""
    return f"{site.state_dir}/held"


def find(site: Site) -> dict[str, Any]:
    """The schedules there: ``schedules.find``."""
    found: dict[str, Any] = ask(site, "schedules:find", what=WHAT, keep=keep(site))
    return found


def survey(site: Site) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schedules, and what runs: ``archiver_work.survey``."""
    found, work = ask(site, "archiver_work:survey", what=WHAT, keep=keep(site))
    return found, work


class ArchiverStop(Step):
    """Holds the schedules of one host, and waits for, or ends, what runs.

    ``wait``: seconds for running ones to end; ``stop_running``: end them then. ``listed``: the
    names (uname) of all hosts that are dealt with. ``accept``: go on although something cannot be
    held.
    """

    name = "archiver.stop"
    title = "Stop the archiver and its cron"

    def __init__(
        self, site: Site, say: Say, *, wait: float = 7200, stop_running: bool = False,
        accept: bool = False, listed: Sequence[str] = (), grace: float = GRACE,
    ) -> None:  # fmt: skip
        super().__init__(site, say)
        self._wait, self._stop, self._accept = wait, stop_running, accept
        self._listed, self._grace = tuple(listed), grace
        self.edits_cron = False
        """True once it is known that lines of cron are to be held: ``archiver.watch`` looks."""
        self._ended: list[str] = []
        self._running: list[str] = []

    def look(self) -> Look:
        """What would be held, waited for, ended. Refused where something would go on."""
        found, work = survey(self.site)
        self._refuse_unheld(found, work)
        loose = [e for e in words.loose(found) if not e["why_not"]]
        self.edits_cron = self.edits_cron or any(e["place"] == "cron" for e in loose)
        self._running = lines = words.running(work)
        actions = [Action(f"hold {e['shown']}", "nothing may start it; archiver.start puts it back",
                          "hold") for e in loose]  # fmt: skip
        if lines:
            how = "end" if self._stop else "wait for the end of"
            actions += [Action(f"{how} {line}", self._why_running(), "end") for line in lines]
        held = [e for e in found["entries"] if e["held"]]
        self.edits_cron = self.edits_cron or (bool(held) and self._held_just_now())
        notes = [*words.doubtful(found), *self._notes(work)]
        if not actions:
            what = f"{words.count(len(held), 'schedule')} held" if held else "no schedule is there"
            return Look(because=f"{what}, and nothing archives", notes=notes)
        return Look(self._once(actions), notes=notes)

    def running(self) -> list[str]:
        """What archives there, as it was last looked at; a line each."""
        return self._running

    def _once(self, actions: Sequence[Action]) -> list[Action]:
        """Every line is told; the work of each kind is done with its first."""
        seen: set[str] = set()
        out = []
        for action in actions:
            first = action.payload not in seen
            seen.add(action.payload)
            out.append(action if first else Action(action.what, action.why))
        return out

    def _held_just_now(self) -> bool:
        """By a run that was cut off before it could watch cron's next minute."""
        since = str(ask(self.site, "schedules:held", keep=keep(self.site), who=WHO)["since"])
        now = float(ask(self.site, "archiver_work:clock"))
        return bool(since) and now - dt.datetime.fromisoformat(since).timestamp() < _MINUTE

    def _why_running(self) -> str:
        first = f"for up to {self._wait:.0f} s, then " if self._wait and self._stop else ""
        if self._stop:
            return f"{first}TERM; KILL after {self._grace:.0f} s"
        return f"up to {self._wait:.0f} s; --stop-running ends it instead"

    def _refuse_unheld(self, found: dict[str, Any], work: dict[str, Any]) -> None:
        lines = [*words.unheld(found, self._stop), *words.strangers(work, self._listed)]
        if not work["sees_all"]:
            lines.append("processes of other users (this account does not see them)")
        if lines and not self._accept:
            raise Refused(
                f"something would go on archiving: {words.some(lines)}",
                host=self.site.host.name,
                state="Nothing was changed",
                next="list other hosts in archivers: (config/matops.yaml); what cannot be held "
                "from here: stop it there, then add --accept-unheld",
            )
        for line in lines:
            self.say(f"  accepted: {line}")

    def _notes(self, work: dict[str, Any]) -> list[str]:
        notes = []
        if work["browser"]:
            notes.append(f"requests may archive, too: {work['browser']}; while maintenance mode is "
                         "on, none is answered")  # fmt: skip
        if work["stuck"]:
            notes.append(f"{work['stuck']} rows are in progress by a process that is gone")
        return notes

    def act(self, action: Action) -> None:
        """Holds all at once; waits for, or ends, what runs."""
        if action.payload == "hold":
            self._hold()
        elif action.payload == "end":
            self._end()

    def _hold(self) -> None:
        Outage(self.site).remember(KEY, {"who": WHO, "keep": keep(self.site)})
        done = ask(self.site, "schedules:hold", what=WHAT, keep=keep(self.site), who=WHO,
                   stop=self._stop)  # fmt: skip
        if done["failed"]:
            lines = [f"{one['where']}: {one['why']}" for one in done["failed"]]
            raise MatopsError(
                f"not held: {words.some(lines)}",
                host=self.site.host.name,
                state=f"{words.count(len(done['held']), 'schedule')} held by this run",
                next="see to it, then run this again; archiver.start puts back what is held",
            )

    def _end(self) -> None:
        """Until nothing archives. MatopsError where something lives on."""
        ended = self._wait_for(self._wait)
        if not self._stop and not ended:
            raise self._still(words.running(self._work()))
        if self._stop and not ended:
            done = ask(self.site, "archiver_work:stop", grace=self._grace)
            self._ended += [
                f"{p['kind']} {p['pid']} of {p['user']}, started {p['by']}: {p['how']}"
                for p in done["ended"]
            ]
            for line in self._ended:
                self.say(f"  ended {line}")
            # A query whose client was killed goes on until the server notices.
            if not self._wait_for(max(self._wait, 60.0)):
                raise self._still(words.running(self._work()))

    def _wait_for(self, seconds: float) -> bool:
        """True once nothing archives; tells what is waited for, every minute."""
        until, told, pause = time.monotonic() + seconds, 0.0, 0.25
        while True:
            lines = words.running(self._work())
            left = until - time.monotonic()
            if not lines or left <= 0:
                return not lines
            if time.monotonic() - told >= _TELL:
                told = time.monotonic()
                self.say(f"  waiting (at most {left / 60:.0f} min more): {words.some(lines)}")
            time.sleep(min(pause, max(left, 0.1)))
            pause = min(2 * pause, _POLL)
            self.still_ours()

    def _still(self, lines: Sequence[str]) -> MatopsError:
        kill = [line for line in lines if "query" in line]
        return MatopsError(
            f"the archiver still runs: {words.some(lines)}",
            host=self.site.host.name,
            state="The schedules stay held, so nothing new is started",
            next="KILL its connection in the database, then run this again" if kill and self._stop
            else "run this again to wait on, --stop-running to end it; archiver.start goes back",
        )  # fmt: skip

    def _work(self) -> dict[str, Any]:
        found: dict[str, Any] = ask(self.site, "archiver_work:look")
        return found

    def verify(self) -> Evidence:
        """Looks for schedules once more, and for what runs."""
        found, work = survey(self.site)
        left = [e["shown"] for e in words.loose(found) if not e["why_not"]]
        if left:
            raise MatopsError(f"not held: {words.some(left)}", next=f"run {self.name} again")
        lines = words.running(work)
        if lines:
            raise MatopsError(
                f"something that is not held starts the archiver: {words.some(lines)}",
                host=self.site.host.name,
                state="What was found stays held",
                next="find what started it (the line says by whom), then run this again",
            )
        held = [e["shown"] for e in found["entries"] if e["held"]]
        line = f"{words.count(len(held), 'schedule')} held, nothing archives"
        if self._ended:
            line += f"; ended: {words.some(self._ended)}"
        return Evidence(line, {"held": held, "ended": self._ended})


class ArchiverRows(Reset):
    """Rows in progress of archivers that were ended are queued again: else the next
    ``core:archive`` ends with 0 archives, silently. ``hosts``: those where surely none runs."""

    name = "archiver.rows"
    title = "Queue the rows of ended archivers again"

    def __init__(self, site: Site, say: Say, write: Say, hosts: Sequence[str]) -> None:
        typed = ["invalidations.reset", "--hosts", ",".join(hosts)]
        voices = Voices(lambda *_: True, _no_track, write, typed)
        super().__init__(site, say, voices, hosts)

    def look(self) -> Look:
        """As ``invalidations.reset``; rows that may be somebody's are left, and told."""
        lines = words.running(self.ask("archiver_work:look"))
        if lines:  # a dry run, before anything was stopped
            return Look(because=f"looked at once this has ended: {words.some(lines)}", skip=True)
        try:
            return super().look()
        except Refused as error:
            return Look(because=f"left alone: {error.what}", skip=True)


def _no_track(*_: object) -> Any:
    raise AssertionError("rows are freed without a display")
