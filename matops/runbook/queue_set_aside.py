"""Step ``queue.set-aside``: the request set that no worker gets past goes into a file."""

from __future__ import annotations

from collections.abc import Callable

from matops.errors import MatopsError, Refused
from matops.matomo.site import Site
from matops.runbook.queue_drain_there import depth
from matops.runbook.queue_hold import on_host
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step


class SetAside(Step):
    """Takes the oldest request set out of list ``number``. Its hits are not recorded."""

    name = "queue.set-aside"
    title = "Set a request set aside"
    scope = Scope.INSTALLATION

    def __init__(
        self, site: Site, say: Say, number: int, confirm: Callable[[str, str], bool]
    ) -> None:
        super().__init__(site, say)
        self._number, self._confirm = number, confirm
        self._file, self._what, self._head = "", "", ""

    def look(self) -> Look:
        """Which one it is."""
        what = self.site.ask("matomo.queue:first_of", number=self._number)
        if not what:
            return Look(because=f"nothing waits in list {self._number}")
        self._head = depth(self.site)["heads"].get(str(self._number), "")
        return Look([Action(f"move the oldest request set of list {self._number} into a file",
                            what)])  # fmt: skip

    def act(self, action: Action) -> None:
        """Asks, then does it under the plugin's own lock."""
        if not self._confirm(f"{self.site.host.name}: {action.what}? ({action.why})", "aside"):
            raise Refused(
                "setting a request set aside was not confirmed", host=self.site.host.name,
                state="Nothing was changed", next="add --yes, or type aside when asked",
            )  # fmt: skip
        answer = on_host(self.site, "matomo.queue_remove:remove_first", number=self._number,
                         folder=f"{self.site.state_dir}/queue-set-aside",
                         expected=self._head)  # fmt: skip
        self._file, self._what = answer["file"], answer["what"]

    def verify(self) -> Evidence:
        """The list begins with another one."""
        if not self._file:
            return Evidence("nothing waited any more")
        if self._head and depth(self.site)["heads"].get(str(self._number)) == self._head:
            raise MatopsError(f"it is still the first of list {self._number}",
                              host=self.site.host.name, next="run this again")  # fmt: skip
        return Evidence(f"set aside: {self._what}; kept in {self._file}", {"file": self._file})
