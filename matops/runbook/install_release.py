"""Steps ``release.build`` and ``release.install``: the staged release becomes the docroot's."""

from __future__ import annotations

from collections.abc import Sequence

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

AUTO, EXCHANGE, COPY = "", "exchange", "copy"


class BuildRelease(Step):
    """The complete new tree beside the docroot; nothing live is changed.

    ``how``: exchange, copy, or '' = exchange where the docroot allows it. ``release``: the
    version of the stage to install ('' = the newest that is ready). ``accept_plugins``: plugins
    that do not fit the release and are installed with it nevertheless. ``accept_unlisted``: go
    on where there is no list of the old release's files.
    """

    name = "release.build"
    title = "build the new tree beside the docroot"
    scope = Scope.SERVER
    changes_data = False

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        how: str = AUTO,
        release: str = "",
        accept_plugins: Sequence[str] = (),
        accept_unlisted: bool = False,
    ) -> None:
        super().__init__(site, say)
        self.how, self.release = how, release
        self.accept_plugins, self.accept_unlisted = tuple(accept_plugins), accept_unlisted

    def look(self) -> Look:
        """What is there, and what will be built."""
        raise Refused("release.build is not written yet", state="Nothing was changed")

    def act(self, action: Action) -> None:
        """Builds."""

    def verify(self) -> Evidence:
        """The tree is whole."""
        raise Refused("release.build is not written yet", state="Nothing was changed")


class InstallRelease(BuildRelease):
    """Builds (unless that was done), then changes the trees; the old files stay as the way back.

    Remembers ``install`` in the outage's record before the docroot is touched.
    """

    name = "release.install"
    title = "install the new release's files"
    changes_data = True
