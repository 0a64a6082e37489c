"""Steps of ``rollback``: may we go back? The configuration and the versions' rows, as they were.

Matomo has no downgrade. Before the first migration ran, old files on the old schema are what was
there; after it, old code on a new schema is a danger, and this way is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.matomo import migrated
from matops.matomo.migrated import Verdict
from matops.matomo.site import Site
from matops.runbook import install_back, update_begin
from matops.runbook.backup_store import ask, folder
from matops.runbook.outage import Outage
from matops.runbook.restore_config import RestoreConfig
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

_SHOWN = 3


def look(site: Site, data: dict[str, Any]) -> Optional[Verdict]:
    """What differs from before the exchange; None where nothing was exchanged, so that nothing
    can have migrated. ``data``: the outage's record. Refused where it cannot be told."""
    picture = update_begin.before(site, data["began"])
    if picture is None and update_begin.INSTALL not in data["found"]:
        return None
    if picture is None:
        raise Refused(
            "whether a migration ran cannot be told: no picture was taken before the exchange",
            host=site.host.name,
            state="Nothing was changed",
            next="find out: is version_core in the option table still the old version? If so, "
            "release.back puts the files back; if not, `update` goes forward",
        )
    return migrated.from_data(site.ask("matomo.migrated:look", before=picture, timeout=600))


def no_way_back(site: Site, verdict: Verdict, backups: str, record: Mapping[str, Any]) -> Refused:
    """The error after a migration ran: what can be done instead. ``backups``: the newest;
    ``record``: the outage's."""
    done = (record["notes"].get("update") or {}).get("proved")
    forward = (
        f"the update to {done} is done, and `recover` ends the outage"
        if done
        else "`update` again goes on where core:update stopped"
    )
    told = "; ".join(verdict.migrated[:_SHOWN]) or "core:update had begun"
    more = len(verdict.migrated) - _SHOWN
    told += f" and {more} more" if more > 0 else ""
    return Refused(
        f"there is no way back: Matomo cannot downgrade its schema, and migrations ran ({told})",
        host=site.host.name,
        state="Nothing was changed; hits are kept as before",
        next=f"go forward: {forward}. Or restore your full backup of the database by its own "
        f"tool, then release.back ({backups})",
    )


class RollbackCheck(Step):
    """Only looks: is the way back open? ``backups`` says what is known of them, for the refusal."""

    name = "rollback.check"
    title = "Is the way back open?"
    scope = Scope.INSTALLATION
    reads_only = True

    def __init__(
        self, site: Site, say: Say, backups: Callable[[], str] = lambda: "see `check`"
    ) -> None:
        super().__init__(site, say)
        self._backups = backups

    def look(self) -> Look:
        """Nothing to plan."""
        return Look()

    def act(self, action: Action) -> None:
        """Nothing to do."""

    def verify(self) -> Evidence:
        """Compares. Refused after a migration."""
        record = Outage(self.site).read()
        verdict = look(self.site, record)
        if verdict is None:
            return Evidence("the files were not exchanged: nothing can have migrated")
        if not verdict.way_back:
            raise no_way_back(self.site, verdict, self._backups(), record)
        for line in (*verdict.harmless, *verdict.others):
            self.say(f"  since the exchange: {line}")
        return Evidence(f"{verdict.verdict} since the exchange: the way back is open")


class RowsBack(Step):
    """Rows of versions that the new files wrote without migrating anything, as they were.

    Left there, the next upgrade would take these plugins for installed, or migrated.
    """

    name = "rollback.versions"
    title = "Versions that the new files wrote"
    scope = Scope.INSTALLATION

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)
        self._rows: dict[str, list[Optional[str]]] = {}

    def look(self) -> Look:
        """Which rows differ, and only they."""
        record = Outage(self.site).read()
        verdict = look(self.site, record)
        if verdict is None or not verdict.put_back:
            return Look(because="the new files wrote none")
        if not verdict.way_back:
            raise no_way_back(self.site, verdict, "see `check`", record)
        self._rows = verdict.put_back
        names = ", ".join(sorted(self._rows)[:_SHOWN])
        more = f" and {len(self._rows) - _SHOWN} more" if len(self._rows) > _SHOWN else ""
        return Look([Action(f"put back {names}{more}", "the new files wrote them; no migration "
                            "belongs to them")])  # fmt: skip

    def act(self, action: Action) -> None:
        """Each only if it still is as it was looked at."""
        self.site.ask("matomo.migrated:put_back", rows=self._rows)

    def verify(self) -> Evidence:
        """None differs any more."""
        left = self.look().actions
        if left:
            raise MatopsError(f"not done: {left[0].what}", host=self.site.host.name,
                              next="run rollback again")  # fmt: skip
        return Evidence(f"{len(self._rows)} rows are as they were")


class ConfigBack(Step):
    """``config.ini.php`` as it was right before the exchange; what is there now is backed up.

    The switches of the outage (maintenance, tracking, queue) were on then; they are put back
    after this, one by one. So it is done once: a rollback that was cut off among these switches,
    and is typed again, must not bring their state of the outage back.
    """

    name = "config.back"
    title = "The configuration of before the exchange"

    def __init__(self, site: Site, say: Say) -> None:
        super().__init__(site, say)
        self._restore: Optional[RestoreConfig] = None
        self._outage = Outage(site)

    def look(self) -> Look:
        """Does it differ from the backup that ``update`` made? Only where files were exchanged:
        what somebody has edited since is nobody's to undo."""
        record = self._outage.read()
        name = backup_to_restore(record)
        if not name:
            return Look(because="the files were not exchanged, or it is put back already")
        if self._same(name):
            return Look([Action("note that it is as before the exchange", f"backup {name}")])
        self._restore = RestoreConfig(
            self.site, self.say, name, force=True, confirm=lambda question, word: True
        )
        return self._restore.look()

    def _same(self, name: str) -> bool:
        held = ask(self.site, "load", folder=folder(self.site), name=name)
        now = ask(self.site, "current", docroot=held["docroot"])["files"]
        path = f"{held['docroot']}/config/config.ini.php"
        return bool(now.get(path) == held["files"].get(path))

    def act(self, action: Action) -> None:
        """Puts it back, after backing up what is there."""
        if action.payload:
            assert self._restore is not None
            self._restore.act(action)

    def verify(self) -> Evidence:
        """Compares with the backup; then the record forgets it."""
        same = "the configuration is as it was before the exchange"
        evidence = self._restore.verify() if self._restore else Evidence(same)
        self._outage.note(update_begin.BACKUP, "")
        return evidence


def backup_to_restore(record: Mapping[str, Any]) -> str:
    """The backup's name, while it is to be put back; '' where it is not. Pure."""
    notes = record["notes"]
    exchanged = update_begin.INSTALL in record["found"] or notes.get(install_back.DONE_BACK)
    return str(notes.get(update_begin.BACKUP) or "") if exchanged else ""
