"""Step ``core.update``: Matomo's own update, as a job that survives; proven, not believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.host import jobs as host_jobs
from matops.matomo import core_update_look as looking
from matops.matomo.release.versions import key
from matops.matomo.site import Site
from matops.runbook import core_update_expected, core_update_others
from matops.runbook import core_update_told as told
from matops.runbook.core_update_after import demand_current
from matops.runbook.core_update_clear import LABEL, demand_none_elsewhere, running_job
from matops.runbook.core_update_run import NOTE, UpdateRun
from matops.runbook.core_update_there import Asked
from matops.runbook.invalidations_step import Confirm, ask
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.runbook.there import run_there, same_or_refuse
from matops.units import show_duration

SPREAD = "spread"
"""Payload of an action: only the settings are still to be brought to the other servers."""


class CoreUpdate(Step):
    """Looks from anywhere; acts on the host, as a detached job there if typed elsewhere.

    ``others``: the installation's other servers: on none of them may an update be at work.
    ``confirm`` is asked before the first migration; a phase has asked already.
    """

    name = "core.update"
    title = "Migrate the database (core:update)"
    scope = Scope.INSTALLATION
    attaches = ("core.update", LABEL)

    def __init__(
        self,
        site: Site,
        say: Say,
        write: Callable[[str], object],
        asked: Optional[Asked] = None,
        *,
        confirm: Confirm = lambda question, word: True,
        others: Sequence[Site] = (),
    ) -> None:
        super().__init__(site, say)
        self._write, self._asked = write, asked or Asked()
        self._confirm, self._others = confirm, others
        self._facts: dict[str, Any] = {}

    # --- look --------------------------------------------------------------------------------

    def look(self) -> Look:
        """Reads versions, processes, jobs. Refused: files older than the database, somebody
        else's core:update at work, maintenance mode off."""
        attach = self._attach_to()
        if attach:
            return attach
        facts = self._facts = ask(self.site, "core_update_look:facts")
        note = Outage(self.site).noted(NOTE) or {}
        self._fitting(facts)
        job = running_job(self.site)
        if not job:
            self._none_by_hand(facts)
            demand_none_elsewhere(self._others)
        notes = [*self._notes(facts), *told.left_over(facts)]
        if job:
            what = f"attach to core:update, which runs as job {job}"
            return Look([Action(what, "whoever started it")], notes=notes)
        same = facts["files"] == facts["database"]
        left = unfinished(facts, note) if same else []
        if same and not left and (not note or note.get("proved") == facts["files"]):
            if self._to_spread(note):
                names = ", ".join(other.host.name for other in self._others)
                what = f"bring what the update wrote into config.ini.php to {names}"
                return Look([Action(what, "it is only on this server yet", SPREAD)], notes=notes)
            return Look(because=f"files and database are at {facts['files']}{told.marks(note)}",
                        notes=notes)  # fmt: skip
        self._closed(facts)
        self._writable()
        if same:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            why = f"{'; '.join(left[:3])}{more}" if left else "it was cut off before its proof"
            return Look([Action(f"finish the update to {facts['files']}", why)], notes=notes)
        what = f"run core:update --yes from {facts['database']} to {facts['files']}"
        return Look([Action(what, self._why())], notes=notes)

    def _attach_to(self) -> Optional[Look]:
        """To our own job that is at it already. Refused where that has other flags."""
        if self.site.host.is_local:
            return None
        job = self.site.jobs.latest(self.name)
        if job is None or job.state != host_jobs.RUNNING:
            return None
        same_or_refuse(self.site, self.name, job, self._words())
        why = f"job {job.name} runs since {job.started}"
        return Look([Action("attach to the run that is at it already", why, job.name)])

    def _words(self) -> list[str]:
        return [self.name, *self._asked.words(), "--yes"]

    def _fitting(self, facts: dict[str, Any]) -> None:
        files, database = facts["files"], facts["database"]
        if not files or not database:
            raise MatopsError(
                "the version of the files or of the database cannot be read "
                f"(core/Version.php: {files or '?'}, version_core: {database or '?'})",
                host=self.site.host.name,
                state="Nothing was changed",
            )
        try:
            older = key(files) < key(database)
        except ValueError:
            older = False
        if older:
            raise Refused(
                f"the files ({files}) are older than the database ({database}): old code on a "
                "newer schema damages data, and Matomo cannot migrate back",
                host=self.site.host.name,
                state="Nothing was changed",
                next=f"install the files of {database} or newer: release.install",
            )

    def _none_by_hand(self, facts: dict[str, Any]) -> None:
        if facts["processes"]:
            found = looking.from_data(facts["processes"][0])
            raise Refused(
                f"core:update runs already, started by hand: {found.words}",
                host=self.site.host.name,
                state="None was started beside it",
                next="wait for it to end, then run this again: it looks what is left",
            )

    def _closed(self, facts: dict[str, Any]) -> None:
        if not facts["maintenance"] and not self._asked.open:
            raise Refused(
                "maintenance mode is off: requests would meet a half migrated database, and a "
                "click in the UI would start a second update",
                host=self.site.host.name,
                state="Nothing was changed",
                next="maintenance.on (offline does that and more); or --open if nobody can get in",
            )

    def _writable(self) -> None:
        # Migrations write settings: measured, core:update ended at its 15th of 17 where it could
        # not, with no way back any more.
        path = f"{self.site.docroot}/config/config.ini.php"
        found = self.site.host.run(
            'if [ -w "$1" ]; then echo yes; else echo no; fi', path, user=self.site.worker,
            what="may config.ini.php be written?",
        )  # fmt: skip
        if found.text.strip() != "yes":
            raise Refused(
                f"{self.site.worker or 'this account'} may not write {path}: core:update would "
                "end in the middle, at the first migration that sets something there",
                host=self.site.host.name,
                state="Nothing was changed",
                next=f"chown {self.site.web_user} {path}; chmod u+w {path} (read-only mount? "
                "chattr +i?), then run this again",
            )

    def _notes(self, facts: dict[str, Any]) -> list[str]:
        if facts["files"] == facts["database"]:
            return []
        expected = core_update_expected.look(self.site, facts["files"])
        if not expected.total:
            return ["no rehearsal of this update is known: which migrations come, and how long "
                    "they take, is not"]  # fmt: skip
        left = expected.left((), 0.0)
        took = f", about {show_duration(left)} by the plan" if left is not None else ""
        return [f"{expected.total} migrations in the rehearsal{took}"]

    def _why(self) -> str:
        return f"as {self.site.web_user}, at most {self._asked.retries} restarts after a crash"

    # --- act ---------------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Here, or as a job on the host; attaches to one that runs."""
        if action.payload == SPREAD:
            return  # verify does it
        if not action.payload and not self._confirm(
            f"{self.site.host.name}: {action.what}. There is no way back from a migration but "
            "the backup of the database.", self._facts.get("files") or "update",
        ):  # fmt: skip
            raise Refused(
                "core.update was not confirmed",
                host=self.site.host.name,
                state="Nothing was changed",
                next="add --yes, or type the version when asked",
            )
        try:
            if self.site.host.is_local:
                UpdateRun(self.site, self.say, self._asked, self.still_ours).go()
                return
            run_there(
                self.site, self.name, self._words(),
                write=self._write, fence=self.fence, attach=action.payload or "",
                begin=self.still_ours,
            )  # fmt: skip
        except OutcomeUnknown:
            raise
        except MatopsError as error:
            self._still_at_work(error)
            raise

    def _still_at_work(self, error: MatopsError) -> None:
        """OutcomeUnknown where our job died and php goes on: then the lock must stay."""
        job = running_job(self.site)
        if job:
            raise OutcomeUnknown(
                f"{error.what}, but core:update itself goes on as job {job}",
                host=self.site.host.name,
                next="run the same again: it attaches to it",
            ) from None

    # --- verify ------------------------------------------------------------------------------

    def verify(self) -> Evidence:
        """Versions, plugins and tables read back, and the second look that was noted."""
        facts = ask(self.site, "core_update_look:facts")
        note = Outage(self.site).noted(NOTE) or {}
        demand_current(self.site, facts, (note.get("result") or {}).get("not_loaded", []))
        if note.get("proved") != facts["files"]:
            raise OutcomeUnknown(
                "the second look of core:update was not noted",
                host=self.site.host.name,
                next="run this again: it looks once more",
            )
        result = note.get("result") or {}
        for line in result.get("config", []):
            self.say(f"  config.ini.php: {line}")
        if self._to_spread(note):
            self._spread(note)
        self._about_new(facts["new"])
        if result.get("trouble"):
            raise self._plugins_failed(facts, result)
        return Evidence(told.line(facts, note, result), {"from": note.get("from"),
                        "to": facts["files"], "at_epoch": note.get("at"), **result})  # fmt: skip

    def _to_spread(self, note: dict[str, Any]) -> bool:
        changes = (note.get("result") or {}).get("config")
        return bool(self._others and changes and not note.get("spread"))

    def _spread(self, note: dict[str, Any]) -> None:
        failed = core_update_others.spread(self.site, note["kept"], self._others, self.say)
        if failed:
            raise MatopsError(
                f"the update is done, but its settings are not on every server: {failed[0]}",
                host=self.site.host.name,
                state="The database is up to date",
                next="repair that, then run this again: it only brings the settings there",
            )
        Outage(self.site).note(NOTE, {**note, "spread": True})

    def _about_new(self, names: Sequence[str]) -> None:
        if names:
            here = "inv" if self.site.host.is_local else f"fab -H {self.site.host.name}"
            self.say(f"  new in this release and not activated, because config.ini.php lists its "
                     f"plugins: {', '.join(names)}; to have them: {here} console "
                     f'"plugin:activate {" ".join(names)}", then core.update')  # fmt: skip

    def _plugins_failed(self, facts: dict[str, Any], result: dict[str, Any]) -> MatopsError:
        gone = ", ".join(result["deactivated"])
        state = f"; core:update deactivated {gone}" if gone else ""
        return MatopsError(
            f"the update to {facts['files']} is done, but plugins failed in it: "
            f"{'; '.join(result['trouble'])}",
            host=self.site.host.name,
            state=f"version_core is {facts['database']}, nothing is left to migrate{state}",
            next="go on (run the same again: it is done); repair or remove these plugins later",
        )


def unfinished(facts: dict[str, Any], note: dict[str, Any]) -> list[str]:
    """What is not as in the files, once core's version is: plugins, tables. Pure."""
    passed_over = (note.get("result") or {}).get("not_loaded", [])
    return [
        *facts["behind"],
        *(f"{name} is not installed" for name in facts["to_install"] if name not in passed_over),
        *(f"{name} is missing" for name in facts["missing"]),
    ]
