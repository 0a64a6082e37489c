"""What this database server is, and what this account can see of it: found by trying.

Grants are not parsed for decisions: roles, wild cards, partial revokes and managed servers'
own rules make that a guess. A capability is what a harmless statement proved.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Optional

from matops.mysql.session import DatabaseError, Session

_REFUSED = (1044, 1045, 1142, 1143, 1227, 1370)
_NOT_THERE = (1109, 1146, 1193, 1049, 1064, 1305)

_MANAGED = (
    # (a variable, a pattern of its value, whose server that is)
    ("aurora_version", ".", "Amazon Aurora"),
    ("basedir", "/rdsdbbin", "Amazon RDS"),
    ("datadir", "/rdsdbdata", "Amazon RDS"),
    ("cloudsql_iam_authentication", ".", "Google Cloud SQL"),
    ("azure_server_name", ".", "Azure Database"),
    ("version_comment", "[Aa]zure", "Azure Database"),
)


@dataclass(frozen=True)
class Server:
    """Facts about one server, for one account. Bytes and seconds are plain numbers.

    ``None`` = this account cannot tell.
    """

    flavour: str
    """mysql or mariadb."""
    version: tuple[int, ...]
    """(10, 11, 19)."""
    version_text: str
    variables: dict[str, str]
    process: bool
    """May read InnoDB's own tables and everybody's statements (PROCESS)."""
    metadata_locks: str
    """Where metadata locks are seen: performance_schema, plugin, or '' (not at all)."""
    replicas: Optional[int]
    """Connections that read the binary log now."""
    is_replica: Optional[bool]
    galera: bool
    managed: str
    """Whose managed service this is, or ''."""

    def text(self, name: str, default: str = "") -> str:
        """A server variable as text."""
        return self.variables.get(name, default)

    def number(self, name: str, default: int = 0) -> int:
        """A server variable as a whole number; ``default`` where it is none."""
        try:
            return int(float(self.variables.get(name, "")))
        except ValueError:
            return default

    def on(self, name: str) -> bool:
        """True where a server variable is on."""
        return self.variables.get(name, "").upper() in ("ON", "1", "YES", "TRUE")

    @property
    def performance_schema(self) -> bool:
        """It is running (not: that this account may read it)."""
        return self.on("performance_schema")

    @property
    def binlog(self) -> bool:
        """The binary log is on."""
        return self.on("log_bin")

    @property
    def read_only(self) -> bool:
        """Ordinary accounts cannot write here (a replica, or a fail-over)."""
        return self.on("read_only") or self.on("super_read_only")

    @property
    def is_here(self) -> bool:
        """It runs on this very machine (not in a container), so its paths are ours."""
        return self.text("hostname") == os.uname().nodename

    @property
    def page_size(self) -> int:
        """InnoDB's page size in bytes."""
        return self.number("innodb_page_size", 16384)

    @property
    def tmpdir(self) -> str:
        """Where online rebuilds sort secondary indexes (the first, if there are several)."""
        chosen = self.text("innodb_tmpdir") or self.text("tmpdir") or "/tmp"
        return chosen.split(os.pathsep)[0]

    @property
    def shown(self) -> str:
        """``MariaDB 10.11.19`` or ``MySQL 9.7.4``."""
        name = "MariaDB" if self.flavour == "mariadb" else "MySQL"
        return f"{name} {'.'.join(map(str, self.version))}"


def look(session: Session) -> Server:
    """Finds out. About ten small statements; changes only this session (fresh statistics)."""
    if session.flavour == "mysql":
        allowed(session, "statistics_fresh")
    rows = session.rows("server_settings")
    variables = {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}
    process = allowed(session, "can_see_innodb")
    return Server(
        flavour=session.flavour,
        version=version_of(session.version_text),
        version_text=session.version_text,
        variables=variables,
        process=process,
        metadata_locks=_metadata_locks(session, variables),
        replicas=int(session.value("replicas_connected")) if process else None,
        is_replica=_is_replica(session),
        galera=variables.get("wsrep_on", "OFF").upper() == "ON"
        and variables.get("wsrep_cluster_address", "") != "",
        managed=_managed(variables),
    )


def version_of(text: str) -> tuple[int, ...]:
    """``(10, 11, 19)`` from ``10.11.19-MariaDB-…``; a leading ``5.5.5-`` is a lie and cut."""
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def allowed(session: Session, name: str) -> bool:
    """True where statement ``sql/<name>`` runs; False where refused or unknown here."""
    try:
        session.rows(name)
    except DatabaseError as error:
        if error.number in _REFUSED or error.number in _NOT_THERE:
            return False
        raise
    return True


def history_length(session: Session) -> Optional[int]:
    """Transactions that purge has not caught up with; None where this account cannot see it.

    16 of them can hide 100,000 deleted rows: only a number near 0 says that purge is done.
    """
    try:
        found = session.value("history_length")
    except DatabaseError as error:
        if error.number in _REFUSED or error.number in _NOT_THERE:
            return None
        raise
    return None if found is None else int(found)


def dirty_bytes(session: Session) -> int:
    """Changed bytes in the buffer pool that the files do not have yet."""
    rows = session.rows("dirty_bytes")
    return int(rows[0]["Value"]) if rows else 0


def _metadata_locks(session: Session, variables: dict[str, str]) -> str:
    if session.flavour == "mariadb":
        # Its own performance_schema shows nothing unless switched on at start, which nobody does.
        return "plugin" if allowed(session, "can_see_metadata_locks") else ""
    if variables.get("performance_schema", "").upper() != "ON":
        return ""
    seen = allowed(session, "can_see_metadata_locks") and session.rows("can_see_metadata_locks")
    return "performance_schema" if seen else ""


def _is_replica(session: Session) -> Optional[bool]:
    try:
        return bool(session.rows("replication_status"))
    except DatabaseError as error:
        if error.number in _REFUSED or error.number in _NOT_THERE:
            return None
        raise


def _managed(variables: dict[str, str]) -> str:
    for name, pattern, whose in _MANAGED:
        if re.search(pattern, variables.get(name, "")):
            return whose
    return ""
