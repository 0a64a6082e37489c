"""Raw log rows by date: what ``core:delete-logs-data`` would delete. Runs at the database."""

from __future__ import annotations

from typing import Any, Optional

from matops.errors import UsageError
from matops.matomo.database import Database


def count(docroot: str, start: str, end: str, idsite: Optional[int] = None) -> dict[str, Any]:
    """Visits per day in [start, end), days as ``YYYY-MM-DD``, UTC; of one site if given.

    ``{"days": {day: visits}, "visits": n, "sites": n}``; days without visits are left out.
    Raises UsageError where that site neither exists nor has visits.
    """
    with Database(docroot, timeout=None) as db:
        sites = _sites(db, idsite)
        days: dict[str, int] = {}
        for site in sites:
            rows = db.session.rows(
                "visits_per_day", (site, start, end), log_visit=db.table("log_visit")
            )
            for row in rows:
                days[str(row["day"])] = days.get(str(row["day"]), 0) + int(row["visits"])
    return {"days": dict(sorted(days.items())), "visits": sum(days.values()), "sites": len(sites)}


def _sites(db: Database, idsite: Optional[int]) -> list[int]:
    existing = [int(row["idsite"]) for row in db.session.rows("site_ids", site=db.table("site"))]
    if idsite is None:
        # Matomo's command names all sites that there are: visits of deleted ones it leaves.
        rows = db.session.rows("visit_site_ids", log_visit=db.table("log_visit"))
        return [int(row["idsite"]) for row in rows if int(row["idsite"]) in set(existing)]
    if idsite not in existing:
        known = ", ".join(str(i) for i in existing[:10])
        raise UsageError(f"site {idsite} does not exist; there are: {known}")
    return [idsite]
