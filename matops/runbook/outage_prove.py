"""Step ``outage.prove``: the system is up again, as its users and visitors see it."""

from __future__ import annotations

import time
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import witness
from matops.matomo.site import Site
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

PATIENCE = 20.0
"""Seconds that a visitor's own hit is waited for: with a queue and a cron it may be a minute."""
SOON = 4.0
"""Seconds where we may send one ourselves."""
_PAUSE = 0.5


class OutageProve(Step):
    """The UI answers, the tracker records, and a hit really arrives: the next one that comes by
    itself. ``site``: send one to that site where none comes (it stays there as a visit)."""

    name = "outage.prove"
    title = "Prove that the system is up"
    scope = Scope.INSTALLATION

    def __init__(
        self, site: Site, say: Say, *, idsite: int = 0, patience: float = PATIENCE
    ) -> None:
        super().__init__(site, say)
        self._idsite = idsite
        self._patience = min(patience, SOON) if idsite else patience
        self._hit = ""

    def look(self) -> Look:
        """Only while an outage's record is open."""
        if not Outage(self.site).read()["began"]:
            return Look(because="no outage is under way")
        why = "a switch that was put back is not yet a system that works"
        return Look([Action("ask the UI and the tracker, and wait for a hit", why)])

    def act(self, action: Action) -> None:
        """Waits for a hit."""
        before = self._newest()
        until = time.monotonic() + self._patience
        while not self._hit and time.monotonic() < until:
            time.sleep(_PAUSE)
            self._hit = came(before, self._newest())
        if not self._hit and self._idsite:
            self._hit = self._own_hit(before)

    def _own_hit(self, before: dict[str, Any]) -> str:
        """Recorded, or queued where a queue stands in front. MatopsError: neither."""
        site = f"our own hit to site {self._idsite}"
        try:
            sent = self.site.ask("matomo.last_hit:prove", url=self.site.settings.url,
                                 idsite=self._idsite)  # fmt: skip
        except MatopsError:
            if came(before, self._newest()):
                return f"{site} was queued"
            raise
        return f"{site} is visit {sent['idvisit']}"

    def _newest(self) -> dict[str, Any]:
        found: dict[str, Any] = self.site.ask("matomo.last_hit:look")
        seen = self.site.ask("matomo.queue:look")
        return {**found, "sets": None if seen["errors"] else seen["depth"]}

    def verify(self) -> Evidence:
        """UI and tracker, once more."""
        tracker, ui = witness.tracker(self.site), witness.ui(self.site)
        # With a queue in front the tracker's empty answer is another one than RECORDING.
        bad = [each for each in tracker if each["kind"] in (witness.OFF, "error")]
        bad += [each for each in ui if each["kind"] in (witness.MAINTENANCE, "error")]
        if bad:
            raise MatopsError(
                f"not up: {witness.shown(bad)}",
                host=self.site.host.name,
                next="look at the web server's error log; then run this again",
            )
        hit = self._hit or (
            f"no hit came by itself in {self._patience:.0f} s: look at the statistics, or "
            "--prove-with-hit SITE"
        )
        return Evidence(f"{witness.shown(ui)}; the tracker answers; {hit}", {"hit": self._hit})


def came(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What arrived between two looks, in words; '' for nothing. Pure."""
    then, action = before["action"] or {}, now["action"] or {}
    if action.get("idlink_va", 0) > then.get("idlink_va", 0):
        return f"a visitor's hit was recorded (action {action['idlink_va']})"
    if (now["newest"] or 0.0) > (before["newest"] or 0.0):
        return "a visitor's hit was recorded"
    sets: Optional[int] = now["sets"]
    if sets is not None and before["sets"] is not None and sets > before["sets"]:
        return "a visitor's hit was queued"
    return ""
