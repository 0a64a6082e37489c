"""Steps ``invalidations.restore`` and ``invalidations.drop-backup``."""

from __future__ import annotations

from typing import Any

from matops.errors import MatopsError
from matops.matomo import invalidations_change as change
from matops.matomo.site import Site
from matops.mysql.invalidations import backups
from matops.mysql.invalidations.record import CARVE, FLAGS
from matops.runbook.invalidations_step import QueueStep, Voices
from matops.runbook.step import Action, Evidence, Look, Say
from matops.units import show_epoch, show_size


class Restore(QueueStep):
    """Puts one backup back, and merges the rows created since."""

    name = "invalidations.restore"
    title = "Put a backup of archive_invalidations back"

    def __init__(self, site: Site, say: Say, voices: Voices, backup: str) -> None:
        super().__init__(site, say, voices)
        self._backup = backup
        self._line = ""

    def look(self) -> Look:
        """What would be put back, and how."""
        attach = self.running()
        if attach:
            return attach
        found = self.seen = self.ask("invalidations_change:restorable", name=self._backup)
        if found["already"]:
            return Look(because=f"{self._backup} was put back at {show_epoch(found['already'])}")
        one = found["backup"]
        about = "" if one["exact"] else "about "
        notes = [f"{one['why']}, {show_epoch(one['at'])}: {one['state']}", *found["notes"]]
        notes += [f"an archiver may be at work: {line}" for line in found["busy"][:3]]
        notes.append("rows that the archiver has done since are queued again: it does them twice")
        how = {
            CARVE: f"insert the {about}{one['rows']} rows of {self._backup} that are not there",
            FLAGS: f"mark {about}{one['rows']} archives invalid again",
        }.get(
            found["method"],
            f"exchange {found['table']} with {self._backup} ({about}{one['rows']} rows), and merge "
            "the rows created since into it",
        )
        why = "the table that is there now stays as another backup"
        return Look([Action(how, why if found["method"] not in (CARVE, FLAGS) else one["how"],
                            found)], notes=notes)  # fmt: skip

    def word(self, action: Action) -> str:
        """Its own name."""
        del action
        return self._backup

    def do(self, action: Action) -> None:
        """Ends a restore that was killed, or begins."""
        rows = action.payload["backup"]["rows"]
        with (
            self.voices.track(self.name, rows, "rows") as progress,
            change.opened(
                self.site.docroot, still_ours=self.still_ours, tell=self.say, moved=progress.add
            ) as tools,
        ):
            outcome = change.put_back(tools, self._backup)
        if outcome.aside:
            self._line = (
                f"{self._backup} is in use again, {outcome.merged} rows created since were merged "
                f"into it; what was replaced is in {outcome.aside}"
            )
        else:
            self._line = f"{outcome.merged} of {rows} rows of {self._backup} were put back"

    def verify(self) -> Evidence:
        """Reads back that nothing is left half done."""
        every = self.ask("invalidations_change:list_backups")
        half = [one for one in every if not one["finished"]]
        if half:
            raise MatopsError(
                f"{half[0]['name']}: {half[0]['state']}", host=self.site.host.name,
                next=f"run {self.name} {self._backup} again: it goes on",
            )  # fmt: skip
        return Evidence(self._line or f"{self._backup} was put back", {"backup": self._backup})


class DropBackup(QueueStep):
    """Drops one backup for good."""

    name = "invalidations.drop-backup"
    title = "Drop a backup of archive_invalidations"
    refuses_busy = False

    def __init__(self, site: Site, say: Say, voices: Voices, backup: str) -> None:
        super().__init__(site, say, voices)
        self._backup = backup

    def look(self) -> Look:
        """Which, and of what. UsageError: no backup of ours; Refused: it is still needed."""
        attach = self.running()
        if attach:
            return attach
        found = self.seen = self.ask("invalidations_change:droppable", name=self._backup)
        what = f"drop {self._backup} ({found['rows']} rows, {show_size(found['bytes'])})"
        return Look([Action(what, f"{found['why']}, {show_epoch(found['at'])}", found)],
                    notes=["there is no way back from this"])  # fmt: skip

    def word(self, action: Action) -> str:
        """Its own name."""
        del action
        return self._backup

    def do(self, action: Action) -> None:
        """Under guard, as everything that takes a metadata lock."""
        del action
        with change.opened(self.site.docroot, still_ours=self.still_ours, tell=self.say) as tools:
            backups.drop(tools, self._backup)

    def verify(self) -> Evidence:
        """Reads back that it is gone."""
        every: list[dict[str, Any]] = self.ask("invalidations_change:list_backups")
        if any(one["name"] == self._backup for one in every):
            raise MatopsError(f"{self._backup} is still there", host=self.site.host.name,
                              next="run it again")  # fmt: skip
        return Evidence(f"{self._backup} is dropped")
