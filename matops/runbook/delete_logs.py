"""Step ``logs.delete``: raw log data by date, a day at a time, the oldest first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Optional

from matops.errors import MatopsError, Refused, UsageError
from matops.host import jobs as host_jobs
from matops.matomo import console
from matops.matomo.site import Site
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step, Track
from matops.runbook.there import run_there, same_or_refuse
from matops.units import parse_date, utc_now

Confirm = Callable[[str, str], bool]
_DAY_LIMIT = 24 * 3600  # seconds that one day's deletion may take


def parse_range(text: str) -> tuple[dt.date, dt.date]:
    """``from,to`` as two days; ``to`` is not included. UsageError: reversed, future, not dates."""
    parts = text.split(",")
    if len(parts) != 2:
        raise UsageError(f"--dates: '{text}' is not FROM,TO; for example 2024-01-01,2024-07-01")
    start, end = (parse_date(part, "--dates") for part in parts)
    if start >= end:
        raise UsageError(f"--dates: {start} is not before {end}; the end date is not included")
    if end > utc_now().date():
        raise UsageError(f"--dates: {end} lies in the future; today's visits are still coming in")
    return start, end


class DeleteLogs(Step):
    """``core:delete-logs-data`` for each day that has visits, verified by counting again.

    A day that has no visits left is done: that is how a stopped run goes on. Typed elsewhere,
    the same task runs on the host as a detached job, which is followed. A native purge comes
    beside it.
    """

    name = "logs.delete"
    title = "Delete old raw log data"
    scope = Scope.INSTALLATION
    attaches = ("logs.delete",)

    def __init__(
        self,
        site: Site,
        say: Say,
        dates: str,
        *,
        idsite: Optional[int] = None,
        limit: int = 1000,
        confirm: Confirm,
        track: Track,
        write: Say,
    ) -> None:
        super().__init__(site, say)
        self.start, self.end = parse_range(dates)
        self.idsite = idsite
        self._limit = limit
        self._confirm = confirm
        self._track = track
        self._write = write

    def count(self, start: dt.date, end: dt.date) -> dict[str, Any]:
        """Visits per day in [start, end)."""
        found: dict[str, Any] = self.site.ask(
            "matomo.rawlogs:count", start=str(start), end=str(end), idsite=self.idsite, timeout=1800
        )
        return found

    def look(self) -> Look:
        """Counts what would go, and says plainly which day is the last one."""
        running = None if self.site.host.is_local else self.site.jobs.latest(self.name)
        if running and running.state == host_jobs.RUNNING:
            same_or_refuse(self.site, self.name, running, self._words())
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the deletion that runs already", why, running.name)])
        self._none_at_work()
        found = self.count(self.start, self.end)
        last = self.end - dt.timedelta(days=1)
        scope = f"site {self.idsite}" if self.idsite else "all sites"
        span = f"{self.start} to {last} UTC, {scope} ({self.end} itself is kept)"
        if not found["visits"]:
            return Look(because=f"no visits from {span}")
        words = f"{found['visits']} visits on {len(found['days'])} days, from {span}"
        return Look(
            [Action(f"delete {words}", "raw logs this old are no longer wanted", found["days"])],
            notes=[
                "archived reports stay; the visits cannot be brought back except from a backup",
                f"Matomo deletes {self._limit} visits at a time, with all that belongs to them",
            ],
        )

    def act(self, action: Action) -> None:
        """Asks, then deletes: here, or as a job on the host, or attaches to the job there."""
        attach = action.payload if isinstance(action.payload, str) else ""
        if not attach and not self._confirmed(action):
            raise Refused(
                "deleting raw logs was not confirmed",
                host=self.site.host.name,
                state="Nothing was deleted",
                next="add --yes, or type the number of visits when asked",
            )
        if not self.site.host.is_local:
            run_there(self.site, self.name, self._words(), write=self._write,
                      fence=self.fence, attach=attach, begin=self.still_ours)  # fmt: skip
            return
        days: dict[str, int] = action.payload
        with self._track(self.name, sum(days.values()), "visits") as progress:
            for day, visits in days.items():
                self.still_ours()
                self._delete_day(dt.date.fromisoformat(day))
                progress.add(visits)

    def _none_at_work(self) -> None:
        """Refused while a deletion runs that is no job of ours, or outlived one."""
        found = self.site.host.run("pgrep -f '[c]ore:delete-logs-data'", check=False, user=None)
        if found.code == 0:
            raise Refused(
                f"a core:delete-logs-data runs already (pid {', '.join(found.text.split())})",
                host=self.site.host.name,
                state="Nothing was changed",
                next="wait for it, or end it",
            )

    def _words(self) -> list[str]:
        words = [self.name, "--dates", f"{self.start},{self.end}", "--limit", str(self._limit)]
        return [*words, "--yes", *(["--idsite", str(self.idsite)] if self.idsite else [])]

    def _confirmed(self, action: Action) -> bool:
        """True where the operator typed the number of visits, or said --yes."""
        total = str(sum(action.payload.values()))
        question = f"{self.site.host.name}: {action.what}. There is no way back."
        return self._confirm(question, total)

    def _delete_day(self, day: dt.date) -> None:
        until = day + dt.timedelta(days=1)
        words = ["core:delete-logs-data", f"--dates={day},{until}", f"--limit={self._limit}", "-n"]
        if self.idsite:
            words.append(f"--idsite={self.idsite}")
        _, verdict = console.run(self.site, words, timeout=_DAY_LIMIT)
        console.raise_unless_ok(self.site, words, verdict)
        left = self.count(day, until)["visits"]
        if left:
            raise MatopsError(
                f"core:delete-logs-data said it was done, but {left} visits of {day} are left",
                host=self.site.host.name,
                next="run logs.delete again; it goes on with this day",
            )
        self.say(f"  {day} deleted")

    def verify(self) -> Evidence:
        """Counts the whole range again."""
        left = self.count(self.start, self.end)["visits"]
        if left:
            raise MatopsError(
                f"{left} visits between {self.start} and {self.end} are left",
                host=self.site.host.name,
                next="run logs.delete again",
            )
        facts = {"from": str(self.start), "to": str(self.end), "idsite": self.idsite}
        return Evidence(f"no visits left from {self.start} to before {self.end} UTC", facts)
