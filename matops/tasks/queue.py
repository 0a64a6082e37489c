"""``queue.*``: the tracking queue (QueuedTracking), before, in and after an outage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from invoke import Collection

from matops.errors import UsageError
from matops.matomo.site import Site
from matops.report import queue as report
from matops.runbook.engine import run_steps
from matops.runbook.queue_drain import DrainQueue
from matops.runbook.queue_hold import HoldQueue, site_facts
from matops.runbook.queue_release import ReleaseQueue
from matops.runbook.queue_set_aside import SetAside
from matops.runbook.queue_switch import SwitchQueue
from matops.runbook.step import Step
from matops.tasks.desk import CHANGING, JSON_HELP, LOCAL_HELP, YES_HELP, Desk, confirmer, operation
from matops.units import parse_duration

_WINDOW = "how long hits may pile up: the room is checked for it, like 4h"
_WAIT = "wait so long for a worker's pass to end by itself, then end it between two batches"

Make = Callable[[Desk, Site], Sequence[Step]]


@operation(help={"window": _WINDOW, "json": JSON_HELP, "local": LOCAL_HELP})
def status(c: Any, window: str = "4h", json: bool = False, local: bool = False) -> None:
    """Show the tracking queue: depth, pace, room, workers, locks, settings and where they are from.

    Reads only. Depth is in request sets: one is what one HTTP request brought. A queue that is
    installed, not active, or off is said so. Example: fab -H web1 queue.status
    """
    seconds = parse_duration(window, "--window")
    desk = Desk(c, json=json)
    site = desk.site(local=local)
    found = site_facts(site, seconds)
    desk.show({"host": desk.host.name, **found}, report.HEADERS, report.rows(found), wrap=1)


@operation(
    help={
        "window": _WINDOW,
        "wait": _WAIT,
        "anyway": "hold although the room is short for the window: then drain in between",
        **CHANGING,
    }
)
def hold(
    c: Any,
    window: str = "4h",
    wait: str = "2m",
    anyway: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Hold the queue: hits go on being queued, nothing processes them. On all listed servers.

    processDuringTrackingRequest is set to 0 in config.ini.php, schedules that run
    queuedtracking:process are held (cron, timers, services, supervisor), workers that run now
    end between two batches. What was found is remembered; queue.release puts it back. Proven
    through each server's tracker: probes that record nothing are queued, and stay. Refused where
    the backend would not keep the hits: an evicting Redis, no room for the window.
    Example: fab -H web1 queue.hold --window 2h
    """
    seconds, patience = parse_duration(window, "--window"), parse_duration(wait, "--wait")

    def make(desk: Desk, site: Site) -> Sequence[Step]:
        sites = desk.sites(site, archivers=True)
        return [HoldQueue(each, desk.say, window=seconds, wait=patience, anyway=anyway, sites=sites)
                for each in sites]  # fmt: skip

    _run(c, "queue.hold", make, dry_run=dry_run, json=json, take_over=take_over, local=local)


@operation(help=CHANGING)
def release(
    c: Any, dry_run: bool = False, json: bool = False, take_over: bool = False, local: bool = False
) -> None:
    """Release the queue: who processed it before the hold does so again. On all listed servers.

    The setting and the schedules are put back to what was found, not to 1: byte for byte, but
    for what somebody else changed meanwhile, which is said. Example: fab -H web1 queue.release
    """
    _run(c, "queue.release",
         lambda desk, site: [ReleaseQueue(s, desk.say) for s in desk.sites(site, archivers=True)],
         dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


@operation(
    help={
        "below": "stop when no more request sets than that wait; 0 = drain to nothing",
        "workers": "so many workers at once; 0 = one for each list, at most one per processor",
        **CHANGING,
    }
)
def drain(
    c: Any,
    below: str = "0",
    workers: str = "0",
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Drain the queue: record all that waits, partial batches too. A job on the host.

    Passes of queuedtracking:process follow each other until nothing waits, one worker for each
    list, with depth, pace and time left shown. While hits go on being queued it ends when nothing
    older than some seconds waits; queue.disable first for exactly zero. May run while the queue
    is held (--below N makes room), twice at once, and again after it was killed. A request set
    that no worker gets past is named. Refused with record_statistics = 0: nothing would happen.
    Example: fab -H web1 queue.drain
    """
    low, most = _number(below, "--below"), _number(workers, "--workers")
    _run(c, "queue.drain",
         lambda desk, site: [DrainQueue(site, desk.say, desk.write, below=low, workers=most)],
         dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


@operation(
    help={
        "activate": "activate the plugin first, where it is installed but not active",
        **CHANGING,
    }
)
def enable(
    c: Any,
    activate: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Switch the queue on: new hits go through it. On all listed servers.

    queueEnabled = 1 in config.ini.php, which goes before the plugin's own page; proven by a probe
    that is queued. What was found is remembered: queue.put-back. --activate makes Matomo write
    the whole list of plugins into config.ini.php: an upgrade then activates none of its new
    plugins by itself. Example: fab -H web1 queue.enable
    """
    _run(c, "queue.enable",
         lambda desk, site: [SwitchQueue(s, desk.say, True, activate=activate)
                             for s in desk.sites(site)],
         dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


@operation(help=CHANGING)
def disable(
    c: Any, dry_run: bool = False, json: bool = False, take_over: bool = False, local: bool = False
) -> None:
    """Switch the queue off: new hits go straight into the database. What waits stays.

    queueEnabled = 0 in config.ini.php, on all listed servers; proven by a probe that is not
    queued. queue.drain then empties it to exactly zero. Example: fab -H web1 queue.disable
    """
    _run(c, "queue.disable",
         lambda desk, site: [SwitchQueue(s, desk.say, False) for s in desk.sites(site)],
         dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


@operation(help=CHANGING)
def put_back(
    c: Any, dry_run: bool = False, json: bool = False, take_over: bool = False, local: bool = False
) -> None:
    """Put queueEnabled back to what queue.enable or queue.disable had found. On all servers.

    Example: fab -H web1 queue.put-back
    """
    _run(c, "queue.put-back",
         lambda desk, site: [SwitchQueue(s, desk.say, None) for s in desk.sites(site)],
         dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


@operation(
    help={"list": "number of the list, as queue.drain names it", "yes": YES_HELP, **CHANGING}
)
def set_aside(
    c: Any,
    list: str = "0",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Move the oldest request set of a list into a file: the one that no worker gets past.

    Its hits are not recorded; the file (0600, in the state folder) keeps them to the letter.
    Nothing else in the list is touched: it is taken out under the plugin's own lock.
    Example: fab -H web1 queue.set-aside --list 0
    """
    number = _number(list, "--list")
    _run(c, "queue.set-aside",
         lambda desk, site: [SetAside(site, desk.say, number, confirmer(yes))],
         dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


def _run(
    c: Any, task: str, make: Make, *, dry_run: bool, json: bool, take_over: bool, local: bool
) -> None:
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    steps = make(desk, site)
    with desk.run(site, task, steps, dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps(steps, run)
    desk.finish(outcomes)


def _number(text: str, flag: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{flag}: '{text}' is not a number")
    return int(text)


ns = Collection("queue")
for task in (status, hold, release, drain, enable, disable, put_back, set_aside):
    ns.add_task(task)
