"""The one database conversation of ``check``. Runs on the host, as the web user.

Matomo's own documented account is enough for all of it: nothing here needs PROCESS or SUPER.
What cannot be read comes back as ``{"error": one line}`` in its place; no secret leaves the host.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from typing import Any

from matops.errors import MatopsError
from matops.host.probes.machine import disk, memory
from matops.matomo import ini, queue_settings
from matops.matomo.database import Database, read_config
from matops.matomo.release.places import stages

_PATIENCE = 30  # seconds for each answer

FAMILIES = (
    ("archive_blob", "archive_blob_"),
    ("archive_numeric", "archive_numeric_"),
    ("raw", "log_"),
    ("queue", "queuedtracking_"),
)


def collect(docroot: str, stage_root: str = "") -> dict[str, Any]:
    """Everything the checks ask of the database, of Redis and of the web user's rights.

    ``stages``: the releases staged below ``stage_root``, the oldest first.

    ``database`` is ``{"error": line}`` where the server cannot be reached; the rest is told
    all the same. Raises MatopsError where config.ini.php cannot be read.
    """
    facts: dict[str, Any] = {
        "rights": _rights(docroot),
        "disks": {"docroot": disk(docroot)},
        "stages": stages(stage_root, docroot) if stage_root else [],
    }
    try:
        with Database(docroot, timeout=_PATIENCE) as db:
            facts["database"] = _database(db)
            rows = _plugin_rows(db)
            config = db.config
    except MatopsError as error:
        facts["database"] = {"error": error.line()}
        rows, config = {}, read_config(docroot)
    facts["queue"] = _queue(config, rows)
    return facts


def _rights(docroot: str) -> dict[str, Any]:
    """What this user may write; asked of the system, which also sees ACLs and read-only mounts."""
    folders = {name: os.path.join(docroot, name) for name in ("config", "tmp", "plugins", "core")}
    writable = {name: os.access(path, os.W_OK | os.X_OK) for name, path in folders.items()}
    config = os.path.join(docroot, "config", "config.ini.php")
    return {"config.ini.php": os.access(config, os.W_OK), **writable}


def _database(db: Database) -> dict[str, Any]:
    session = db.session
    variables = {row["Variable_name"]: row["Value"] for row in session.rows("server_variables")}
    here = _is_here(db, variables)
    facts: dict[str, Any] = {
        "where": db.address.shown,
        "local": here,
        "version": session.version_text,
        "flavour": session.flavour,
        "variables": variables,
        "clock_offset": float(session.value("server_time")) - time.time(),
        "prefix": db.prefix,
        "schema": db.address.schema,
        "account": _attempt(lambda: str(session.value("account_current"))),
        "grants": _attempt(lambda: _grants(db)),
        "sizes": _attempt(lambda: _sizes(db)),
        "invalidations": _attempt(lambda: _invalidations(db)),
        "version_core": _attempt(
            lambda: session.value("option_read", ("version_core",), option=db.table("option"))
        ),
    }
    if here:
        facts["machine"] = _machine(variables)
    return facts


def _is_here(db: Database, variables: dict[str, str]) -> bool:
    """True where the server itself runs on this machine.

    An address of ours may be a proxy's (haproxy, ProxySQL) or a container's: then the server
    names another machine, or its data folder is not here.
    """
    address = db.address
    ours = db.is_local or _is_own_address(address.host)
    same = variables.get("hostname", "").lower() == os.uname().nodename.lower()
    return ours and (same or bool(address.socket)) and os.path.isdir(variables["datadir"])


def _is_own_address(name: str) -> bool:
    # Only an address of this machine can be bound to.
    try:
        for family, kind, _, _, place in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as trial:
                trial.bind((place[0], 0))
                return True
    except OSError:
        pass
    return False


def _attempt(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except MatopsError as error:
        return {"error": error.line()}


def _grants(db: Database) -> list[str]:
    return [
        without_hash(str(next(iter(row.values())))) for row in db.session.rows("account_grants")
    ]


def without_hash(grant: str) -> str:
    """A row of SHOW GRANTS without its authentication part, which may hold a password's hash."""
    return re.sub(
        r"\s+IDENTIFIED (?:BY|VIA|WITH) .*?(?=\s+(?:REQUIRE|WITH GRANT|WITH MAX)|$)", "", grant
    )


def _sizes(db: Database) -> dict[str, Any]:
    """Bytes by family of tables of this installation, its largest table, and the schema's sum."""
    if db.session.flavour == "mysql":
        _attempt(lambda: db.session.execute("statistics_fresh"))
    rows = db.session.rows("table_sizes", (db.address.schema,))
    families: dict[str, dict[str, int]] = {}
    largest: dict[str, Any] = {"name": "", "bytes": 0}
    total, others, queues = 0, [], []
    for row in rows:
        name, engine = str(row["name"]), row["engine"]
        size = sum(int(row[part] or 0) for part in ("data_bytes", "index_bytes", "free_bytes"))
        total += size
        if not name.startswith(db.prefix):
            continue
        family = families.setdefault(family_of(name[len(db.prefix) :]), {"tables": 0, "bytes": 0})
        family["tables"] += 1
        family["bytes"] += size
        if size > largest["bytes"]:
            largest = {"name": name, "bytes": size}
        if name.startswith(f"{db.prefix}queuedtracking_list_{queue_settings.KEY}"):
            queues.append(name)
        if engine and str(engine).lower() != "innodb":
            others.append(f"{name} ({engine})")
    return {
        "families": families,
        "largest": largest,
        "total": total,
        "not_innodb": others[:20],
        "queue_rows": sum(int(db.session.value("rows_count", table=name)) for name in queues),
    }


def family_of(table: str) -> str:
    """The family of a table, its prefix cut off: raw, archive_blob, archive_numeric, …"""
    return next((family for family, start in FAMILIES if table.startswith(start)), "other")


def _invalidations(db: Database) -> dict[str, Any]:
    rows = db.session.rows(
        "invalidations_by_status", invalidations=db.table("archive_invalidations")
    )
    counts = {int(row["status"]): row for row in rows}
    running = counts.get(1)
    return {
        "queued": int(counts[0]["number"]) if 0 in counts else 0,
        "in_progress": int(running["number"]) if running else 0,
        "first_started": float(running["first_started"] or 0) if running else None,
        "last_started": float(running["last_started"] or 0) if running else None,
    }


def _machine(variables: dict[str, str]) -> dict[str, Any]:
    # Asking for free space needs no right on the folder itself, which is 0700 mysql.
    paths = {name: variables.get(name) or "" for name in ("datadir", "tmpdir", "innodb_tmpdir")}
    # tmpdir may be a list: MySQL takes them in turn, so the first stands for all.
    disks = {name: disk(path.split(":")[0]) for name, path in paths.items() if path}
    return {"memory": memory(), "disks": disks}


def _plugin_rows(db: Database) -> dict[str, str]:
    found = _attempt(
        lambda: db.session.rows(
            "plugin_settings", ("QueuedTracking",), plugin_setting=db.table("plugin_setting")
        )
    )
    return {} if isinstance(found, dict) else {row["name"]: row["value"] for row in found}


def _queue(config: ini.Sections, rows: dict[str, str]) -> dict[str, Any]:
    settings = queue_settings.in_force(config, rows)
    active = "QueuedTracking" in ini.list_of(config, "Plugins", "Plugins")
    facts: dict[str, Any] = {
        "active": active,
        "settings": {k: v for k, v in settings.items() if k != "redisPassword"},
        "has_password": bool(settings["redisPassword"]),
    }
    # Redis is asked even before the plugin is there, where it would most likely be.
    if settings["backend"] == "redis":
        facts["redis"] = queue_settings.redis_facts(settings)
    return facts
