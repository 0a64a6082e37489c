"""A second connection that watches an update from beside it, through restarts of the server.

It holds the lock of guarded ALTERs (``monitor``), so that neither db.optimize nor migrate.ahead
works on the schema meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Optional

from matops.mysql import ddl, locks, space, update_watch
from matops.mysql import server as servers
from matops.mysql.guard import Policy
from matops.mysql.monitor import Monitor
from matops.mysql.server import Server
from matops.mysql.session import DatabaseError, Session
from matops.mysql.sources import Sources
from matops.mysql.update_watch import Blocked, Connection
from matops.mysql.watch import Progress

_SLOW = 5.0  # seconds between two looks at the share and the files


@dataclass(frozen=True)
class Sight:
    """One look. ``connection`` None: the update's is idle, or not seen. ``share`` 0 to 1; ``eta``
    in seconds; None = the server does not tell. ``rows``: changed by its transaction."""

    connection: Optional[Connection] = None
    blocked: Optional[Blocked] = None
    share: Optional[float] = None
    eta: Optional[float] = None
    rows: Optional[int] = None


class Eyes:
    """``user``: the account that the update uses. Use inside ``Monitor``'s context."""

    def __init__(self, monitor: Monitor, server: Server, schema: str, user: str) -> None:
        self._monitor, self._server = monitor, server
        self._schema, self._user = schema, user
        self._sources = Sources(schema, server)
        self._statement = ""
        self._table = ""
        self._progress: Optional[Progress] = None
        self._predicted = 0
        self._slow_at = 0.0
        self._sight = Sight()

    def look(self, statement: str, ports: Collection[int]) -> Optional[Sight]:
        """``statement``: what the update says that it executes. None while the server is away.
        Raises what the server refuses (DatabaseError)."""
        if statement != self._statement:
            self._begin(statement)
        seen = self._monitor.ask(update_watch.connections)
        if seen is None:
            return None
        mine = update_watch.find(seen, ports, statement, self._user)
        if mine is None:
            return Sight()
        table = self._table
        blocked = None
        if mine.waits:
            blocked = self._monitor.ask(
                lambda s: (update_watch.blocked(s, self._server, mine.id, table),)
            )
        self._slowly(mine)
        share = self._sight.share if self._sight.share is not None else mine.share
        eta = self._sight.eta
        if eta is None and share and share > 0.03:
            eta = mine.seconds * (1 - share) / share
        return Sight(mine, blocked[0] if blocked else None, share, eta, self._sight.rows)

    def _begin(self, statement: str) -> None:
        self._statement, self._sight, self._slow_at, self._predicted = statement, Sight(), 0.0, 0
        with contextlib.suppress(ValueError, IndexError):
            found = ddl.read(statement) if statement else []
            self._table = found[0].table if found else ""
        alter = bool(self._table) and statement.lstrip()[:5].upper() == "ALTER"
        self._progress = Progress(self._schema, self._table, 0.0, 0) if alter else None

    def _slowly(self, mine: Connection) -> None:
        """What costs more than a look at the process list: every few seconds."""
        now = time.monotonic()
        if now - self._slow_at < _SLOW:
            return
        self._slow_at = now
        rows = None
        if self._server.process:
            with contextlib.suppress(DatabaseError):
                found = self._monitor.ask(lambda s: s.rows("transactions")) or []
                rows = next(
                    (int(r["rows_changed"]) for r in found if int(r["id"]) == mine.id), None
                )
        share = eta = None
        if self._progress is not None and not mine.waits:
            share, eta = self._measured(self._progress)
        self._sight = Sight(None, None, share, eta, rows)

    def _measured(self, progress: Progress) -> tuple[Optional[float], Optional[float]]:
        with contextlib.suppress(DatabaseError):  # what the account may not know
            self._monitor.ask(progress.look)
        grown = space.new_file_bytes(self._server, self._schema) if self._server.is_here else 0
        if grown and not self._predicted:
            table = self._table
            with contextlib.suppress(DatabaseError):
                found = self._monitor.ask(lambda s: (self._sources.file_bytes(s, table),))
                self._predicted = (found and found[0]) or 0
        progress.by_file = progress.by_file or bool(grown and self._predicted)
        progress.grown(grown, self._predicted)
        return (progress.share or None), progress.eta

    # --- what stands in the way ----------------------------------------------------------------

    def end_idle(self, own: int, table: str, policy: Policy) -> list[str]:
        """Ends idle transactions that hold ``table``; what was done, in words. Never ``own``."""
        done = self._monitor.ask(lambda s: self._sources.end_idle(s, table, own, policy))
        return done or []

    def why_blind(self) -> str:
        """Why idle blockers cannot be told from others by this account; '' where they can."""
        if not locks.visible(self._server):
            if self._server.flavour == "mariadb":
                return f"metadata locks cannot be seen: {locks.INSTALL_PLUGIN} (root, on the fly)"
            return "performance_schema's metadata_locks cannot be read: db.privileges, --login root"
        if not self._server.process:
            return "this account lacks PROCESS: whose transactions are old cannot be told; --login"
        return ""

    def changes(self) -> Optional[list[Connection]]:
        """Schema changes that the server still works on; None while it is away."""
        seen = self._monitor.ask(update_watch.connections)
        return None if seen is None else update_watch.schema_changes(seen, self._schema)

    def low_disk(self) -> Optional[int]:
        """Bytes free where the database keeps its files, if that is less than stays in reserve."""
        room = space.look(self._server, self._server.is_here)
        return room.data if room and room.data < space.RESERVE else None


def server_of(monitor: Monitor) -> Server:
    """What the server is, asked over the monitor's connection. ConnectionCut, DatabaseError."""

    def ask(session: Session) -> Server:
        if session.flavour == "mysql":
            with contextlib.suppress(DatabaseError):
                session.execute("stages_enable")  # else an ALTER's share is not told
        return servers.look(session)

    return monitor.must(ask)
