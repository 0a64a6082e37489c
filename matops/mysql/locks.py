"""Metadata locks on one table: who holds them, who waits. Cheap enough to ask often.

| server | holders | waiters |
|---|---|---|
| MySQL with performance_schema | yes | yes, exactly |
| MariaDB with metadata_lock_info | yes | from the process list, by the table's name in it |
| otherwise | not known | the same; without PROCESS the own account's only |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

from matops.mysql.quote import quote
from matops.mysql.server import Server
from matops.mysql.session import Row, Session

INSTALL_PLUGIN = "INSTALL SONAME 'metadata_lock_info'"
"""What an administrator types on MariaDB; works on the running server, loads no risk."""

WAITING = "Waiting for table metadata lock"

# A table locked so is LOCK TABLES' (or a dump's), never a plain transaction's.
_LOCK_TABLES = ("SHARED_NO_READ_WRITE", "SHARED_READ_ONLY")
_REPLICATION = re.compile(r"Binlog Dump|Slave_|Replica|Connect$|Daemon", re.IGNORECASE)


@dataclass(frozen=True)
class Holder:
    """A connection that holds a metadata lock. Seconds; None = not known to this account."""

    id: int
    user: str
    host: str
    command: str
    """``Sleep`` = idle: its transaction was left open."""
    seconds: float
    """Since its present command began (of Sleep: idle so long)."""
    state: str
    statement: str
    modes: tuple[str, ...]
    """SHARED_READ, SHARED_WRITE, EXCLUSIVE, …"""
    trx_seconds: Optional[float]
    """Since its transaction began."""
    rows_changed: Optional[int]
    weight: Optional[int]
    """InnoDB's own measure of what a rollback would cost."""

    @property
    def idle(self) -> bool:
        """It runs nothing: it holds the lock because its transaction is open."""
        return self.command == "Sleep"

    @property
    def replication(self) -> bool:
        """A replication thread or the event scheduler: never to be killed."""
        return self.user in ("system user", "event_scheduler") or bool(
            _REPLICATION.match(self.command)
        )

    @property
    def lock_tables(self) -> bool:
        """It locked the table on purpose (LOCK TABLES, a dump): never to be killed."""
        return any(mode in _LOCK_TABLES for mode in self.modes)


@dataclass(frozen=True)
class Waiter:
    """A statement that waits for a metadata lock, for ``seconds``.

    ``sure``: it is known to wait for the table asked about, not only likely to.
    """

    id: int
    user: str
    host: str
    seconds: float
    state: str
    statement: str
    mode: str
    sure: bool


def visible(server: Server) -> bool:
    """True where ``holders`` can see anything: else an empty list says nothing."""
    return bool(server.metadata_locks)


def holders(
    session: Session, server: Server, schema: str, table: str, except_id: int = 0
) -> list[Holder]:
    """Who holds a metadata lock on the table now: our own connection and ``except_id`` left out.

    Empty where nobody does, and where ``visible`` is False. Raises DatabaseError.
    """
    if not visible(server):
        return []
    name = "lock_holders" if server.process else "lock_holders_plain"
    grouped: dict[int, list[Row]] = {}
    for row in session.rows(name, (schema, table, except_id)):
        grouped.setdefault(int(row["id"] or 0), []).append(row)
    return [_holder(number, rows) for number, rows in grouped.items() if number]


def waiters(session: Session, server: Server, schema: str, table: str) -> list[Waiter]:
    """Who waits for a metadata lock on the table now, ourselves included.

    Where the server does not tell which table is waited for, these are the statements that
    name it, and (``sure`` False) those whose text is not known. Raises DatabaseError.
    """
    if server.metadata_locks == "performance_schema":
        rows = session.rows("lock_waiters", (schema, table))
        return [_waiter(row, True) for row in rows if row["id"]]
    found = [_waiter(row, False) for row in session.rows("lock_waiters_plain")]
    return [w for w in found if not w.statement or mentions(w.statement, table)]


def mentions(statement: str, table: str) -> bool:
    """True where the text of a statement names the table, quoted or as a word of its own."""
    if quote(table).lower() in statement.lower():
        return True
    if not re.fullmatch(r"[\w$]+", table):
        return False  # such a name must be quoted
    return (
        re.search(rf"(?<![\w$`]){re.escape(table)}(?![\w$`])", statement, re.IGNORECASE) is not None
    )


def mode_name(text: str) -> str:
    """SHARED_READ from MySQL's ``SHARED_READ`` and MariaDB's ``MDL_SHARED_READ``."""
    return text[4:] if text.startswith("MDL_") else text


def _holder(number: int, rows: list[Row]) -> Holder:
    row = rows[0]
    return Holder(
        id=number,
        user=str(row["user"] or ""),
        host=str(row["host"] or ""),
        command=str(row["command"] or ""),
        seconds=float(row["seconds"] or 0),
        state=str(row["state"] or ""),
        statement=as_text(row["statement"]),
        modes=tuple(sorted({mode_name(str(r["mode"])) for r in rows})),
        trx_seconds=None if row["trx_seconds"] is None else float(row["trx_seconds"]),
        rows_changed=None if row["rows_changed"] is None else int(row["rows_changed"]),
        weight=None if row["weight"] is None else int(row["weight"]),
    )


def _waiter(row: Row, sure: bool) -> Waiter:
    return Waiter(
        id=int(row["id"]),
        user=str(row["user"] or ""),
        host=str(row["host"] or ""),
        seconds=float(row["seconds"] or 0),
        state=str(row["state"] or ""),
        statement=as_text(row["statement"]),
        mode=mode_name(str(row["mode"] or "")),
        sure=sure,
    )


def as_text(value: Any) -> str:
    """A statement's text on one line; '' for none. Not every server sends it as text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return " ".join(str(value or "").split())
