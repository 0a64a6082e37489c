"""Step ``queue.drain``: all that waits is recorded. A job on the host, followed from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matops.errors import MatopsError
from matops.host import jobs as host_jobs
from matops.matomo.queue_space import cure_of
from matops.matomo.site import Site
from matops.runbook.queue_drain_there import Drain, depth, refuse_unless_recording
from matops.runbook.queue_facts import beyond_line, depth_line, own_line
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.runbook.there import run_there, same_or_refuse
from matops.units import show_duration


class DrainQueue(Step):
    """Drains the queue, from one server for all.

    ``below``: until no more request sets than that wait (0: until it is empty; while hits go on
    being queued: until nothing old waits). ``workers``: at once; 0 = one for each list, at most
    one for each processor. ``write``: where the job's output goes. Running it twice is safe.
    """

    name = "queue.drain"
    title = "Drain the tracking queue"
    scope = Scope.INSTALLATION

    def __init__(
        self, site: Site, say: Say, write: Say, *, below: int = 0, workers: int = 0
    ) -> None:
        super().__init__(site, say)
        self._write, self._below, self._workers = write, below, workers
        self.attaches = (self.name,)

    @property
    def words(self) -> Sequence[str]:
        """The same task for the host."""
        flags = [(self._below, "--below"), (self._workers, "--workers")]
        return [self.name, *(word for n, flag in flags if n for word in (flag, str(n)))]

    def look(self) -> Look:
        """How much waits. Refused while tracking is off: nothing would be processed."""
        found = self.site.ask("matomo.queue:status", timeout=600)
        if found["why_none"]:
            return Look(because=f"{found['why_none']}: there is no queue to drain", skip=True)
        own = own_line(found, len(self.site.settings.servers))
        notes = [line for line in (beyond_line(found), own) if line]
        notes += [f"{wrong}; {cure_of(wrong)}" for wrong in [found["space"]["wrong"]] if wrong]
        if not self.site.host.is_local and (attach := self._running()):
            return Look([attach], notes=notes)
        waiting = found["sets"] - found["beyond"]
        if waiting <= self._below:
            return Look(because=f"{depth_line(found)}", notes=notes)
        refuse_unless_recording({**found["setup"], "sets": found["sets"]}, self.site.host.name)
        workers = found["setup"]["workers"]
        what = f"process what waits: {depth_line(found)}"
        to = f"down to {self._below}" if self._below else "down to nothing, partial batches too"
        return Look([Action(what, f"{to}, with up to {workers} workers beside each other")],
                    notes=notes)  # fmt: skip

    def _running(self) -> Any:
        job = self.site.jobs.latest(self.name)
        if not job or job.state != host_jobs.RUNNING:
            return None
        same_or_refuse(self.site, self.name, job, self.words)
        why = f"job {job.name} runs since {job.started}"
        return Action("attach to the run that is at it already", why, job.name)

    def act(self, action: Action) -> None:
        """As a job on the host; there: the work itself."""
        if not self.site.host.is_local:
            run_there(self.site, self.name, self.words, write=self._write, fence=self.fence,
                      attach=action.payload or "", begin=self.still_ours)  # fmt: skip
            return
        drain = Drain(self.site, self.say, below=self._below, parallel=self._workers,
                      still_ours=self.still_ours)  # fmt: skip
        why = drain.run()
        took = drain.progress.seconds
        self.say(f"  {why}: {drain.progress.requests} requests processed in {show_duration(took)}")

    def verify(self) -> Evidence:
        """Looks at the depth once more."""
        found = depth(self.site)
        here = sum(n for number, n in found["lists"].items() if int(number) < found["workers"])
        facts = {"sets": here, "lists": found["lists"]}
        if here <= self._below:
            return Evidence(f"{here or 'no'} request sets wait", facts)
        if found["enabled"]:  # the tracker goes on queueing
            age = show_duration(found["oldest"])
            return Evidence(f"{here} request sets came in since, the oldest {age} ago", facts)
        raise MatopsError(f"{here} request sets wait again", host=self.site.host.name,
                          next="see who queues them, then run this again")  # fmt: skip
