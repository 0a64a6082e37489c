"""The whole of ``core.update`` on the host: note, rounds of core:update, new plugins, proof."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable

from matops.errors import MatopsError
from matops.matomo import core_update_look as looking
from matops.matomo.site import Site
from matops.runbook import alert, core_update_guard
from matops.runbook import core_update_after as after
from matops.runbook.core_update_clear import running_job, wait_for_database
from matops.runbook.core_update_there import Asked, Attempts
from matops.runbook.outage import Outage
from matops.units import show_duration, show_epoch

NOTE = "update"
"""Key of the outage's record: ``{"from", "to", "at" (epoch, this host), "db_clock" (epoch, the
database), "job", "kept" (config.ini.php before), "proved" (version), "result": {…}}``."""
LONG = 900.0  # seconds, after which its good end is told, too: nobody watches for hours
ROUNDS = 3
"""A plugin that is installed or activated may bring migrations of its own: then once more."""


@dataclass
class UpdateRun:
    """``still_ours`` is asked before each start. ``go`` leaves its result in the record."""

    site: Site
    say: Callable[[str], object]
    asked: Asked
    still_ours: Callable[..., None]
    _installed: list[str] = field(default_factory=list)
    _not_loaded: list[str] = field(default_factory=list)
    _guard_failed: bool = False

    def go(self) -> dict[str, Any]:
        """``run``; its end is told where nobody may be looking any more."""
        began = time.monotonic()
        try:
            result = self.run()
        except MatopsError as error:
            if not isinstance(error.__context__, KeyboardInterrupt):  # he is here
                self._tell("core:update needs you", error.on(self.site.host.name).line())
            raise
        took = time.monotonic() - began
        if took > LONG or result["trouble"]:
            trouble = "".join(f"; {line}" for line in result["trouble"])
            self._tell("core:update is done", f"after {show_duration(took)}{trouble}")
        return result

    def _tell(self, what: str, text: str) -> None:
        for line in alert.send(self.site, what, text):
            self.say(f"  alert: {line}")

    def run(self) -> dict[str, Any]:
        """Until a second look finds nothing to do; the result. Raises what ``Attempts.go`` and
        the steps after it raise; all can be repeated."""
        outage = Outage(self.site)
        wait_for_database(self.site, self.say)
        note = self._noted(outage)

        def begin(job: str) -> None:
            note["job"] = job
            outage.note(NOTE, note)

        attempts = Attempts(
            self.site, self.say, self.asked, self.still_ours, begin,
            lambda: self._guard(note["kept"]),
        )  # fmt: skip
        try:
            self._rounds(attempts, str(note["to"]))
        finally:  # after a failure, too: it may be hours until the next run
            self._guard(note["kept"])
        self._lost(note["kept"], attempts)
        facts = looking.facts(self.site.docroot)
        after.demand_current(self.site, facts, self._not_loaded)
        earlier = note.get("result") or {}
        note["result"] = {
            "migrations": attempts.migrations,
            "restarts": attempts.restarts,
            "seconds": round(attempts.seconds, 1),
            "installed": self._installed,
            "not_loaded": self._not_loaded,
            "not_activated": facts["new"],
            "config": after.config_changes(self.site, note["kept"]),
            "trouble": list(dict.fromkeys([*earlier.get("trouble", []), *attempts.trouble])),
            "deactivated": list(
                dict.fromkeys([*earlier.get("deactivated", []), *attempts.deactivated])
            ),
        }
        note["proved"] = facts["files"]
        outage.note(NOTE, note)
        return dict(note["result"])

    def _noted(self, outage: Outage) -> dict[str, Any]:
        """What an earlier run of the same update noted, else the start: written before anything."""
        files, database = looking.versions(self.site.docroot)
        note = outage.noted(NOTE) or {}
        if note.get("to") == files and note.get("from") and note.get("kept"):
            self.say(f"  this update began {show_epoch(float(note['at']))} (noted)")
            return dict(note)
        note = {
            "from": database,
            "to": files,
            "at": time.time(),
            "db_clock": looking.facts(self.site.docroot)["now"],
            "job": running_job(self.site),
            "kept": after.keep_config(self.site),
            "proved": "",
        }
        outage.note(NOTE, note)
        self.say(f"  start noted: {show_epoch(float(note['at']))}; config.ini.php is kept as "
                 f"{note['kept']}")  # fmt: skip
        return note

    def _rounds(self, attempts: Attempts, to_version: str) -> None:
        attach = running_job(self.site)
        if attach:
            self.say(f"  core:update is at work as job {attach}: attached to it")
        says = ""
        for _ in range(ROUNDS):
            attempts.go(to_version, attach)
            attach = ""
            self._plugins()
            says = after.second_look(self.site)
            if not says:
                self.say("  second look: everything is already up to date")
                return
            self.say(f"  second look: not yet: {says}")
        raise MatopsError(
            f"core:update finds something to do again and again: {says}",
            host=self.site.host.name,
            state="Nothing runs any more; maintenance mode and the held queue stay as they are",
            next="look at that component: its version in the database does not become its files'",
        )

    def _guard(self, kept: str) -> None:
        """Called now and then while it runs, and after it."""
        try:
            ended = not running_job(self.site)
            lines = core_update_guard.keep(
                self.site, kept, self.say, wanted_open=self.asked.open, ended=ended
            )
        except (MatopsError, OSError) as error:
            lines = [f"whether UI and tracker are as they were cannot be told: {error}"]
            if self._guard_failed:
                return
            self._guard_failed = True
            self.say(f"  {lines[0]}")
        if lines:
            self._tell("core:update switched maintenance or tracking", "\n".join(lines))

    def _lost(self, kept: str, attempts: Attempts) -> None:
        """Plugins that a run which crashed had deactivated: nobody was told."""
        gone = [n for n in after.lost_plugins(self.site, kept) if n not in attempts.deactivated]
        if gone:
            attempts.trouble.append(f"{', '.join(gone)}: activated before, and not any more")
            attempts.deactivated += gone

    def _plugins(self) -> None:
        self._install()
        self._installed += after.repair(self.site, self.say)
        new = looking.facts(self.site.docroot)["new"]
        if new and self.asked.activate_new:
            after.activate(self.site, new, self.say)
            self._installed += new
            self._install()

    def _install(self) -> None:
        installed, self._not_loaded = after.install_plugins(self.site, self.say)
        self._installed += [name for name in installed if name not in self._installed]
