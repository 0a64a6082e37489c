"""Steps ``queue.enable``, ``queue.disable``, ``queue.put-back``: do hits go through the queue?"""

from __future__ import annotations

from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.matomo import config_edit, console, ini, queue_space
from matops.matomo.queue_setup import PLUGIN, advice
from matops.matomo.site import Site
from matops.runbook.outage import Outage
from matops.runbook.queue_facts import depth_line
from matops.runbook.queue_hold import on_host
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

ENABLED = "queueEnabled"
FOUND = "queue.enabled"
"""Key of the outage's record: what config.ini.php held of it before the first switch."""
ACTIVATE, SWITCH, BACK = "activate", "switch", "back"


class SwitchQueue(Step):
    """``queueEnabled`` on one server: ``on`` True, False, or None = as the outage found it.

    ``activate``: let console activate the plugin where it is installed but not active.
    """

    title = "Switch the tracking queue"
    scope = Scope.SERVER

    def __init__(self, site: Site, say: Say, on: Optional[bool], *, activate: bool = False) -> None:
        super().__init__(site, say)
        self.name = {True: "queue.enable", False: "queue.disable", None: "queue.put-back"}[on]
        self._on, self._activate = on, activate
        self._outage = Outage(site)

    # --- look --------------------------------------------------------------------------------

    def look(self) -> Look:
        """Is it so already? Refused where the backend would lose hits, or the plugin is not
        active and nobody asked to activate it."""
        if self._on is None:
            return self._look_back()
        setup = self._settings()
        if not self._on:
            return self._look_off(setup)
        if not setup["installed"]:
            raise Refused(f"{PLUGIN} is not installed", host=self.site.host.name,
                          state="Nothing was changed", next=advice(setup))  # fmt: skip
        found = self.site.ask("matomo.queue:status", timeout=600)
        if setup["enabled"]:
            return Look(because=f"hits go through the queue: {depth_line(found)}")
        actions = []
        notes: list[str] = []
        if not setup["active"]:
            actions.append(self._activation(notes))
        else:
            notes += [depth_line(found), *found["space"]["warnings"]]
            self._refuse_unfit(found, "Nothing was changed")
        if trouble := config_edit.trouble(self.site):
            raise Refused(trouble, host=self.site.host.name, state="Nothing was changed")
        return Look([*actions, self._switch_action(setup)], notes=notes)

    def _settings(self) -> dict[str, Any]:
        setup: dict[str, Any] = self.site.ask("matomo.queue:settings")["setup"]
        return setup

    def _look_off(self, setup: dict[str, Any]) -> Look:
        """Also while the backend is down: then every hit is answered 500, and this is the cure."""
        if not setup["enabled"]:
            return Look(because="hits do not go through the queue")
        if trouble := config_edit.trouble(self.site):
            raise Refused(trouble, host=self.site.host.name, state="Nothing was changed")
        try:
            note = f"{depth_line(self.site.ask('matomo.queue:status', timeout=600))}: drain it"
        except MatopsError as error:
            note = f"what waits stays there, and is not seen now: {error.what}"
        return Look([self._switch_action(setup)], notes=[note])

    def _refuse_unfit(self, found: dict[str, Any], state: str) -> None:
        if found["space"]["wrong"]:
            raise Refused(f"the queue would not keep the hits: {found['space']['wrong']}",
                          host=self.site.host.name, state=state,
                          next=queue_space.cure_of(found["space"]["wrong"]))  # fmt: skip

    def _switch_action(self, setup: dict[str, Any]) -> Action:
        origin = setup["origins"].get(ENABLED, "the default")
        return Action(f"set [{PLUGIN}] {ENABLED} = {int(bool(self._on))} in config.ini.php",
                      f"it is {'on' if setup['enabled'] else 'off'} now ({origin})",
                      SWITCH)  # fmt: skip

    def _activation(self, notes: list[str]) -> Action:
        # An explicit list of plugins is what console writes; without one, as after a plain
        # installation, an upgrade activates the plugins that are new in it (matomo.md §6).
        if not self._activate:
            raise Refused(
                f"{PLUGIN} is installed, not active", host=self.site.host.name,
                state="Nothing was changed",
                next="queue.enable --activate; it writes the whole list of plugins into "
                "config.ini.php, and an upgrade then activates none of its new plugins by itself",
            )  # fmt: skip
        notes.append("console rewrites config.ini.php: its comments go; config.backup first")
        if not ini.list_of(_own(self.site), "Plugins", "Plugins"):
            notes.append("config.ini.php has no list of plugins now; it will have one, and the "
                         "upgrade will not activate its new default plugins: activate them "
                         "afterwards (console plugin:list)")  # fmt: skip
        return Action(f"console plugin:activate {PLUGIN}", "--activate", ACTIVATE)

    def _look_back(self) -> Look:
        record = self._outage.read()["found"]
        if FOUND not in record:
            return Look(because="the outage did not switch the queue here")
        before = record[FOUND][ENABLED]
        to = f"= {before['raw']}" if before else "taken out again: it was not there"
        if not self._settings()["enabled"]:  # on again: into a dead backend every hit is lost
            found = self.site.ask("matomo.queue:status", timeout=600)
            if not found["why_none"]:
                self._refuse_unfit(found, "The queue stays off")
        return Look([Action(f"[{PLUGIN}] {ENABLED} {to}", "as it was found", BACK)])

    # --- act ---------------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Activates; remembers and switches; puts back."""
        if action.payload == ACTIVATE:
            words = ["plugin:activate", PLUGIN]
            _, verdict = console.run(self.site, words)
            console.raise_unless_ok(self.site, words, verdict)
            return
        key = [PLUGIN, ENABLED]
        now = on_host(self.site, "matomo.config_edit:look", keys=[key])[".".join(key)]
        if action.payload == SWITCH:
            if self._on:  # activated only just now, its backend was not looked at before
                found = self.site.ask("matomo.queue:status", timeout=600)
                self._refuse_unfit(found, f"{PLUGIN} is active; the queue was not switched on")
            self._outage.remember(FOUND, {ENABLED: now})
            config_edit.edit(self.site, [[*key, str(int(bool(self._on)))]])
            return
        self._put_back()

    def _put_back(self) -> None:
        before = self._outage.found(FOUND)[ENABLED]
        raw = {"raw": before["raw"]} if before else None
        config_edit.edit(self.site, [[PLUGIN, ENABLED, raw]])

    # --- verify ------------------------------------------------------------------------------

    def verify(self) -> Evidence:
        """Reads the setting back, and asks the tracker: a probe is queued, or it is not. Switched
        on, and not queued: taken back at once."""
        setup = self._settings()
        on = self._on
        if on is None:
            self._outage.forget(FOUND)
            on = setup["enabled"]
        if setup["enabled"] != on:
            raise MatopsError(
                f"the queue is still {'off' if on else 'on'}: another setting goes before it",
                host=self.site.host.name, next="console config:get QueuedTracking",
            )  # fmt: skip
        if not setup["active"] or not setup["recording"]:
            return Evidence("hits do not go through the queue")
        try:
            probe = self._probe()
        except MatopsError as error:
            if on:
                self._take_back(error.what)
                raise
            return Evidence(f"hits go past the queue, by its setting; not proven: {error.what}")
        if on and not probe["queued"]:
            raise self._not_queued(probe)
        if not on and probe["queued"]:
            raise MatopsError(f"a probe through {probe['where']} was still queued",
                              host=self.site.host.name, next="run this again")  # fmt: skip
        how = "through the queue" if on else "past the queue, straight into the database"
        return Evidence(f"hits go {how}: a probe did ({probe['where']})")

    def _probe(self) -> dict[str, Any]:
        probe: dict[str, Any] = self.site.ask(
            "matomo.queue_probe:prove", timeout=120, url=self.site.settings.url, fill=False
        )
        return probe

    def _not_queued(self, probe: dict[str, Any]) -> MatopsError:
        what = f"a probe was answered {probe['status']} by {probe['where']} and is not queued"
        state, cure = "Hits may be lost now", "queue.disable"
        if self._take_back(what):
            state, cure = f"The switch is taken back: {ENABLED} is as before", "queue.status"
        return MatopsError(what, host=self.site.host.name, state=state,
                           next=f"{cure}, then look at the tracker's error log")  # fmt: skip

    def _take_back(self, why: str) -> bool:
        """Where we have switched it on, and hits may be lost now."""
        if not self._on or self._outage.found(FOUND) is None:
            return False
        self.say(f"  {why}: the switch is taken back")
        self._put_back()
        self._outage.forget(FOUND)
        return True


def _own(site: Site) -> ini.Sections:
    return ini.parse(site.facts.get("config") or "")
