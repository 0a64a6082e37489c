"""Steps ``maintenance.on`` and ``maintenance.off``: the UI and the API closed, tracking not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.matomo import ini_edit, witness
from matops.matomo.site import Site
from matops.runbook import arrival
from matops.runbook.maintenance_switch import Maintenance, is_matomo
from matops.runbook.step import Action, Evidence, Look, Say

SET, NOTE, LEAVE, FORGET = "set", "note", "leave", "forget"


class MaintenanceOn(Maintenance):
    """Closes UI and API on one server; proven by the page itself, and by hits that still arrive.

    ``despite_health_check``: although a balancer would take this server out.
    """

    name = "maintenance.on"
    title = "Close the UI and the API"

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        public: bool = True,
        first: Optional[Site] = None,
        despite_health_check: bool = False,
    ) -> None:
        super().__init__(site, say, public=public, first=first)
        self._despite = despite_health_check
        self._answers: witness.Answers = []
        self._checks: witness.Answers = []
        self._shared: Optional[dict[str, Any]] = None
        self._arrival: Optional[arrival.Arrival] = None

    def look(self) -> Look:
        """Is it on already, and by whom; may the file be written; what do balancers ask?"""
        self._answers = self.ui()
        if self.is_on():
            ours = self.remembered()
            self._shared = self.shared() if ours is None else None
            if self._shared and not self._shared["on"]:
                why = f"it shares the configuration of {self.first.host.name}" if self.first else ""
                return Look([Action("write down that the UI is closed here, too", why, NOTE)])
            open_ = [each for each in self._answers if each["kind"] == witness.UI]
            if open_:
                raise self._not_closed(open_)
            if ours is not None:
                notes = self._tracking_notes()
                return Look(because=f"the UI is closed by this outage: {self._seen()}", notes=notes)
            return Look([Action(
                "note that maintenance mode was on already, by somebody else",
                "maintenance.off then leaves it on, unless told --force", NOTE)])  # fmt: skip
        self.must_be_writable()
        notes = self._health()
        if not any(is_matomo(each) for each in self._answers):
            notes.append(f"the UI is not seen from here: {witness.shown(self._answers)}")
        why = "nobody shall use the UI during the upgrade; tracking goes on"
        return Look([Action(f"set [{self.SECTION}] {self.NAME} = 1", why, SET)], notes=notes)

    def _tracking_notes(self) -> list[str]:
        """A run that was killed right after the switch could not look: hits must be answered."""
        bad = witness.reached(witness.tracker(self.site), "error")
        return [f"the tracker answers with errors: {witness.shown(bad)}"] if bad else []

    def _health(self) -> list[str]:
        """What balancers ask, and would get. Refused where one would take this server out."""
        several = ini_edit.is_on(
            self.site.config.get("General", {}).get("multi_server_environment")
        )
        notes = []
        self._checks = witness.health(self.site)
        for check in self._checks:
            what = f"{check['agent'] or 'a load balancer'} asks {check['method']} {check['path']}"
            if not would_close(check, several):
                notes.append(f"health check: {what}, answered {check['now'] or 'nothing'} now")
            elif self._despite:
                notes.append(f"health check: {what}: it will be answered 503 from now on")
            else:
                raise Refused(
                    f"{what} for a health check: in maintenance mode it is answered 503, and this "
                    "server would be taken out, with its tracking",
                    host=self.site.host.name,
                    state="Nothing was changed",
                    next="let it ask /matomo.php, or set [General] multi_server_environment = 1 "
                    "(then it is 200); or add --despite-health-check",
                )
        return notes

    def act(self, action: Action) -> None:
        """Remembers what is there, sets it, looks; takes it back where hits no longer arrive."""
        if action.payload == NOTE:
            mine = {"on": True, **(self.in_file() or {"raw": None})}
            self.outage.remember(self.KEY, self._shared or mine)
            return
        before = arrival.look(self.site)
        found = self.outage.remember(self.KEY, {"on": False, **(self.in_file() or {"raw": None})})
        self.first_put("1")
        try:
            why = self._trouble(before)
        except MatopsError as error:
            why = f"what the server answers after the switch could not be seen ({error.what})"
        if why:
            self.put_back(found)
            self.outage.forget(self.KEY)
            raise self.took_back(why)

    def _trouble(self, before: arrival.Arrival) -> str:
        """What the switch broke; '' where nothing. Sets what ``verify`` tells."""
        seen, self._answers = self._answers, self.wait_for(self._answers, closed=True)
        if any(map(is_matomo, seen)):
            other = [each for each in self._answers if each["kind"] != witness.MAINTENANCE]
            if other:
                return f"the maintenance page is not shown: {witness.shown(other)}"
        self._arrival, why = arrival.look_after(self.site, before, alone=self.alone)
        if why:
            return why
        if self._despite or not self._checks:
            return ""
        was = {(check["method"], check["path"]): check["now"] for check in self._checks}
        for check in witness.health(self.site):
            then = was.get((check["method"], check["path"]), 0)
            if 200 <= then < 400 and not 200 <= check["now"] < 400:
                who = check["agent"] or "a load balancer"
                return (f"the health check {check['method']} {check['path']} of {who} is answered "
                        f"{check['now']} now, {then} before")  # fmt: skip
        return ""

    def verify(self) -> Evidence:
        """Reads it through Matomo, and the page once more where ``act`` has not just seen it."""
        if not self.is_on():
            raise MatopsError("maintenance mode is not on: config.ini.php was changed since")
        if self._arrival is None:
            self._answers = self.wait_for(self.ui(), closed=True) if self._shared else self.ui()
            if open_ := [each for each in self._answers if each["kind"] == witness.UI]:
                raise self._not_closed(open_)
        arrives = f"; {self._arrival.line}" if self._arrival else ""
        nonce = self._arrival.marker.get("nonce", "") if self._arrival else ""
        facts = {"ui": self._answers, "kept": self.kept, "marker": nonce}
        return Evidence(f"the UI is closed: {self._seen()}{arrives}{self.way_back}", facts)

    def _seen(self) -> str:
        closed = [each for each in self._answers if each["kind"] == witness.MAINTENANCE]
        return witness.shown(closed) or "read through Matomo; no page is seen from here"

    def _not_closed(self, open_: witness.Answers) -> MatopsError:
        others = ", ".join(self.site.facts.get("host_configs", []))
        return MatopsError(
            f"config.ini.php says maintenance, but the UI is open: {witness.shown(open_)}",
            state="Hits are recorded as before",
            next=f"these names have a configuration of their own: {others}" if others
            else "look at bootstrap.php (ENABLE_CONFIG_PHP_CACHE, another configuration file)",
        )  # fmt: skip


class MaintenanceOff(Maintenance):
    """Opens UI and API again, as they were found before the outage.

    Maintenance mode that was on before, or that somebody else switched on, stays on unless
    ``force``.
    """

    name = "maintenance.off"
    title = "Open the UI and the API"

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        public: bool = True,
        first: Optional[Site] = None,
        force: bool = False,
    ) -> None:
        super().__init__(site, say, public=public, first=first)
        self.force = force
        self._answers: witness.Answers = []
        self._left = False

    def look(self) -> Look:
        """Is it on, and was it us?"""
        found = self.remembered()
        if not self.is_on():
            if found is None:
                return Look(because="maintenance mode is off")
            return Look([Action("strike it from the outage's record",
                                "maintenance mode is off already", FORGET)])  # fmt: skip
        if found is None and not self.force:
            raise Refused(
                "maintenance mode is on, but not by this outage: somebody else has a reason",
                host=self.site.host.name,
                state="Nothing was changed",
                next="ask them; maintenance.off --force opens the UI all the same; then this again",
            )
        if found is not None and found["on"] and not self.force:
            return Look([Action("leave maintenance mode on", "it was on before this outage, and "
                                "not by us; --force ends it", LEAVE)])  # fmt: skip
        self.must_be_writable()
        back = f"put [{self.SECTION}] {self.NAME} back: {self.shown(found)}"
        if self._forced(found):
            back = f"set [{self.SECTION}] {self.NAME} = 0"
        return Look([Action(back, "as it was found" if found else "told --force", SET)])

    def _forced(self, found: Optional[dict[str, Any]]) -> bool:
        return found is None or bool(found["on"])

    def act(self, action: Action) -> None:
        """Puts it back; proven by the UI, and by hits that still arrive."""
        self._left = action.payload == LEAVE
        if action.payload != SET:
            return
        seen, before = self.ui(), arrival.look(self.site)
        found = self.remembered()
        if self._forced(found):
            self.put("0")
        else:
            self.put_back(found)
        self._answers = self.wait_for(seen, closed=False)
        _, why = arrival.look_after(self.site, before, alone=self.alone)
        if why:
            raise MatopsError(why, host=self.site.host.name, state="Maintenance mode is off",
                              next="look at the tracker at once; check shows its logs")  # fmt: skip

    def verify(self) -> Evidence:
        """The UI is open; then the record forgets it."""
        if self._left:
            self.outage.forget(self.KEY)
            return Evidence("maintenance mode stays on, as it was before this outage")
        if self.is_on():
            raise MatopsError("maintenance mode is still on: config.ini.php was changed since")
        self._answers = self._answers or self.wait_for(self.ui(), closed=False)
        closed = [each for each in self._answers if each["kind"] in (witness.MAINTENANCE, "error")]
        if closed:
            raise MatopsError(
                f"maintenance mode is off, but the UI is not open: {witness.shown(closed)}",
                state="The outage's record keeps it",
                next="look at the web server's error log, then run maintenance.off again",
            )
        self.outage.forget(self.KEY)
        return Evidence(f"the UI answers: {witness.shown(self._answers)}{self.way_back}",
                        {"ui": self._answers, "kept": self.kept})  # fmt: skip


def steps_on(
    sites: Sequence[Site], say: Say, *, despite_health_check: bool = False
) -> list[MaintenanceOn]:
    """One step a server; what the public name answers is proven by the last."""
    return [
        MaintenanceOn(
            site,
            say,
            public=site is sites[-1],
            first=sites[0],
            despite_health_check=despite_health_check,
        )
        for site in sites
    ]


def steps_off(sites: Sequence[Site], say: Say, *, force: bool = False) -> list[MaintenanceOff]:
    """As ``steps_on``, the other way."""
    return [
        MaintenanceOff(site, say, public=site is sites[-1], first=sites[0], force=force)
        for site in sites
    ]


def would_close(check: dict[str, Any], several: bool) -> bool:
    """Would maintenance mode make this health check fail? Pure.

    Only what Matomo's front controller answers changes: the folder itself and index.php; with
    ``multi_server_environment`` the page is a 200 (FrontController::handleMaintenanceMode).
    """
    path = str(check["path"]).partition("?")[0]
    return not several and 200 <= check["now"] < 400 and path.endswith(("/", "index.php"))
