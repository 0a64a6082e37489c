"""Archive tables: what a purge would remove. Runs where the database is reached.

The rules are those of core/Archive/ArchivePurger.php and core/DataAccess/Model.php (5.x).
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, Optional

from matops.matomo import ini
from matops.matomo.database import Database

KINDS = ("errors", "superseded", "ranges")


def purgeable(
    docroot: str, max_seconds: float = 120, before: Optional[float] = None
) -> dict[str, Any]:
    """Counts, by kind, the archives that core:purge-old-archive-data would remove.

    ``{"counts": {kind: n}, "tables": {table: n}, "looked": n, "of": n, "now": epoch}``.
    ``before``: only archives written before (database clock); how a purge is verified while an
    archiver works. Newest months first; stops after ``max_seconds`` (``looked`` < ``of``).
    """
    with Database(docroot, timeout=None) as db:
        now = float(db.session.value("server_time"))
        names = numeric_tables(db)
        counts = dict.fromkeys(KINDS, 0)
        tables: dict[str, int] = {}
        began, looked = time.monotonic(), 0
        for name in reversed(names):
            if time.monotonic() - began > max_seconds:
                break
            found = _count(db, name, now, before or now)
            looked += 1
            for kind in KINDS:
                counts[kind] += found[kind]
            if sum(found.values()):
                tables[name] = sum(found.values())
    return {"counts": counts, "tables": tables, "looked": looked, "of": len(names), "now": now}


def numeric_tables(db: Database) -> list[str]:
    """The archive_numeric tables, the oldest month first."""
    pattern = (db.prefix + "archive_numeric_").replace("_", r"\_") + "%"
    return [row["name"] for row in db.session.rows("archive_tables", (pattern,))]


def _count(db: Database, table: str, now: float, before: float) -> dict[str, int]:
    until = _stamp(before)
    days = ini.text_of(db.config, "General", "purge_date_range_archives_after_X_days", "1")
    ranges_until = _midnight(now, int(days) if days.isdigit() else 1)
    yesterday = _midnight(now, 1)
    return {
        "errors": int(
            db.session.value("archive_purgeable_errors", (yesterday, until), table=table)
        ),
        "superseded": int(db.session.value("archive_purgeable_superseded", (until,), table=table)),
        "ranges": int(
            db.session.value("archive_purgeable_ranges", (min(ranges_until, until),), table=table)
        ),
    }


def _midnight(now: float, days_ago: int) -> str:
    day = dt.datetime.fromtimestamp(now, dt.timezone.utc).date() - dt.timedelta(days=days_ago)
    return f"{day} 00:00:00"


def _stamp(epoch: float) -> str:
    moment = dt.datetime.fromtimestamp(epoch, dt.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
