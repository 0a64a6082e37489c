"""``invalidations.size``: everything about the archiver's queue, as plain data.

Runs where the database is reached, as who may read config.ini.php. Only reads: no lock of ours,
no write. Times are the server's clock in seconds since 1970; shares are 0.0 to 1.0, 1 = exact.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional

from matops.matomo import archiver as archivers
from matops.matomo.database import Database
from matops.mysql import server as servers
from matops.mysql.invalidations import pace as paces
from matops.mysql.invalidations import refill, segments, shape, survey, uncovered
from matops.mysql.invalidations.in_progress import InProgress
from matops.mysql.invalidations.may import denied
from matops.mysql.invalidations.pace import Mark, Pace
from matops.mysql.invalidations.shape import Shape
from matops.mysql.invalidations.survey import Survey
from matops.mysql.invalidations.tally import AGE_NAMES, FUTURE, KEEP_DAYS, NO_TIME
from matops.mysql.session import DatabaseError, Session

LIMITS = {"lock_wait_timeout": 5}
"""Our own reading never waits long for anybody's metadata lock."""
_STATEMENT = {"mariadb": {"max_statement_time": 30}, "mysql": {"max_execution_time": 30_000}}
"""Seconds, milliseconds: meant are 0.05-0.7 s; one that goes wrong must not stay on the server."""
_SURVEY = 0.65
"""Of the time given, for the table itself; the rest is for the archive tables."""
_PACE = 10.0
"""Seconds at most for the archives written lately."""
_NO_SELECT = (1142, 1143)
_SHOWN = 50
"""Rows in progress, and groups of uncovered archives, in one answer."""


def look(
    docroot: str, *, max_seconds: float = 60, sample: float = 10, top: int = 10
) -> dict[str, Any]:
    """One look. ``sample``: seconds to watch rows leave (0: do not); ``top``: sites and names.

    Raises MatopsError (no such table), Refused (not Matomo's table), AccessDenied (with the GRANT
    to paste), DatabaseError.
    """
    with Database(docroot, timeout=max(60, round(max_seconds))) as db:
        db.session.set({**LIMITS, **_STATEMENT[db.session.flavour]})
        try:
            return _look(db, docroot, max_seconds, sample, top)
        except DatabaseError as error:
            if error.number in _NO_SELECT:
                raise denied(db.session, ["SELECT"]) from None
            if error.number == paces.LOCKED:
                error.next = "see who holds it: db.locks"
            raise


def _look(
    db: Database, docroot: str, max_seconds: float, sample: float, top: int
) -> dict[str, Any]:
    began = time.monotonic()
    session, prefix = db.session, db.prefix
    server = servers.look(session)
    now = float(session.value("server_time"))
    table = shape.look(session, prefix, server).require()
    recovery = archivers.recovery(db.config)
    first = paces.mark(session, table, count=False)
    found = survey.look(session, table, now, recovery=recovery,
                        max_seconds=_SURVEY * max_seconds)  # fmt: skip
    runs = archivers.look(docroot, found.in_progress.owners(), session)
    counted = _second_mark(session, table, found, first)
    sites, known = _sites(session, prefix), segments.look(session, prefix)
    left = max(max_seconds - (time.monotonic() - began), 1.0)
    bare = uncovered.look(session, prefix, max_seconds=left, known=known, sites=sites)[0]
    pace = _pace(session, prefix, table, found, counted, now, sample, runs.running)
    waiting = refill.look(session, prefix)
    after = shape.look(session, prefix)
    return {
        "server": server.shown,
        "schema": db.address.schema,
        "table": _table(table),
        "now": now,
        "rows": found.total,
        "exact": found.exact,
        "exchanged": after.created != table.created,
        "share": {"index": found.index.share, "rows": found.rows.share,
                  "duplicates": found.duplicates.share},
        "status": _status(found, recovery.default),
        "sites": _by_site(found, sites, top),
        "periods": {str(k): found.index.scaled(v) for k, v in sorted(found.index.periods.items())},
        "names": _by_name(found, known, top),
        "reports": _top(found.rows.reports.top(top), found),
        "ages": {AGE_NAMES[k]: found.rows.scaled(v) for k, v in sorted(found.rows.ages.items())},
        "oldest": found.rows.oldest,
        "added_per_day": _added(found),
        "never_taken": found.rows.scaled(_sum(found.rows.ages, (FUTURE, NO_TIME))),
        "duplicates": _duplicates(found),
        "keep": {str(days): found.index.kept(days) for days in KEEP_DAYS},
        "refill": {**asdict(waiting), "entries": [asdict(e) for e in waiting.entries[:_SHOWN]],
                   "listed": len(waiting.entries)},
        "pace": {**asdict(pace), "per_day": pace.per_day},
        "archiver": runs.data(),
        "uncovered": _uncovered(bare, known),
        "seconds": time.monotonic() - began,
    }  # fmt: skip


def _second_mark(session: Session, table: Shape, found: Survey, first: Mark) -> Mark:
    """Counted, where that is a matter of a second or two; else the mark from the beginning."""
    if found.index.share >= 1 and found.index.seconds < paces.FAST and table.index:
        return paces.mark(session, table, count=True)
    return first


def _pace(
    session: Session, prefix: str, table: Shape, found: Survey, began: Mark, now: float,
    sample: float, running: Optional[bool],
) -> Pace:  # fmt: skip
    hour, day = paces.archived(session, prefix, now, _PACE)
    watched: Pace = Pace()
    if sample and found.total and (running is not False or found.in_progress.fresh):
        passed = time.monotonic() - (began.at if began.rows is not None else found.seen)
        time.sleep(max(sample - passed, 0))
        ids = [row.id for row in found.in_progress.rows if row.fresh]
        watched = paces.since(session, table, began, ids, found.seen)
    return Pace(watched.left, watched.added, watched.seconds, watched.how, hour, day)


def _sites(session: Session, prefix: str) -> set[int]:
    return {int(row["idsite"]) for row in session.rows("site_ids", site=f"{prefix}site")}


def _table(table: Shape) -> dict[str, Any]:
    return {
        "name": table.name, "bytes": table.disk_bytes, "file_known": table.file_bytes is not None,
        "data_bytes": table.data_bytes, "index_bytes": table.index_bytes,
        "next_id": table.next_id, "created": table.created,
        "extra_columns": table.extra_columns, "triggers": table.triggers,
        "foreign_keys": table.foreign_keys, "index": table.index,
        "beside": [asdict(one) for one in table.beside],
    }  # fmt: skip


def _status(found: Survey, timeout: int) -> dict[str, Any]:
    rows, running = found.rows, found.in_progress
    # Rows in progress are few: what a part of the table has of them tells nothing of the rest.
    return {
        "queued": rows.scaled(rows.queued), "in_progress": rows.in_progress,
        "fresh": running.fresh, "stale": running.stale,
        "no_start": running.no_start, "other": rows.scaled(rows.strange),
        "recovery_seconds": timeout, "rows": _shown(running),
    }  # fmt: skip


def _shown(running: InProgress) -> list[dict[str, Any]]:
    oldest = sorted(running.rows, key=lambda r: (r.age is not None, -(r.age or 0), r.id))
    return [asdict(row) for row in oldest[:_SHOWN]]


def _by_site(found: Survey, sites: set[int], top: int) -> dict[str, Any]:
    counts, scaled = found.index.sites, found.index.scaled
    listed = [(s, scaled(n)) for s, n in counts.top(top)[0] if scaled(n) >= found.index.least]
    all_rows = scaled(sum(counts.counts.values()) + counts.others)
    gone = scaled(sum(n for site, n in counts.counts.items() if site not in sites))
    return {
        "number": len(counts.counts) if found.index.share >= 1 else None,
        "deleted_rows": gone,
        "others": max(all_rows - sum(n for _, n in listed), 0),
        "top": [{"idsite": s, "rows": rows, "deleted": s not in sites} for s, rows in listed],
    }


def _by_name(found: Survey, known: segments.Segments, top: int) -> dict[str, Any]:
    first, others = found.rows.names.top(top)
    return {
        "number": len(found.rows.names.counts),
        "others": found.rows.scaled(others),
        "top": [
            {"name": name, "shown": segments.shown(name, known),
             "rows": found.rows.scaled(number),
             "built_by_archiver": segments.built_by_archiver(name, known)}
            for name, number in first
        ],
    }  # fmt: skip


def _top(counted: tuple[list[tuple[str, int]], int], found: Survey) -> dict[str, Any]:
    first, others = counted
    scaled = found.rows.scaled
    rows = [{"report": name, "rows": scaled(number)} for name, number in first]
    return {"top": rows, "others": scaled(others)}


def _duplicates(found: Survey) -> dict[str, Any]:
    if not found.duplicates.share:
        return {"rows": None, "part": None}
    # The part is measured on whole groups; the number of queued rows by the pass over rows.
    part = found.duplicates.part
    if found.duplicates.share >= 1:
        return {"rows": found.duplicates.superfluous, "part": part}
    return {"rows": round(part * found.rows.scaled(found.rows.queued)), "part": part}


def _added(found: Survey) -> int:
    """Rows that came in the last day and wait still."""
    return found.rows.scaled(_sum(found.rows.ages, (1, 2)))


def _sum(numbers: Mapping[int, int], keys: tuple[int, ...]) -> int:
    return sum(numbers.get(key, 0) for key in keys)


def _uncovered(bare: uncovered.Uncovered, known: segments.Segments) -> dict[str, Any]:
    def largest(item: tuple[Any, uncovered.Group]) -> tuple[int, str]:
        return -item[1].count, str(item[0])

    groups = sorted(bare.groups.items(), key=largest)
    sites = sorted(bare.sites().items(), key=largest)
    return {
        "total": bare.total, "on_request": bare.on_request, "deleted_sites": bare.deleted_sites,
        "looked": bare.looked, "of": bare.of, "left_out": bare.left_out[:_SHOWN],
        "failed": dict(list(bare.failed.items())[:_SHOWN]),
        "months": bare.months, "others": bare.others,
        "sites": [{"idsite": s, **asdict(group)} for s, group in sites[:_SHOWN]],
        "groups": [
            {"idsite": s, "period": p, "name": n, "shown": segments.shown(n, known),
             **asdict(group)}
            for (s, p, n), group in groups[:_SHOWN]
        ],
    }  # fmt: skip
