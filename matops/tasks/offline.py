"""``offline``: the outage begins."""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo.site import Site
from matops.runbook import check, outage_state, phases
from matops.runbook import plan as planning
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import MODE, REASON, SWITCH
from matops.runbook.phases import OFFLINE, Offline, Servers, Voice
from matops.runbook.tracking_mode import QUEUE, Asked, Decision, decide, parse_mode
from matops.tasks.archiver import stop_steps
from matops.tasks.desk import CHANGING, YES_HELP, Desk, operation
from matops.tasks.phase_run import run_phase
from matops.units import parse_duration, show_duration

USUAL = 4 * 3600
"""Seconds that an outage is taken to last where neither --max-outage nor a plan says so."""

MAX_HELP = (
    "tell the operators (alert_to, alert_command) at 50, 75 and 100 % of this time, like 4h; at "
    "the end roll back where that is still possible and there is one server"
)
TRACKING_HELP = (
    "queue: QueuedTracking keeps the hits of the outage, POST bodies too; replay: tracking goes "
    "off with an exact mark, and they are read back from the access logs. Default: queue where "
    "the plugin is on and its backend has room, else replay"
)


@operation(
    help={
        "tracking": TRACKING_HELP,
        "switch-queue-on": "switch QueuedTracking on for the outage where it is installed and "
        "not used; activating it writes the whole list of plugins into config.ini.php",
        "accept-loss": "go on although neither the queue nor the logs can keep all hits",
        "hold-anyway": "hold the queue although its room is short for the window: it is watched, "
        "and drained in between",
        "max-outage": MAX_HELP,
        "wait": "how long a running archiver may take to end; default 2h, 0 with --stop-running",
        "stop-running": "end a running archiver instead of waiting for it",
        "accept-unheld": "go on although a schedule, or an archiver elsewhere, cannot be held",
        "settle": "watch so long that cron starts nothing more; default: until its next minute",
        "despite-health-check": "although a load balancer's health check would take a server out",
        "optimize": "rebuild tables in the outage, too (db.optimize; it is online, so better "
        "before)",
        "optimize-until": "begin no further table after this time of day, like 05:30",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def offline(
    c: Any,
    tracking: str = "",
    switch_queue_on: bool = False,
    accept_loss: bool = False,
    hold_anyway: bool = False,
    max_outage: str = "",
    wait: str = "",
    stop_running: bool = False,
    accept_unheld: bool = False,
    settle: str = "",
    despite_health_check: bool = False,
    optimize: bool = False,
    optimize_until: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Begin the outage: close the UI, hold the archiver, keep the hits for later.

    In this order, on every listed server: maintenance.on, archiver.stop, queue.hold (and
    db.optimize with --optimize); then the held queue keeps the hits of the outage, or it is
    drained and switched off, and tracking.off marks the edge from which the access logs keep
    them. After every switch requests must still arrive, else it is taken back at once. What was
    found is written down first: rollback and recover put it back. Shows the plan of all steps and
    asks once. Cut off anywhere: the same command again goes on.
    Examples: fab -H web1 offline --dry-run; fab -H web1 offline --max-outage 4h
    """
    asked = Asked(parse_mode(tracking), switch_queue_on, accept_loss)
    limit = parse_duration(max_outage, "--max-outage") if max_outage else None
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local, modules=check.MODULES,
                     asked=check.asked(desk.settings))  # fmt: skip
    servers = Servers(desk.sites(site), desk.sites(site, archivers=True))
    window = limit or planned(site)
    record = Outage(site).read()
    outage_state.demand_known(site, record)
    outage_state.demand_not_ending(site, record)
    outage_state.demand_same_mode(site, record, asked.mode)
    decision = decided(desk, servers, asked, window)
    wanted = Offline(
        decision, window, limit, despite_health_check, hold_anyway, accept_loss,
        optimize_words(optimize, optimize_until),
    )  # fmt: skip

    def make() -> Any:
        return phases.offline(
            servers, Voice(desk.say, desk.write), wanted,
            lambda sites: stop_steps(desk, list(sites), wait=wait, stop_running=stop_running,
                                     accept=accept_unheld, settle=settle),
        )  # fmt: skip

    if run_phase(desk, site, OFFLINE, make, yes=yes, dry_run=dry_run, take_over=take_over,
                 extra={"tracking": dataclasses.asdict(decision)}):  # fmt: skip
        following = outage_state.next_step(Outage(site).read())
        desk.say(f"next: {following}. outage.status shows it")


def optimize_words(wanted: bool, until: str) -> Optional[list[str]]:
    """Flags for db.optimize; None = it was not asked for."""
    if not wanted and not until:
        return None
    return ["--until", until] if until else []


def planned(site: Site) -> int:
    """Seconds that hits may pile up, where nobody said: the announced window of the last plan."""
    try:
        found = planning.last(site)
        return int(found["window_seconds"]) if found else USUAL
    except (MatopsError, KeyError, TypeError, ValueError):
        return USUAL


def decided(desk: Desk, servers: Servers, asked: Asked, window: int) -> Decision:
    """The decision of this outage if there is one, else by looking; said with its reason."""
    site = servers.leader
    notes = Outage(site).read()["notes"]
    if notes.get(MODE) and asked.mode in ("", notes[MODE]):
        found = Decision(notes[MODE], notes.get(REASON, ""), bool(notes.get(SWITCH)))
        desk.say(f"{found.line} (as decided when this outage began)")
        return found
    desk.say(f"looking who can keep the hits of {show_duration(window)} …")
    results = {each.name: each for each in check.evaluate(check.from_site(site, window=window))}
    need = site.ask("runbook.plan_traffic:coming", window=float(window), timeout=600)
    decision = decide(asked, results, window, int(need))
    desk.say(decision.line)
    for note in decision.notes:
        desk.say(f"  note: {note}")
    if decision.mode != QUEUE:
        _logs_of_others(desk, servers, asked, window)
    return decision


def _logs_of_others(desk: Desk, servers: Servers, asked: Asked, window: int) -> None:
    """With replay every server's own log counts: each must hold what is needed."""
    for other in servers.web[1:]:
        facts = check.collect(other.host, other.settings, window=window)
        results = {each.name: each for each in check.evaluate(facts)}
        try:
            decide(dataclasses.replace(asked, mode="replay"), results, window, 0)
        except MatopsError as error:
            raise error.on(other.host.name) from None
        desk.say(f"  {other.host.name}: {results['access-log'].found}")
