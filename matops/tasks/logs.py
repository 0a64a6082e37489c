"""``logs.*``: raw log data."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Optional

from invoke import Collection

from matops.errors import UsageError
from matops.host import jobs as host_jobs
from matops.report.progress import Progress
from matops.runbook.delete_logs import DeleteLogs, not_confirmed, parse_range
from matops.runbook.there import run_there
from matops.tasks.desk import (
    DRY_HELP,
    JSON_HELP,
    LOCAL_HELP,
    TAKE_OVER_HELP,
    YES_HELP,
    Desk,
    confirmer,
    operation,
    run_task,
)


@operation(
    help={
        "dates": "FROM,TO as YYYY-MM-DD (UTC); TO itself is not deleted",
        "idsite": "only this site (its number); all sites when left out",
        "limit": "visits that Matomo deletes with one statement",
        "yes": YES_HELP,
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
        "take-over": TAKE_OVER_HELP,
        "local": LOCAL_HELP,
    }
)
def delete(
    c: Any,
    dates: str = "",
    idsite: str = "",
    limit: str = "1000",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Delete raw log data by date, a day at a time, oldest first; counts before it asks.

    Runs on the host as a job; a stopped run goes on where it was. There is no way back.
    Example: fab -H web1 logs.delete --dates 2024-01-01,2024-07-01
    """
    if not dates:
        raise UsageError("--dates FROM,TO is missing; for example --dates 2024-01-01,2024-07-01")
    parse_range(dates)
    site_id, per_statement = number(idsite, "--idsite"), number(limit, "--limit") or 1000
    make = functools.partial(
        _step, dates=dates, idsite=site_id, limit=per_statement, confirm=confirmer(yes)
    )
    desk = Desk(c, json=json)
    if desk.host.is_local or dry_run:
        run_task(c, "logs.delete", lambda d, s: [make(d, s)], dry_run=dry_run, json=json,
                 take_over=take_over, local=local)  # fmt: skip
        return
    words = ["logs.delete", "--dates", dates, "--limit", str(per_statement), "--yes"]
    words += ["--idsite", idsite] if idsite else []
    words += ["--take-over"] if take_over else []
    _there(desk, make, words)


def _step(desk: Desk, site: Any, **options: Any) -> DeleteLogs:
    track = functools.partial(_track, desk)
    return DeleteLogs(site, desk.say, track=track, **options)


def _track(desk: Desk, what: str, total: int, unit: str) -> Progress:
    return Progress(what, total, unit, desk.say)


def _there(desk: Desk, make: Any, words: Sequence[str]) -> None:
    """Looks and asks from here, then lets the host do it: the job does not need us."""
    site = desk.site(changes=True)
    running = site.jobs.latest("logs.delete")
    attach = running.name if running and running.state == host_jobs.RUNNING else ""
    if attach:
        desk.say(f"logs.delete runs already as job {attach}; showing it")
    else:
        step: DeleteLogs = make(desk, site)
        look = step.look()
        if not look.actions:
            desk.say(f"logs.delete: already done: {look.because}")
            return
        for line in (*look.notes, f"logs.delete: {look.actions[0].what}"):
            desk.say(line)
        if not step.confirmed(look.actions[0]):
            raise not_confirmed(desk.host.name)
    run_there(site, "logs.delete", words, write=desk.write, attach=attach)


def number(text: str, flag: str) -> Optional[int]:
    """A whole number above 0, None for ''. UsageError."""
    if not text:
        return None
    if not text.isdigit() or not int(text):
        raise UsageError(f"{flag}: '{text}' is not a whole number above 0")
    return int(text)


ns = Collection("logs")
ns.add_task(delete)
