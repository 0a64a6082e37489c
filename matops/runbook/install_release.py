"""Steps ``release.build`` and ``release.install``: the staged release becomes the docroot's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

from matops.errors import MatopsError, Refused, UsageError
from matops.matomo.install.place import BUILT, DONE, HALF
from matops.matomo.release.stages import Staged, downloads_of, root_of
from matops.matomo.site import Site
from matops.runbook import install_calls as calls
from matops.runbook.install_calls import Confirm, confirmed
from matops.runbook.install_words import COPY, notes_of
from matops.runbook.outage import Outage
from matops.runbook.stage_jobs import call_there
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

AUTO, EXCHANGE = "", "exchange"
BUILD, SWITCH, PROVE, AWAY = "build", "switch", "prove", "away"


class BuildRelease(Step):
    """The complete new tree beside the docroot; nothing live is changed.

    ``how``: exchange, copy, or '' = exchange where the docroot allows it. ``release``: the
    version of the stage to install ('' = the newest that is ready). ``accept_plugins``: plugins
    that do not fit the release and are installed with it nevertheless. ``accept_unlisted``: go
    on where there is no list of the old release's files.
    """

    name = "release.build"
    title = "build the new tree beside the docroot"
    scope = Scope.SERVER
    changes_data = False

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        how: str = AUTO,
        release: str = "",
        accept_plugins: Sequence[str] = (),
        accept_unlisted: bool = False,
    ) -> None:
        """UsageError for a ``how`` that there is not."""
        super().__init__(site, say)
        if how not in (AUTO, EXCHANGE, COPY):
            raise UsageError(f"--how: '{how}' is not one of exchange, copy")
        self.how, self.release = how, release
        self.accept_plugins, self.accept_unlisted = tuple(accept_plugins), accept_unlisted
        self._outage = Outage(site)
        self._staged: Optional[Staged] = None
        self._found: dict[str, Any] = {}

    # --- look --------------------------------------------------------------------------------

    def look(self) -> Look:
        """What is there, whose the files are, and what will be built. Nothing is written."""
        under_way = self._under_way()
        if under_way:
            return Look(because=f"Matomo {under_way['facts']['to']} is in the docroot already")
        if not self._choose():
            return self._newest()
        notes = self._survey()
        if self._found["state"] == BUILT:
            return Look(because=f"it is built: {self._found['folder']}", notes=notes)
        return Look([self._build_action()], notes=notes)

    def _under_way(self) -> dict[str, Any]:
        """An exchange that this outage did already, or began; {} = none."""
        record = self._outage.found(calls.KEY)
        if not record:
            return {}
        found = calls.ask(self.site, "survey:state", folder=record["folder"])
        if found["state"] not in (HALF, DONE):
            return {}
        return {**found, "folder": record["folder"], "how": record["how"]}

    def _choose(self) -> bool:
        self._staged = calls.choose(self.site, self.release)
        return self._staged is not None

    def _newest(self) -> Look:
        now = self.site.version
        return Look(because=f"Matomo {now} is installed, and none newer is staged")

    def _survey(self) -> list[str]:
        staged = self._staged
        assert staged
        accepted = calls.demand_fit(self.site, staged, self.accept_plugins)
        self._found = calls.ask(self.site, "survey:survey", stage=staged.path, **self._common())
        if self.how == EXCHANGE and self._found["obstacle"]:
            raise Refused(
                f"the trees cannot be exchanged: {self._found['obstacle']}",
                host=self.site.host.name,
                state="Nothing was changed",
                next="release.install --how copy works there, file by file",
            )
        return [*accepted, *notes_of(self._found)]

    def _common(self) -> dict[str, Any]:
        return {
            "root": root_of(self.site),
            "how": self._found.get("how") or self.how,
            "installed": self.site.version,
            "downloads": downloads_of(self.site),
            "accept_unlisted": self.accept_unlisted,
        }

    def _build_action(self) -> Action:
        facts = self._found["facts"]
        assert self._staged
        what = f"build the tree of Matomo {self._staged.version} below {root_of(self.site)}"
        if self._found["how"] == COPY:
            return Action(what, f"to be copied; {facts['stale_count']} stale files will go", BUILD)
        why = f"with the {facts['carried']} files that are not the old release's; not live yet"
        return Action(what, why, BUILD)

    # --- act ---------------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Builds, as a job on the host: a lost link costs nothing."""
        self._build()

    def _build(self) -> None:
        assert self._staged
        facts = call_there(
            self.site,
            f"release.build.{self._staged.version}",
            "matomo.install.build:build",
            {"docroot": self.site.docroot, "stage": self._staged.path, **self._common()},
            self.say,
        )
        self._found = {**self._found, "state": BUILT, "folder": facts["folder"], "facts": facts}
        for line in facts["said"]:
            self.say(f"  {line}")

    def verify(self) -> Evidence:
        """The tree is there, and belongs to this docroot."""
        found = calls.ask(self.site, "survey:state", folder=self._found["folder"])
        if found["state"] != BUILT:
            raise MatopsError(
                f"{self._found['folder']} is not built", host=self.site.host.name,
                state="The docroot is as it was", next="run this again",
            )  # fmt: skip
        facts = found["facts"]
        line = f"Matomo {facts['to']} is built in {facts['folder']}, to {facts['how']}"
        return Evidence(line, {"folder": facts["folder"], "how": facts["how"], "to": facts["to"]})


class InstallRelease(BuildRelease):
    """Builds (unless that was done), then changes the trees; the old files stay as the way back.

    Remembers ``install`` in the outage's record before the docroot is touched. ``may_reload``:
    Apache or php-fpm may be reloaded where they would go on with the old code.
    """

    name = "release.install"
    title = "install the new release's files"
    changes_data = True

    def __init__(
        self, site: Site, say: Say, *, may_reload: bool = True, confirm: Confirm = confirmed,
        **build: Any,
    ) -> None:  # fmt: skip
        """``build``: as of ``BuildRelease``. ``confirm(question, word)``: asked first."""
        super().__init__(site, say, **build)
        self.may_reload, self._confirm = may_reload, confirm
        self._proof = self._away = ""

    def look(self) -> Look:
        """What is there and what is left to do: of a run that was killed only the rest."""
        under_way = self._under_way()
        if under_way:
            self._found = under_way
            facts = under_way["facts"]
            if facts.get("finished"):
                return Look(
                    because=f"Matomo {facts['to']} is installed; the way back is "
                    f"{facts['folder']}/matomo"
                )
            return Look(list(self._rest(facts)))
        if not self._choose():
            return self._newest()
        notes = self._survey()
        actions = [] if self._found["state"] == BUILT else [self._build_action()]
        facts = {**self._found["facts"], "to": self._staged.version if self._staged else ""}
        return Look([*actions, *self._rest(facts)], notes=notes)

    def _rest(self, facts: dict[str, Any]) -> Iterator[Action]:
        to = facts["to"]
        if self._found["how"] == EXCHANGE:
            what = f"exchange {self.site.docroot} with the tree of Matomo {to}"
            yield Action(what, "one atomic step; what is written until then comes along", SWITCH)
        else:
            what = f"copy Matomo {to} over {self.site.docroot}"
            yield Action(what, "each file in one rename; every old one is kept first", SWITCH)
        yield Action(f"prove that {to} is served", "PHP's caches may hold the old code", PROVE)
        yield Action("put the old files where no web server runs them", "the way back", AWAY)

    def act(self, action: Action) -> None:
        """One action of the plan. Each may be killed and done again."""
        {BUILD: self._build, SWITCH: self._switch, PROVE: self._prove, AWAY: self._put_away}[
            action.payload
        ]()

    def _switch(self) -> None:
        folder, how = self._found["folder"], self._found["how"]
        facts = self._found["facts"]
        what = f"Matomo {facts['to']} in the place of {facts['from']}"
        if not self._confirm(f"{self.site.host.name}: put {what}?", facts["to"]):
            raise calls.unconfirmed(self.site, what, facts["to"])
        self.still_ours()
        record = {"how": how, "folder": folder, "docroot": self.site.docroot,
                  "from": facts["from"], "to": facts["to"]}  # fmt: skip
        if self._outage.remember(calls.KEY, record) != record:
            # Of a run that never came to the exchange: _under_way has looked.
            self._outage.forget(calls.KEY)
            self._outage.remember(calls.KEY, record)
        module = "switch" if how == EXCHANGE else "overlay"
        found = calls.ask(
            self.site, f"{module}:forth", folder=folder, downloads=downloads_of(self.site),
            web=calls.web_of(self.site), web_user=self.site.web_user, may_reload=self.may_reload,
        )  # fmt: skip
        if found.get("caught"):
            self.say(f"  {found['caught']} files were written meanwhile: brought along")
        for line in found.get("late", []):
            self.say(f"  {line}")
        self._found["facts"] = {**facts, **found["facts"]}

    def _prove(self) -> None:
        facts = self._found["facts"]
        self._proof = calls.prove(
            self.site, self._found["folder"], facts["to"],
            linked=bool(facts.get("link")), may_reload=self.may_reload,
        )  # fmt: skip
        self.say(f"  {self._proof}")

    def _put_away(self) -> None:
        found = calls.ask(
            self.site, "away:put", folder=self._found["folder"], web_user=self.site.web_user,
            web=calls.web_of(self.site), downloads=downloads_of(self.site),
        )  # fmt: skip
        self._away = found["line"]

    # --- verify ------------------------------------------------------------------------------

    def verify(self) -> Evidence:
        """Compares every file of the docroot with the release; asks Matomo what it finds odd."""
        folder = self._found["folder"]
        found = calls.ask(self.site, "check:check", folder=folder)
        facts = found["facts"]
        wrong = found["wrong"] or found["left"]
        if found["state"] != DONE or found["version"] != facts["to"] or wrong:
            what = f"the docroot is Matomo {found['version'] or '?'}"
            if found["wrong"]:
                what = f"{found['wrong_count']} files are not {facts['to']}'s, first {wrong[0]}"
            elif found["left"]:
                what = f"{found['left_count']} files of {facts['from']} are left, first {wrong[0]}"
            raise MatopsError(
                what, host=self.site.host.name, state=f"The way back: {folder}/matomo",
                next="run this again, or release.back",
            )  # fmt: skip
        odd = calls.unexpected(self.site)
        if odd:
            self.say(f"  {odd}")
        line = (
            f"Matomo {facts['to']}: {found['files']} files as released, none of {facts['from']} "
            f"left; {self._proof or 'proven before'}; the way back is {folder}/matomo "
            f"({self._away or 'not served'})"
        )
        return Evidence(
            line,
            {
                "version": facts["to"],
                "from": facts["from"],
                "how": facts["how"],
                "way_back": f"{folder}/matomo",
                "own": found["own"],
                "modified": facts.get("modified", []),
            },
        )
