"""Steps ``config.backup`` and ``config.restore``."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, Refused, UsageError
from matops.host import files
from matops.matomo.site import Site
from matops.runbook.step import Action, Evidence, Look, Say, Step
from matops.units import compact_time, utc_now


def folder(site: Site) -> str:
    """Where the backups lie on the host. Refused where a web server could serve them."""
    if f"{site.state_dir}/".startswith(f"{site.docroot.rstrip('/')}/"):
        raise Refused(
            f"state_dir {site.settings.state_dir} lies inside the docroot: backups hold passwords",
            host=site.host.name,
            state="Nothing was written",
            next="set state_dir to a folder that no web server serves",
        )
    return f"{site.state_dir}/backups"


def ask(site: Site, function: str, **payload: Any) -> Any:
    """Calls ``matomo.config_backup:<function>`` on the host as the keeper of the backups."""
    return site.agent.call(f"matops.matomo.config_backup:{function}", payload, user=site.keeper)


def local_copy(site: Site, name: str) -> Path:
    """Where the operator's copy of backup ``name`` lies."""
    root = Path(site.settings.backup_dir).expanduser()
    return root / site.id / site.host.name.replace("/", "_") / f"{name}.tar.gz"


class BackupConfig(Step):
    """The configuration to the host's state folder *and* to the operator's machine, compared."""

    name = "config.backup"
    title = "Back up the configuration"
    changes_data = False

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)
        self._name = ""

    def look(self) -> Look:
        """Compares what is there with the newest backup."""
        place = folder(self.site)
        now = ask(self.site, "current", docroot=self.site.docroot)
        backups = ask(self.site, "listing", folder=place)
        last = backups[-1] if backups else None
        notes = self._notes(now)
        if last and last["files"] == now["files"] and last["version"] == self.site.version:
            self._name = last["name"]
            copy = local_copy(self.site, self._name)
            if self.site.host.is_local or copy.is_file():
                return Look(because=f"nothing changed since backup {self._name}", notes=notes)
            return Look([Action(f"copy backup {self._name} to {copy}", "it is only on the host",
                                "fetch")], notes=notes)  # fmt: skip
        self._name = compact_time(utc_now())
        why = f"something changed since {last['name']}" if last else "there is no backup yet"
        where = f"{place}/{self._name}"
        return Look(
            [Action(f"back up {len(now['files'])} files to {where}", why, "make"),
             *self._fetching()],
            notes=notes,
        )  # fmt: skip

    def _notes(self, now: dict[str, Any]) -> list[str]:
        config = f"{self.site.docroot}/config/config.ini.php"
        return [] if config in now["files"] else [f"{config} is not there"]

    def _fetching(self) -> list[Action]:
        if self.site.host.is_local:
            return []
        copy = local_copy(self.site, self._name)
        return [Action(f"copy it to {copy}", "the host may be what breaks", "fetch")]

    def act(self, action: Action) -> None:
        """Makes the backup, or fetches it."""
        if action.payload == "fetch":
            fetch(self.site, self._name)
            return
        place = folder(self.site)
        files.make_folder(self.site.host, place, user=self.site.keeper)
        about = {
            "version": self.site.version,
            "host": self.site.host.name,
            "plugins": self.site.facts["plugins"],
            "made": utc_now().isoformat(timespec="seconds"),
        }
        ask(self.site, "make", docroot=self.site.docroot, folder=place, name=self._name,
            about=about)  # fmt: skip

    def verify(self) -> Evidence:
        """Reads the backup back: every file's checksum, and the copy's."""
        manifest = ask(self.site, "load", folder=folder(self.site), name=self._name)
        where = f"{folder(self.site)}/{self._name}"
        copy = "" if self.site.host.is_local else f" and {local_copy(self.site, self._name)}"
        return Evidence(
            f"{len(manifest['files'])} files in {where}{copy}, checksums compared",
            {"backup": self._name, "files": len(manifest["files"])},
        )


def fetch(site: Site, name: str) -> Path:
    """Copies a backup to the operator's machine (0600), whole or not at all; its path."""
    answer = ask(site, "archive", folder=folder(site), name=name)
    data = base64.b64decode(answer["data"])
    if hashlib.sha256(data).hexdigest() != answer["sha256"]:
        raise MatopsError(f"backup {name} arrived damaged", next="run config.backup again")
    target = local_copy(site, name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = target.with_suffix(".partial")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(target)
    except OSError as error:
        raise MatopsError(
            f"the backup's copy could not be written to {target}: {error.strerror}",
            state=f"The backup itself is on {site.host.name}: {folder(site)}/{name}",
            next="set backup_dir to a folder of yours",
        ) from None
    return target


class RestoreConfig(Step):
    """Puts ``config.ini.php`` (or all files) of a backup back; backs up what is there first."""

    name = "config.restore"
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
        now = ask(self.site, "current", docroot=self.site.docroot)["files"]
        wanted = [p for p in self._manifest["files"] if self._all or p.endswith("config.ini.php")]
        if not wanted:
            raise UsageError(f"backup {self._backup} holds no config.ini.php")
        differing = [p for p in wanted if now.get(p) != self._manifest["files"][p]]
        if not differing:
            return Look(because=f"{len(wanted)} files are as in backup {self._backup}")
        return Look(
            [Action(f"put back {path}", f"it differs from backup {self._backup}", path)
             for path in differing],
            notes=["what is there now is backed up first: config.list shows it"],
        )  # fmt: skip

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
            self._safety = BackupConfig(self.site, self.say)
            for step in self._safety.look().actions:
                self._safety.act(step)
            self.say(f"  way back: {self._safety.verify().line}")
        ask(self.site, "restore", folder=folder(self.site), name=self._backup,
            paths=[action.payload])  # fmt: skip

    def verify(self) -> Evidence:
        """Compares every restored file with the backup."""
        look = self.look()
        if look.actions:
            raise MatopsError(f"{look.actions[0].payload} is not as in backup {self._backup}")
        return Evidence(f"the configuration is as in backup {self._backup}")
