"""Looking at somebody else's schema changes: which connection, how far, who holds it up.

The update is Matomo's own process, on a connection that is not ours. It is known by the port of
its socket, else by the text of its statement. Nothing here ever ends it: a killed statement *is*
a failed migration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.mysql import lockpicture
from matops.mysql.lockpicture import Who
from matops.mysql.locks import as_text
from matops.mysql.server import Server
from matops.mysql.session import Session
from matops.units import show_duration

_CHANGES = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*(ALTER|CREATE|DROP|RENAME|TRUNCATE|OPTIMIZE)\b", re.IGNORECASE | re.DOTALL
)
_OURS = re.compile(r"\s*/\* matops")
"""Statements of db.optimize and migrate.ahead carry such a tag."""


@dataclass(frozen=True)
class Connection:
    """One busy connection. ``seconds`` in its present statement; ``share`` (0 to 1) as the server
    tells it, None where it does not."""

    id: int
    user: str
    host: str
    db: str
    command: str
    seconds: float
    state: str
    statement: str
    share: Optional[float] = None

    @property
    def waits(self) -> bool:
        """It waits for a lock, not for the disk."""
        return self.state.lower().startswith("waiting for")

    @property
    def words(self) -> str:
        """``connection 7 (matomo@web1:40112), since 12 s: ALTER TABLE …``."""
        text = " ".join(self.statement.split())[:160]
        since = show_duration(self.seconds)
        how = [self.state.lower()] if self.waits else []
        how += [f"{100 * self.share:.0f} %"] if self.share else []
        state = f" ({', '.join(how)})" if how else ""
        return f"connection {self.id} ({self.user}@{self.host}), since {since}{state}: {text}"


def connections(session: Session) -> list[Connection]:
    """Every busy one that this account sees. One statement. DatabaseError."""
    return [_connection(row) for row in session.rows("update_connections")]


def _connection(row: dict[str, Any]) -> Connection:
    stages, stage = int(row["stages"] or 0), int(row["stage"] or 0)
    share = None
    if stages:
        share = max(stage - 1 + float(row["progress"] or 0) / 100, 0.0) / stages
    return Connection(
        int(row["id"]), str(row["user"] or ""), str(row["host"] or ""), str(row["db"] or ""),
        str(row["command"] or ""), max(float(row["seconds"] or 0), 0.0), str(row["state"] or ""),
        as_text(row["statement"]), share,
    )  # fmt: skip


def schema_changes(seen: Sequence[Connection], schema: str) -> list[Connection]:
    """Those that change the shape of tables of this schema now, but for our own. Pure."""
    return [
        one
        for one in seen
        if one.db == schema and _CHANGES.match(one.statement) and not _OURS.match(one.statement)
    ]


def find(
    seen: Sequence[Connection], ports: Collection[int], statement: str, user: str
) -> Optional[Connection]:
    """The update's own connection, if it is busy: by its port, else by its statement. Pure.

    ``ports``: local ports of its process's sockets; a proxy shows others, a unix socket none.
    """
    mine, wanted = [one for one in seen if one.user == user], squeezed(statement)
    here = [one for one in mine if _port(one) in ports]
    same = [one for one in mine if wanted and _same(squeezed(one.statement), wanted)]
    # Another web server's connection may by chance come from the same port.
    both = [one for one in here if one in same]
    return next((found[0] for found in (both, same, here) if len(found) == 1), None)


def _port(one: Connection) -> int:
    port = one.host.rpartition(":")[2]
    return int(port) if port.isdigit() else 0


def _same(running: str, wanted: str) -> bool:
    # The server's text is cut after some thousand characters.
    return running == wanted or (len(running) >= 1000 and wanted.startswith(running[:1000]))


def squeezed(statement: str) -> str:
    """A statement's text for comparing: one blank between words, no semicolon. Pure."""
    return " ".join(statement.split()).rstrip("; ")


@dataclass(frozen=True)
class Blocked:
    """Our statement waits. ``by``: who holds it up, in words; ``idle``: one of them runs nothing;
    ``behind``: how many others wait for it in turn."""

    object: str
    kind: str
    seconds: float
    by: tuple[str, ...] = ()
    idle: bool = False
    behind: int = 0
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table's name without its schema; '' where it is not known."""
        name = self.object.partition(" index ")[0].rpartition(".")[2]
        return "" if name == "?" else name

    @property
    def words(self) -> str:
        """One line for the operator."""
        what = "a metadata lock" if self.kind == lockpicture.METADATA else "a row lock"
        where = f" on {self.object}" if self.object != "?" else ""
        by = "; ".join(self.by) if self.by else "who holds it cannot be seen"
        behind = f"; {self.behind} others wait behind it" if self.behind else ""
        notes = f" ({'; '.join(self.notes)})" if self.notes and not self.by else ""
        return f"waits for {what}{where} since {show_duration(self.seconds)}: {by}{behind}{notes}"


def blocked(session: Session, server: Server, own: int, table: str = "") -> Optional[Blocked]:
    """Who holds up connection ``own``; None where it waits for nobody. ``table``: what its
    statement names, where the server does not tell. Some statements, milliseconds. DatabaseError.
    """
    picture = lockpicture.look(session, server)
    wait = next((one for one in picture.waits if one.who.id == own), None)
    if wait is None:
        return None
    behind = [one for one in picture.waits if any(b.who.id == own for b in one.blockers)]
    return Blocked(
        object=wait.object if wait.object != "?" or not table else table,
        kind=wait.kind,
        seconds=wait.who.seconds or 0.0,
        by=tuple(f"{'' if b.sure else 'perhaps '}{_who(b.who)}" for b in wait.blockers[:5]),
        idle=any(b.sure and b.who.command == "Sleep" for b in wait.blockers),
        behind=len(behind),
        notes=tuple(picture.notes),
    )


def _who(who: Who) -> str:
    idle = who.command == "Sleep"
    since = show_duration(who.seconds)
    words = [f"connection {who.id} ({who.user}@{who.host})"]
    words.append(f"idle {since}" if idle else f"{who.command.lower() or 'busy'} since {since}")
    if who.trx_seconds is not None:
        words.append(f"its transaction open for {show_duration(who.trx_seconds)}")
    if who.rows_changed:
        words.append(f"{who.rows_changed} rows changed")
    if who.statement:
        lead = "last statement: " if idle else "running "
        words.append(f"{lead}{who.statement[:120]}")
    return ", ".join(words)
