"""``archive.*``: the archive tables."""

from __future__ import annotations

from typing import Any

from invoke import Collection

from matops.runbook.purge_archives import PurgeArchives
from matops.tasks.desk import CHANGING, operation, run_task


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


ns = Collection("archive")
ns.add_task(purge)
