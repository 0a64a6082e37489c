"""The phase ``recover`` as a list of steps: the system comes back, then the hits of the outage.

First what users and visitors wait for: tracking, the UI, the archiver's cron. Then, at leisure,
the gap, the replay, the reports. A step that has nothing to do says so: the list is the same for
a held queue and for a replay, in a first run and in one that goes on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook import install_calls
from matops.runbook import log_gap_plan as plans
from matops.runbook.archive_compare import ArchiveCompare
from matops.runbook.archive_invalidate import ArchiveInvalidate
from matops.runbook.archive_run import ArchiveRun
from matops.runbook.archive_run import Asked as RunAsked
from matops.runbook.archive_step import UNTIL, Voices, Window, window_of
from matops.runbook.install_end import InstallSettled
from matops.runbook.log_gap import Ways
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import MODE, OutageEnd
from matops.runbook.outage_prove import OutageProve
from matops.runbook.phase import Phase
from matops.runbook.phases import Servers, Voice, switches_back
from matops.runbook.recover_account import RecoverAccount
from matops.runbook.recover_replay import RecoverGap, RecoverReplay
from matops.runbook.replay import Voices as ReplayVoices
from matops.runbook.replay_asked import Asked as ReplayAsked
from matops.runbook.step import Step, Track
from matops.runbook.tracking_mode import QUEUE

RECOVER = Phase(
    "recover", "recover",
    "Tracking, the UI and the archiver come back; the hits of the outage are recorded and the "
    "reports of those days built anew.",
    {
        "logs.gap": ("tracking.on", "cut the gap out of the access logs, once tracking is on"),
        "logs.replay": ("logs.gap", "replay the gap's hits, once they are cut"),
        "archive.invalidate": ("outage.prove", "queue the days of the outage to be built anew"),
        "archive.run": ("outage.prove", "core:archive, until none of these waits"),
        "archive.compare": ("outage.prove", "compare the reports with the log tables"),
        "recover.account": ("outage.prove", "the account of the outage's hits"),
        "release.settle": ("outage.prove", "forget the way back to the old files"),
        "outage.end": ("outage.prove", "set the outage's record aside"),
    },
    ends=True,
)  # fmt: skip


@dataclass(frozen=True)
class Recover:
    """What ``recover`` was asked. ``trial``: the site that goes first, 0 = none; ``archive``:
    whether reports are built at all; ``run``: for core:archive; ``keep``: until when gap files
    are kept (epoch); ``accept_account``: go on although it does not close."""

    track: Track
    keep: float
    gap: plans.Typed = field(default_factory=plans.Typed)
    replay: ReplayAsked = field(default_factory=lambda: ReplayAsked(""))
    accept_account: bool = False
    trial: int = 0
    archive: bool = True
    run: RunAsked = field(default_factory=RunAsked)
    prove_site: int = 0
    gap_begun: bool = True
    """False where tracking was never off: ``offline`` was cut off before, no hits are missing."""


def recover(
    servers: Servers, voice: Voice, asked: Recover, record: Mapping[str, Any]
) -> list[Step]:
    """``record``: the outage's, as it is before."""
    say, web, everywhere = voice.say, servers.web, servers.all
    queue = record["notes"].get(MODE) == QUEUE
    steps: list[Step] = [
        *switches_back(servers, voice, record),
        OutageProve(servers.leader, say, idsite=asked.prove_site),
    ]
    if queue or asked.gap_begun:
        steps += _hits(servers, voice, asked, queue)
    return [
        *steps,
        *(InstallSettled(site, say) for site in web),
        # The leader's last: while it is open, recover can be typed again.
        *(OutageEnd(site, say) for site in reversed(everywhere)),
    ]


def _hits(servers: Servers, voice: Voice, asked: Recover, queue: bool) -> list[Step]:
    """The hits of the outage, the reports of those days, the account."""
    gap, replay = (None, None) if queue else _late(servers, voice, asked)
    steps: list[Step] = [gap, replay] if gap and replay else []
    if asked.archive:
        steps += archive_steps(servers, voice, asked, replay)
    account = RecoverAccount(
        servers.leader,
        voice.say,
        lambda: window_of(*servers.web),
        gap=gap,
        replay=replay,
        accept=asked.accept_account,
        built=asked.archive,
    )
    return [*steps, account]


def notes(record: Mapping[str, Any], *, gap_begun: bool) -> list[str]:
    """What an operator may not expect, before the plan. Pure."""
    lines = []
    if install_calls.KEY not in record["found"] and not record["notes"].get("update"):
        lines.append("no `update` was run in this outage: it is ended as it was begun, with the "
                     "old release")  # fmt: skip
    if record["notes"].get(MODE) != QUEUE and not gap_begun:
        lines.append("tracking was never off: no hits are missing, nothing is replayed")
    return lines


def demand_updated(site: Site, record: Mapping[str, Any]) -> None:
    """Refused between the exchange and the end of core:update: new files on the old schema
    record nothing, and the UI would write into it."""
    database = site.ask("matomo.last_hit:look")["version_core"]
    same, note = site.version == database, record["notes"].get("update") or {}
    # Without new files the outage is ended as it was begun; without a note, and with the same
    # version on both sides, core:update was run by hand.
    if same and (install_calls.KEY not in record["found"] or not note or note.get("proved")):
        return
    raise Refused(
        f"the files are Matomo {site.version}, the database is {database}, and core:update has "
        "not come to its end",
        host=site.host.name,
        state="Nothing was changed; hits are kept as before",
        next="update again: it goes on; or rollback, while no migration ran",
    )


def _late(servers: Servers, voice: Voice, asked: Recover) -> tuple[RecoverGap, RecoverReplay]:
    ways = Ways(asked.track, voice.write, asked.keep)
    gap = RecoverGap(servers.web, voice.say, asked.gap, ways)
    voices = ReplayVoices(asked.track, voice.write)
    return gap, RecoverReplay(servers.leader, voice.say, asked.replay, voices, gap)


def archive_steps(
    servers: Servers, voice: Voice, asked: Recover, replay: Optional[RecoverReplay]
) -> list[Step]:
    """Invalidate, build, compare: first the trial site, then all; once for each state of the
    replay."""
    site, voices = servers.leader, Voices(asked.track, voice.write)
    steps: list[Step] = []

    def window() -> Window:
        return window_of(*servers.web)

    def begin(which: Window) -> None:
        # A held queue is drained by now. Without this its window would grow with each run, and a
        # job that is at it already would not be known again.
        if not replay and not Outage(site).noted(UNTIL):
            Outage(site).note(UNTIL, which.end)

    def run(sites: tuple[int, ...]) -> Callable[[], RunAsked]:
        def now() -> RunAsked:
            first, last = any_days(window())
            return replace(asked.run, sites=sites, first=first, last=last)

        return now

    def once() -> str:
        return replay.settled if replay else QUEUE

    trials: list[tuple[int, ...]] = [(asked.trial,)] if asked.trial else []
    for sites in [*trials, ()]:
        but = () if sites else tuple(trial for each in trials for trial in each)
        steps += [
            ArchiveInvalidate(
                site, voice.say, voices, window, sites, once=once, but=but, begin=begin
            ),
            ArchiveRun(site, voice.say, voices, run(sites)),
            ArchiveCompare(site, voice.say, window, sites),
        ]
    return steps


def any_days(window: Window) -> tuple[str, str]:
    """First and last day that the window touches in any time zone. Pure."""
    hour = dt.timedelta(hours=1)  # a visit's length, and more: archive_days.reach
    first = dt.datetime.fromtimestamp(window.start, dt.timezone(-12 * hour)) - hour
    last = dt.datetime.fromtimestamp(window.end, dt.timezone(14 * hour)) + hour
    return str(first.date()), str(last.date())
