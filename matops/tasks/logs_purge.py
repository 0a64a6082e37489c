"""``logs.purge``: raw logs by date and site, natively, in small transactions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from typing import Any, Callable

from matops.errors import UsageError
from matops.matomo.site import Site
from matops.mysql import throttle, window
from matops.mysql.attempt import Stop
from matops.mysql.purge.summary import Options
from matops.mysql.session import Address
from matops.report import purge as shown
from matops.report.progress import Progress
from matops.report.tables import table
from matops.runbook.delete_logs import parse_range
from matops.runbook.engine import run_steps
from matops.runbook.purge_asked import BEGINNING, Asked, Voices
from matops.runbook.purge_logs import PurgeLogs
from matops.runbook.there import run_there
from matops.tasks.db_optimize import stop_on_signals
from matops.tasks.desk import CHANGING, YES_HELP, Desk, confirmer, is_remote, operation
from matops.units import parse_duration, utc_now

NAME = "logs.purge"
FLAGS = {
    "dates": "FROM,TO as YYYY-MM-DD (UTC); TO itself is kept, as with core:delete-logs-data",
    "older-than": "instead of --dates: everything that ended so many days ago or earlier: 180d",
    "idsite": "only these sites (numbers, with commas); all that exist when left out",
    "force": "also where reports of these days wait to be built anew from the raw logs",
    "actions": "also remove actions (URLs, titles) that nothing refers to; alone, or after a purge",
    "grace": "with --actions: longer than any request of a tracker and any bulk import's takes",
    "until": "begin no chunk after: 05:30 (the host's zone), 05:30Z; the rest is for the next run",
    "for": "begin no chunk after so long: 6h",
    "workers": "connections that delete at once, 1 to 4; more pay where processors are free",
    "replicas": "HOST[:PORT] of replicas to watch, with commas; asked with Matomo's account",
    "max-lag": "pause while a replica is further behind; 0 = never",
    "max-load": "pause while more statements run (Threads_running)",
    "max-history": "pause while the history list is longer; 0 = never",
    "yes": YES_HELP,
    **CHANGING,
}


@operation(help=FLAGS)
def purge(
    c: Any,
    dates: str = "",
    older_than: str = "",
    idsite: str = "",
    force: bool = False,
    actions: bool = False,
    grace: str = "10m",
    until: str = "",
    for_: str = "",
    workers: str = "1",
    replicas: str = "",
    max_lag: str = "10s",
    max_load: str = "",
    max_history: str = "100000",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Purge raw logs by date and site: visits with all that belongs to them.

    The same visits as core:delete-logs-data, without holding the tracker up: chunks of a quarter
    of a second, each one transaction. Counts before it asks; runs on the host as a job; a stopped
    run goes on by being run again. There is no way back.
    Example: fab -H web1 logs.purge --older-than 180d --dry-run
    """
    flags = {k: v for k, v in locals().items() if k not in ("c", "yes", "json", "local")}
    asked = parse(flags)  # typing errors show before anything is asked
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    if dry_run and is_remote(c) and not json:  # counting is long: as a job, too
        run_there(site, f"{NAME}.count", [*asked.words, "--dry-run"], write=desk.write)
        return
    stop = Stop()
    step = make_step(desk, site, asked, yes, stop)
    with desk.run(site, NAME, [step], dry_run=dry_run, take_over=take_over) as run:
        if is_remote(c):
            outcomes = run_steps([step], run)
        else:
            with stop_on_signals(stop):
                outcomes = run_steps([step], run)
    extra = {}
    if dry_run and step.found:
        extra = {"counts": step.found}
        if not json and step.found["visits"]:
            desk.say(table(*shown.rows(step.found, site.prefix)))
    desk.finish(outcomes, extra)


def make_step(desk: Desk, site: Site, asked: Asked, yes: bool, stop: Stop) -> PurgeLogs:
    """The step with this desk's voices."""
    track = functools.partial(Progress, say=desk.say)
    return PurgeLogs(site, desk.say, asked, Voices(confirmer(yes), track, desk.write, stop))


def parse(flags: dict[str, Any]) -> Asked:
    """What was typed. UsageError."""
    only_actions = flags["actions"] and not (flags["dates"] or flags["older_than"])
    start, end = (BEGINNING, BEGINNING) if only_actions else _dates(flags)
    sites = tuple(dict.fromkeys(_site(part) for part in flags["idsite"].split(",") if part.strip()))
    if flags["idsite"] and not sites:
        raise UsageError(f"--idsite: '{flags['idsite']}' names no site")
    return Asked(
        start, end, sites, _options(flags, start, end, sites), _words(flags, start, end),
        force=flags["force"], rows=flags["dry_run"], bounded=bool(flags["until"] or flags["for_"]),
        visits=not only_actions, actions=flags["actions"],
        grace=parse_duration(flags["grace"], "--grace"), workers=_workers(flags["workers"]),
    )  # fmt: skip


def _dates(flags: dict[str, Any]) -> tuple[dt.date, dt.date]:
    dates, older_than = flags["dates"], flags["older_than"]
    if dates and older_than:
        raise UsageError("--dates and --older-than: give one of them")
    if older_than:
        days = parse_duration(older_than, "--older-than") // 86_400
        if days < 1:
            raise UsageError(f"--older-than: '{older_than}' is less than a day; write 180d")
        return BEGINNING, utc_now().date() - dt.timedelta(days=days)
    if not dates:
        raise UsageError("--dates FROM,TO is missing; or --older-than 180d, or --actions alone")
    return parse_range(dates)


def _site(text: str) -> int:
    if not text.strip().isdigit() or not int(text):
        raise UsageError(f"--idsite: '{text.strip()}' is not a whole number above 0")
    return int(text)


def _workers(text: str) -> int:
    if text not in ("1", "2", "3", "4"):
        raise UsageError(f"--workers: '{text}' is not a number from 1 to 4")
    return int(text)


def _options(
    flags: dict[str, Any], start: dt.date, end: dt.date, sites: tuple[int, ...]
) -> Callable[[Address, list[int]], Options]:
    limits = throttle.Limits(
        lag=float(_seconds(flags["max_lag"], "--max-lag")) or None,
        running=throttle.count(flags["max_load"], "--max-load"),
        history=throttle.count(flags["max_history"], "--max-history") or None,
    )
    open_for = window.parse(flags["until"], flags["for_"])
    hosts = [_replica(part) for part in flags["replicas"].split(",") if part.strip()]

    def make(address: Address, existing: list[int]) -> Options:
        watched = [dataclasses.replace(address, host=h, port=p, socket="") for h, p in hosts]
        return Options(str(start), str(end), sites or existing, limits, watched, open_for)

    return make


def _words(flags: dict[str, Any], start: dt.date, end: dt.date) -> list[str]:
    """The same as a command for the host: the dates are settled here. Pure."""
    found = [NAME, *(["--dates", f"{start},{end}"] if start < end else [])]
    found += ["--actions", "--grace", flags["grace"]] if flags["actions"] else []
    for key in (
        "workers",
        "idsite",
        "until",
        "for_",
        "replicas",
        "max_lag",
        "max_load",
        "max_history",
    ):
        if flags[key]:
            found += ["--" + key.strip("_").replace("_", "-"), flags[key]]
    return [*found, *(["--force"] if flags["force"] else [])]


def _seconds(text: str, flag: str) -> int:
    return 0 if text == "0" else parse_duration(text, flag)


def _replica(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().partition(":")
    if colon and not port.isdigit():
        raise UsageError(f"--replicas: '{text}' is not HOST or HOST:PORT")
    return host, int(port or 3306)
