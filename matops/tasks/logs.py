"""``logs.*``: raw log data."""

from __future__ import annotations

import functools
from typing import Any, Optional

from invoke import Collection

from matops.errors import UsageError
from matops.matomo.site import Site
from matops.report.progress import Progress
from matops.runbook.delete_logs import DeleteLogs, parse_range
from matops.tasks.desk import CHANGING, YES_HELP, Desk, confirmer, operation, run_task
from matops.tasks.logs_gap import clean, gap
from matops.tasks.logs_purge import purge
from matops.tasks.logs_replay import replay
from matops.tasks.logs_retention import retention


@operation(
    help={
        "dates": "FROM,TO as YYYY-MM-DD (UTC); TO itself is not deleted",
        "idsite": "only this site (its number); all sites when left out",
        "limit": "visits that Matomo deletes with one statement",
        "yes": YES_HELP,
        **CHANGING,
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
    """Delete raw logs by date, a day at a time.

    The oldest day first; counts before it asks. Runs on the host as a job; a stopped run goes
    on where it was. There is no way back.
    Example: fab -H web1 logs.delete --dates 2024-01-01,2024-07-01
    """
    if not dates:
        raise UsageError("--dates FROM,TO is missing; for example --dates 2024-01-01,2024-07-01")
    options = {
        "dates": dates,
        "idsite": number(idsite, "--idsite"),
        "limit": number(limit, "--limit") or 1000,
        "confirm": confirmer(yes),
    }
    parse_range(dates)
    run_task(
        c,
        "logs.delete",
        lambda desk, site: [delete_step(desk, site, **options)],
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


def delete_step(desk: Desk, site: Site, **options: Any) -> DeleteLogs:
    """The step with this desk's voices."""
    track = functools.partial(Progress, say=desk.say)
    return DeleteLogs(site, desk.say, track=track, write=desk.write, **options)


def number(text: str, flag: str) -> Optional[int]:
    """A whole number above 0, None for ''. UsageError."""
    if not text:
        return None
    if not text.isdigit() or not int(text):
        raise UsageError(f"{flag}: '{text}' is not a whole number above 0")
    return int(text)


ns = Collection("logs")
ns.add_task(delete)
ns.add_task(purge)
ns.add_task(retention)
ns.add_task(gap)
ns.add_task(replay)
ns.add_task(clean)
