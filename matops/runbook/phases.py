"""The phases of an outage as lists of steps: ``offline``, ``update``, ``rollback``.

Which steps, in which order, on which servers; what each does is its own file's. A step that has
nothing to do says so: the lists are the same in a first run and in one that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.matomo.site import Site
from matops.runbook import queue_switch
from matops.runbook.archiver_start import ArchiverStart
from matops.runbook.core_update import CoreUpdate
from matops.runbook.core_update_there import Asked as UpdateAsked
from matops.runbook.install_back import InstallBack
from matops.runbook.install_release import BuildRelease, InstallRelease
from matops.runbook.maintenance import steps_off as maintenance_off
from matops.runbook.maintenance import steps_on as maintenance_on
from matops.runbook.optimize_tables import OptimizeTables
from matops.runbook.outage_begin import OutageBegin, OutageEnd
from matops.runbook.outage_prove import OutageProve
from matops.runbook.outage_still import StillOffline
from matops.runbook.phase import Phase
from matops.runbook.queue_drain import DrainQueue
from matops.runbook.queue_hold import HoldQueue
from matops.runbook.queue_release import ReleaseQueue
from matops.runbook.queue_switch import SwitchQueue
from matops.runbook.rollback import ConfigBack, RollbackCheck, RowsBack
from matops.runbook.step import Say, Step
from matops.runbook.tracking import steps_off as tracking_off
from matops.runbook.tracking import steps_on as tracking_on
from matops.runbook.tracking_mode import QUEUE, Decision
from matops.runbook.update_begin import KeepConfig, Picture

OFFLINE = Phase(
    "offline", "offline",
    "The UI is closed, archiving stops, hits are kept for later. `rollback` puts all of it back.",
    {"queue.hold": ("queue.enable", "hold it, once hits go through it")},
    eased={"tracking.off": ("queue.drain", "queue.disable")},
)  # fmt: skip
UPDATE = Phase(
    "update", "update",
    "The new release takes the place of the old one and the database is migrated: from the first "
    "migration on there is no way back but a full backup.",
    {"core.update": ("release.install", "core:update --yes, once the new files are in place")},
    eased={},
)  # fmt: skip
ROLLBACK = Phase(
    "rollback", "rollback",
    "The old release is put back, and everything that the outage switched, as it was found.",
    ends=True,
)  # fmt: skip

Stops = Callable[[Sequence[Site]], Sequence[Step]]
"""Makes the steps of archiver.stop for these sites."""


@dataclass(frozen=True)
class Servers:
    """``web``: the web servers, the leader first; ``all``: with the hosts that only archive."""

    web: Sequence[Site]
    all: Sequence[Site]

    @property
    def leader(self) -> Site:
        """Where the outage is led from."""
        return self.web[0]


@dataclass(frozen=True)
class Voice:
    """Where a phase speaks: ``say`` a line, ``write`` output of jobs as it comes."""

    say: Say
    write: Say


@dataclass(frozen=True)
class Offline:
    """What ``offline`` was asked. ``window``: seconds that hits may pile up; ``optimize``: words
    behind db.optimize, None = not at all."""

    decision: Decision
    window: float
    limit: Optional[int] = None
    despite_health_check: bool = False
    hold_anyway: bool = False
    lose_hits: bool = False
    optimize: Optional[Sequence[str]] = None


def offline(servers: Servers, voice: Voice, asked: Offline, stops: Stops) -> list[Step]:
    """Each switch on every server before the next one: a half-closed installation is short."""
    say, web, everywhere = voice.say, servers.web, servers.all
    steps: list[Step] = [
        OutageBegin(servers.leader, say, decision=asked.decision, limit=asked.limit),
        *(OutageBegin(site, say, leader=servers.leader) for site in everywhere[1:]),
        *maintenance_on(web, say, despite_health_check=asked.despite_health_check),
        *stops(everywhere),
    ]
    if asked.decision.switch_on:
        steps += [SwitchQueue(site, say, True, activate=True) for site in web]
    steps += [
        HoldQueue(site, say, window=asked.window, anyway=asked.hold_anyway, sites=everywhere)
        for site in everywhere
    ]
    if asked.optimize is not None:
        steps.append(OptimizeTables(servers.leader, say, voice.write, asked.optimize))
    if asked.decision.mode == QUEUE:
        if asked.optimize is not None:  # it took hours: begin the update with an empty queue
            steps.append(DrainQueue(servers.leader, say, voice.write))
        return steps
    # Hits that still wait are recorded before the tracker goes off: it would process none then.
    # First with the queue on, which may take long, then the rest of what came in meanwhile.
    steps.append(DrainQueue(servers.leader, say, voice.write))
    steps += [SwitchQueue(site, say, False) for site in web]
    steps.append(DrainQueue(servers.leader, say, voice.write))
    return [*steps, *tracking_off(web, say, lose_hits=asked.lose_hits)]


@dataclass(frozen=True)
class Update:
    """What ``update`` was asked: for ``release.install`` and for ``core.update``."""

    install: Mapping[str, Any] = field(default_factory=dict)
    may_reload: bool = True
    core: UpdateAsked = field(default_factory=UpdateAsked)


def update(servers: Servers, voice: Voice, asked: Update) -> list[Step]:
    """All trees are built before the first is exchanged; then one right after the other."""
    say, web = voice.say, servers.web
    install = dict(asked.install)
    return [
        *(StillOffline(site, say) for site in web),
        OutageBegin(servers.leader, say),  # the watcher, should it have died
        *(KeepConfig(site, say) for site in web),
        Picture(servers.leader, say),
        *(BuildRelease(site, say, **install) for site in web),
        *(InstallRelease(site, say, may_reload=asked.may_reload, **install) for site in web),
        CoreUpdate(servers.leader, say, voice.write, asked.core, others=servers.all[1:]),
    ]


@dataclass(frozen=True)
class Rollback:
    """What ``rollback`` was asked. ``prove_site``: send a hit to that site where none comes by
    itself; ``backups`` says what is known of them, for the refusal."""

    may_reload: bool = True
    prove_site: int = 0
    backups: Callable[[], str] = lambda: "see `check`"


def rollback(
    servers: Servers, voice: Voice, asked: Rollback, record: Mapping[str, Any]
) -> list[Step]:
    """Files, configuration, then every switch.

    ``record``: the outage's, as it is before.
    """
    say, web = voice.say, servers.web
    return [
        RollbackCheck(servers.leader, say, asked.backups),
        *(InstallBack(site, say, may_reload=asked.may_reload) for site in web),
        RowsBack(servers.leader, say),
        *(ConfigBack(site, say) for site in web),
        *switches_back(servers, voice, record),
        OutageProve(servers.leader, say, idsite=asked.prove_site),
        # The leader's last: while it is open, rollback can be typed again.
        *(OutageEnd(site, say) for site in reversed(servers.all)),
    ]


def switches_back(servers: Servers, voice: Voice, record: Mapping[str, Any]) -> list[Step]:
    """Every switch of the outage, as it was found.

    Tracking before the queue: with record_statistics = 0 a queue that is on answers 200 and drops
    the hit (measured with QueuedTracking 5.1.1). UI and archiver need not wait for the drain,
    which may take hours. The queue is drained while it is still held: released, tracking requests
    and workers process it beside each other, and on servers that abort transactions which meet
    the plugin records hits twice.
    """
    say, web, everywhere = voice.say, servers.web, servers.all
    drain = DrainQueue(servers.leader, say, voice.write)
    # A queue that was on for the outage only goes off once it is empty, then what came meanwhile.
    lent: list[Step] = [drain] if queue_switch.FOUND in record["found"] else []
    return [
        *tracking_on(web, say),
        *maintenance_off(web, say),
        *(ArchiverStart(site, say) for site in everywhere),
        drain,
        *(SwitchQueue(site, say, None) for site in web),
        *lent,
        *(ReleaseQueue(site, say) for site in everywhere),
    ]
