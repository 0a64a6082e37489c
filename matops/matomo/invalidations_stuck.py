"""Rows in progress that nobody works on: which, and why we think so. Where the database is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from matops.matomo import archiver
from matops.matomo.database import Database
from matops.matomo.invalidations_change import LOOKING
from matops.mysql.invalidations import in_progress, shape

NO_HOST = "unknown"
"""Stands for rows that name no host: Matomo before 5.1 writes none."""


def stuck(docroot: str, hosts: Sequence[str] = ()) -> dict[str, Any]:
    """Rows in progress that nobody works on, and why we think so; the others, and why not.

    ``{"table", "rows": [Started as data, with "because"], "others": n, "busy": [lines]}``. Stuck
    is a row without a start, older than the recovery time-out, of a process that is gone on this
    host, or of one of ``hosts`` (the operator answers for those).
    """
    with Database(docroot, timeout=None) as db:
        db.session.set(LOOKING)
        found = shape.look(db.session, db.prefix).require()
        limit = archiver.recovery(db.config)
        rows = in_progress.look(
            db.session, found.name, recovery=limit, has_owner=found.has_owner, max_seconds=300
        )
        seen = archiver.look(docroot, rows.owners(), db.session)
    gone = {(owner.host, owner.process) for owner in seen.gone}
    answer = []
    for row in rows.rows:
        because = _why_stuck(row, gone, hosts, bool(seen.running))
        if because:
            answer.append({**asdict(row), "because": because})
    return {
        "table": found.name, "rows": answer, "others": rows.total - len(answer),
        "has_owner": found.has_owner, "more": rows.total > len(rows.rows),
        "busy": [] if seen.running is False else seen.why(),
    }  # fmt: skip


def _why_stuck(
    row: in_progress.Started, gone: set[tuple[str, str]], hosts: Sequence[str], running: bool
) -> str:
    if (row.host, row.process) in gone:
        return f"process {row.process} is not there any more"
    if (row.host or NO_HOST) in hosts:
        return f"you say that nothing runs on {row.host or 'a host that is not named'}"
    if running:
        return ""  # an archiver is at work: what is not provably another's may be its own
    if row.age is None:
        return "it has no start, so Matomo would never free it"
    return "older than archive_failure_recovery_timeout" if row.stale else ""
