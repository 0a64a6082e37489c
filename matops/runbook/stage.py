"""The step that puts a new release on a host: fetched, verified, unpacked, not served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.matomo import ini
from matops.matomo.release import source, stages
from matops.matomo.release.requirements import FAIL, requirements
from matops.matomo.release.stages import PACKAGE, downloads_of, root_of
from matops.matomo.release.unpack import fitting
from matops.matomo.release.versions import key
from matops.matomo.site import Site
from matops.runbook import stage_get, stage_plugins
from matops.runbook.stage_get import Confirm
from matops.runbook.stage_jobs import call_there
from matops.runbook.stage_prove import runs, served_now, unmet
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.units import show_size

FETCH, UPLOAD, VERIFY, STAGE, PLUGINS, PROVE = (
    "fetch",
    "upload",
    "verify",
    "stage",
    "plugins",
    "prove",
)


class StageRelease(Step):
    """Stages a release on one web server; see ``matops.matomo.release`` for the parts.

    ``release``: latest, a version, a URL or a local zip. ``sha256``: what it must be. ``plugins``:
    a folder or zip here, or a path on the host. ``confirm(sha256)``: asks the operator, on a
    terminal. ``same_version``: stage what is installed already once more.
    """

    name = "release.stage"
    title = "stage and verify the release"
    scope = Scope.SERVER
    changes_data = False

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        release: str = "",
        sha256: str = "",
        plugins: str = "",
        confirm: Optional[Confirm] = None,
        same_version: bool = False,
    ) -> None:
        """Raises UsageError for what cannot be meant."""
        super().__init__(site, say)
        self.source = source.parse(release or site.settings.release)
        self.sha256 = source.check_sha256(sha256)
        self.same_version = same_version
        self._plugins = plugins
        self._confirm = confirm
        self._root, self._folder = root_of(site), downloads_of(site)
        self._found: dict[str, Any] = {}
        self._pack: Optional[dict[str, Any]] = None

    # --- look --------------------------------------------------------------------------------

    def look(self) -> Look:
        """Two round trips, or one; the network is asked only for what the host lacks."""
        if self.source.sha256 and self.sha256 not in ("", self.source.sha256):
            raise Refused(
                f"{self.source.text} has the sha256 {self.source.sha256}, and {self.sha256} "
                "was asked for",
                state="Nothing was uploaded",
                next="get the file anew, or correct --sha256",
            )
        if settled := self._settled(self.source.version):
            return settled
        found = self._survey()
        if settled := self._settled(found["version"]):
            return settled
        actions = list(self._actions(found))
        notes = [*self._requirements(), *self._place_notes(found, actions)]
        staged = found["staged"]
        because = f"Matomo {staged['version']} is staged in {staged['path']}" if staged else ""
        return Look(actions, because, notes=notes)

    def _settled(self, version: str) -> Optional[Look]:
        """Where the version alone says that there is nothing to do. Refused: it is older."""
        if version == self.site.version and not self.same_version:
            newest = ", the newest there is" if self.source.kind == source.LATEST else ""
            return Look(because=f"Matomo {version} is installed already{newest}")
        if version:
            fitting(version, "", self.site.version, self.same_version)
        return None

    def _survey(self) -> dict[str, Any]:
        local = stage_plugins.packed_here(self._plugins)
        self._found = self._ask(
            "survey:survey",
            docroot=self.site.docroot,
            root=self._root,
            folder=self._folder,
            kind=self.source.kind,
            version=self.source.version,
            text=self.source.text,
            sha256=self.sha256 or self.source.sha256,
            release_url=self.site.settings.release_url,
            latest_url=self.site.settings.latest_url,
            installed=self.site.version,
            plugins_at="" if local or not self._plugins else self._plugins,
        )
        self._pack = local or self._found["plugins"]
        staged = self._found["staged"]
        if staged:
            self._not_in_use(staged)
            state = self.site.ask("matomo.release.tree:check", timeout=600, path=staged["path"])
            if state["problem"]:
                self.say(f"the stage in {staged['path']} is not whole: {state['problem']}")
                self._found["staged"] = None
        return self._found

    def _not_in_use(self, staged: dict[str, Any]) -> None:
        if staged["in_use"]:
            raise Refused(
                f"the stage in {staged['path']} is in use: {self.site.docroot} lies in it",
                host=self.site.host.name,
                state="Nothing was changed",
                next="stage another version, or a zip of its own",
            )

    def _actions(self, found: dict[str, Any]) -> Iterator[Action]:
        staged, download = found["staged"], found["download"]
        if not staged:
            if found["place"]["problem"]:
                raise Refused(
                    found["place"]["problem"],
                    host=self.site.host.name,
                    state="Nothing was staged",
                    next=found["place"]["next"],
                )
            yield from self._get(found)
            if not download["verified"]:
                yield Action("verify it", "signature or sha256, before it is opened", VERIFY)
            what = f"test the zip whole and unpack it below {self._root}"
            yield Action(what, f"{show_size(found['place']['free'])} free there", STAGE)
        if self._pack and (not staged or staged.get("pack") != self._pack["sha256"]):
            names = ", ".join(f"{n} {p['version']}" for n, p in self._pack["plugins"].items())
            yield Action(f"stage with it: {names}", "--plugins", PLUGINS)
        if not staged or not staged["proof"].get("final"):
            yield Action("prove it", "PHP runs it, and no web server gives it out", PROVE)
        elif served := served_now(self.site, staged, self._common(), self.say):
            # What was proven once may have changed with the web server's configuration.
            yield Action("close it to the web, or remove it", f"it is served now: {served}", PROVE)

    def _get(self, found: dict[str, Any]) -> Iterator[Action]:
        download = found["download"]
        if download["complete"]:
            return
        if self.source.kind == source.FILE:
            size = show_size(self.source.size)
            yield Action(f"upload {self.source.text} ({size})", "it is not on the host", UPLOAD)
            return
        have = f", {show_size(download['have'])} are there" if download["have"] else ""
        what = f"download {source.shown(found['url'])} ({show_size(found['size'])}{have})"
        yield Action(what, "the host fetches it by itself", FETCH)

    def _requirements(self) -> list[str]:
        staged = self._found["staged"]
        if not staged:
            return []
        found = requirements(self.site.facts, staged["target"])
        return [f"{each.name}: {each.found}; {each.todo}" for each in found if each.status == FAIL]

    def _place_notes(self, found: dict[str, Any], actions: list[Action]) -> list[str]:
        if actions and found["place"]["inside"]:
            return [f"{self._root} is inside the docroot: it will be proven not to be served"]
        return []

    # --- act ---------------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """One action of the plan. Raises what the parts raise; nothing half-done stays."""
        acts: dict[str, Callable[[], None]] = {
            FETCH: lambda: stage_get.fetch(self.site, self._found, self.say),
            UPLOAD: lambda: stage_get.upload(self.site, self._found, self.source, self.say),
            VERIFY: lambda: stage_get.verify(
                self.site, self._found, self.sha256, self._confirm, self.say
            ),
            STAGE: self._stage,
            PLUGINS: self._stage_plugins,
            PROVE: self._prove,
        }
        acts[action.payload]()

    def _stage(self) -> None:
        found, url = self._found, self._found["url"]
        payload = {
            **self._common(),
            "name": found["name"],
            "max_size": self.site.settings.release_max_size,
            "source": source.shown(url) if url else f"file {Path(self.source.text).name}",
            "asked": found["version"],
            "installed": self.site.version,
            "same_version": self.same_version,
        }
        label = f"release.unpack.{found['name'][:-4].lower()}"
        staged = call_there(self.site, label, "matomo.release.unpack:stage", payload, self.say)
        self._found["staged"] = staged

    def _common(self) -> dict[str, Any]:
        hosts = ini.list_of(self.site.config, "General", "trusted_hosts")
        return {
            "docroot": self.site.docroot,
            "root": self._root,
            "folder": self._folder,
            "web_user": self.site.web_user,
            "web": {"url": self.site.settings.url, "hosts": hosts},
        }

    def _stage_plugins(self) -> None:
        assert self._pack is not None
        staged, there = self._found["staged"], bool(self._found["plugins"])
        staged.update(
            stage_plugins.add(self.site, self._plugins, self._pack, staged["path"], there)
        )

    def _prove(self) -> None:
        staged = self._found["staged"]
        runs(self.site, staged)
        manifest = self._ask("protect:finish", path=staged["path"], timeout=900, **self._common())
        staged.update(manifest)

    # --- verify ------------------------------------------------------------------------------

    def verify(self) -> Evidence:
        """Reads every file of the stage as the web user, and lets PHP run it."""
        wanted = self._found["staged"]["path"] if self._found.get("staged") else ""
        found = [each for each in stages.staged(self.site) if each.path == wanted]
        if not found:
            raise OutcomeUnknown(
                "the stage is not there", host=self.site.host.name, next="run this again"
            )
        staged = found[0]
        state = self.site.ask("matomo.release.tree:check", timeout=600, path=staged.path)
        if state["problem"]:
            raise MatopsError(
                f"the stage in {staged.path} is not whole: {state['problem']}",
                host=self.site.host.name,
                next="run this again: it is unpacked anew",
            )
        proof = self._found["staged"]["proof"]
        missing = unmet(self.site, staged, self.say)
        line = (
            f"Matomo {staged.version} in {staged.path}: {state['files']} files, "
            f"{show_size(state['size'])}, all as unpacked; {staged.trust}; {proof['line']}"
            + (f"; NOT MET: {', '.join(missing)}" if missing else "")
        )
        return Evidence(
            line,
            {
                "version": staged.version,
                "path": staged.path,
                "sha256": staged.sha256,
                "trust": staged.trust,
                "plugins": {name: each["version"] for name, each in staged.plugins.items()},
                "requests": proof["requests"],
                "unmet": missing,
                "newer": key(staged.version) > key(self.site.version),
            },
        )

    def _ask(self, function: str, *, timeout: Optional[float] = None, **payload: Any) -> Any:
        return self.site.agent.call(
            f"{PACKAGE}.{function}", payload, user=self.site.keeper, timeout=timeout
        )
