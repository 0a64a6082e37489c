"""Watching a core:archive, and the queue it works on, to the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matops.errors import MatopsError, OutcomeUnknown
from matops.host import jobs as host_jobs
from matops.matomo import console
from matops.matomo.site import Site
from matops.mysql.invalidations import verdict
from matops.runbook.invalidations_facts import facts_of
from matops.runbook.invalidations_step import ask
from matops.units import show_duration

if TYPE_CHECKING:
    from matops.runbook.archive_run import ArchiveRun

POLL, COUNT = 2.0, 15.0  # seconds between looks at the job, and at the queue
_TAIL = 64 << 10
_SHORT = 20  # seconds for the look at a queue that stands still


class Watch:
    """Looks at core:archive, a job of ours, and at the queue, until the job has ended."""

    def __init__(self, step: ArchiveRun, add: Any) -> None:
        self._step, self._add = step, add
        self._highest = step.mark["highest"]
        self._before = self._least = step.mark["queued"] + step.mark["running"]
        self._moved, self._told, self._grown = time.monotonic(), 0.0, False

    def until_the_end(self, name: str) -> None:
        """MatopsError: it failed or did nothing; OutcomeUnknown: it vanished."""
        jobs, due = self._step.site.jobs, time.monotonic() + COUNT
        while True:
            poll = jobs.poll(name, 1 << 62)
            if poll.job.state != host_jobs.RUNNING:
                break
            if time.monotonic() >= due:
                began = time.monotonic()
                self._count()
                self._growth()
                # Counting ten million rows takes seconds: a twentieth of the time at most.
                due = time.monotonic() + max(COUNT, 20 * (time.monotonic() - began))
            time.sleep(POLL)
        self._count()
        self._judge(poll.job)

    def again(self, before: int) -> bool:
        """After its end: is something left, and would another core:archive get on with it?

        Another archiver (cron's) may be at rows of ours: core:archive passes over these, and over
        the longer periods that wait for them, and ends. So theirs are waited for. ``before``: how
        many were left when ours was started; where it did nothing it is not started again.
        """
        waited = False
        while (left := self._count())["running"]:
            if ask(self._step.site, "invalidations_stuck:stuck")["rows"]:
                return False  # nobody's: what comes next says so
            if not waited:
                self._step.say(
                    f"  another archiver is at work on {left['running']} of these archives: waiting"
                )
            waited = True
            self._step.still_ours()
            time.sleep(COUNT)
        return bool(left["queued"]) and (waited or left["queued"] < before)

    @property
    def rest(self) -> int:
        """How many were left at the last count."""
        return self._least

    def _count(self) -> dict[str, int]:
        left = self._step.left(self._highest)
        rest = left["queued"] + left["running"]
        if rest < self._least:
            self._add(self._least - rest)
            self._least, self._moved = rest, time.monotonic()
        quiet = time.monotonic() - max(self._moved, self._told)
        if rest and quiet >= self._step.asked.stall:
            self._told = time.monotonic()
            stall = show_duration(self._step.asked.stall)
            self._warn(f"no archive was finished for {stall}; {rest} wait")
        return left

    def _growth(self) -> None:
        if self._grown:
            return
        total = self._step.left()["queued"]
        if total > 1.2 * self._before + 1000:
            self._grown = True
            self._warn(f"the queue grows: {total} rows wait now, {self._before} did at the start")

    def _warn(self, what: str) -> None:
        self._step.say(f"  {what}. What invalidations.size says:")
        for line in advice(self._step.site):
            self._step.say(f"    {line}")

    def _judge(self, job: host_jobs.Job) -> None:
        tail = self._step.site.jobs.poll(job.name, max(job.log_size - _TAIL, 0))
        text = tail.log.decode(errors="replace")
        if job.state == host_jobs.LOST:
            raise host_jobs.lost(job, self._step.site.host.name)
        for line in errors(text):
            self._step.say(f"  {line}")
        words = self._step.asked.words
        judged = console.judge(words[0], job.code or 0, text)
        if judged.status == console.UNKNOWN:
            raise OutcomeUnknown(
                f"core:archive (job {job.name}) was killed: {judged.why}",
                host=self._step.site.host.name,
                state="Its children may go on for a while, and its rows stay in progress",
                next="run this again: it looks first",
            )
        if judged.status != console.OK:
            raise MatopsError(
                f"core:archive (job {job.name}): {judged.why}",
                host=self._step.site.host.name,
                state="What was built stays",
                next=judged.next or f"read its output: jobs.follow {job.name}",
            )


def advice(site: Site) -> list[str]:
    """The verdict of ``invalidations.size`` after a short look, a line each."""
    try:
        found = ask(site, "invalidations_size:look", max_seconds=_SHORT, sample=5, top=10)
    except MatopsError as error:
        return [error.line()]
    command = "inv" if site.host.is_local else f"fab -H {site.host.name}"
    every = verdict.judge(facts_of(found), verdict.Thresholds(), command)
    return [f"{one.word}: {one.why}" + (f": {one.command}" if one.command else "") for one in every]


def errors(text: str) -> Sequence[str]:
    """The lines of core:archive's summary of errors, at most ten. Pure."""
    found = [line.strip() for line in text.splitlines() if "Error: " in line or "ERROR" in line]
    return [line[:300] for line in dict.fromkeys(found)][:10]
