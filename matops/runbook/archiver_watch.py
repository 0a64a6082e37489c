"""Step ``archiver.watch``: cron's next minute comes, and starts nothing, on all hosts at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from matops.errors import MatopsError
from matops.matomo.site import Site
from matops.runbook import archiver_words as words
from matops.runbook.archiver_stop import ArchiverStop
from matops.runbook.invalidations_step import ask
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

MINUTE = -1.0
"""Until cron's next minute has begun, by the clock of each host."""
_INTO = 2.0
"""Seconds into that minute: cron has read its tables by then, and started what is due."""
_POLL = 5.0


class ArchiverWatch(Step):
    """Cron looks at its tables once a minute, before it starts what is due: what it does then is
    the proof that it has read what was held. ``seconds``: MINUTE, or 0: do not watch."""

    name = "archiver.watch"
    title = "Watch that nothing is started"
    scope = Scope.INSTALLATION

    def __init__(
        self, site: Site, say: Say, stops: Sequence[ArchiverStop], seconds: float = MINUTE
    ) -> None:
        super().__init__(site, say)
        self._stops, self._seconds = tuple(stops), seconds

    def look(self) -> Look:
        """Nothing to watch where no line of cron was, or is to be, held by this run."""
        if not self._seconds:
            return Look(because="not wanted (--settle 0s)", skip=True)
        hosts = [stop.site.host.name for stop in self._stops if stop.edits_cron]
        if not hosts:
            return Look(because="this run held no line of cron")
        how = "until cron's next minute" if self._seconds < 0 else f"for {self._seconds:.0f} s"
        return Look([Action(f"watch {', '.join(hosts)} {how}", "that nothing is started")])

    def act(self, action: Action) -> None:
        """Until the time is over, or something was started: ``verify`` tells what."""
        until = time.monotonic() + (self._minute() if self._seconds < 0 else self._seconds)
        while not self._started():
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_POLL, left))
            self.still_ours()

    def _minute(self) -> float:
        """Seconds until the next minute has begun on every host."""
        clocks = [float(ask(s.site, "archiver_work:clock")) for s in self._stops if s.edits_cron]
        return max(60 + _INTO - now % 60 for now in clocks)

    def _started(self) -> list[str]:
        found = []
        for stop in self._stops:
            work = {"processes": ask(stop.site, "archiver_work:processes"), "statements": []}
            found += [f"{stop.site.host.name}: {line}" for line in words.running(work)]
        return found

    def verify(self) -> Evidence:
        """Once more. MatopsError names what was started, and by whom."""
        lines = self._started()
        if lines:
            raise MatopsError(
                f"something that is not held starts the archiver: {words.some(lines)}",
                host=self.site.host.name,
                state="What was found stays held",
                next="find what started it (the line says by whom), stop it; then archiver.stop "
                "again",
            )
        minute = " when cron's next minute came" if self._seconds < 0 else ""
        return Evidence(f"nothing was started{minute}")
