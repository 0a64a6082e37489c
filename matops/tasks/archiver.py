"""``archiver.*``: what archives by itself, held for the outage and put back."""

from __future__ import annotations

from typing import Any

from invoke import Collection

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook import archiver_words as words
from matops.runbook.archiver_start import ArchiverStart
from matops.runbook.archiver_stop import GRACE, ArchiverRows, ArchiverStop, survey
from matops.runbook.archiver_watch import MINUTE, ArchiverWatch
from matops.runbook.engine import run_steps
from matops.runbook.step import Step
from matops.tasks.desk import CHANGING, JSON_HELP, LOCAL_HELP, YES_HELP, Desk, confirmer
from matops.tasks.operate import operation
from matops.units import parse_duration

HEADERS = ("host", "where", "when", "user", "state", "what")
_WAIT = 7200


def hostname(site: Site) -> str:
    """The host's own name, as rows in progress name it."""
    return str(site.machine.get("hostname", ""))


def stop_steps(
    desk: Desk, sites: list[Site], *, wait: str = "", stop_running: bool = False,
    accept: bool = False, settle: str = "", grace: str = "",
) -> list[Step]:  # fmt: skip
    """The steps of ``archiver.stop`` on these hosts (``desk.sites(site, archivers=True)``)."""
    seconds = parse_duration(wait, "--wait") if wait else (0 if stop_running else _WAIT)
    watch = parse_duration(settle, "--settle") if settle else MINUTE
    patience = parse_duration(grace, "--grace") if grace else GRACE
    listed = [hostname(one) for one in sites]
    stops = [
        ArchiverStop(one, desk.say, wait=seconds, stop_running=stop_running, accept=accept,
                     listed=listed, grace=patience)
        for one in sites
    ]  # fmt: skip
    return [*stops, ArchiverWatch(sites[0], desk.say, stops, watch),
            ArchiverRows(sites[0], desk.say, desk.write, listed)]  # fmt: skip


@operation(
    help={
        "wait": "how long a running archiver may take to end, like 30m; default: 2h, and 0 with "
        "--stop-running",
        "stop-running": "end a running archiver, its children and the scripts around it: TERM, "
        "then KILL. Asks, unless --yes",
        "grace": "time between TERM and KILL; default: 30s",
        "accept-unheld": "go on although something cannot be held from here: you saw to it",
        "settle": "watch so long that nothing is started; default: until cron's next minute has "
        "come, where a file of cron was changed. 0s: do not",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def stop(
    c: Any,
    wait: str = "",
    stop_running: bool = False,
    grace: str = "",
    accept_unheld: bool = False,
    settle: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Hold the archiver's cron on every server, and wait for a running archiver to end.

    Held are all schedules that run a console command of this installation: crontabs, cron.d,
    cron.daily …, systemd services and timers, supervisor programs; queue workers are queue.hold's.
    A held line of cron is commented out with a marker; archiver.start puts everything back to the
    byte. Servers and archivers: of the settings are dealt with, too. Hosts that the database
    names and that are not listed are refused. Rows that a dead archiver left in progress are
    queued again: else core:archive would end with 0 archives. Safe to repeat.
    Example: fab -H web1 archiver.stop --wait 30m
    """
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    steps = stop_steps(desk, desk.sites(site, archivers=True), wait=wait,
                       stop_running=stop_running, accept=accept_unheld, settle=settle,
                       grace=grace)  # fmt: skip
    if not dry_run:
        _look_everywhere(desk, steps, stop_running, yes)
    with desk.run(site, ArchiverStop.name, steps, dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps(steps, run)
    desk.finish(outcomes)


def _look_everywhere(desk: Desk, steps: list[Step], ends: bool, yes: bool) -> None:
    """On all hosts before anything is done on the first; names what would be ended, with who
    started it, and asks. Refused."""
    stops = [step for step in steps if isinstance(step, ArchiverStop)]
    for step in stops:
        step.look()
    lines = [f"{step.site.host.name}: {line}" for step in stops for line in step.running()]
    if not ends or not lines:
        return
    question = "\n".join(["These will be ended:", *lines])
    if yes:
        desk.say(question)
    if not confirmer(yes)(question, "end"):
        raise Refused(
            f"ending {words.count(len(lines), 'archiver')} was not confirmed: {words.some(lines)}",
            host=desk.host.name,
            state="Nothing was changed",
            next="add --yes, or type end when asked; without --stop-running it is waited for",
        )


@operation(help=CHANGING)
def start(
    c: Any,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Put back what archiver.stop held, on every server, to the byte.

    A file that somebody edited meanwhile keeps their edit, only our marker is taken off; what is
    not as it was is told, with the name of the copy that was kept. Services and timers that ran
    are started again. Safe to repeat.
    Example: fab -H web1 archiver.start
    """
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    steps: list[Step] = [ArchiverStart(one, desk.say) for one in desk.sites(site, archivers=True)]
    with desk.run(site, ArchiverStart.name, steps, dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps(steps, run)
    desk.finish(outcomes)


@operation(help={"json": JSON_HELP, "local": LOCAL_HELP})
def status(c: Any, json: bool = False, local: bool = False) -> None:
    """Show what archives by itself, on every server: schedules, held or not, and what runs now.

    Changes nothing. State: live (it starts something), held (by whom), off, or why it cannot be
    held.
    Example: fab -H web1 archiver.status
    """
    desk = Desk(c, json=json)
    first = desk.site(local=local)
    sites = desk.sites(first, archivers=True)
    listed = [hostname(one) for one in sites]
    rows, data = [], []
    for site in sites:
        found, work = survey(site)
        data.append({"host": site.host.name, **found, **work,
                     "strangers": words.strangers(work, listed)})  # fmt: skip
        rows += [
            (site.host.name, f"{e['where']}{':' + str(e['number']) if e['number'] else ''}",
             e["when"], e["user"], _state(e), e["line"])
            for e in found["entries"]
        ]  # fmt: skip
        rows += [(site.host.name, "now", "", "", "running", line) for line in words.running(work)]
        rows += [(site.host.name, "rows in progress", "", "", "not listed", line)
                 for line in words.strangers(work, listed)]  # fmt: skip
        rows += [(site.host.name, place, "", "", "unknown", "cannot be looked into")
                 for place in found["hidden"]]  # fmt: skip
        if work["browser"]:
            rows.append((site.host.name, "requests", "", "", "live", work["browser"]))
    desk.show(data, HEADERS, rows)


def _state(entry: dict[str, Any]) -> str:
    if entry["held"]:
        return f"held ({entry['held']})"
    if entry["why_not"]:
        return f"cannot be held: {entry['why_not']}"
    return "live" if entry["live"] else "off"


ns = Collection("archiver")
ns.add_task(stop)
ns.add_task(start)
ns.add_task(status)
