"""Step ``release.back``: the old files again, before any migration ran."""

from __future__ import annotations

from typing import Any

from matops.errors import MatopsError
from matops.matomo.install.place import BACK, BUILT, DONE, HALF
from matops.matomo.release.stages import downloads_of
from matops.matomo.site import Site
from matops.runbook import install_calls as calls
from matops.runbook.core_update_run import NOTE
from matops.runbook.install_calls import Confirm, confirmed
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.units import compact_time, utc_now

RETURN, PROVE = "return", "prove"
DONE_BACK = "install_back"
"""Note of the outage: ``[from, to]`` of the exchange that was taken back in it."""


class InstallBack(Step):
    """Changes the trees back (or copies the kept files back), as ``release.install`` recorded it.

    Whether going back is still allowed is the caller's to decide: old code on a migrated schema
    is a danger. Nothing to do where nothing was installed. Forgets ``install`` in the record.
    """

    name = "release.back"
    title = "put the old release's files back"
    scope = Scope.SERVER

    def __init__(
        self, site: Site, say: Say, *, may_reload: bool = True, confirm: Confirm = confirmed
    ) -> None:
        super().__init__(site, say)
        self.may_reload, self._confirm = may_reload, confirm
        self._outage = Outage(site)
        self._record: dict[str, Any] = {}
        self._proof = self._kept = ""
        self._linked = False

    def look(self) -> Look:
        """Which release is there, and which one lies ready as the way back."""
        self._record = self._outage.found(calls.KEY) or {}
        if not self._record:
            return Look(because="no release was installed in this outage")
        old, new = self._record["from"], self._record["to"]
        found = self._state()
        state, self._linked = found["state"], bool(found["facts"].get("link"))
        if state == BUILT:
            what = f"nothing to go back from: {new} was built, but never put in place"
            return Look([Action("prove that the docroot is untouched", what, PROVE)])
        if state not in (HALF, DONE, BACK):
            raise MatopsError(
                f"{self.site.docroot} is neither the tree of {old} nor that of {new} that "
                "release.install exchanged",
                host=self.site.host.name,
                state=f"Nothing was changed; the way back lay in {self._record['folder']}/matomo",
                next="look who replaced the docroot since",
            )
        how = "exchange the trees back" if self._record["how"] == "exchange" else "copy back"
        return Look(
            [
                Action(f"{how}: {self.site.docroot} is Matomo {old} again",
                       f"{new}'s files stay in {self._record['folder']}", RETURN),
                Action(f"prove that {old} is served", "PHP's caches may hold new code", PROVE),
            ]
        )  # fmt: skip

    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = calls.ask(self.site, "survey:state", folder=self._record["folder"])
        return found

    def act(self, action: Action) -> None:
        """Goes back, then proves it. Each may be killed and done again."""
        if action.payload == PROVE:
            self._proof = calls.prove(
                self.site, self._record["folder"], self._record["from"],
                linked=self._linked, may_reload=self.may_reload,
            )  # fmt: skip
            return
        if not self._confirm(f"{self.site.host.name}: {action.what}?", "back"):
            raise calls.unconfirmed(self.site, "going back", "back")
        self.still_ours()
        module = "switch" if self._record["how"] == "exchange" else "overlay"
        found = calls.ask(
            self.site, f"{module}:back", folder=self._record["folder"],
            downloads=downloads_of(self.site),
            aside=f"{self.site.state_dir}/back-{compact_time(utc_now())}",
            web=calls.web_of(self.site), web_user=self.site.web_user, may_reload=self.may_reload,
        )  # fmt: skip
        self._kept = found["kept"]
        for line in found["late"]:
            self.say(f"  {line}")

    def verify(self) -> Evidence:
        """The old release is in the docroot, to the file. Then the record is forgotten."""
        found = calls.ask(self.site, "check:old", folder=self._record["folder"])
        old = self._record["from"]
        if found["version"] != old or found["missing"] or found["added"]:
            odd = (found["missing"] or found["added"] or [""])[0]
            raise MatopsError(
                f"the docroot is not Matomo {old} again: it says {found['version'] or '?'}"
                + (f", and {odd} is not as it was" if odd else ""),
                host=self.site.host.name,
                next="run this again",
            )
        if self._outage.noted(NOTE):  # the next update has a start of its own
            self._outage.note(NOTE, None)
        self._outage.note(DONE_BACK, [self._record["from"], self._record["to"]])
        self._outage.forget(calls.KEY)
        kept = f"; the configuration as it was with the new release: {self._kept}"
        line = f"Matomo {old} again; {self._proof}{kept if self._kept else ''}"
        return Evidence(line, {"version": old, "config": self._kept})
