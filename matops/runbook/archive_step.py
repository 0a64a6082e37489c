"""What the archive steps share: the span and sites asked for, and going to the host."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matops.errors import MatopsError, UsageError
from matops.host import jobs as host_jobs
from matops.matomo.site import Site
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import MODE
from matops.runbook.step import Action, Say, Scope, Step, Track
from matops.runbook.there import run_there, same_or_refuse
from matops.runbook.tracking_mode import QUEUE
from matops.units import show_epoch, utc_now

OFF, ON = "edge.off", "edge.on"
"""Keys of the marks in the outage's record: tracking off, tracking on again."""
UNTIL = "archive.until"
"""Key in the outage's record: the end (epoch) of what a queue held, once it was drained."""


@dataclass(frozen=True)
class Window:
    """[start, end) in epochs: what was lost, or replayed."""

    start: float
    end: float

    @property
    def shown(self) -> str:
        """``2026-11-22 01:00:00 UTC to 2026-11-22 05:00:00 UTC``."""
        return f"{show_epoch(self.start)} to {show_epoch(self.end)}"


@dataclass(frozen=True)
class Voices:
    """How a step tells: progress, and the output of its job."""

    track: Track
    write: Say


def parse_moment(text: str, flag: str) -> float:
    """``2026-11-22T01:00:00Z`` or ``…+01:00`` as an epoch; a bare day is its midnight in UTC.

    UsageError: no zone, no time, or in the future.
    """
    try:
        moment = dt.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"{flag}: '{text}' is no time; write 2026-11-22T01:00:00Z") from None
    if moment.tzinfo is None:
        if len(text.strip()) > 10:
            raise UsageError(f"{flag}: '{text}' has no zone; write {text}Z for UTC, or …+01:00")
        moment = moment.replace(tzinfo=dt.timezone.utc)
    if moment > utc_now() + dt.timedelta(days=1):
        raise UsageError(f"{flag}: {text} lies in the future")
    return moment.timestamp()


def show_moment(epoch: float) -> str:
    """What ``parse_moment`` reads, to the microsecond."""
    moment = dt.datetime.fromtimestamp(epoch, dt.timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")


def parse_window(begin: str, end: str) -> Window:
    """Both flags. UsageError."""
    window = Window(parse_moment(begin, "--from"), parse_moment(end, "--to"))
    if window.start >= window.end:
        raise UsageError(f"--from {begin} is not before --to {end}")
    return window


def window_of(site: Site, *others: Site) -> Window:
    """What is built anew: between the marks, of all servers; with a queue from the outage's
    beginning to ``UNTIL``, or to now. UsageError where there are no marks."""
    data = Outage(site).read()
    if data["notes"].get(MODE) == QUEUE:
        began = parse_moment(data["began"], "the outage's record")
        return Window(began, float(data["notes"].get(UNTIL) or utc_now().timestamp()))
    spans = [_between(data["notes"])]
    for other in others:
        notes = Outage(other).read()["notes"]
        if notes.get(OFF) and notes.get(ON):  # its record may be closed already
            spans.append(_between(notes))
    return Window(min(span.start for span in spans), max(span.end for span in spans))


def _between(notes: dict[str, Any]) -> Window:
    missing = [key for key in (OFF, ON) if not notes.get(key)]
    if missing:
        raise UsageError(
            f"no window: this outage has no mark {' and '.join(missing)}; name it with "
            "--from 2026-11-22T01:00:00Z --to 2026-11-22T05:00:00Z"
        )
    off, on = notes[OFF]["at"], notes[ON]["at"]
    # The off mark's clock before the switch, the on mark's after it: never too small.
    start, end = off["before"] or off["after"], on["after"] or on["before"]
    if not start or not end:
        raise UsageError("the marks of this outage are not complete: name --from and --to")
    return Window(float(start), float(end))


WindowOf = Callable[[], Window]
"""The window as it is when a step's turn comes."""


def parse_sites(text: str, flag: str = "--sites") -> tuple[int, ...]:
    """``--sites 1,2``; () for all. UsageError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal() or not int(part):
            raise UsageError(f"{flag}: '{part}' is not the number of a site")
    return tuple(dict.fromkeys(int(part) for part in parts))


class ArchiveStep(Step):
    """Looks from anywhere; acts on the host: as a detached job there, if typed elsewhere."""

    scope = Scope.INSTALLATION

    def __init__(self, site: Site, say: Say, voices: Voices) -> None:
        super().__init__(site, say)
        self.voices = voices
        self.attaches = (self.name,)

    @property
    def words(self) -> Sequence[str]:
        """The same task for the host, as typed."""
        raise NotImplementedError

    def running(self) -> list[Action]:
        """To attach to the job that is at it already. Refused where it does something else."""
        if self.site.host.is_local:
            return []
        job = self.site.jobs.latest(self.name)
        if not job or job.state != host_jobs.RUNNING:
            return []
        same_or_refuse(self.site, self.name, job, self.words)
        why = f"job {job.name} runs since {job.started}"
        return [Action("attach to the run that is at it already", why, job.name)]

    def act(self, action: Action) -> None:
        """Here, or as a job on the host, or attaches to the job there."""
        if self.site.host.is_local:
            self.do(action)
            return
        attach = action.payload if isinstance(action.payload, str) else ""
        if attach or not self._sent:
            self._sent = True
            run_there(self.site, self.name, self.words, write=self.voices.write,
                      fence=self.fence, attach=attach, begin=self.still_ours)  # fmt: skip

    _sent = False
    """One job does all the actions."""

    def do(self, action: Action) -> None:
        """The change itself, on the host."""
        raise NotImplementedError

    def failed(self, what: str, state: str, then: str) -> MatopsError:
        """An error of this step on this host."""
        return MatopsError(what, host=self.site.host.name, state=state, next=then)
