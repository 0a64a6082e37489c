"""Who waits for whom now, in the whole server: metadata locks and row locks, as chains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from matops.mysql import locks, mdlmodes
from matops.mysql.locks import as_text, mode_name
from matops.mysql.server import Server
from matops.mysql.session import AccessDenied, Row, Session

METADATA, ROWS = "metadata", "row"

_OTHERS = (
    "Waiting for table flush", "Waiting for global read lock", "Waiting for commit lock",
    "Waiting for backup lock", "User lock",
)  # fmt: skip
"""States of other waits: behind a FLUSH, a backup, a GET_LOCK."""
_STOPS_WRITERS = re.compile(r"BACKUP_(?:FTWRL|BLOCK|WAIT)")
_FLUSH = re.compile(r"\s*(?:/\*.*?\*/\s*)*(?:FLUSH|BACKUP)\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Who:
    """One connection. Seconds; None = not known to this account."""

    id: int
    user: str = ""
    host: str = ""
    command: str = ""
    seconds: Optional[float] = None
    """In its present command; of Sleep: idle so long."""
    state: str = ""
    statement: str = ""
    """What it runs; of an idle one its last statement, where the server keeps that."""
    trx_seconds: Optional[float] = None
    """Since when its transaction is open."""
    rows_changed: Optional[int] = None


@dataclass(frozen=True)
class Blocker:
    """One connection that is waited for, and the lock it has (or waits for itself)."""

    who: Who
    mode: str
    waits_too: bool = False
    sure: bool = True
    """False: it may be the one; the server does not tell."""


@dataclass(frozen=True)
class Wait:
    """One connection that waits: for which lock on what, for whom."""

    kind: str
    """metadata or row."""
    object: str
    who: Who
    mode: str
    blockers: list[Blocker] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """All waits of one moment; ``roots`` hold everything up and wait for nobody."""

    waits: list[Wait]
    roots: list[Who]
    notes: list[str]

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def look(session: Session, server: Server) -> Picture:
    """Asks the server; four or five statements, milliseconds. Raises DatabaseError."""
    everybody = _everybody(session, server)
    waits = [*_metadata_waits(session, server, everybody), *_row_waits(session, server, everybody)]
    waiting = {wait.who.id for wait in waits}
    heads: dict[int, Who] = {}
    for wait in waits:
        for blocker in wait.blockers:
            if blocker.who.id not in waiting and blocker.sure:
                heads.setdefault(blocker.who.id, blocker.who)
    return Picture(waits, list(heads.values()), _notes(server))


def _everybody(session: Session, server: Server) -> dict[int, Who]:
    transactions: dict[int, Row] = {}
    if server.process:
        transactions = {int(row["id"]): row for row in session.rows("transactions")}
    last: dict[int, str] = {}
    if server.metadata_locks == "performance_schema":
        for row in _if_allowed(session, "last_statements"):
            last[int(row["id"])] = as_text(row["statement"])
    found = {}
    for row in session.rows("sessions"):
        number = int(row["id"])
        trx = transactions.get(number, {})
        found[number] = Who(
            id=number,
            user=str(row["user"] or ""),
            host=str(row["host"] or ""),
            command=str(row["command"] or ""),
            seconds=float(row["seconds"] or 0),
            state=str(row["state"] or ""),
            statement=as_text(row["statement"]) or last.get(number, ""),
            trx_seconds=float(trx["trx_seconds"]) if trx else None,
            rows_changed=int(trx["rows_changed"]) if trx else None,
        )
    return found


def _metadata_waits(session: Session, server: Server, everybody: dict[int, Who]) -> list[Wait]:
    if server.metadata_locks == "performance_schema":
        rows = [row for row in session.rows("metadata_locks") if row["id"]]
        asked = [
            (int(row["id"]), _object(row), mode_name(str(row["mode"])))
            for row in rows if row["pending"]
        ]  # fmt: skip
        found = [
            _wait(number, thing, mode, rows, asked, everybody) for number, thing, mode in asked
        ]
        return [*found, *_other_waits(everybody, [], {number for number, _, _ in asked})]
    waiting = [who for who in everybody.values() if who.state.startswith(locks.WAITING)]
    if server.metadata_locks == "plugin":
        rows = session.rows("metadata_locks")
        tables = [row for row in rows if row["kind"] == "TABLE"]
        found = _by_their_text(waiting, tables, everybody)
        return [*found, *_other_waits(everybody, rows, set())]
    found = [_suspects(who, everybody, server) for who in waiting]
    return [*found, *_other_waits(everybody, [], set())]


def _other_waits(everybody: dict[int, Who], rows: list[Row], known: set[int]) -> list[Wait]:
    """Waits that are told by their state only. ``rows``: MariaDB's held locks, where visible."""
    waiting = [w for w in everybody.values() if w.id not in known and w.state.startswith(_OTHERS)]
    return [
        Wait(METADATA, w.state.replace("Waiting for ", ""), w, "?",
             _held_up_by(w, waiting, everybody, rows))
        for w in waiting
    ]  # fmt: skip


def _held_up_by(
    who: Who, waiting: list[Who], everybody: dict[int, Who], rows: list[Row]
) -> list[Blocker]:
    """A FLUSH waits for whoever works; the others for who has flushed, or for a waiting FLUSH."""
    flushes = bool(_FLUSH.match(who.statement))
    held = {int(row["id"]): mode_name(str(row["mode"])) for row in rows if row["kind"] == "BACKUP"}
    found = [
        Blocker(everybody.get(id, Who(id)), mode)
        for id, mode in held.items()
        if id != who.id and "backup" in who.state and (flushes or _STOPS_WRITERS.search(mode))
    ]
    if found or flushes or who.state == "User lock":
        return found
    before = [w for w in waiting if w.state == who.state and _FLUSH.match(w.statement)]
    return [Blocker(w, "FLUSH", waits_too=True) for w in before]


def _wait(
    number: int, thing: str, mode: str, rows: list[Row], asked: Iterable[tuple[int, str, str]],
    everybody: dict[int, Who],
) -> Wait:  # fmt: skip
    """The wait with those who hold what it waits for; else with those in the queue before it."""
    found: dict[int, Blocker] = {}
    for row in rows:
        holder, held = int(row["id"]), mode_name(str(row["mode"]))
        if row["pending"] or holder == number or _object(row) != thing:
            continue
        if mdlmodes.waits_for(mode, held):
            found.setdefault(holder, Blocker(everybody.get(holder, Who(holder)), held))
    if not found:
        for other, what, wanted in asked:
            strong = wanted in mdlmodes.STRONG or (wanted, mode) == (
                "SHARED",
                "INTENTION_EXCLUSIVE",
            )
            if other != number and what == thing and strong:
                who = everybody.get(other, Who(other))
                found.setdefault(other, Blocker(who, wanted, waits_too=True))
    return Wait(METADATA, thing, everybody.get(number, Who(number)), mode, list(found.values()))


def _by_their_text(waiting: list[Who], rows: list[Row], everybody: dict[int, Who]) -> list[Wait]:
    """MariaDB shows held locks only: what a waiter waits for is in its statement."""
    asked = []
    for who in waiting:
        things = {
            _object(row): _held_by_others(row, who)
            for row in rows
            if who.statement and locks.mentions(who.statement, str(row["name"]))
        }
        thing = next((t for t, theirs in things.items() if theirs), next(iter(things), "?"))
        asked.append((who.id, thing, mdlmodes.likely_mode(who.statement)))
    return [_wait(number, thing, mode, rows, asked, everybody) for number, thing, mode in asked]


def _held_by_others(row: Row, who: Who) -> bool:
    return int(row["id"]) != who.id


def _suspects(who: Who, everybody: dict[int, Who], server: Server) -> Wait:
    """Without any view of metadata locks: transactions older than the wait may be the blocker."""
    waited = who.seconds or 0
    found = [
        Blocker(other, "?", sure=False)
        for other in everybody.values()
        if other.id != who.id
        and not other.state.startswith(locks.WAITING)
        and other.trx_seconds is not None
        and other.trx_seconds >= waited
    ]
    found.sort(key=lambda blocker: -(blocker.who.trx_seconds or 0))
    return Wait(METADATA, "?", who, mdlmodes.likely_mode(who.statement), found[:5])


def _row_waits(session: Session, server: Server, everybody: dict[int, Who]) -> list[Wait]:
    if not server.process or (server.flavour == "mysql" and not server.metadata_locks):
        return []
    found: dict[tuple[int, str, str], list[Blocker]] = {}
    for row in _if_allowed(session, "row_lock_waits"):
        waiter, blocker = int(row["waiter"]), int(row["blocker"])
        key = (waiter, f"{_object(row)} index {row['index_name']}", str(row["mode"]))
        found.setdefault(key, []).append(Blocker(everybody.get(blocker, Who(blocker)), "row lock"))
    return [
        Wait(ROWS, thing, everybody.get(waiter, Who(waiter)), mode, blockers)
        for (waiter, thing, mode), blockers in found.items()
    ]


def _if_allowed(session: Session, name: str) -> list[Row]:
    """Rows of a table that this account may lack although it may read metadata_locks."""
    try:
        return session.rows(name)
    except AccessDenied:
        return []


def _object(row: Row) -> str:
    if row["db"]:
        return f"{row['db']}.{row['name']}" if row["name"] else str(row["db"])
    # MariaDB's row locks name the table quoted: `schema`.`table`
    parts = str(row["name"] or "").strip("`").split("`.`")
    return ".".join(part.replace("``", "`") for part in parts)


def _notes(server: Server) -> list[str]:
    notes = []
    if server.flavour == "mariadb" and not server.metadata_locks:
        notes.append(
            "metadata locks cannot be seen; blockers marked ? are transactions older than the "
            f"wait. An administrator can type, live: {locks.INSTALL_PLUGIN}"
        )
    if server.flavour == "mysql" and not server.performance_schema:
        notes.append("performance_schema is off: metadata and row locks cannot be seen, only waits")
    elif server.flavour == "mysql" and not server.metadata_locks:
        notes.append(
            "metadata locks cannot be seen: this account cannot read performance_schema, or its "
            "instrument wait/lock/metadata/sql/mdl is off: see db.privileges"
        )
    if not server.process:
        notes.append(
            "without PROCESS only this account's own connections are seen, and no transactions "
            "or row locks: see db.privileges"
        )
    return notes
