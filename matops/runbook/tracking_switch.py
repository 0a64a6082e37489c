"""What ``tracking.off`` and ``tracking.on`` have in common: switch, prove, mark, take back."""

from __future__ import annotations

import time
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown
from matops.matomo import config_edit, ini_edit, witness
from matops.matomo.site import Site
from matops.runbook import arrival, tracking_edge
from matops.runbook.config_switch import ConfigSwitch
from matops.runbook.outage import Outage
from matops.runbook.step import Say

_PAUSE = 0.5  # seconds


class Tracking(ConfigSwitch):
    """What both have in common. ``public``: as in ``runbook.maintenance``."""

    KEY = "tracking"
    SECTION, NAME = "Tracker", "record_statistics"
    EDGE: str

    def __init__(
        self, site: Site, say: Say, *, public: bool = True, first: Optional[Site] = None
    ) -> None:
        super().__init__(site, say, first=first)
        self.public = public
        self.mark: dict[str, Any] = {}

    def is_on(self) -> bool:
        """As Matomo compares: ``!= 0`` (Tracker::shouldRecordStatistics)."""
        return ini_edit.is_on(self.in_force())

    def tracker(self) -> witness.Answers:
        """What the tracker answers, as far as it counts for this server."""
        return [each for each in witness.tracker(self.site) if self.public or not each["public"]]

    def wait_for(self, kind: str, before: witness.Answers) -> str:
        """Asks until every place that answered as the tracker does so as ``kind``; '' or what
        is wrong."""
        kinds = (witness.RECORDING, witness.OFF)
        places = {(each["url"], each["where"]) for each in before if each["kind"] in kinds}
        if not places and any(each["kind"] == witness.QUEUE for each in before):
            return ""  # on or off, it answers the same: Matomo's reader and the markers must do
        for attempt in range(self.tries):
            if attempt:
                time.sleep(_PAUSE)
                config_edit.forget_cached_there(self.site)
            answers = [e for e in self.tracker() if (e["url"], e["where"]) in places]
            other = [each for each in answers if each["kind"] != kind]
            if answers and not other:
                return ""
        return f"the tracker does not answer as {kind}: {witness.shown(other or before)}"

    def switch(self, value: Any, kind: str, before: arrival.Arrival, *, marks: bool = True) -> None:
        """Sets it, proves it, marks the edge; takes it back at once where something is wrong.
        ``marks`` False: the edge stays where it is marked already."""
        found = self.in_file()
        mark = tracking_edge.begin(self.site, self.EDGE, before) if marks else {}
        try:
            at = self.put(value)["at"]
        except OutcomeUnknown:
            raise
        except MatopsError:
            if marks:
                self.outage.note(self.EDGE, None)
            raise
        try:
            why = self.wait_for(kind, before.tracker)
            after, gone = arrival.look_after(self.site, before, False, alone=self.alone)
            why = why or gone
        except MatopsError as error:
            why = f"what the tracker answers after the switch could not be seen ({error.what})"
        if why:
            self.put_back(found)
            if marks:
                self.outage.note(self.EDGE, None)
            raise self.took_back(why)
        if marks:
            self.mark = tracking_edge.complete(self.site, self.EDGE, mark, at, after)

    def mark_again(self, **more: Any) -> None:
        """Completes the mark of a run that was killed, or makes one where others switched."""
        begun = self.outage.noted(self.EDGE) or {
            "at": {"before": None, "after": None},
            "server": self.site.machine.get("hostname", ""),
        }
        mark = tracking_edge.from_ctime(self.site, begun)
        after = arrival.look(self.site)
        self.mark = tracking_edge.complete(self.site, self.EDGE, {**mark, **more}, None, after)

    def mark_shared(self, kind: str) -> None:
        """The mark where ``first``'s switch was this server's, too: at work here between the
        rename there and the moment when it was seen here."""
        assert self.first is not None
        theirs = Outage(self.first).noted(self.EDGE) or {"at": {"before": None}}
        if why := self.wait_for(kind, self.tracker()):
            raise MatopsError(why, state=f"{self.first.host.name} is switched already",
                              next="run this again: it goes on here")  # fmt: skip
        seen = self.site.agent.call("matops.matomo.config_file:clock", {}, user=self.site.keeper)
        at = {"before": theirs["at"]["before"], "after": seen, "from": "shared"}
        self.mark_again(at=at, shared_with=self.first.host.name)

    def is_marked(self) -> bool:
        """True where the edge's mark is whole."""
        return "marker" in (self.outage.noted(self.EDGE) or {})

    def seen(self, kind: str) -> str:
        """The proof over HTTP in words. MatopsError where the tracker answers otherwise."""
        answers = self.tracker()
        kinds = (witness.RECORDING, witness.OFF)
        if other := [each for each in answers if each["kind"] in kinds and each["kind"] != kind]:
            raise MatopsError(
                f"config.ini.php says that the tracker is {kind}, but: {witness.shown(other)}",
                next="look at bootstrap.php and at <host>.config.ini.php in config/",
            )
        told = (kind, witness.QUEUE)
        return witness.shown([each for each in answers if each["kind"] in told])
