"""Step ``archive.purge``: outdated archives go before the upgrade, so that less is migrated."""

from __future__ import annotations

import time
from typing import Any

from matops.errors import MatopsError
from matops.host import jobs as host_jobs
from matops.matomo import console
from matops.matomo.site import Site
from matops.runbook.follow import follow
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

_PATIENCE = 3600  # seconds for counting: one month of a large site is a long scan
_WORDS = ("core:purge-old-archive-data", "all", "--skip-optimize-tables")


class PurgeArchives(Step):
    """``core:purge-old-archive-data all`` as a detached job, verified by counting again.

    Optimizing is left to ``db.optimize``: the command's own OPTIMIZE takes metadata locks
    unwatched.
    """

    name = "archive.purge"
    title = "Purge outdated archives"
    scope = Scope.INSTALLATION
    attaches = ("archive.purge",)

    def __init__(self, site: Site, say: Say, write: Say) -> None:
        super().__init__(site, say)
        self._write = write
        self._before: dict[str, Any] = {}
        self._attached = False

    def look(self) -> Look:
        """Counts what would go; finds a purge that runs already."""
        running = self.site.jobs.latest(self.name)
        self._before = self.site.ask("matomo.archives:purgeable", timeout=_PATIENCE)
        total, words = sum(self._before["counts"].values()), describe(self._before)
        if running and running.state == host_jobs.RUNNING:
            why = f"job {running.name} runs since {running.started}"
            self._attached = True
            return Look([Action("attach to the purge that runs already", why, running.name)])
        if not total and self._before["looked"] == self._before["of"]:
            return Look(because=f"nothing to purge in {self._before['of']} months of archives")
        return Look(
            [Action(f"run console {' '.join(_WORDS)} as {self.site.web_user}", words)],
            notes=["archives purged are rebuilt from newer ones; there is no way back to them"],
        )

    def act(self, action: Action) -> None:
        """Starts the job, or attaches to it, and shows its output."""
        name = action.payload
        if not name:
            name = host_jobs.new_name(self.name)
            self.still_ours(name)
            self.site.jobs.start(
                name,
                console.command_line(self.site, _WORDS),
                user=self.site.worker or self.site.machine["user"],
                folder=self.site.docroot,
            )
            self.say(f"  job {name} started on {self.site.host.name}")
        job = follow(self.site.jobs, name, self._write)
        verdict = console.judge(_WORDS[0], job.code or 0, self.tail(name, job.log_size))
        console.raise_unless_ok(self.site, _WORDS, verdict)

    def tail(self, name: str, size: int) -> str:
        """The end of the job's log, for judging how it went."""
        return self.site.jobs.poll(name, max(size - 8192, 0)).log.decode(errors="replace")

    def verify(self) -> Evidence:
        """Counts again, leaving out what was written since: nothing may be left."""
        after = self.site.ask(
            "matomo.archives:purgeable", before=self._before["now"], timeout=_PATIENCE
        )
        left = sum(after["counts"].values())
        if left:
            raise MatopsError(
                f"the purge ended, but {describe(after)} are still there",
                host=self.site.host.name,
                next="read its output with jobs.follow; run archive.purge again",
            )
        gone = sum(self._before["counts"].values())
        partly = "" if after["looked"] == after["of"] else f" in {after['looked']} tables looked at"
        return Evidence(
            f"{'at least ' * self._attached}{gone} outdated archives purged, none left{partly}",
            {"purged": gone, "counts": self._before["counts"], "at_epoch": time.time()},
        )


def describe(found: dict[str, Any]) -> str:
    """``12 failed, 3 superseded, 0 custom-range archives in 4 tables``."""
    counts = found["counts"]
    partly = (
        "" if found["looked"] == found["of"] else f", {found['looked']} of {found['of']} looked at"
    )
    return (
        f"{counts['errors']} failed or temporary, {counts['superseded']} superseded, "
        f"{counts['ranges']} custom-range archives in {len(found['tables'])} tables{partly}"
    )
