"""Step ``archive.run``: ``core:archive`` as a job of its own, watched until the queue is empty.

core:archive lies: with maintenance mode on, with too many archivers running, or with rows in
progress that nobody works on it does nothing and ends with 0. So the state is looked at before,
and the rows of the queue are counted after.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.host import jobs as host_jobs
from matops.matomo import console
from matops.matomo.site import Site
from matops.mysql.invalidations import verdict
from matops.runbook.archive_invalidate import shown
from matops.runbook.archive_step import ArchiveStep, Voices
from matops.runbook.invalidations_facts import facts_of
from matops.runbook.invalidations_step import ask
from matops.runbook.step import Action, Evidence, Look, Say
from matops.units import show_duration

LABEL = "core.archive"
POLL, COUNT = 2.0, 15.0  # seconds between looks at the job, and at the queue
_TAIL = 64 << 10
_SHORT = 20  # seconds for the look at a queue that stands still


@dataclass(frozen=True)
class Asked:
    """What is archived. ``first``, ``last``: days that touch the rows counted, both included."""

    sites: tuple[int, ...] = ()
    first: str = "1970-01-01"
    last: str = "2999-12-31"
    url: str = ""
    archivers: int = 3
    requests: int = 3
    stall: int = 1800
    """Seconds without any row leaving the queue, after which that is said."""

    @property
    def dated(self) -> bool:
        """Whether a range of days was asked for."""
        return self.first > "1970-01-01"

    @property
    def words(self) -> list[str]:
        """For console."""
        found = ["core:archive", "--disable-scheduled-tasks",
                 f"--concurrent-archivers={self.archivers}",
                 f"--concurrent-requests-per-website={self.requests}"]  # fmt: skip
        found += [f"--force-idsites={','.join(map(str, self.sites))}"] if self.sites else []
        found += [f"--force-date-range={self.first},{self.last}"] if self.dated else []
        return found + ([f"--url={self.url}"] if self.url else [])

    @property
    def task(self) -> list[str]:
        """``archive.run`` as typed on the host."""
        found = [ArchiveRun.name, "--archivers", str(self.archivers), "--requests",
                 str(self.requests), "--stall", f"{self.stall}s"]  # fmt: skip
        found += ["--sites", ",".join(map(str, self.sites))] if self.sites else []
        found += ["--dates", f"{self.first},{self.last}"] if self.dated else []
        return found + (["--url", self.url] if self.url else [])

    @property
    def shown(self) -> str:
        """``all sites, all days``."""
        sites = shown(self.sites) if self.sites else "all sites"
        return f"{sites}, {f'{self.first} to {self.last}' if self.dated else 'all days'}"


class ArchiveRun(ArchiveStep):
    """Starts the console as a job, or attaches to it; shows what is left, and the pace."""

    name = "archive.run"
    title = "Build the queued reports"

    def __init__(self, site: Site, say: Say, voices: Voices, asked: Callable[[], Asked]) -> None:
        super().__init__(site, say, voices)
        self._asked, self.asked = asked, Asked()
        self.attaches = (self.name, LABEL)
        self.mark: dict[str, int] = {}

    @property
    def words(self) -> Sequence[str]:
        """The same task for the host, as typed."""
        return self.asked.task

    def left(self, upto: Any = None) -> dict[str, int]:
        found: dict[str, int] = self.site.ask(
            "matomo.archive_days:left", first=self.asked.first, last=self.asked.last,
            sites=list(self.asked.sites), upto=upto, timeout=600,
        )  # fmt: skip
        return found

    def look(self) -> Look:
        """What waits. Refused: maintenance mode, rows that block, too many archivers."""
        self.asked = self._asked()
        self.mark = self.left()
        attach = self.running()
        if attach:
            return Look(attach)
        waiting = self.mark["queued"] + self.mark["running"]
        own = self._own()
        if own:
            why = f"job {own.name} runs since {own.started}"
            return Look([Action("watch the archiver that runs already", why, own)])
        if not waiting:
            return Look(because=f"nothing waits to be archived ({self.asked.shown})")
        self._refuse_maintenance()
        notes = self._refuse_blocked()
        what = f"run console {' '.join(self.asked.words)} as {self.site.web_user}"
        return Look([Action(what, f"{waiting} rows wait: {self.asked.shown}")], notes=notes)

    def _own(self) -> Any:
        job = self.site.jobs.latest(LABEL)
        if job is None or job.state != host_jobs.RUNNING:
            return None
        if not job.command.endswith(shlex.join(self.asked.words)):
            raise Refused(
                f"another core:archive of ours runs as job {job.name}: {job.command}",
                host=self.site.host.name,
                state="Nothing was changed",
                next=f"jobs.follow {job.name} shows it; then run this again",
            )
        return job

    def _refuse_maintenance(self) -> None:
        if not self.site.ask("matomo.archive_days:closed"):  # as it is now: a phase switches it
            return
        raise Refused(
            "maintenance mode is on: core:archive would do nothing, and end with 0",
            host=self.site.host.name,
            state="Nothing was changed",
            next="maintenance.off first",
        )

    def _refuse_blocked(self) -> list[str]:
        """Rows in progress whose process is gone: longer periods wait for them in silence."""
        stuck = ask(self.site, "invalidations_stuck:stuck")
        if stuck["rows"]:
            raise Refused(
                f"{len(stuck['rows'])} rows are in progress and nobody works on them: "
                f"{stuck['rows'][0]['because']}; core:archive would pass over what waits for them",
                host=self.site.host.name,
                state="Nothing was changed",
                next="invalidations.reset queues them again; then run this again",
            )
        return [f"another archiver is at work: {line}" for line in stuck["busy"][:3]]

    def do(self, action: Action) -> None:
        """Starts core:archive as the web user, or watches the one that runs."""
        job = action.payload
        name = job.name if job else self._start()
        with self.voices.track(self.name, self.mark["queued"] + self.mark["running"], "archives"
                               ) as progress:  # fmt: skip
            Watch(self, name, progress.add).until_the_end()

    def _start(self) -> str:
        name = host_jobs.new_name(LABEL)
        self.still_ours(name)
        self.site.jobs.start(
            name,
            console.command_line(self.site, self.asked.words),
            user=self.site.worker or self.site.machine["user"],
            folder=self.site.docroot,
        )
        self.say(f"  job {name} started on {self.site.host.name}; it goes on without us")
        return name

    def verify(self) -> Evidence:
        """No row that waited before may be left."""
        left = self.left(self.mark.get("highest"))
        rest = left["queued"] + left["running"]
        before = self.mark["queued"] + self.mark["running"]
        if rest:
            raise self.failed(
                f"core:archive ended, but {rest} of {before} archives are still to be built "
                f"({self.asked.shown})",
                "What was built stays",
                "jobs.follow of its job shows why; invalidations.size says what blocks; run this "
                "again to go on",
            )
        return Evidence(
            f"all {before} archives that waited are built ({self.asked.shown})",
            {"built": before, "sites": list(self.asked.sites)},
        )


class Watch:
    """Looks at a running core:archive and at the queue until the job has ended."""

    def __init__(self, step: ArchiveRun, name: str, add: Any) -> None:
        self._step, self._name, self._add = step, name, add
        self._highest = step.mark["highest"]
        self._before = self._least = step.mark["queued"] + step.mark["running"]
        self._moved, self._told, self._grown = time.monotonic(), 0.0, False

    def until_the_end(self) -> None:
        """MatopsError: it failed or did nothing; OutcomeUnknown: it vanished."""
        jobs, due = self._step.site.jobs, time.monotonic() + COUNT
        while True:
            poll = jobs.poll(self._name, 1 << 62)
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

    def _count(self) -> None:
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
        tail = self._step.site.jobs.poll(self._name, max(job.log_size - _TAIL, 0))
        text = tail.log.decode(errors="replace")
        if job.state == host_jobs.LOST:
            raise host_jobs.lost(job, self._step.site.host.name)
        for line in errors(text):
            self._step.say(f"  {line}")
        words = self._step.asked.words
        verdict = console.judge(words[0], job.code or 0, text)
        if verdict.status == console.UNKNOWN:
            raise OutcomeUnknown(
                f"core:archive (job {self._name}) was killed: {verdict.why}",
                host=self._step.site.host.name,
                state="Its children may go on for a while, and its rows stay in progress",
                next="run this again: it looks first",
            )
        if verdict.status != console.OK:
            raise MatopsError(
                f"core:archive (job {self._name}): {verdict.why}",
                host=self._step.site.host.name,
                state="What was built stays",
                next=verdict.next or f"read its output: jobs.follow {self._name}",
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
