"""Step ``config.restore``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from matops.errors import MatopsError, Refused, UsageError
from matops.matomo.site import Site
from matops.runbook.backup_config import BackupConfig
from matops.runbook.backup_store import RESTORING, ask, folder
from matops.runbook.step import Action, Evidence, Look, Say, Step


class RestoreConfig(Step):
    """Puts ``config.ini.php`` (or all files) of a backup back; backs up what is there first.

    ``site`` is known as what the backup knows it (``Site.known_as``): the configuration that
    is there may be damaged, or gone.
    """

    name = RESTORING
    title = "Put a configuration back"

    def __init__(
        self,
        site: Site,
        say: Say,
        backup: str,
        *,
        everything: bool = False,
        force: bool = False,
        confirm: Callable[[str, str], bool],
    ) -> None:
        super().__init__(site, say)
        self._backup, self._all, self._force = backup, everything, force
        self._confirm = confirm
        self._manifest: dict[str, Any] = {}
        self._safety: Optional[BackupConfig] = None

    def look(self) -> Look:
        """Which files of the backup differ from what is there."""
        self._manifest = ask(self.site, "load", folder=folder(self.site), name=self._backup)
        self._check_version()
        # The docroot as it was called then: it may be another name of the same folder.
        docroot, held = self._manifest["docroot"], self._manifest["files"]
        now = ask(self.site, "current", docroot=docroot)["files"]
        own = f"{docroot}/config/config.ini.php"
        wanted = [path for path in held if self._all or path == own]
        if not wanted:
            raise UsageError(f"backup {self._backup} holds no config.ini.php")
        differing = [path for path in wanted if now.get(path) != held[path]]
        if not differing:
            which = f"{len(wanted)} files are" if self._all else f"{own} is"
            return Look(because=f"{which} as in backup {self._backup}")
        return Look(
            [Action(f"put back {path}", self._why(path, now), path) for path in differing],
            notes=["what is there now is backed up first: config.list shows it"],
        )

    def _why(self, path: str, now: dict[str, Any]) -> str:
        if path in now:
            return f"it differs from backup {self._backup}"
        facts = self._manifest["files"][path]
        return f"it is gone; owner {facts['owner']}:{facts['group']}, mode {facts['mode']} as then"

    def _check_version(self) -> None:
        then = self._manifest.get("version", "")
        if then != self.site.version and not self._force:
            raise Refused(
                f"backup {self._backup} is of Matomo {then}, but {self.site.version} is installed: "
                "core:update edits config.ini.php, so an older one undoes part of a migration",
                host=self.site.host.name,
                state="Nothing was changed",
                next="look at config.diff; --force if you mean it",
            )

    def act(self, action: Action) -> None:
        """Backs up what is there (once), asks, puts one file back."""
        if self._safety is None:
            if not self._confirm(f"{self.site.host.name}: {action.what}?", self._backup):
                raise Refused(
                    "putting back the configuration was not confirmed",
                    host=self.site.host.name,
                    state="Nothing was changed",
                    next="add --yes, or type the backup's name when asked",
                )
            safety = BackupConfig(self.site, self.say, by=RESTORING)
            look = safety.look()
            for step in look.actions:
                safety.act(step)
            self.say(f"  way back: {safety.verify().line if look.actions else look.because}")
            self._safety = safety
        ask(self.site, "restore", folder=folder(self.site), name=self._backup,
            paths=[action.payload])  # fmt: skip

    def verify(self) -> Evidence:
        """Compares every restored file with the backup."""
        look = self.look()
        if look.actions:
            raise MatopsError(f"{look.actions[0].payload} is not as in backup {self._backup}")
        return Evidence(f"the configuration is as in backup {self._backup}: {look.because}")
