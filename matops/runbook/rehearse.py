"""Step ``rehearse``: the staged release's own core:update on an empty copy of the live schema."""

from __future__ import annotations

from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused, UsageError
from matops.host import jobs as host_jobs
from matops.matomo.rehearsal import Rehearsal, load
from matops.matomo.rehearsal_base import release_key
from matops.matomo.release import stages
from matops.matomo.release.stages import Staged
from matops.matomo.release.versions import key
from matops.matomo.site import Site
from matops.runbook.rehearse_look import UPDATING, fitting
from matops.runbook.stage_jobs import call_there
from matops.runbook.step import Action, Evidence, Look, Say, Step

_LOOKING = 300  # seconds


class Rehearse(Step):
    """Nothing live changes, so it holds no lock; a lock of the server lets one run at a time.

    ``version``: which stage, '' = the newest. ``login``: who makes the scratch database, see
    ``mysql.scratch.login``. ``timeout``: seconds that core:update may take on the empty copy.
    ``result`` is the rehearsal, once ``act`` is done.
    """

    name = "rehearse"
    title = "Rehearse the migration on an empty copy of the schema"
    changes_data = False
    attaches = ("rehearse",)

    def __init__(
        self, site: Site, say: Say, *, version: str = "", login: str = "", timeout: float = 3600
    ) -> None:
        super().__init__(site, say)
        self._version = version
        self._login = login
        self._timeout = timeout
        self._staged: Optional[Staged] = None
        self.result: Optional[Rehearsal] = None

    # --- look --------------------------------------------------------------------------------

    def look(self) -> Look:
        """Finds stage, server and rights; writes nothing. Refused, PrivilegeMissing: why not."""
        running = self.site.jobs.latest(self.name)
        staged = self._staged = self._choose()
        if running and running.state == host_jobs.RUNNING:
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the rehearsal that runs already", why)])
        facts = self.site.agent.call(
            "matops.runbook.rehearse_look:look",
            {"docroot": self.site.docroot, "stage": staged.path, "login": self._login},
            user=self.site.keeper,
            timeout=_LOOKING,
        )
        self._none_at_work(facts)
        fitting(self.site.version, facts["version_core"], staged.version)
        problem = self.site.ask("matomo.release.tree:check", path=staged.path, timeout=600)
        if problem["problem"]:
            raise Refused(
                f"the stage in {staged.path} is not whole: {problem['problem']}",
                host=self.site.host.name,
                state="Nothing was changed",
                next="release.stage unpacks it anew",
            )
        what = f"run core:update of Matomo {staged.version} on an empty copy of {facts['schema']}"
        why = f"{facts['tables']} tables, {facts['server']}, as {facts['account']}"
        notes = [
            f"the copy is {facts['scratch']}, and {facts['folder']}; both go away again",
            "the live database, docroot and caches are not changed, and compared before and after",
        ]
        if facts["left"]:
            notes.append("a run that was killed left something of these: it is removed first")
        return Look([Action(what, why)], notes=notes)

    def _choose(self) -> Staged:
        found = [each for each in stages.staged(self.site) if each.ready]
        if self._version:
            named = [each for each in found if each.version == self._version]
            if not named:
                there = ", ".join(each.version for each in found) or "none"
                raise UsageError(f"Matomo {self._version} is not staged here; staged: {there}")
            return named[-1]
        if not found:
            raise Refused(
                "no release is staged on this host",
                host=self.site.host.name,
                state="Nothing was changed",
                next="release.stage, then rehearse",
            )
        return max(found, key=lambda each: (key(each.version), each.when))

    def _none_at_work(self, facts: dict[str, Any]) -> None:
        owner = facts["owner"]
        busy = f"core:update runs here (pid {facts['updating']})" if facts["updating"] else ""
        if str(owner.get("task")) in UPDATING:
            busy = f"{owner.get('task')} is at work ({owner.get('user')}@{owner.get('machine')})"
        if busy:
            raise Refused(
                f"nothing is rehearsed during an update: {busy}",
                host=self.site.host.name,
                state="Nothing was changed",
                next="wait for it: `status` and `jobs` show it",
            )

    # --- act ---------------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Runs it as a job on the host, or attaches to the one that runs; its result is kept."""
        staged = self._staged
        assert staged is not None
        payload = {
            "docroot": self.site.docroot,
            "web_user": self.site.web_user,
            "php": self.site.php,
            "stage": staged.path,
            "release": release_key(staged),
            "to_version": staged.version,
            "retired": list(staged.target.get("retired", [])),
            "state_dir": self.site.state_dir,
            "login": self._login,
            "timeout": self._timeout,
        }
        done = call_there(
            self.site, self.name, "runbook.rehearse_there:run", payload, self._indented
        )
        found = load(self.site)
        self.result = found if found and found.at == done["at"] else None

    def _indented(self, line: str) -> None:
        self.say(f"  {line}")

    # --- verify ------------------------------------------------------------------------------

    def verify(self) -> Evidence:
        """Reads the result back, and that nothing of the copy is left.

        MatopsError where the update would fail: that is what a rehearsal is for.
        """
        result = self.result
        if result is None:
            raise OutcomeUnknown(
                "the rehearsal's result was not kept", host=self.site.host.name,
                next="rehearse again",
            )  # fmt: skip
        left = [note for note in result.notes if note.startswith("not removed")]
        if left:
            raise MatopsError(
                left[0], host=self.site.host.name, state="Nothing live was changed",
                next="rehearse again: it clears that first",
            )  # fmt: skip
        if not result.ok:
            raise MatopsError(
                verdict(result),
                host=self.site.host.name,
                state="Nothing live was changed; the rehearsal is kept",
                next="repair the live schema as the error says, then rehearse again",
            )
        return Evidence(
            verdict(result),
            {"from": result.from_version, "to": result.to_version,
             "migrations": len(result.migrations), "fingerprint": result.fingerprint},
        )  # fmt: skip


def verdict(result: Rehearsal) -> str:
    """One line: it would go through, or which migration fails, and on what table. Pure."""
    span = f"the update from {result.from_version} to {result.to_version}"
    if result.ok:
        return f"{span} went through on an empty copy: {len(result.migrations)} migrations"
    failed = result.failures
    if not failed:
        return f"{span} would fail: {result.error}"
    first = failed[0]
    tables = f" on {', '.join(first.tables)}" if first.tables else ""
    whose = f" ({first.component} {first.file})" if first.component else ""
    more = f"; {len(failed) - 1} more behind it" if len(failed) > 1 else ""
    return (
        f"{span} would fail at migration {first.number} of {first.of}{whose}{tables}: "
        f"{first.error}{more}"
    )
