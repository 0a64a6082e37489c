"""The read-only ``db.*`` work for Matomo's own database; runs where the database is reached.

Everything returned is plain data (JSON): bytes, seconds, seconds since 1970.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Callable, Union

from matops.matomo.database import Database
from matops.mysql import catalog, lockpicture, readonly
from matops.mysql import privileges as privileges_module
from matops.mysql import server as servers
from matops.mysql.catalog import Table

LIMITS = {"lock_wait_timeout": 5}
"""Our own reading never waits long for anybody's metadata lock."""

MOST = 20_000
"""Tables in one answer: more would not fit into the agent's."""

SORTS: dict[str, Callable[[Table], Union[str, float]]] = {
    "file": lambda table: -table.file_bytes,
    "reclaim": lambda table: -table.reclaim_bytes,
    "data": lambda table: -table.data_bytes,
    "index": lambda table: -table.index_bytes,
    "rows": lambda table: -table.rows,
    "rebuilt": lambda table: table.rebuilt or 0,
    "name": lambda table: table.name,
}


def sizes(
    docroot: str, *, sort: str = "file", top: int = 0, budget: float = 60,
    least: int = catalog.ESTIMATE_FROM, months: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Every table of Matomo's schema: ``{"server", "schema", "tables", "groups", "total", …}``.

    ``sort``: a key of ``SORTS``; ``top``: only so many tables (groups and totals are of all);
    ``budget``: seconds for estimates, of tables of at least ``least`` bytes (0: none at all).
    ``left_out`` counts those that there was no time for.
    """
    with Database(docroot, timeout=None) as db:
        session, schema = db.session, db.address.schema
        session.set({**LIMITS, **_time_limit(session.flavour, 300)})
        server = servers.look(session)
        found = catalog.tables(session, server, schema, db.prefix)
        left_out = 0
        if budget > 0:
            found, left_out = catalog.with_estimates(
                session, server, schema, found, least=least, budget=budget
            )
        found = sorted(found, key=SORTS[sort])
        return {
            "server": server.shown,
            "schema": schema,
            "prefix": db.prefix,
            "history_length": servers.history_length(session),
            "tables": [_plain(table) for table in found[: top or MOST]],
            "groups": [asdict(group) for group in catalog.groups(found, months=months)],
            "total": asdict(catalog.total("all", found)),
            "left_out": left_out,
            "estimated_from": least,
        }


def _plain(table: Table) -> dict[str, Any]:
    data = {name: value for name, value in vars(table).items() if name != "files"}
    made = table.estimate
    data["estimate"] = None if made is None else {
        "reclaim_bytes": made.reclaim_bytes, "predicted_bytes": made.predicted_bytes,
        "error_bytes": made.error_bytes, "method": made.method, "note": made.note,
    }  # fmt: skip
    return data


def lock_waits(docroot: str) -> dict[str, Any]:
    """Who waits for whom now: ``{"server", "waits", "roots", "notes"}`` (see lockpicture)."""
    with Database(docroot, timeout=15) as db:
        server = servers.look(db.session)
        return {"server": server.shown, **lockpicture.look(db.session, server).data()}


def run_file(docroot: str, *, text: str, timeout: float, limit: int) -> list[dict[str, Any]]:
    """Runs reading statements, each under ``timeout`` seconds; ``limit`` rows kept of each.

    Raises what ``readonly.run`` raises: Refused (nothing was run), UsageError, DatabaseError.
    """
    with Database(docroot, timeout=15) as db:
        address = db.address
    return [one.data() for one in readonly.run(address, text, timeout=timeout, limit=limit)]


def privileges(docroot: str) -> dict[str, Any]:
    """What Matomo's account can do: ``{"server", "account", "managed", "findings"}``."""
    with Database(docroot, timeout=30) as db:
        db.session.set(LIMITS)
        server = servers.look(db.session)
        found = privileges_module.findings(db.session, server, db.address.schema)
        return {
            "server": server.shown,
            "managed": server.managed,
            "account": privileges_module.account(db.session),
            "findings": [finding.data() for finding in found],
        }


def _time_limit(flavour: str, seconds: int) -> dict[str, Any]:
    """The session variable that ends a statement of ours that takes too long."""
    if flavour == "mysql":
        return {"max_execution_time": seconds * 1000}
    return {"max_statement_time": seconds}
