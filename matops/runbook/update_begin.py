"""Steps at the beginning of ``update``: what a way back needs, before anything is exchanged."""

from __future__ import annotations

import json
from typing import Any, Optional

from matops.errors import MatopsError
from matops.host import files
from matops.matomo.site import Site
from matops.runbook.backup_config import BackupConfig
from matops.runbook.install_back import DONE_BACK
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

BACKUP = "config_backup"
"""Note of the outage: the backup of the configuration from right before the exchange."""

INSTALL = "install"
"""Found of the outage: ``release.install`` has begun to change the docroot."""

FILE = "before-update.json"
_MOST = 64 << 20  # bytes of a picture


class KeepConfig(BackupConfig):
    """The configuration as it is right before the exchange; which backup that was is noted.

    The first one counts: a second run must not take a half-updated configuration for it.
    """

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say, by="update")
        self._outage = Outage(site)

    def look(self) -> Look:
        """Nothing to do where this outage has its backup already."""
        noted = self._outage.noted(BACKUP)
        if noted:
            return Look(because=f"backup {noted} was made before the exchange")
        look = super().look()
        # A backup that is there already serves as well: it only has to be noted.
        note = Action("note it as the way back of the configuration", "rollback puts it back", "")
        return Look([*look.actions, note], notes=look.notes)

    def act(self, action: Action) -> None:
        """Makes the backup, fetches it, notes it."""
        if action.payload:
            super().act(action)
        else:
            self._outage.note(DONE_BACK, None)  # of an exchange that was taken back before
            self._outage.note(BACKUP, self._name)


class Picture(Step):
    """What a migration would change, written down before one can run: ``migrated.snapshot``."""

    name = "update.picture"
    title = "Picture of the database before the exchange"
    scope = Scope.INSTALLATION

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)
        self._outage = Outage(site)

    def look(self) -> Look:
        """Is there one of this outage? After the exchange it is too late to take it."""
        data = self._outage.read()
        if before(self.site, data["began"]) is not None:
            return Look(because="it was taken before the exchange")
        if INSTALL in data["found"]:
            return Look(because="too late: the files were exchanged before one was taken; whether "
                        "a migration ran will not be known", skip=True)  # fmt: skip
        return Look([Action("write down versions, tables and settings of the database",
                            "rollback must know whether a migration ran")])  # fmt: skip

    def act(self, action: Action) -> None:
        """Takes it."""
        began = self._outage.read()["began"]
        picture = self.site.ask("matomo.migrated:snapshot", timeout=600)
        data = json.dumps({"began": began, "picture": picture}).encode()
        files.write(self.site.host, path(self.site), data, user=self.site.keeper, mode="0600")

    def verify(self) -> Evidence:
        """Reads it back, and compares with what is there: it must be the same."""
        picture = before(self.site, self._outage.read()["began"])
        if picture is None:
            raise MatopsError(f"{path(self.site)} was not written", host=self.site.host.name)
        count = len(picture["tables"])
        return Evidence(f"{len(picture['options'])} versions, {count} tables and columns, of "
                        f"Matomo {picture['version']}")  # fmt: skip


def path(site: Site) -> str:
    """Where the picture lies on the host."""
    return f"{site.state_dir}/{FILE}"


def before(site: Site, began: str) -> Optional[dict[str, Any]]:
    """The picture that was taken in the outage that began then; None where there is none.

    Raises MatopsError where it is there and cannot be read.
    """
    try:
        text = files.read(site.host, path(site), user=site.keeper, limit=_MOST)
        data = json.loads(text)
    except files.NotThere:
        return None
    except ValueError:
        raise MatopsError(f"{path(site)} is damaged", host=site.host.name) from None
    return data["picture"] if data.get("began") == began else None
