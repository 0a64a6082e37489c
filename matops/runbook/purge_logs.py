"""Step ``logs.purge``: raw log data by date and site, deleted natively in small transactions."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from matops.errors import MatopsError, Refused
from matops.host import jobs as host_jobs
from matops.matomo.database import Database
from matops.matomo.site import Site
from matops.mysql.attempt import Stop
from matops.mysql.purge import tables
from matops.mysql.purge.link import Link
from matops.mysql.purge.run import Purge
from matops.mysql.purge.summary import Options, Summary
from matops.mysql.session import Address
from matops.runbook import purge_look
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step, Track
from matops.runbook.there import run_there

Confirm = Callable[[str, str], bool]
BEGINNING = dt.date(1970, 1, 1)
_PATIENCE = 6 * 3600  # seconds for counting on the host


@dataclass(frozen=True)
class Asked:
    """What the operator typed. ``end`` is not included; ``sites`` () = all there are.

    ``options``: makes the run's options, given Matomo's address and the sites there are.
    ``words``: the same as a command. ``rows``: count the rows of each table, too (a dry run).
    """

    start: dt.date
    end: dt.date
    sites: tuple[int, ...]
    options: Callable[[Address, list[int]], Options]
    words: Sequence[str] = ()
    force: bool = False
    rows: bool = False
    bounded: bool = False
    """--until or --for: what is left then is no failure."""


@dataclass
class Voices:
    """How the step asks and shows. ``stop`` is asked by signals."""

    confirm: Confirm
    track: Track
    write: Say
    stop: Stop = field(default_factory=Stop)


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

    def look(self) -> Look:
        """Counts what would go, and what speaks against it. UsageError, Refused, …"""
        here = self.site.host.is_local
        running = None if here else self.site.jobs.latest(self.name)
        if running and running.state == host_jobs.RUNNING:
            self._same_as(running)
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the purge that runs already", why, running.name)])
        self._none_at_work()
        self.found = self._survey()
        if not self.found["visits"]:
            return Look(because=f"no visits {self.span}", notes=self._notes())
        self._refuse_pending()
        words = f"{self.found['visits']} visits on {len(self.found['days'])} days, {self.span}"
        action = Action(f"delete {words}", "raw logs this old are no longer wanted")
        return Look([action], notes=self._notes())

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

    def _same_as(self, running: host_jobs.Job) -> None:
        if shlex.join(self.asked.words) not in running.command:
            raise Refused(
                f"another purge runs as job {running.name}: {running.command}",
                host=self.site.host.name,
                state="Nothing was changed",
                next=f"jobs.follow {running.name} shows it; then run this again",
            )

    def _none_at_work(self) -> None:
        found = self.site.host.run("pgrep -f '[c]ore:delete-logs-data'", check=False, user=None)
        if found.code == 0:
            raise Refused(
                f"a core:delete-logs-data runs already (pid {', '.join(found.text.split())})",
                host=self.site.host.name,
                state="Nothing was changed",
                next="wait for it, or end it",
            )

    def act(self, action: Action) -> None:
        """Asks, then deletes: here, or as a job on the host, or attaches to the job there."""
        attach = str(action.payload or "")
        if not attach and not self._confirmed(action):
            raise Refused(
                "deleting raw logs was not confirmed",
                host=self.site.host.name,
                state="Nothing was deleted",
                next="add --yes, or type the number of visits when asked",
            )
        if self.site.host.is_local:
            self._purge()
            return
        run_there(self.site, self.name, [*self.asked.words, "--yes"], write=self.voices.write,
                  fence=self.fence, attach=attach, begin=self.still_ours)  # fmt: skip

    def _confirmed(self, action: Action) -> bool:
        question = f"{self.site.host.name}: {action.what}. There is no way back."
        return self.voices.confirm(question, str(self.found["visits"]))

    def _purge(self) -> None:
        with ExitStack() as stack:
            database = stack.enter_context(Database(self.site.docroot))
            link = stack.enter_context(Link(database.address, database.prefix))
            if link.gap_locks:
                self.say("  the binary log is by statement: chunks take gap locks")
            progress = stack.enter_context(
                self.voices.track(self.name, self.found["visits"], "visits")
            )
            purge = Purge(
                link, tables.look(link.session, database.prefix),
                self.asked.options(database.address, self.found["all_sites"]), self.voices.stop,
                say=self.say, add=progress.add, ours=self.still_ours,
            )  # fmt: skip
            self.summary = purge.run([int(site) for site in self.found["sites"]])
        for line in told(self.summary):
            self.say(f"  {line}")
        if self.voices.stop.reason:
            raise stopped(self.summary, self.voices.stop)

    def verify(self) -> Evidence:
        """Counts again."""
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
        facts = {**self._where, "left": left, **(self.summary.data() if self.summary else {})}
        words = f"{left} visits are left for the next run" if left else "no visits left"
        return Evidence(f"{words} {self.span}", facts)


def told(summary: Summary) -> list[str]:
    """What was done, what it left as it is, and what to do about it. Pure."""
    pace = summary.total / summary.seconds if summary.seconds else 0
    lines = [
        f"{summary.visits} visits and {summary.total - summary.visits} rows that belong to them "
        f"are gone ({pace:.0f} rows/s, {summary.chunks} chunks, the longest "
        f"{summary.longest:.2f} s, {summary.retries} retries)"
    ]
    if summary.late:
        lines.append(f"{summary.late}: the rest is for the next run")
    names = sorted(name for name, n in summary.rows.items() if n)
    if names:
        lines.append(
            "the tables' files did not shrink; to give the space back: "
            f"db.optimize --tables {','.join(names)}"
        )
    return lines


def stopped(summary: Summary, stop: Stop) -> MatopsError:
    """The error of a run that was told to stop."""
    error = MatopsError(
        f"stopped: {stop.reason}",
        state=f"{summary.visits} visits with all that belongs to them are gone, "
        f"{sum(summary.left.values())} are left, none is half deleted",
        next="run the same again: it goes on with what is left",
    )
    error.code = stop.code
    return error
