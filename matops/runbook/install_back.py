"""Step ``release.back``: the old files again, before any migration ran."""

from __future__ import annotations

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step


class InstallBack(Step):
    """Changes the trees back (or copies the kept files back), as ``release.install`` recorded it.

    Whether going back is still allowed is the caller's to decide: old code on a migrated schema
    is a danger. Nothing to do where nothing was installed. Forgets ``install`` in the record.
    """

    name = "release.back"
    title = "put the old release's files back"
    scope = Scope.SERVER

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)

    def look(self) -> Look:
        """Which release is there, and which one lies ready as the way back."""
        raise Refused("release.back is not written yet", state="Nothing was changed")

    def act(self, action: Action) -> None:
        """Goes back."""

    def verify(self) -> Evidence:
        """The old release is served again."""
        raise Refused("release.back is not written yet", state="Nothing was changed")
