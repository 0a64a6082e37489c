"""What a purge of raw logs would delete, and what speaks against it. Runs at the database."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from matops.matomo.database import Database
from matops.mysql import server as servers
from matops.mysql.purge import count, preflight, references, tables
from matops.mysql.purge.count import Counted
from matops.mysql.purge.tables import Tables

_EVENT = "getActionReferenceColumnsByTable"
_SHOWN = 5  # days named in the refusal
_MOST = 1000  # days looked at for one site
_UTC = ("UTC", "Etc/UTC", "")


def survey(
    docroot: str, start: str, end: str, sites: Sequence[int] = (), rows: bool = False,
    tell: Optional[Callable[[str], object]] = None,
) -> dict[str, Any]:  # fmt: skip
    """Everything that is to be known before anything goes. Changes nothing.

    ``start``, ``end``: days, ``end`` exclusive, UTC; ``sites`` () = all there are. ``rows``: also
    count the rows of every table. ``{"visits", "days": {day: n}, "sites": {site: n}, "rows":
    {table: {day: n}}, "tables": [{"name", "how"}], "left": […], "slow": […], "pending": […],
    "deleted_sites": […], "all_sites": […]}``.
    Raises UsageError (no such site), Refused, PrivilegeMissing, DatabaseError.
    """
    with Database(docroot, timeout=None) as db:
        found = tables.look(db.session, db.prefix)
        zones = {
            int(row["idsite"]): str(row["timezone"])
            for row in db.session.rows("purge_sites", site=db.table("site"))
        }
        chosen = preflight.sites(sites, list(zones))
        preflight.check(db.session, servers.look(db.session), found)
        preflight.none_at_work(db.session, found)
        counted = count.visits(db.session, found, chosen, start, end, spans=rows)
        if rows:
            if tell:
                tell(f"counting the rows of {len(found.children)} tables")
            count.children(db.session, found, counted, start, end)
        return {
            **_data(counted, found),
            "all_sites": chosen,
            "pending": pending(db, counted, zones, start, end),
            "deleted_sites": _deleted(db, zones) if not sites else [],
        }


def actions(docroot: str) -> dict[str, list[str]]:
    """``{table: [columns]}`` that may refer to actions. Refused, PrivilegeMissing."""
    with Database(docroot, timeout=None) as db:
        preflight.check_actions(db.session, servers.look(db.session), db.table("log_action"))
        found = references.look(db.session, db.prefix, named_by_plugins(docroot))
        return {ref.table: list(ref.columns) for ref in found}


def named_by_plugins(docroot: str) -> list[str]:
    """Every quoted word in the plugins' files that take part in the event in which columns with
    idactions are named: among them are the names of such columns, whatever they are called."""
    words: set[str] = set()
    for path in Path(docroot, "plugins").glob("*/**/*.php"):
        with contextlib.suppress(OSError):
            text = path.read_text(errors="replace")
            if _EVENT in text:
                words |= set(re.findall(r"""['"](\w{2,64})['"]""", text))
    return sorted(words)


def left(docroot: str, start: str, end: str, sites: Sequence[int] = ()) -> int:
    """Visits that are there (still): the effect read back."""
    with Database(docroot, timeout=None) as db:
        found = tables.look(db.session, db.prefix)
        existing = [
            int(row["idsite"]) for row in db.session.rows("purge_sites", site=db.table("site"))
        ]
        return sum(count.left(db.session, found, sites or existing, start, end).values())


def _data(counted: Counted, found: Tables) -> dict[str, Any]:
    return {
        "visits": counted.visits,
        "days": counted.days,
        "sites": {str(site): n for site, n in counted.sites.items()},
        "rows": counted.rows,
        "tables": [{"name": table.name, "how": table.how} for table in found.children]
        + [{"name": found.visit, "how": "by time, the last of each chunk"}],
        "left": list(found.left),
        "slow": [{"name": t.name, "column": t.key} for t in found.slow],
    }


def _deleted(db: Database, zones: dict[int, str]) -> list[int]:
    """Sites that are gone and still have visits: neither Matomo's command nor we take them."""
    rows = db.session.rows("visit_site_ids", log_visit=db.table("log_visit"))
    return sorted({int(row["idsite"]) for row in rows} - set(zones))


def pending(
    db: Database, counted: Counted, zones: dict[int, str], start: str, end: str
) -> list[str]:
    """``site 1: 2026-01-03`` for days whose reports wait to be built anew from these raw logs.

    Only days: longer periods are made of the days' archives (core/ArchiveProcessor). A day is the
    site's own: elsewhere than in UTC it may begin a day before the range, or end after it.
    """
    found: set[tuple[int, str]] = set()
    for site in counted.sites:
        slack = 0 if zones.get(site, "") in _UTC else 1
        first, last = _within(counted, start, end, slack)
        rows = db.session.rows(
            "purge_pending_days", (site, first, last, _MOST),
            archive_invalidations=db.table("archive_invalidations"),
        )  # fmt: skip
        found |= {(site, str(row["day"])) for row in rows}
        found |= {(site, day) for day in _put_down(db, site) if first <= day <= last}
    return [f"site {site}: {day}" for site, day in sorted(found)]


def _within(counted: Counted, start: str, end: str, slack: int) -> tuple[str, str]:
    days = list(counted.days) or [start, end]
    first = dt.date.fromisoformat(days[0]) - dt.timedelta(days=slack)
    last = dt.date.fromisoformat(days[-1]) + dt.timedelta(days=slack)
    return str(first), str(last)


def _put_down(db: Database, site: int) -> Iterable[str]:
    """Days that Matomo means to invalidate soon (late visits were tracked for them)."""
    rows = db.session.rows("purge_pending_options", (10_000,), option=db.table("option"))
    for row in rows:
        match = re.search(r"report_to_invalidate_(\d+)_(\d{4}-\d\d-\d\d)", str(row["name"]))
        if match and int(match[1]) == site:
            yield match[2]


def shown(days: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(days) - _SHOWN} more" if len(days) > _SHOWN else ""
    return ", ".join(days[:_SHOWN]) + more
