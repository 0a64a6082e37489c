"""Step ``config.backup``."""

from __future__ import annotations

from typing import Any

from matops.errors import MatopsError
from matops.host import files
from matops.matomo.site import Site
from matops.runbook.backup_store import ask, copy_problem, fetch, folder, found, local_copy
from matops.runbook.step import Action, Evidence, Look, Say, Step
from matops.units import compact_time, utc_now


class BackupConfig(Step):
    """The configuration to the host's state folder *and* to the operator's machine, compared.

    ``by``: the task that makes it, for the manifest.
    """

    name = "config.backup"
    title = "Back up the configuration"
    changes_data = False

    def __init__(self, site: Site, say: Say, by: str = "config.backup") -> None:
        super().__init__(site, say)
        self._name = ""
        self._by = by

    def look(self) -> Look:
        """Compares what is there with the newest backup, which must still be whole."""
        place = folder(self.site)
        now = ask(self.site, "current", docroot=self.site.docroot)
        backups = [each for each in found(self.site) if each["folder"] == place]
        why = self._why(backups[-1], now) if backups else "there is no backup yet"
        notes = self._notes(now)
        if not why:
            self._name = backups[-1]["name"]
            missing = self._copy_missing(backups[-1])
            if not missing:
                return Look(because=f"nothing changed since backup {self._name}", notes=notes)
            copy = local_copy(self.site, self._name)
            return Look([Action(f"copy backup {self._name} to {copy}", missing, "fetch")],
                        notes=notes)  # fmt: skip
        self._name = compact_time(utc_now())
        where = f"{place}/{self._name}"
        return Look(
            [Action(f"back up {len(now['files'])} files to {where}", why, "make"),
             *self._fetching()],
            notes=notes,
        )  # fmt: skip

    def _why(self, last: dict[str, Any], now: dict[str, Any]) -> str:
        """Why the backup ``last`` does not do; '' where it does."""
        name = last["name"]
        if last["files"] != now["files"]:
            return f"something changed since {name}"
        if last["version"] != self.site.version:
            return f"backup {name} is of Matomo {last['version']}"
        if other := _differing(last.get("plugins") or {}, self.site.facts["plugins"]):
            return f"plugins changed since {name}: {other}"
        return str(ask(self.site, "problem", folder=folder(self.site), name=name))

    def _copy_missing(self, last: dict[str, Any]) -> str:
        if self.site.host.is_local:
            return ""
        return copy_problem(local_copy(self.site, self._name), last)

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
            "by": self._by,
        }
        ask(self.site, "make", docroot=self.site.docroot, folder=place, name=self._name,
            about=about)  # fmt: skip

    def verify(self) -> Evidence:
        """Reads the backup back: every file's checksum, and the copy's."""
        manifest = ask(self.site, "load", folder=folder(self.site), name=self._name)
        if trouble := self._copy_missing(manifest):
            raise MatopsError(
                f"backup {self._name}: {trouble}",
                host=self.site.host.name,
                state=f"It is on the host: {folder(self.site)}/{self._name}",
                next="run config.backup again",
            )
        where = f"{folder(self.site)}/{self._name}"
        copy = "" if self.site.host.is_local else f" and {local_copy(self.site, self._name)}"
        return Evidence(
            f"{len(manifest['files'])} files in {where}{copy}, checksums compared",
            {"backup": self._name, "files": len(manifest["files"])},
        )


def _differing(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The plugins with another version than before: ``A 1.0 -> 1.1, B none -> 2.0``."""
    then, today = ({n: str(p["version"]) for n, p in each.items()} for each in (before, now))
    return ", ".join(
        f"{name} {then.get(name, 'none')} -> {today.get(name, 'none')}"
        for name in sorted({*then, *today})
        if then.get(name) != today.get(name)
    )
