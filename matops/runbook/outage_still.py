"""Step ``outage.check``: what ``offline`` switched is still so, before files are exchanged."""

from __future__ import annotations

from typing import Any

from matops.errors import Refused
from matops.matomo.queue_setup import PLUGIN
from matops.runbook import queue_hold
from matops.runbook.maintenance import MaintenanceOn
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import MODE
from matops.runbook.step import Action, Evidence, Look, Step
from matops.runbook.tracking import TrackingOff
from matops.runbook.tracking_mode import QUEUE
from matops.runbook.update_begin import INSTALL


class StillOffline(Step):
    """Only looks, at config.ini.php in force: an hour lies between ``offline`` and ``update``, and
    the record says what was switched, not what somebody's editor has put there since."""

    name = "outage.check"
    title = "Is everything still switched off?"
    reads_only = True

    def look(self) -> Look:
        """Nothing to plan."""
        return Look()

    def act(self, action: Action) -> None:
        """Nothing to do."""

    def verify(self) -> Evidence:
        """Refused where a switch was changed by somebody else, or the queue takes no hits.
        MatopsError where the database is not there."""
        record = Outage(self.site).read()
        found = record["found"]
        wrong = []
        if "maintenance" in found and not MaintenanceOn(self.site, self.say).is_on():
            wrong.append("the UI is open again (maintenance mode is off)")
        if "tracking" in found and TrackingOff(self.site, self.say).is_on():
            wrong.append("tracking is on again")
        if queue_hold.FOUND in found and self._processed():
            wrong.append(f"tracking requests process the queue again ({queue_hold.IN_REQUEST})")
        if wrong:
            raise Refused(
                f"somebody has changed config.ini.php since offline: {'; '.join(wrong)}",
                host=self.site.host.name,
                state="Nothing was changed",
                next="offline again: it switches what is missing; then this again",
            )
        self.site.ask("matomo.last_hit:look")  # nothing is begun while the database is away
        if record["notes"].get(MODE) == QUEUE:
            self._queue(begun=INSTALL in found)
        return Evidence("what offline switched is still so")

    def _queue(self, *, begun: bool) -> None:
        """Does it take hits? Once files were exchanged the way out is forward: only told then."""
        errors = self.site.ask("matomo.queue:look", timeout=600)["errors"]
        if errors and not begun:
            raise Refused(
                "the queue that keeps the hits of this outage is in trouble: "
                + errors[0].partition(". Next:")[0],
                host=self.site.host.name,
                state="Nothing was changed; hits may be lost now",
                next="repair it (queue.status), then this again; or rollback",
            )
        for line in errors:
            self.say(f"  THE QUEUE: {line}; hits may be lost now")

    def _processed(self) -> bool:
        key = [PLUGIN, queue_hold.IN_REQUEST]
        found: Any = queue_hold.on_host(self.site, "matomo.config_edit:look", keys=[key])
        now = found[".".join(key)]
        return now is None or str(now["value"]) != "0"
