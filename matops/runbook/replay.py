"""Step ``logs.replay``: the hits of a gap file, recorded with their own times, never twice."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Optional

from matops.errors import MatopsError, Refused
from matops.host import jobs as host_jobs
from matops.matomo.site import Site
from matops.mysql.attempt import Stop
from matops.runbook import replay_asked as words
from matops.runbook import replay_there
from matops.runbook.replay_asked import Asked, Track
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.runbook.there import run_there, same_or_refuse

_PATIENCE = 3600.0  # seconds for reading a gap file on the host


def here(site: Site) -> bool:
    """True where this very process may do it: on the host, as who keeps matops' folder."""
    return site.host.is_local and (site.keeper is None or os.geteuid() == 0)


@dataclass
class Voices:
    """How the step shows its work. ``stop`` is asked by signals."""

    track: Track
    write: Say
    stop: Stop = field(default_factory=Stop)


class Replay(Step):
    """Sends what is not settled yet; a stopped or killed run goes on by being run again.

    Typed elsewhere, the same task runs on the host as a detached job, which is followed.
    """

    name = "logs.replay"
    title = "Replay the gap's hits from the access logs"
    scope = Scope.INSTALLATION
    attaches = ("logs.replay",)

    def __init__(self, site: Site, say: Say, asked: Asked, voices: Voices) -> None:
        super().__init__(site, say)
        self.asked, self.voices = asked, voices
        self.found: dict[str, Any] = {}
        self.result: Optional[dict[str, Any]] = None

    @property
    def folder(self) -> str:
        """Where the ledgers lie on the host."""
        return f"{self.site.state_dir}/replay"

    def look(self) -> Look:
        """Reads the whole gap file: what will be sent, what not and why. Refused while Matomo
        records nothing."""
        running = None if here(self.site) else self.site.jobs.latest(self.name)
        if running and running.state == host_jobs.RUNNING:
            if self.asked.file:
                same_or_refuse(self.site, self.name, running, self.asked.words)
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the replay that runs already", why, running.name)])
        self.found = self._ask(replay_there.look)
        self.asked = replace(self.asked, file=self.found["file"])
        if self.found["complete"] and "totals" in self.found:
            return Look(because=f"this gap file was replayed: {words.told(self.found)}")
        notes = words.notes(self.asked, self.found)
        if not self.found["wanted"]:
            return Look(because="the gap file holds no hit to be sent", skip=True, notes=notes)
        if not self.found["recording"]:
            raise Refused(
                "[Tracker] record_statistics is 0: Matomo records nothing",
                host=self.site.host.name,
                state="Nothing was sent",
                next="tracking.on, then run this again",
            )
        why = "these hits were not recorded when they came"
        return Look([Action(words.action(self.asked, self.found), why)], notes=notes)

    def _ask(self, function: Callable[..., Any]) -> Any:
        payload = {"docroot": self.site.docroot, "folder": self.folder, "asked": self.asked.data()}
        if here(self.site):
            return function(**payload)
        return self.site.agent.call(
            f"{function.__module__}:{function.__name__}", payload,
            user=self.site.keeper, timeout=_PATIENCE,
        )  # fmt: skip

    def act(self, action: Action) -> None:
        """Here, or as a job on the host, or attaches to the job there."""
        if not here(self.site):
            run_there(self.site, self.name, self.asked.words, write=self.voices.write,
                      fence=self.fence, attach=str(action.payload or ""),
                      begin=self.still_ours)  # fmt: skip
            return
        work = replay_there.Work(self.site.docroot, self.folder, self.asked)
        self.result = work.perform(self.say, self.voices.track, self.voices.stop)

    def verify(self) -> Evidence:
        """The account: what the database holds of it now. MatopsError where it does not close."""
        found = self.result = self.result or self._ask(replay_there.look)
        if "totals" not in found:
            raise MatopsError(
                "the replay ended without its account", host=self.site.host.name,
                state="What it settled is in its ledger", next="run the same command again",
            )  # fmt: skip
        if here(self.site):  # else the job has said it
            for line in words.reasons(found):
                self.say(line)
        many = (found.get("account") or {}).get("many", 0)
        if many or found["totals"]["settled"] != found["wanted"]:
            raise MatopsError(
                f"the account does not close: {words.told(found)}",
                host=self.site.host.name,
                next="look at these first, as SERVER:LOG:OFFSET: "
                + ", ".join((found.get("account") or {}).get("examples", [])) if many
                else "run the same command again",
            )  # fmt: skip
        return Evidence(words.told(found), {key: found[key] for key in ("totals", "account")
                                            if key in found})  # fmt: skip
