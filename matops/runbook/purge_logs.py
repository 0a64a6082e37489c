"""Step ``logs.purge``: raw log data by date and site, deleted natively in small transactions."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import ExitStack
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.host import jobs as host_jobs
from matops.matomo.database import Database
from matops.matomo.site import Site
from matops.mysql.purge import references, tables
from matops.mysql.purge.actions import Actions, Done
from matops.mysql.purge.actions import stopped as actions_left
from matops.mysql.purge.link import Link
from matops.mysql.purge.run import Purge
from matops.mysql.purge.summary import Summary
from matops.mysql.purge.work import Enough, Work
from matops.runbook import purge_look
from matops.runbook.purge_asked import BEGINNING, Asked, Voices, stopped, told
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.runbook.there import run_there, same_or_refuse

VISITS, ACTIONS = "visits", "actions"
_PATIENCE = 6 * 3600  # seconds for counting on the host

# Matomo's own command on this installation: another one may be on the same machine.
_AT_WORK = """
root=$(readlink -f -- "$1")
for pid in $(pgrep -f '[c]ore:delete-logs-data'); do
    at=$(readlink "/proc/$pid/cwd") || { [ -d "/proc/$pid" ] && echo "$pid"; continue; }
    case "$at" in "$root"|"$1") echo "$pid"; continue;; esac
    typed=$(tr '\\0' ' ' < "/proc/$pid/cmdline")
    case "$typed" in *" $root/console "*|*" $1/console "*) echo "$pid";; esac
done
true
"""


class PurgeLogs(Step):
    """Visits and all that belongs to them, a chunk in one transaction; verified by counting.

    What was deleted is gone: a stopped run goes on by being run again. Typed elsewhere, the same
    task runs on the host as a detached job, which is followed.
    """

    name = "logs.purge"
    title = "Purge old raw log data"
    scope = Scope.INSTALLATION
    attaches = ("logs.purge",)

    def __init__(self, site: Site, say: Say, asked: Asked, voices: Voices) -> None:
        super().__init__(site, say)
        self.asked, self.voices = asked, voices
        self.found: dict[str, Any] = {}
        self.summary: Optional[Summary] = None
        self.orphans: Optional[Done] = None
        self._sent = False

    def look(self) -> Look:
        """Counts what would go, and what speaks against it. UsageError, Refused, …"""
        here = self.site.host.is_local
        running = None if here else self.site.jobs.latest(self.name)
        if running and running.state == host_jobs.RUNNING:
            same_or_refuse(self.site, self.name, running, [*self.asked.words, "--yes"])
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the purge that runs already", why, running.name)])
        self._none_at_work()
        actions = self._orphans() if self.asked.actions else []
        if not self.asked.visits:
            return Look(actions)
        self.found = self._survey()
        if not self.found["visits"]:
            return Look(actions, because=f"no visits {self.span}", notes=self._notes())
        self._refuse_pending()
        words = f"{self.found['visits']} visits on {len(self.found['days'])} days, {self.span}"
        action = Action(f"delete {words}", "raw logs this old are no longer wanted", VISITS)
        return Look([action, *actions], notes=self._notes())

    def _orphans(self) -> list[Action]:
        if self.site.host.is_local:
            refers = purge_look.actions(self.site.docroot)
        else:
            refers = self.site.ask("runbook.purge_look:actions", timeout=600)
        columns = sum(len(names) for names in refers.values())
        self.say(f"  columns with actions: {columns}, in {', '.join(sorted(refers))}")
        what = "remove the actions (URLs, titles, …) that nothing refers to any more"
        return [Action(what, "log_action only ever grows", ACTIONS)]

    @property
    def span(self) -> str:
        """``from … to … UTC, all sites``: plainly which day is the last one."""
        start = "the first" if self.asked.start == BEGINNING else str(self.asked.start)
        last = self.asked.end - dt.timedelta(days=1)
        sites = ", ".join(map(str, self.asked.sites))
        scope = f"site{'s' * (len(self.asked.sites) > 1)} {sites}" if sites else "all sites"
        return f"from {start} to {last} UTC, {scope} ({self.asked.end} itself is kept)"

    @property
    def _where(self) -> dict[str, Any]:
        return {"start": str(self.asked.start), "end": str(self.asked.end),
                "sites": list(self.asked.sites)}  # fmt: skip

    def _survey(self) -> dict[str, Any]:
        if self.site.host.is_local:
            tell = self.say if self.asked.rows else None
            return purge_look.survey(
                self.site.docroot, rows=self.asked.rows, tell=tell, **self._where
            )
        found: dict[str, Any] = self.site.ask(
            "runbook.purge_look:survey", rows=self.asked.rows, timeout=_PATIENCE, **self._where
        )
        return found

    def _notes(self) -> list[str]:
        notes = [
            "archived reports stay; the visits cannot be brought back: matops knows of no backup "
            "of this database, so look at the date of yours first",
            "with the visits go: " + ", ".join(t["name"] for t in self.found["tables"][:-1]),
        ]
        if self.found["left"]:
            notes.append("left alone, as they belong to no visit: " + ", ".join(self.found["left"]))
        for table in self.found["slow"]:
            notes.append(
                f"{table['name']} has no index on {table['column']}: it is gone through once, "
                "before its visits, not together with them"
            )
        if self.found["deleted_sites"]:
            ids = ", ".join(map(str, self.found["deleted_sites"][:10]))
            notes.append(f"visits of deleted sites stay, as with core:delete-logs-data: site {ids}")
        if self.asked.force and self.found["pending"]:
            notes.append(f"--force: {len(self.found['pending'])} days wait to be archived anew")
        return notes

    def _refuse_pending(self) -> None:
        if not self.found["pending"] or self.asked.force:
            return
        days = self.found["pending"]
        raise Refused(
            f"the reports of {len(days)} days wait to be built anew from these raw logs: "
            f"{purge_look.shown(days)}; without them Matomo skips such a day and keeps its old "
            "report marked invalid, or builds it from what is left",
            host=self.site.host.name,
            state="Nothing was deleted",
            next="run core:archive first (invalidations.size shows the queue), or add --force",
        )

    def _none_at_work(self) -> None:
        found = self.site.host.run(
            _AT_WORK, self.site.docroot, check=False, user=self.site.keeper, what="look for a purge"
        )
        if found.text.strip():
            raise Refused(
                f"a core:delete-logs-data runs already (pid {', '.join(found.text.split())})",
                host=self.site.host.name,
                state="Nothing was changed",
                next="wait for it, or end it",
            )

    def act(self, action: Action) -> None:
        """Asks, then deletes: here, or as a job on the host, or attaches to the job there."""
        attach = "" if action.payload in (VISITS, ACTIONS) else str(action.payload)
        if not attach and not self._confirmed(action):
            raise Refused(
                "deleting raw logs was not confirmed",
                host=self.site.host.name,
                state="Nothing was deleted",
                next="add --yes, or type the word when asked",
            )
        if self.site.host.is_local:
            self._act_here(action.payload == ACTIONS)
        elif not self._sent:  # one job does it all
            self._sent = True
            run_there(self.site, self.name, [*self.asked.words, "--yes"], write=self.voices.write,
                      fence=self.fence, attach=attach, begin=self.still_ours)  # fmt: skip

    def _confirmed(self, action: Action) -> bool:
        if self._sent:
            return True
        question = f"{self.site.host.name}: {action.what}. There is no way back."
        word = "actions" if action.payload == ACTIONS else str(self.found["visits"])
        return self.voices.confirm(question, word)

    def _act_here(self, actions: bool) -> None:
        with ExitStack() as stack:
            database = stack.enter_context(Database(self.site.docroot))
            link = stack.enter_context(Link(database.address, database.prefix))
            if link.gap_locks:
                self.say("  the binary log is by statement: chunks take gap locks")
            options = self.asked.options(database.address, self.found.get("all_sites", []))
            work = Work(link, options, self.voices.stop, say=self.say, ours=self.still_ours)
            if actions:
                self._actions(work, database)
                return
            beside = [
                stack.enter_context(Link(database.address, database.prefix, helps=True))
                for _ in range(self.asked.workers - 1)
            ]
            helpers = [Work(one, options, self.voices.stop, say=self.say) for one in beside]
            self._visits(work, helpers, database)

    def _visits(self, work: Work, helpers: list[Work], database: Database) -> None:
        found = tables.look(work.link.session, database.prefix)
        with self.voices.track(self.name, self.found["visits"], "visits") as progress:
            one_at_a_time = threading.Lock()

            def add(visits: int) -> None:
                with one_at_a_time:
                    progress.add(visits)

            for one in (work, *helpers):
                one.add = add
            self.summary = Purge(work, found, helpers).run()
        for line in told(self.summary):
            self.say(f"  {line}")
        if self.voices.stop.reason:
            raise stopped(self.summary, self.voices.stop)

    def _actions(self, work: Work, database: Database) -> None:
        named = purge_look.named_by_plugins(self.site.docroot)
        found = references.look(work.link.session, database.prefix, named)
        orphans = Actions(work, database.table("log_action"), found, self.asked.grace)
        self.orphans = orphans.done
        if not work.link.server.process:
            self.say("  open transactions cannot be seen (no PROCESS): only --grace protects")
        try:
            orphans.run()
        except Enough:
            if not self.voices.stop.reason:
                self.say(f"  {work.summary.late}: {actions_left(orphans.done)}")
                return
            error = MatopsError(f"stopped: {self.voices.stop.reason}",
                                state=actions_left(orphans.done), next="run it again")  # fmt: skip
            error.code = self.voices.stop.code
            raise error from None
        done = orphans.done
        self.say(f"  {done.deleted} of {done.seen} actions are gone, {done.back} were referred to "
                 f"again and stay, {done.odd} stay as their hash is not their name's")  # fmt: skip

    def verify(self) -> Evidence:
        """Counts again."""
        if not self.asked.visits:
            done = self.orphans.data() if self.orphans else {}
            return Evidence("orphaned actions: looked through", {"actions": done})
        if self.site.host.is_local:
            left = purge_look.left(self.site.docroot, **self._where)
        else:
            left = int(self.site.ask("runbook.purge_look:left", timeout=_PATIENCE, **self._where))
        if left and not self.asked.bounded:
            raise MatopsError(
                f"{left} visits {self.span} are left",
                host=self.site.host.name,
                next="run logs.purge again: visits with old times were tracked meanwhile",
            )
        facts: dict[str, Any] = {
            **self._where,
            "left": left,
            **(self.summary.data() if self.summary else {}),
        }
        if self.orphans:
            facts["actions"] = self.orphans.data()
        words = f"{left} visits are left for the next run" if left else "no visits left"
        return Evidence(f"{words} {self.span}", facts)
