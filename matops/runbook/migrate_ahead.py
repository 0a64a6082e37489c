"""Step ``migrate.ahead``: the upgrade's additive ALTERs on big tables, before the outage."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Optional

from matops.errors import MatopsError, Refused, UsageError
from matops.host import jobs as host_jobs
from matops.matomo.rehearsal import Rehearsal, load, outdated
from matops.matomo.rehearsal_base import release_key
from matops.matomo.release import stages
from matops.matomo.release.stages import Staged
from matops.matomo.site import Site
from matops.mysql.ahead.choose import Choice, choose, taken
from matops.mysql.ahead.grammar import NotTaken, read
from matops.mysql.ahead.picture import There
from matops.runbook.migrate_ahead_offer import offers
from matops.runbook.migrate_ahead_there import Wanted, live_from
from matops.runbook.stage_jobs import call_there
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.units import show_size

Confirm = Callable[[str, str], bool]
WORD = "ahead"
_LOOKING = 600  # seconds
_SHOWN = 30  # statements that stay, in the plan


class MigrateAhead(Step):
    """Only what the last rehearsal found, while it holds; proven anew before anything is run.

    ``result`` is what was done, ``choices`` what was chosen and why, for the report.
    """

    name = "migrate.ahead"
    title = "Run the migration's additive ALTERs on big tables before the outage"
    scope = Scope.INSTALLATION
    attaches = ("migrate.ahead",)

    def __init__(
        self,
        site: Site,
        say: Say,
        wanted: Wanted,
        *,
        login: str = "",
        timeout: float = 3600,
        confirm: Confirm,
    ) -> None:
        super().__init__(site, say)
        self._wanted = wanted
        self._login, self._timeout = login, timeout
        self._confirm = confirm
        self._staged: Optional[Staged] = None
        self.choices: list[Choice] = []
        self.result: Optional[dict[str, Any]] = None

    # --- look --------------------------------------------------------------------------------

    def look(self) -> Look:
        """The last rehearsal, if it holds, and what of it is worth it. Refused: why not."""
        running = self.site.jobs.latest(self.name)
        if running and running.state == host_jobs.RUNNING:
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the run that is at work already", why, running.name)])
        self._no_update_at_work()
        rehearsal = self._rehearsal()
        facts = self._facts(rehearsal)
        self._holds(rehearsal, facts)
        self.choices = self._choose(rehearsal, facts)
        chosen = taken(self.choices)
        notes = _lines(self.choices)
        there = [choice for choice in self.choices if choice.there]
        if not chosen:
            if there:
                return Look(because=f"{len(there)} statements are there already, no other is worth "
                            "it or can be done", notes=notes)  # fmt: skip
            return Look(because="no statement of the upgrade is worth it, or can be done ahead",
                        skip=True, notes=notes)  # fmt: skip
        self._may_prove()
        tables = list(dict.fromkeys(choice.table for choice in chosen))
        what = f"run {len(chosen)} statements of the upgrade on {', '.join(tables)}"
        if self._wanted.prove_only:
            what = f"prove, and no more, {what.partition(' ')[2]}"
        why = f"to {rehearsal.to_version}, on {facts['server']}, online, one by one"
        notes += [
            "first proven on a scratch copy: the live code tracks and reports with them, and the "
            "upgrade ends with the same schema",
            *facts["notes"],
        ]
        return Look([Action(what, why)], notes=notes)

    def _may_prove(self) -> None:
        """PrivilegeMissing with the GRANT now, and not in the middle of the run."""
        self.site.agent.call(
            "matops.runbook.rehearse_look:scratch_right",
            {"docroot": self.site.docroot, "login": self._login},
            user=self.site.keeper, timeout=_LOOKING,
        )  # fmt: skip

    def _no_update_at_work(self) -> None:
        found = self.site.host.run("pgrep -f '[c]ore:update'", check=False, user=None)
        if found.code == 0:
            raise Refused(
                f"core:update runs here (pid {', '.join(found.text.split())})",
                host=self.site.host.name,
                state="Nothing was changed",
                next="wait for it to end",
            )

    def _rehearsal(self) -> Rehearsal:
        found = load(self.site)
        if found is None or not found.ok:
            why = "nothing was rehearsed yet" if found is None else (
                f"the last rehearsal says that the upgrade would fail: {found.error}"
            )  # fmt: skip
            raise Refused(why, host=self.site.host.name, state="Nothing was changed",
                          next="rehearse, then this again")  # fmt: skip
        for each in stages.staged(self.site):
            if each.path == found.stage and each.ready:
                self._staged = each
                return found
        raise self._stale("the staged release is gone, or in use, since the rehearsal")

    def _stale(self, why: str) -> Refused:
        return Refused(f"the last rehearsal does not hold any more: {why}",
                       host=self.site.host.name, state="Nothing was changed",
                       next="rehearse, then this again")  # fmt: skip

    def _facts(self, rehearsal: Rehearsal) -> dict[str, Any]:
        assert self._staged is not None
        found: dict[str, Any] = self.site.agent.call(
            "matops.runbook.migrate_ahead_there:look",
            {
                "docroot": self.site.docroot,
                "state_dir": self.site.state_dir,
                "release": release_key(self._staged),
                "offered": [dataclasses.asdict(each) for each in offers(rehearsal)],
            },
            user=self.site.keeper,
            timeout=_LOOKING,
        )
        return found

    def _holds(self, rehearsal: Rehearsal, facts: dict[str, Any]) -> None:
        # What we did ahead ourselves, and nothing else, is taken for what it was.
        explained = {name: was for name, was in facts["explained"].items()
                     if rehearsal.parts.get(name) == was}  # fmt: skip
        why = outdated(rehearsal, {**facts["parts"], **explained})
        if why:
            raise self._stale(why)

    def _choose(self, rehearsal: Rehearsal, facts: dict[str, Any]) -> list[Choice]:
        offered = offers(rehearsal)
        known = {name for one in offered for name in one.tables or ()}
        unknown = [name for name in self._wanted.tables if name not in known]
        if unknown:
            raise UsageError(
                f"--tables: the upgrade does nothing to {', '.join(unknown)}",
                state="Nothing was changed",
                next="full names, with the prefix; --dry-run --min-size 0 shows them",
            )
        live = live_from(facts)
        return choose(offered, live, min_size=self._wanted.min_size, tables=self._wanted.tables)

    # --- act ---------------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Asks, then runs it as a job on the host, or attaches to the one that runs."""
        question = f"{self.site.host.name}: {action.what}, in the LIVE schema"
        attaching = action.payload is not None
        if not (attaching or self._wanted.prove_only or self._confirm(question, WORD)):
            raise Refused(
                "running them on the live schema was not confirmed",
                host=self.site.host.name,
                state="Nothing was changed",
                next=f"add --yes, or type {WORD} when asked; --prove stops before the live schema",
            )
        self.still_ours()
        self.result = call_there(
            self.site, self.name, "runbook.migrate_ahead_there:go", self._payload(),
            lambda line: self.say(f"  {line}"),
        )  # fmt: skip

    def _payload(self) -> dict[str, Any]:
        staged = self._staged
        if staged is None:
            return {}  # there is a job to attach to
        asked = {
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
        return {"asked": asked, "wanted": dataclasses.asdict(self._wanted)}

    # --- verify ------------------------------------------------------------------------------

    def verify(self) -> Evidence:
        """Reads the live schema back: every statement that was run is there."""
        result = self.result
        assert result is not None
        if self._wanted.prove_only and not result["results"]:
            return Evidence(f"{result.get('proven', 0)} statements are proven; nothing was run")
        done = [each for each in result["results"] if each["ended"] in ("done", "already done")]
        if not done:
            return Evidence("nothing was left to do")
        offered = [{"number": n, "statement": each["statement"].rpartition(", ALGORITHM=")[0],
                    "tables": None} for n, each in enumerate(done)]  # fmt: skip
        facts = self.site.agent.call(
            "matops.runbook.migrate_ahead_there:look",
            {"docroot": self.site.docroot, "state_dir": self.site.state_dir, "release": "",
             "offered": offered},
            user=self.site.keeper, timeout=_LOOKING,
        )  # fmt: skip
        missing = [done[int(n)] for n, state in facts["there"].items() if state != There.ALL.value]
        if missing or len(facts["there"]) != len(done):
            raise MatopsError(
                f"#{(missing or done)[0]['number']} was run, but is not on the live table now",
                host=self.site.host.name,
                next="look at the table; somebody may have taken it back",
            )
        return Evidence(
            f"{len(done)} statements are on the live schema; the rehearsal is out of date now: "
            "rehearse again, and plan shows the shorter outage",
            {"statements": [each["statement"] for each in done], "undo": result["undo"]},
        )


def _lines(choices: Sequence[Choice]) -> list[str]:
    """A line for each statement, the chosen ones in any case; thousands are cut short. Pure."""
    statements = [choice for choice in choices if not choice.offered.console]
    others = [choice for choice in statements if not choice.chosen]
    shown = {choice.offered.number for choice in others[:_SHOWN]}
    lines = [_line(c) for c in statements if c.chosen or c.offered.number in shown]
    return lines + ([f"{len(others) - _SHOWN} more stay for the outage"] if others[_SHOWN:] else [])


def _line(choice: Choice) -> str:
    """``#3 yes: column ai_agent_name on matomo_log_visit (12 GB): only adds; …``."""
    mark = "yes" if choice.chosen else "no"
    what = " ".join(choice.offered.statement.split())
    what = what if len(what) <= 70 else f"{what[:69]}…"
    with contextlib.suppress(NotTaken):
        what = read(choice.offered.statement).shown
    size = f" ({show_size(choice.size)})" if choice.size is not None else ""
    return f"#{choice.offered.number} {mark}: {what}{size}: {choice.why}"
