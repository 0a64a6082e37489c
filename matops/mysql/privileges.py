"""What this account can do, feature by feature, and the statement that gives what is missing.

Each answer is what the server itself said to a harmless statement (``sql/probe_*``); grants are
read only for the one thing that cannot be tried, killing other accounts' statements.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Optional

from matops.mysql import binlog, locks
from matops.mysql.quote import quote
from matops.mysql.server import Server, allowed
from matops.mysql.session import DatabaseError, Session

FULL, DEGRADED, NO = "full", "degraded", "no"

_REFUSED = (1044, 1045, 1142, 1143, 1227, 1370)
_NO_SUCH_TABLE = (1146, 1051, 1109, 1136)


@dataclass(frozen=True)
class Finding:
    """One feature: ``state`` full, degraded or no; how it works then; what would give more.

    ``grant`` is to be pasted by an administrator; '' where nothing is missing.
    """

    feature: str
    state: str
    how: str
    grant: str = ""

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def account(session: Session) -> str:
    """Our account as GRANT wants it: ``'matomo'@'%'``."""
    user, _, host = str(session.value("account_current")).rpartition("@")
    return "@".join("'" + part.replace("'", "''") + "'" for part in (user, host))


def findings(session: Session, server: Server, schema: str) -> list[Finding]:
    """All features, in the order of ``db.*``. About ten small statements; changes nothing."""
    who = account(session)
    may = _Probes(session, schema)
    return [
        _files(server, who),
        _estimates(may, who, schema),
        _statements(server, who),
        _metadata_locks(server, who),
        _row_locks(server, who),
        _rebuild(server, may, who, schema),
        _binlog(session, server, who),
        _progress(session, server, who),
        _purge(server, who),
        _replication(server, who),
        _kill(session, server, who),
        _read_only(may, who, schema),
    ]


class _Probes:
    """Tries statements on a table that does not exist."""

    def __init__(self, session: Session, schema: str) -> None:
        self._session = session
        token = secrets.token_hex(6)
        self._names = {"schema": schema, "table": f"matops_asks_{token}"}
        self._other = f"matops_asks_{token}_other"

    def __call__(self, what: str) -> Optional[bool]:
        """True: allowed. False: refused. None: the server said something else (read-only, …)."""
        names = {**self._names, **({"other": self._other} if what == "create" else {})}
        try:
            self._session.rows(f"probe_{what}", **names)
        except DatabaseError as error:
            if error.number in _REFUSED:
                return False
            return True if error.number in _NO_SUCH_TABLE else None
        return True


def _files(server: Server, who: str) -> Finding:
    feature = "db.sizes: file sizes"
    if server.process:
        return Finding(feature, FULL, "from the server's list of tablespaces")
    how = "from the data directory where this process may list it, else data + index + free"
    return Finding(feature, DEGRADED, how, _grant("PROCESS", "*.*", who))


def _estimates(may: _Probes, who: str, schema: str) -> Finding:
    feature = "db.sizes: reclaimable bytes"
    if may("select"):
        return Finding(feature, FULL, "tablespace pages where they can be read, else sampled rows")
    how = "tablespace pages where they can be read, else free extents only (blind)"
    return Finding(feature, DEGRADED, how, _grant("SELECT", _all(schema), who))


def _statements(server: Server, who: str) -> Finding:
    feature = "db.locks: who waits, what they run"
    if server.process:
        return Finding(feature, FULL, "all accounts, with their transactions")
    how = "this account's own connections only, without transactions"
    return Finding(feature, DEGRADED, how, _grant("PROCESS", "*.*", who))


def _metadata_locks(server: Server, who: str) -> Finding:
    feature = "db.locks, db.optimize: who holds a metadata lock"
    if server.metadata_locks:
        return Finding(feature, FULL, f"from {server.metadata_locks}")
    how = "not visible: db.optimize tries, and gives up within half a second when others wait"
    if server.flavour == "mariadb":
        return Finding(feature, DEGRADED, how, f"{locks.INSTALL_PLUGIN};")
    if not server.performance_schema:
        needs = "-- performance_schema = ON in the server's configuration, and a restart"
        return Finding(feature, DEGRADED, how, needs)
    how += "; or its instrument wait/lock/metadata/sql/mdl is off"
    return Finding(feature, DEGRADED, how, _grant("SELECT", "performance_schema.*", who))


def _row_locks(server: Server, who: str) -> Finding:
    feature = "db.locks: row locks"
    if not server.process:
        return Finding(feature, NO, "not visible", _grant("PROCESS", "*.*", who))
    if server.flavour == "mysql" and not server.metadata_locks:
        grant = _metadata_locks(server, who).grant
        return Finding(feature, NO, "not visible without performance_schema", grant)
    return Finding(feature, FULL, "waiter and blocker of every row lock")


def _rebuild(server: Server, may: _Probes, who: str, schema: str) -> Finding:
    feature = "db.optimize: rebuild tables"
    wanted = {"SELECT": may("select"), "INSERT": may("insert"),
              "ALTER": may("alter"), "CREATE": may("create")}  # fmt: skip
    if server.galera:
        return Finding(feature, NO, "Galera: refused, a rebuild stops all nodes (unless RSU)")
    if None in wanted.values():
        return Finding(feature, NO, "the server refuses changes (read-only?), so it was not seen")
    missing = [name for name, has in wanted.items() if not has]
    if missing:
        grant = _grant(", ".join(missing), _all(schema), who)
        return Finding(feature, NO, f"refused: {', '.join(missing)} missing", grant)
    return Finding(feature, FULL, "online: ALTER TABLE … ENGINE=InnoDB, ALGORITHM=INPLACE")


def _binlog(session: Session, server: Server, who: str) -> Finding:
    feature = "db.optimize: keep rebuilds from the replicas"
    if not server.binlog:
        return Finding(feature, FULL, "the binary log is off: nothing to keep out of it")
    if allowed(session, "probe_log_bin"):
        return Finding(feature, FULL, "ALTER with sql_log_bin = 0")
    name = "BINLOG ADMIN" if server.flavour == "mariadb" else "SESSION_VARIABLES_ADMIN"
    grant = _grant(name, "*.*", who)
    if binlog.may_local(session):
        how = "OPTIMIZE NO_WRITE_TO_BINLOG in place of ALTER"
    else:
        how = "not possible: replicas rebuild in step and lag; refused where some are seen"
    return Finding(feature, DEGRADED, how, grant)


def _progress(session: Session, server: Server, who: str) -> Finding:
    feature = "db.optimize: progress and ETA"
    if server.flavour == "mariadb":
        return Finding(feature, FULL, "from Innodb_onlineddl_pct_progress")
    if not server.performance_schema:
        return Finding(feature, DEGRADED, "the phase, and file growth where the files are here")
    if allowed(session, "probe_stages"):
        return Finding(feature, FULL, "from stage events")
    how = "the phase only, unless stage events are on already; file growth where it is here"
    grant = _grant("SELECT, UPDATE", "performance_schema.*", who)
    return Finding(feature, DEGRADED, how, grant)


def _purge(server: Server, who: str) -> Finding:
    feature = "db.optimize: wait for purge"
    if server.process:
        return Finding(feature, FULL, "history list length")
    how = "not visible: what purge has not removed yet is not gained"
    return Finding(feature, DEGRADED, how, _grant("PROCESS", "*.*", who))


def _replication(server: Server, who: str) -> Finding:
    feature = "db.optimize: replication state"
    if server.is_replica is not None:
        return Finding(feature, FULL, "this is a replica" if server.is_replica else "no replica")
    name = "SLAVE MONITOR" if server.flavour == "mariadb" else "REPLICATION CLIENT"
    how = "not known whether this server is a replica"
    return Finding(feature, DEGRADED, how, _grant(name, "*.*", who))


def _kill(session: Session, server: Server, who: str) -> Finding:
    feature = "db.optimize --on-block kill-idle"
    text = " ".join(str(v) for row in session.rows("account_grants") for v in row.values())
    powers = r"ALL PRIVILEGES ON \*\.\*|\bSUPER\b|\bCONNECTION[_ ]ADMIN\b"
    if re.search(powers, text):
        return Finding(feature, FULL, "connections of all accounts")
    name = "CONNECTION ADMIN" if server.flavour == "mariadb" else "CONNECTION_ADMIN"
    how = "this account's own connections only (Matomo's, where it uses this account)"
    return Finding(feature, DEGRADED, how, _grant(name, "*.*", who))


def _read_only(may: _Probes, who: str, schema: str) -> Finding:
    if may("select"):
        return Finding("db.run", FULL, "every table of this schema")
    return Finding("db.run", NO, "no SELECT", _grant("SELECT", _all(schema), who))


def _grant(names: str, where: str, who: str) -> str:
    return f"GRANT {names} ON {where} TO {who};"


def _all(schema: str) -> str:
    # In GRANT an underscore in a schema's name is a wild card.
    return quote(re.sub(r"([\\%_])", r"\\\1", schema)) + ".*"
