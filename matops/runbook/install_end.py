"""Step ``release.settle``: the new release stays."""

from __future__ import annotations

from matops.errors import MatopsError
from matops.matomo.install.place import DONE
from matops.matomo.site import Site
from matops.runbook import install_calls as calls
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step


class InstallSettled(Step):
    """Forgets ``install`` in the outage's record: from now on nothing goes back to the old files.

    To be run once core:update is proven, before the record is closed. The old files stay where
    they are, as ``release.list`` shows, until ``release.clean --all``.
    """

    name = "release.settle"
    title = "the new release's files stay"
    scope = Scope.SERVER
    changes_data = False

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)
        self._outage = Outage(site)

    def look(self) -> Look:
        """Is an installation on record, and did it end well?"""
        record = self._outage.found(calls.KEY)
        if not record:
            return Look(because="no release's files are on record")
        found = calls.ask(self.site, "survey:state", folder=record["folder"])
        if found["state"] != DONE or not found["facts"].get("finished"):
            raise MatopsError(
                f"the files of {record['to']} were not installed to the end",
                host=self.site.host.name,
                state="Nothing was changed",
                next="release.install goes on where it was; release.back goes back",
            )
        what = f"no way back from {record['to']} to {record['from']} from now on"
        return Look([Action(what, f"its database is migrated; {record['folder']} stays")])

    def act(self, action: Action) -> None:
        """Forgets it."""
        self._outage.forget(calls.KEY)

    def verify(self) -> Evidence:
        """It is on record no more."""
        if self._outage.found(calls.KEY):
            raise MatopsError("the record still holds install", host=self.site.host.name)
        return Evidence("the new release stays")
