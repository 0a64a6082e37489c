"""``archive.*``: the archive tables, and what is built into them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from invoke import Collection

from matops.errors import UsageError
from matops.matomo.site import Site
from matops.report.progress import Progress
from matops.runbook import archive_run, archive_step
from matops.runbook.archive_compare import ArchiveCompare
from matops.runbook.archive_invalidate import ArchiveInvalidate
from matops.runbook.archive_run import ArchiveRun
from matops.runbook.archive_step import Voices
from matops.runbook.engine import run_steps
from matops.runbook.purge_archives import PurgeArchives
from matops.runbook.step import Step
from matops.tasks.desk import CHANGING, JSON_HELP, LOCAL_HELP, Desk, operation, run_task
from matops.units import parse_date, parse_duration

WINDOW = {
    "from": "begin of the window, with its zone: 2026-11-22T01:00:00Z; left out, the mark that "
    "tracking.off made",
    "to": "its end, not included; left out, the mark that tracking.on made",
    "sites": "only these sites (numbers, with commas): one large site first, as a trial",
}


HEADERS = ("site", "day", "visits in the logs", "in the report",
           "actions in the logs", "in the report", "verdict")  # fmt: skip


@operation(help=CHANGING)
def purge(
    c: Any,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Purge outdated archives, as a job.

    console core:purge-old-archive-data for all months. Tables are not optimized by it: that
    would take metadata locks unwatched.
    Example: fab -H web1 archive.purge
    """
    run_task(
        c,
        "archive.purge",
        lambda desk, site: [PurgeArchives(site, desk.say, desk.write)],
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


@operation(help={**WINDOW, "but": "all sites but these (numbers, with commas)", **CHANGING})
def invalidate(
    c: Any,
    from_: str = "",
    to: str = "",
    sites: str = "",
    but: str = "",
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Queue the reports of the days that the gap touches to be built anew, as a job.

    Whole days in each site's own time zone, with their weeks, months and years, all plugins and
    segments; sites without a visit in those days are left out. Verified in the archiver's queue:
    the console's own word is worth nothing. archive.run builds them.
    Example: fab -H web1 archive.invalidate --sites 3329
    """
    chosen, left = archive_step.parse_sites(sites), archive_step.parse_sites(but, "--but")
    typed = _typed(from_, to)

    def make(desk: Desk, site: Site) -> Sequence[Step]:
        window = typed or archive_step.window_of(*desk.sites(site))
        return [ArchiveInvalidate(site, desk.say, voices(desk), lambda: window, chosen, but=left)]

    run_task(c, "archive.invalidate", make, dry_run=dry_run, json=json,
             take_over=take_over, local=local)  # fmt: skip


@operation(
    help={
        "sites": WINDOW["sites"] + " (core:archive --force-idsites)",
        "dates": "only archives whose days touch FROM,TO (YYYY-MM-DD, both included; core:archive "
        "--force-date-range)",
        "url": "address for core:archive's own requests, where archiving by CLI is not possible",
        "archivers": "how many core:archive may run at once, on all servers together",
        "requests": "archives of one site that are built at once",
        "stall": "say so when no archive was finished for this long",
        **CHANGING,
    }
)
def run(
    c: Any,
    sites: str = "",
    dates: str = "",
    url: str = "",
    archivers: str = "3",
    requests: str = "3",
    stall: str = "30m",
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Build the queued reports: core:archive as a job, watched until nothing is left.

    Shows archives left, pace and ETA; without the scheduled tasks. Refused where core:archive
    would end with 0 and do nothing: in maintenance mode, or with rows in progress that nobody
    works on. The job goes on without us; run again, this watches it.
    Example: fab -H web1 archive.run --sites 3329
    """
    first, last = _dates(dates) if dates else ("1970-01-01", "2999-12-31")
    asked = archive_run.Asked(
        archive_step.parse_sites(sites), first, last, url, _count(archivers, "--archivers"),
        _count(requests, "--requests"), parse_duration(stall, "--stall"),
    )  # fmt: skip
    run_task(
        c,
        "archive.run",
        lambda desk, site: [ArchiveRun(site, desk.say, voices(desk), lambda: asked)],
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


@operation(help={**WINDOW, "json": JSON_HELP, "local": LOCAL_HELP})
def compare(
    c: Any, from_: str = "", to: str = "", sites: str = "", json: bool = False, local: bool = False
) -> None:
    """Compare visits and actions in the reports with those in the log tables, by site and day.

    For the days that the window touches, as Matomo's archiver counts them. Reads only. Ends with
    1 where a day that is over differs.
    Example: fab -H web1 archive.compare --sites 3329
    """
    del local
    chosen, typed = archive_step.parse_sites(sites), _typed(from_, to)
    desk = Desk(c, json=json)
    site = desk.site()
    window = typed or archive_step.window_of(*desk.sites(site))
    step = ArchiveCompare(site, desk.say, lambda: window, chosen)
    with desk.run(site, "archive.compare", [step], dry_run=True, take_over=False) as work:
        outcomes = run_steps([step], work)
    if not json and step.rows:
        desk.show(None, HEADERS, [_row(row) for row in step.rows])
    desk.finish(outcomes, {"days": step.rows})


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    report = row["report"] or ("", "")
    state = f" ({row['state']})" if row["state"] else ""
    return (row["idsite"], row["day"], row["log"][0], report[0], row["log"][1], report[1],
            row["verdict"] + state)  # fmt: skip


def voices(desk: Desk) -> Voices:
    """This desk's voices."""
    return Voices(functools.partial(Progress, say=desk.say), desk.write)


def _typed(begin: str, end: str) -> Any:
    if bool(begin) != bool(end):
        raise UsageError("--from and --to: give both, or none (the marks of this outage)")
    return archive_step.parse_window(begin, end) if begin else None


def _dates(text: str) -> tuple[str, str]:
    parts = text.split(",")
    if len(parts) != 2:
        raise UsageError(f"--dates: '{text}' is not FROM,TO (2026-11-01,2026-11-30)")
    first, last = (parse_date(part, "--dates") for part in parts)
    if first > last:
        raise UsageError(f"--dates: {first} is after {last}")
    return str(first), str(last)


def _count(text: str, flag: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise UsageError(f"{flag}: '{text}' is not a number from 1 to 64")
    return int(text)


ns = Collection("archive")
for task in (purge, invalidate, run, compare):
    ns.add_task(task)
