"""What ``maintenance.on`` and ``maintenance.off`` have in common."""

from __future__ import annotations

import time
from typing import Any, Optional

from matops.matomo import config_edit, ini_edit, witness
from matops.matomo.site import Site
from matops.runbook.config_switch import ConfigSwitch
from matops.runbook.step import Say

_PAUSE = 0.5  # seconds; a request that began before the switch may still be answered


class Maintenance(ConfigSwitch):
    """What both have in common.

    ``public``: the answer through the public name is part of the proof. Not so on a server
    whose others are still to be switched: the balancer may ask one of those.
    """

    KEY = "maintenance"
    SECTION, NAME = "General", "maintenance_mode"

    def __init__(
        self, site: Site, say: Say, *, public: bool = True, first: Optional[Site] = None
    ) -> None:
        super().__init__(site, say, first=first)
        self.public = public

    def is_on(self) -> bool:
        """As Matomo compares: ``== 1``."""
        return ini_edit.is_one(self.in_force())

    def ui(self) -> witness.Answers:
        """What the UI answers, as far as it counts for this server."""
        return [each for each in witness.ui(self.site) if self.public or not each["public"]]

    def wait_for(self, before: witness.Answers, *, closed: bool) -> witness.Answers:
        """Asks until every place that answered as Matomo before is closed, or open, now."""
        places = {place(each) for each in before if is_matomo(each)}
        for attempt in range(self.tries):
            if attempt:
                time.sleep(_PAUSE)
                config_edit.forget_cached_there(self.site)
            answers = [each for each in self.ui() if not places or place(each) in places]
            if all((each["kind"] == witness.MAINTENANCE) == closed for each in answers):
                break
        return answers


def place(answer: dict[str, Any]) -> tuple[str, str]:
    """What was asked: the URL without its scheme, and the socket."""
    return str(answer["url"]).partition("//")[2], str(answer["where"])


def is_matomo(answer: dict[str, Any]) -> bool:
    """True where Matomo itself answered, well or not."""
    return answer["kind"] in (witness.UI, witness.MAINTENANCE, "error")
