"""Step ``queue.release``: who processed the queue before does so again. To what was *found*, not
to 1: a site whose tracking requests never processed the queue must not begin to."""

from __future__ import annotations

from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import config_edit
from matops.matomo.queue_setup import PLUGIN
from matops.matomo.site import Site
from matops.runbook.outage import Outage
from matops.runbook.queue_hold import (
    CONFIG,
    ENDED,
    FOUND,
    FOUND_WORKERS,
    HELD,
    IN_REQUEST,
    SCHEDULES,
    WHO,
    keep_of,
    on_host,
)
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step


class ReleaseQueue(Step):
    """Puts back on one server what ``HoldQueue`` changed there."""

    name = "queue.release"
    title = "Release the tracking queue"
    scope = Scope.SERVER

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)
        self._outage = Outage(site)
        self._left: list[str] = []
        """What somebody else changed meanwhile, and what was therefore left alone."""

    def look(self) -> Look:
        """What was held, from the outage's record and the ledger of held schedules."""
        data = self._outage.read()
        record, notes = data["found"], data["notes"]
        actions = []
        if FOUND in record:
            before = record[FOUND].get(IN_REQUEST)
            to = f"= {before['raw']}" if before else "taken out again: it was not there"
            actions.append(
                Action(f"[{PLUGIN}] {IN_REQUEST} {to}", "as it was found", (CONFIG, before))
            )
        held = self._held()
        actions += [Action(f"put back {one['shown']}", "as it was found", (SCHEDULES, None))
                    for one in held]  # fmt: skip
        if not actions and (FOUND_WORKERS in record or notes.get(HELD) or notes.get(ENDED)):
            why = "nothing is held any more"
            actions.append(Action("close the record of the hold", why, (SCHEDULES, None)))
        return Look(actions, "matops holds nothing of the queue here")

    def _held(self) -> list[dict[str, Any]]:
        answer = on_host(self.site, "matomo.schedules:held", keep=keep_of(self.site), who=WHO)
        return list(answer["entries"])

    def act(self, action: Action) -> None:
        """Puts one of them back; what somebody else changed meanwhile is left, and said."""
        what, before = action.payload
        if what == CONFIG:
            self._config(before)
        elif self._held():
            answer = on_host(self.site, "matomo.schedules:release", keep=keep_of(self.site),
                             who=WHO)  # fmt: skip
            for note in answer["notes"]:
                self.say(f"  {note}")
            if answer["failed"]:
                first = answer["failed"][0]
                raise MatopsError(
                    f"{first['where']} could not be put back: {first['why']}",
                    host=self.site.host.name, state="It stays held",
                    next="put it back by hand, then run this again",
                )  # fmt: skip

    def _config(self, before: Optional[dict[str, Any]]) -> None:
        key = [PLUGIN, IN_REQUEST]
        now = on_host(self.site, "matomo.config_edit:look", keys=[key])[".".join(key)]
        if now != before and (now is None or now["value"] != "0"):
            found = f"{now['value']}" if now else "no value"
            self._left.append(IN_REQUEST)
            self.say(f"  {IN_REQUEST} has {found} now: somebody set it meanwhile; left so")
            return
        config_edit.edit(self.site, [[*key, {"raw": before["raw"]} if before else None]])

    def verify(self) -> Evidence:
        """Reads both back; the outage's record forgets them."""
        data = self._outage.read()
        record, notes = data["found"], data["notes"]
        key = f"{PLUGIN}.{IN_REQUEST}"
        if FOUND in record and IN_REQUEST not in self._left:
            now = on_host(self.site, "matomo.config_edit:look", keys=[key.split(".")])[key]
            if now != record[FOUND].get(IN_REQUEST):
                raise MatopsError(f"{key} is not as it was found", host=self.site.host.name,
                                  state="The record of what was found stays",
                                  next="run this again")  # fmt: skip
        if left := self._held():
            raise MatopsError(f"{left[0]['shown']} is still held", host=self.site.host.name,
                              next="run this again")  # fmt: skip
        self._outage.forget(FOUND)
        self._outage.forget(FOUND_WORKERS)
        if notes.get(HELD):
            self._outage.note(HELD, "")
        for line in notes.get(ENDED) or []:
            self.say(f"  queue.hold ended a worker that no schedule starts; start it again {line}")
        if notes.get(ENDED):
            self._outage.note(ENDED, [])
        setup = self.site.ask("matomo.queue:settings")["setup"]
        how = "process it" if setup.get("in_request") else "do not process it, as before"
        return Evidence(f"the queue is released: tracking requests {how}; workers are as found")


def put_back(site: Site, say: Say) -> None:
    """All of ``ReleaseQueue`` at once, for a hold that turned out to lose hits."""
    step = ReleaseQueue(site, say)
    for action in step.look().actions:
        step.act(action)
    step.verify()
