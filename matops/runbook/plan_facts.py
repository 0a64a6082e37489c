"""Everything a plan stands on. Runs on the host, as the keeper; reads only, but for the scratch
database, which is made for the samples and removed again."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown
from matops.matomo import archives, queue_settings
from matops.matomo.database import Database
from matops.mysql import catalog, space
from matops.mysql import server as servers
from matops.mysql.choose import MinGain
from matops.mysql.ddl import Verdict, from_data, parse, read
from matops.mysql.ddl.estimate import Estimated, Estimator
from matops.mysql.ddl.sample import MOST_BYTES
from matops.mysql.ddl.verdict import EXCLUSIVE, UNKNOWN
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.scratch.database import Scratch
from matops.mysql.server import Server
from matops.mysql.session import Session
from matops.runbook import plan_traffic
from matops.runbook.rehearse_look import maker

_FINISHED, _STARTED = "LastCompletedFullArchiving", "LastFullArchivingStartTime"
"""Options of core/CronArchive.php: when the last full run began and ended."""


def collect(
    *,
    docroot: str,
    statements: Sequence[str],
    verdicts: Sequence[Sequence[dict[str, Any]]],
    optimize_dir: str,
    login: str = "",
    budget: float = 60.0,
    free: Optional[int] = None,
) -> dict[str, Any]:
    """Facts for ``plan_rules``; JSON-able. What could not be read is ``{"error": line}``.

    ``statements``: of the rehearsal, with their ``verdicts`` there. ``optimize_dir``: folder of
    db.optimize's journals. ``login``: as rehearse's. ``budget``: seconds for samples of rows.
    ``free``: bytes free on the database's machine, as told. Raises what ``Database`` raises.
    """
    with Database(docroot, timeout=600) as db:
        server = servers.look(db.session)
        now = float(db.session.value("server_time"))
        rate = _rate(optimize_dir, db.address.schema)
        waiting, asked = _waiting(db), time.monotonic()
        facts: dict[str, Any] = {
            "server": server.shown,
            "schema": db.address.schema,
            "prefix": db.prefix,
            "now": now,
            "rate": rate,
            "migrations": _migrations(
                db,
                server,
                statements,
                verdicts,
                _Means(rate, login, 0.0 if server.galera else budget, _most(server, free)),
            ),
            "optimize": _attempt(lambda: _worth_optimizing(db, server, budget / 4)),
            "purge": _attempt(lambda: archives.purgeable(docroot, max_seconds=budget / 4)),
            "traffic": _attempt(lambda: plan_traffic.hourly(db, now)),
            "archiving": _attempt(lambda: _archiving(db)),
            "room": _room(server, free),
            "datadir": server.text("datadir"),
        }
        facts["queue"] = {
            "before": waiting, "after": _waiting(db), "seconds": time.monotonic() - asked,
        }  # fmt: skip
        return facts


def _attempt(read_it: Callable[[], Any]) -> Any:
    try:
        return read_it()
    except MatopsError as error:
        return {"error": error.line()}


@dataclasses.dataclass(frozen=True)
class _Means:
    """``rate``: bytes a second of earlier rebuilds. ``budget``: seconds for samples, ``most``:
    bytes of them."""

    rate: float
    login: str
    budget: float
    most: int


def _most(server: Server, free: Optional[int]) -> int:
    """Samples and their copies take an eighth of what is free at the most; 0 = no samples."""
    room = space.look(server, server.is_here, free)
    if room is None:
        return MOST_BYTES
    most = min(MOST_BYTES, (room.data - space.RESERVE) // 8)
    return most if most >= MOST_BYTES // 16 else 0


def _migrations(
    db: Database,
    server: Server,
    statements: Sequence[str],
    verdicts: Sequence[Sequence[dict[str, Any]]],
    means: _Means,
) -> dict[str, Any]:
    """``{"of": [[estimate, …] for each statement], "sampled": bool, "why_not": line}``."""
    counts = [len(read(text)) or 1 for text in statements]
    address = dataclasses.replace(maker(db, server, means.login), schema=db.address.schema)
    why_not = ""
    found: list[Estimated] = []
    with Session(address, timeout=None) as session:
        estimator = Estimator(session, db.address.schema, rate=means.rate, most=means.most,
                              budget=means.budget if means.most else 0.0)  # fmt: skip
        scratch = Scratch(session, db.address.schema, db.prefix)
        try:
            with scratch:
                _strict(session, server)
                estimator.scratch = scratch.name
                found = estimator.estimate(statements)
        except OutcomeUnknown:
            raise
        except MatopsError as error:  # no right to, another run has it, a read-only server
            why_not = error.line()
    if not why_not and not (means.budget and means.most):
        why_not = _why_no_samples(server, means)
        return {"of": _grouped([one.data() for one in found], counts), "sampled": False,
                "why_not": why_not}  # fmt: skip
    if why_not:
        # Only Matomo's own account is sure to read the live tables then.
        known = [one for each, text in zip(verdicts, statements) for one in _stored(each, text)]
        found = Estimator(db.session, db.address.schema, rate=means.rate).estimate([], known)
    return {"of": _grouped([one.data() for one in found], counts), "sampled": not why_not,
            "why_not": why_not}  # fmt: skip


def _why_no_samples(server: Server, means: _Means) -> str:
    if server.galera:
        return "no samples on a Galera cluster, where their ALTER would stop every node"
    if not means.most:
        return "too little disk is free for samples"
    return "no samples were asked for (--budget)"


def _strict(session: Session, server: Server) -> None:
    """As Matomo's own connections: a row that is too wide is an error there."""
    with contextlib.suppress(MatopsError):
        session.set({"innodb_strict_mode": int(server.on("innodb_strict_mode"))})


def _stored(stored: Sequence[dict[str, Any]], text: str) -> list[Verdict]:
    """The rehearsal's verdicts for one migration; unknown where it has none."""
    parts = read(text) or [parse(text)]
    if len(stored) == len(parts):
        return [from_data(each) for each in stored]
    return [Verdict(one, UNKNOWN, EXCLUSIVE, None, "not asked of the server") for one in parts]


def _grouped(found: list[dict[str, Any]], counts: list[int]) -> list[list[dict[str, Any]]]:
    groups, at = [], 0
    for count in counts:
        groups.append(found[at : at + count])
        at += count
    return groups


def _rate(folder: str, schema: str) -> float:
    """Bytes of table a second of db.optimize's rebuilds here; 0 where there were none."""
    start = "".join(ch if ch.isalnum() else "-" for ch in schema)
    rates = []
    with contextlib.suppress(OSError):
        for path in Path(folder).glob(f"{start}-*.jsonl"):
            rates.append(OptimizeJournal(folder, path.stem).past().rate)
    known = [rate for rate in rates if rate > 0]
    return max(known) if known else 0.0


def _worth_optimizing(db: Database, server: Server, budget: float) -> dict[str, Any]:
    """Tables that db.optimize would rebuild by its usual measure: number, bytes, gain."""
    schema, least = db.address.schema, MinGain()
    found = [t for t in catalog.tables(db.session, server, schema, db.prefix)
             if t.name.startswith(db.prefix)]  # fmt: skip
    looked, left_out = catalog.with_estimates(
        db.session, server, schema, found, least=least.size, budget=budget
    )
    worth = [t for t in looked if t.reclaim_bytes >= max(least.size, t.file_bytes * least.share)]
    return {
        "tables": len(worth), "bytes": sum(t.file_bytes for t in worth),
        "gain": sum(t.reclaim_bytes for t in worth), "not_looked_at": left_out,
        "largest": max((t.file_bytes for t in worth), default=0),
    }  # fmt: skip


def _archiving(db: Database) -> dict[str, Any]:
    """How long the last full core:archive took, and what waits for the next."""
    option = db.table("option")
    ends = {}
    for name in (_STARTED, _FINISHED):
        value = str(db.session.value("option_read", (name,), option=option) or "")
        ends[name] = float(value) if value.replace(".", "", 1).isdigit() else 0.0
    took = ends[_FINISHED] - ends[_STARTED]
    rows = db.session.rows(
        "invalidations_by_status", invalidations=db.table("archive_invalidations")
    )
    queued = sum(int(row["number"]) for row in rows)
    return {"seconds": took if ends[_STARTED] and took > 0 else None, "queued": queued}


def _room(server: Server, free: Optional[int]) -> Optional[dict[str, Any]]:
    room = space.look(server, server.is_here, free)
    return None if room is None else dataclasses.asdict(room)


def _waiting(db: Database) -> Optional[int]:
    """Request sets in QueuedTracking's Redis; None where there is no queue, or it does not tell."""
    rows: dict[str, str] = {}
    with contextlib.suppress(MatopsError):
        rows = {
            str(row["name"]): str(row["value"])
            for row in db.session.rows("plugin_settings", ("QueuedTracking",),
                                       plugin_setting=db.table("plugin_setting"))
        }  # fmt: skip
    settings = queue_settings.in_force(db.config, rows)
    if settings["backend"] != "redis" or settings["queueEnabled"] in ("", "0"):
        return None
    found = queue_settings.redis_facts(settings).get("waiting")
    return None if found is None else int(found)
