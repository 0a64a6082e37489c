"""What the steps that change ``archive_invalidations`` share: ask, go to the host, wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.errors import Refused
from matops.host import jobs as host_jobs
from matops.matomo import invalidations_change as change
from matops.matomo.site import Site
from matops.runbook.step import Action, Look, Say, Scope, Step, Track
from matops.runbook.there import run_there, same_or_refuse

Confirm = Callable[[str, str], bool]
PATIENCE = 3600.0
"""Seconds for looking: a table of hundreds of millions of rows is a long read."""
_POLL = 5.0


def ask(site: Site, function: str, **payload: Any) -> Any:
    """``matops.matomo.<function>`` on the host, as who may see all of its processes."""
    user = site.keeper
    if site.host.is_local and (user is None or os.geteuid() == 0):
        user = None  # in this very process
    return site.agent.call(
        f"matops.matomo.{function}", {"docroot": site.docroot, **payload},
        user=user, timeout=PATIENCE,
    )  # fmt: skip


@dataclass(frozen=True)
class Voices:
    """How a step asks and tells. ``words``: the same task for the host, as typed.

    ``wait``: seconds to wait for an archiver to end.
    """

    confirm: Confirm
    track: Track
    write: Say
    words: Sequence[str]
    wait: int = 0


class QueueStep(Step):
    """Looks from anywhere; acts on the host: as a detached job there, if typed elsewhere."""

    scope = Scope.INSTALLATION
    refuses_busy = True
    """Whether it waits for, or is refused by, an archiver that is at work."""

    def __init__(self, site: Site, say: Say, voices: Voices) -> None:
        super().__init__(site, say)
        self.voices = voices
        self.attaches = (self.name,)
        self._confirmed = False
        self.seen: dict[str, Any] = {}
        """What was looked at, for ``--json``."""

    def ask(self, function: str, **payload: Any) -> Any:
        """``matops.matomo.<function>``, where the database is reached."""
        return ask(self.site, function, **payload)

    def running(self) -> Optional[Look]:
        """To attach to the job that is at it already. Refused where it does something else."""
        if self.site.host.is_local:
            return None
        job = self.site.jobs.latest(self.name)
        if not job or job.state != host_jobs.RUNNING:
            return None
        same_or_refuse(self.site, self.name, job, [*self.voices.words, "--yes"])
        why = f"job {job.name} runs since {job.started}"
        return Look([Action("attach to the run that is at it already", why, job.name)])

    def act(self, action: Action) -> None:
        """Asks, then does it: here, or as a job on the host, or attaches to the job there."""
        attach = action.payload if isinstance(action.payload, str) else ""
        self._confirmed = (
            self._confirmed
            or bool(attach)
            or self.voices.confirm(self.question(action), self.word(action))
        )
        if not self._confirmed:
            raise Refused(
                f"{self.name} was not confirmed",
                host=self.site.host.name,
                state="Nothing was changed",
                next=f"add --yes, or type {self.word(action)} when asked",
            )
        if not self.site.host.is_local:
            run_there(self.site, self.name, [*self.voices.words, "--yes"],
                      write=self.voices.write, fence=self.fence, attach=attach,
                      begin=self.still_ours)  # fmt: skip
            return
        if self.refuses_busy:
            self.wait_for_archiver()
        self.do(action)

    def question(self, action: Action) -> str:
        """What is asked before anything is done."""
        return f"{self.site.host.name}: {action.what}."

    def word(self, action: Action) -> str:
        """What is to be typed to say yes."""
        del action
        return f"{self.site.prefix}archive_invalidations"

    def do(self, action: Action) -> None:
        """The change itself, on the host."""
        raise NotImplementedError

    def wait_for_archiver(self) -> None:
        """Until none is at work. Refused once ``wait`` seconds are over."""
        until, told = time.monotonic() + self.voices.wait, False
        while True:
            lines = change.busy(self.site.docroot)
            left = until - time.monotonic()
            if not lines:
                return
            if left <= 0:
                change.refuse_busy(lines)
            if not told:
                self.say(f"  waiting for the archiver to end: {lines[0]}")
                told = True
            time.sleep(min(_POLL, max(left, 0.1)))
            self.still_ours()
