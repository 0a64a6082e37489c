"""``status``: who holds the lock, what runs, what was done."""

from __future__ import annotations

from typing import Any

from matops.errors import MatopsError
from matops.host import jobs as host_jobs
from matops.runbook import hold, journal, outage_words
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import clock
from matops.tasks.desk import JSON_HELP, Desk, operation
from matops.units import show_epoch


@operation(help={"json": JSON_HELP})
def status(c: Any, json: bool = False) -> None:
    """Version, lock, the outage under way, running jobs, steps done.

    Example: fab -H web1 status
    """
    desk = Desk(c, json=json)
    site = desk.site()
    locked = _lock(site)
    running = [job for job in site.jobs.list() if job.state == host_jobs.RUNNING]
    entries = journal.read(site)
    rows = [
        ("Matomo", f"{site.version} in {site.docroot}, web user {site.web_user}"),
        ("installation", f"{site.id}, state in {site.state_dir}"),
        ("lock", locked),
        *_outage(site),
        *[("running", f"job {job.name} since {job.started}: {job.command}") for job in running],
        *[(f"done: {name}", text) for name, text in _records(site)],
        *[(f"last: {e.step}", f"{e.event} {e.at} by {e.by}") for e in _latest(entries)],
    ]
    desk.show([list(row) for row in rows], ("what", "state"), rows)


def _outage(site: Any) -> list[tuple[str, str]]:
    try:
        data = Outage(site).read()
        return outage_words.rows(data, clock(site)) if data["began"] else []
    except MatopsError as error:
        return [("outage", f"unknown: {error.what}")]


def _lock(site: Any) -> str:
    try:
        answer = site.ask("matomo.lock:status")
    except MatopsError as error:
        return f"unknown: {error.what}"
    if answer["lock"]["owner"] is None:
        return "free"
    return "held by " + hold.describe(answer["lock"], answer["now"])


def _records(site: Any) -> list[tuple[str, str]]:
    try:
        found = site.ask("matomo.lock:records")
    except MatopsError:
        return []
    return [(n, f"{show_epoch(e['at'])} on {e['host']}: {e['evidence']}") for n, e in found.items()]


def _latest(entries: list[journal.Entry]) -> list[journal.Entry]:
    """The last event of each step, in the order of time."""
    last = {entry.step: entry for entry in entries}
    return sorted(last.values(), key=lambda entry: entry.at)
