"""Step ``db.optimize`` in the outage: only on request, since it is done online before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from matops.errors import MatopsError
from matops.host import jobs as host_jobs
from matops.matomo.site import Site
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.runbook.there import run_there, same_or_refuse

DONE = "optimized"
"""Note of the outage: the job that did it."""


class OptimizeTables(Step):
    """``db.optimize <words>`` as its own job on the host; once in an outage."""

    name = "db.optimize"
    title = "Optimize tables"
    scope = Scope.INSTALLATION
    attaches = ("db.optimize",)

    def __init__(
        self, site: Site, say: Say, write: Callable[[str], object], words: Sequence[str] = ()
    ) -> None:
        super().__init__(site, say)
        self._write, self._words = write, [self.name, *words]
        self._outage = Outage(site)

    def look(self) -> Look:
        """Was it done in this outage, does it run?"""
        done = self._outage.noted(DONE)
        if done:
            return Look(because=f"done in this outage, by job {done}")
        job = self.site.jobs.latest(self.name)
        if job and job.state == host_jobs.RUNNING:
            same_or_refuse(self.site, self.name, job, self._words)
            return Look([Action(f"follow job {job.name}", "it is at it already", job.name)])
        return Look([Action("rebuild the tables that are worth it", "asked for with --optimize")])

    def act(self, action: Action) -> None:
        """Starts or follows the job, to its end."""
        job = run_there(self.site, self.name, self._words, write=self._write,
                        attach=action.payload or "")  # fmt: skip
        self._outage.note(DONE, job.name)

    def verify(self) -> Evidence:
        """The job's own account is in its log; here only that it ended well."""
        name = self._outage.noted(DONE)
        if not name:
            raise MatopsError("db.optimize did not come to its end", host=self.site.host.name,
                              next="run this again: it goes on where it was")  # fmt: skip
        return Evidence(f"done by job {name}: jobs.follow shows it table by table", {"job": name})
