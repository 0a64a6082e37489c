"""Changes of Matomo's ``archive_invalidations``, where the database is reached.

What looks is called through the agent, and answers plain data; what changes runs in the process
of the run itself, on the host.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Callable, Optional

from matops.errors import Refused, UsageError
from matops.matomo import archiver
from matops.matomo.database import Database
from matops.mysql import server as servers
from matops.mysql.invalidations import (
    backups,
    carve,
    ending,
    in_progress,
    keep,
    may,
    plan,
    restore,
    shape,
    swap,
    tools,
    uncovered,
)
from matops.mysql.invalidations.keep import DELETED_SITES, DUPLICATES, STUCK, Rule
from matops.mysql.invalidations.record import (
    CARVE,
    REPLACED,
    SWAP,
    Record,
    Records,
    first_of,
    unfinished,
)  # fmt: skip
from matops.mysql.invalidations.tools import Tools
from matops.mysql.session import Session
from matops.units import show_epoch

LOOKING = {"lock_wait_timeout": 5}
"""Our own reading never waits long for anybody's metadata lock."""
_SITES_SHOWN = 20


def look(
    docroot: str, asked: dict[str, str], max_seconds: float = 60, may_change: bool = True
) -> dict[str, Any]:
    """What a truncate of what is ``asked`` (the flags as typed) would do; changes nothing.

    ``{"table", "rule", "plan", "notes", "busy", "unfinished", "backups", "uncovered"}``;
    ``unfinished``: what an earlier run left, in words, ``plan`` None then; ``backups``: complete.
    UsageError, Refused, AccessDenied.
    """
    with Database(docroot, timeout=None) as db:
        session = db.session
        session.set({**LOOKING, **tools.no_time_limit(session.flavour)})
        server = servers.look(session)
        found = shape.look(session, db.prefix)
        notes = may.change(session, server, found, db.table("option")) if may_change else []
        every = Records(session, db.table("option")).all()
        answer: dict[str, Any] = {
            "table": found.name, "server": server.shown, "notes": notes, "plan": None, "rule": {},
            "busy": busy_with(db, docroot, found), "uncovered": None,
            "unfinished": [words(r) for r in unfinished(every)],
            "backups": [r.backup for r in every if r.finished],
        }  # fmt: skip
        rule = make_rule(db, asked)
        if answer["unfinished"]:
            return answer
        planned = plan.look(session, found.name, rule)
        answer.update(plan=planned.data(), rule=rule.data())
        if planned.goes and rule.only != DUPLICATES:
            # A duplicate that goes leaves its twin: nothing is uncovered by it.
            condition, values = rule.stays()
            answer["uncovered"] = stale(
                db, max_seconds, uncovered.Rows(found.name, condition, values)
            )
    return answer


def stale(db: Database, max_seconds: float, *rows: uncovered.Rows) -> dict[str, Any]:
    """Archives marked invalid that ``rows`` (none: the rows there are) will not rebuild, by site.

    ``{"total", "sites": {idsite: [archives, first, last]}, "on_request", "deleted_sites",
    "left_out"}``; days as YYYY-MM-DD.
    """
    (found,) = uncovered.look(db.session, db.prefix, *rows, max_seconds=max_seconds)
    return {
        "total": found.total,
        "sites": {str(k): [g.count, g.first, g.last] for k, g in sorted(found.sites().items())},
        "on_request": found.on_request,
        "deleted_sites": found.deleted_sites,
        "left_out": found.left_out,
    }


def uncovered_now(docroot: str, max_seconds: float = 60) -> dict[str, Any]:
    """``stale`` for the table as it is."""
    with Database(docroot, timeout=None) as db:
        db.session.set(LOOKING)
        return stale(db, max_seconds)


def make_rule(db: Database, asked: dict[str, str]) -> Rule:
    """The rule of the flags ``only``, ``keep_days``, ``keep_sites``, ``keep_periods``.

    Dates are counted from the server's clock. UsageError, also for a site that does not exist.
    """
    only, plugin = keep.parse_only(asked.get("only", ""))
    sites = keep.parse_sites(asked.get("keep_sites", ""))
    existing = {int(r["idsite"]) for r in db.session.rows("site_ids", site=db.table("site"))}
    wrong = [site for site in sites if site not in existing]
    if wrong:
        known = ", ".join(str(i) for i in sorted(existing)[:10])
        raise UsageError(f"--keep-sites: site {wrong[0]} does not exist; there are: {known}")
    now = float(db.session.value("server_time"))
    today = dt.datetime.fromtimestamp(now, dt.timezone.utc).date()
    gone: tuple[int, ...] = ()
    if only == DELETED_SITES:
        table = db.table(shape.BASE)
        here = [int(r["idsite"]) for r in db.session.rows("invalidations_sites", table=table)]
        gone = first_of([site for site in here if site not in existing])
    before = ""
    if only == STUCK:
        limit = archiver.recovery(db.config)
        seconds = max([limit.default, *limit.sites.values()])
        before = str(db.session.value("invalidations_stuck_before", (seconds,)))
    return Rule(
        only=only, plugin=plugin, gone_sites=gone, stuck_before=before,
        since=keep.since(keep.parse_days(asked.get("keep_days", "")), today),
        sites=sites, periods=keep.parse_periods(asked.get("keep_periods", "")),
    )  # fmt: skip


def busy(docroot: str) -> list[str]:
    """Why an archiver is, or may be, at work now, one line each; [] where none is."""
    with Database(docroot, timeout=60) as db:
        db.session.set(LOOKING)
        return busy_with(db, docroot, shape.look(db.session, db.prefix))


def busy_with(db: Database, docroot: str, found: shape.Shape) -> list[str]:
    """The same on an open connection. Rows whose process is gone on this host do not count."""
    limit = archiver.recovery(db.config)
    rows = in_progress.look(
        db.session, found.name, recovery=limit, has_owner=found.has_owner, max_seconds=120
    )
    seen = archiver.look(docroot, rows.owners(), db.session)
    if seen.running is False:
        return []
    return seen.why() or ["an archiver is at work"]


def words(record: Record) -> str:
    """``truncate of 2026-11-22 12:16:00 UTC (all rows): …``."""
    return f"{record.why}, begun {show_epoch(record.at)}; backup {record.backup}"


def list_backups(docroot: str) -> list[dict[str, Any]]:
    """All backups, the oldest first, as plain data."""
    with Database(docroot, timeout=60) as db:
        db.session.set(LOOKING)
        return [one.data() for one in backups.look(db.session, db.prefix)]


@contextlib.contextmanager
def opened(
    docroot: str,
    *,
    still_ours: Callable[[], None] = tools.nothing,
    tell: Callable[[str], None] = tools.nothing,
    moved: Callable[[int], None] = tools.nothing,
) -> Iterator[Tools]:
    """The tools on Matomo's database, once it is sure that it may be changed."""
    with (
        Database(docroot, timeout=None) as db,
        tools.opened(db.address, db.prefix, still_ours=still_ours, tell=tell, moved=moved) as found,
    ):
        may.change(found.session, found.server, _shape(found.session, db.prefix),
                   db.table("option"))  # fmt: skip
        yield found


def _shape(session: Session, prefix: str) -> Optional[shape.Shape]:
    """The live table; None where it is gone (a backup of it may be put back all the same)."""
    there = session.rows("invalidations_shape_table", (prefix + shape.BASE,))
    return shape.look(session, prefix) if there else None


def begin(found: Tools, rule: Rule, method: str, why: str) -> Record:
    """Does it, from the beginning to the end. Refused while a killed run's work waits."""
    found.none_unfinished()
    if method == SWAP:
        return swap.finish(found, swap.begin(found, rule, why))
    record = carve.begin(found, rule, why)
    return carve.finish(found, record, ending.find(found, record))


def end_left(found: Tools) -> list[Record]:
    """Ends what killed runs left; their records, as far as anything had happened."""
    return [record for record in (ending.end(found, r) for r in ending.left(found)) if record]


def put_back(found: Tools, name: str) -> restore.Outcome:
    """Puts that backup back, or ends a restore of it that was killed. UsageError, Refused."""
    for record in restore.begun(found):
        if name in (record.backup, record.new) and record.state != "restoring":
            if not restore.settle(found, record):
                continue
            return restore.finish(found, record)
    record = backups.choose(found.records, name)
    found.none_unfinished(allowed=name)
    return restore.put_back(found, record)


def restorable(docroot: str, name: str) -> dict[str, Any]:
    """What putting that backup back would do: ``{"backup", "busy", "table", "gone", "already"}``.

    UsageError: no such backup.
    """
    with Database(docroot, timeout=None) as db:
        db.session.set(LOOKING)
        record = backups.choose(Records(db.session, db.table("option")), name)
        (one,) = [b for b in backups.look(db.session, db.prefix) if b.name == name]
        live = _shape(db.session, db.prefix)
        notes = may.change(db.session, servers.look(db.session), live, db.table("option"))
        return {
            "backup": one.data(), "table": record.table, "gone": live is None,
            "busy": busy_with(db, docroot, live) if live else [],
            "notes": notes, "already": record.restored if record.finished else 0,
            "method": _how_back(db, record, live),
        }  # fmt: skip


def _how_back(db: Database, record: Record, live: Optional[shape.Shape]) -> str:
    """As the record's method; CARVE where rows are inserted, for the tables are not alike."""
    whole = record.method in (SWAP, REPLACED) and live is not None
    there = db.session.rows("invalidations_shape_table", (record.backup,))
    if whole and there and restore.inserts(db.session, db.address.schema, record):
        return CARVE
    return record.method


def droppable(docroot: str, name: str) -> dict[str, Any]:
    """That backup as plain data, if it may be dropped. UsageError; Refused: still needed."""
    with Database(docroot, timeout=60) as db:
        db.session.set(LOOKING)
        record = backups.choose(Records(db.session, db.table("option")), name)
        (one,) = [b for b in backups.look(db.session, db.prefix) if b.name == name]
        if one.bytes:
            backups.may_drop(record)
        return one.data()


def counted_since(docroot: str, idsite: int, first: str, last: str, after: int) -> int:
    """Rows of a site, of periods that touch these days, with an id above ``after``."""
    with Database(docroot, timeout=600) as db:
        found = db.session.value(
            "invalidations_since", (idsite, first, last, after), table=db.table(shape.BASE)
        )
        return int(found or 0)


def highest_id(docroot: str) -> int:
    """The highest id of the queue now."""
    with Database(docroot, timeout=60) as db:
        return int(db.session.value("invalidations_next_id", table=db.table(shape.BASE)) or 0)


def refuse_busy(lines: Sequence[str]) -> None:
    """Refused while an archiver is, or may be, at work."""
    if lines:
        raise Refused(
            f"an archiver is at work: {'; '.join(lines[:3])}",
            state="Nothing was changed",
            next="wait for its end (--wait 10m waits here), or stop it; rows that a dead archiver "
            "left: invalidations.reset",
        )


def shown_sites(sites: dict[str, Sequence[Any]]) -> list[str]:
    """``site 1: 12 archives, 2026-01-01 to 2026-10-31``, at most twenty of them."""
    lines = [
        f"site {site}: {count} archives, {first} to {last}"
        for site, (count, first, last) in sites.items()
    ]
    more = len(lines) - _SITES_SHOWN
    return lines[:_SITES_SHOWN] + ([f"… and {more} more sites"] if more > 0 else [])
