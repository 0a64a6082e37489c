"""Step ``archive.run``: ``core:archive`` as a job of its own, watched until the queue is empty.

core:archive lies: with maintenance mode on, with too many archivers running, or with rows in
progress that nobody works on it does nothing and ends with 0. So the state is looked at before,
and the rows of the queue are counted after.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matops.errors import Refused
from matops.host import jobs as host_jobs
from matops.matomo import console
from matops.matomo.site import Site
from matops.runbook.archive_invalidate import shown
from matops.runbook.archive_step import ArchiveStep, Voices
from matops.runbook.archive_watch import Watch
from matops.runbook.invalidations_step import ask
from matops.runbook.step import Action, Evidence, Look, Say

LABEL = "core.archive"


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
            watch = Watch(self, progress.add)
            while True:
                before = watch.rest
                watch.until_the_end(name)
                if not watch.again(before):
                    return
                self.say(f"  {watch.rest} archives are left that it passed over: once more")
                name = self._start()

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
