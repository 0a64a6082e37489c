"""Where an optimize run gets its facts from: tables, their files, estimates, lock holders."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Optional

from matops.mysql import filenames, fragmentation, idle, locks
from matops.mysql.filenames import File
from matops.mysql.guard import Policy
from matops.mysql.server import Server
from matops.mysql.session import DatabaseError, Session


@dataclass(frozen=True)
class Entry:
    """One name of the schema. ``file_bytes`` None = cannot be seen by this account."""

    name: str
    engine: str
    file_bytes: Optional[int] = None
    shared_space: bool = False
    """InnoDB, but not in a file of its own."""


class Sources:
    """The facts of one server and schema. All raise DatabaseError."""

    def __init__(self, schema: str, server: Server) -> None:
        self.schema, self.server = schema, server
        self._files: dict[str, list[File]] = {}

    def entries(self, session: Session) -> list[Entry]:
        """Everything in the schema, views too; two or three statements for all of it."""
        self._files = filenames.files_of(session, self.server, self.schema)
        return [
            self._entry(str(row["name"]), str(row["engine"] or ""))
            for row in session.rows("optimize_tables", (self.schema,))
        ]

    def _entry(self, name: str, engine: str) -> Entry:
        if engine.lower() != "innodb":
            return Entry(name, engine)
        files = self._of(name)
        if files:
            return Entry(name, engine, sum(file.bytes for file in files))
        # Where all files are listed and it has none, it is in somebody else's. A name that is
        # not ASCII may only be spelt in another way.
        return Entry(name, engine, None, self.server.process and name.isascii())

    def _of(self, name: str) -> list[File]:
        found = filenames.lookup(self._files, name)
        return found or filenames.guess(self.server, self.schema, name)

    def estimate(self, session: Session, table: str) -> fragmentation.Estimate:
        """What a rebuild would free."""
        files = self._of(table) or None
        return fragmentation.estimate(session, self.server, table, schema=self.schema, files=files)

    def file_bytes(self, session: Session, table: str) -> Optional[int]:
        """The size of the table's files now; where they cannot be seen, what the server says
        that it owns."""
        found = filenames.files_of(session, self.server, self.schema, table)
        files = filenames.lookup(found, table) or filenames.guess(self.server, self.schema, table)
        if files:
            return sum(file.bytes for file in files)
        rows = session.rows("table_shape", (self.schema, table))
        keys = ("data_bytes", "index_bytes", "free_bytes")
        return sum(int(rows[0][key] or 0) for key in keys) if rows else None

    def held(self, session: Session, table: str, older: float, own: int = 0) -> Optional[list[str]]:
        """Who has held the table for so many seconds; None where nothing tells."""
        if not locks.visible(self.server):
            return None
        found = locks.holders(session, self.server, self.schema, table, own)
        return [idle.name(holder) for holder in found if idle.age(holder) >= older]

    def end_idle(self, session: Session, table: str, own: int, policy: Policy) -> list[str]:
        """Ends idle transactions that hold the table; what was done."""
        return idle.end(session, self.server, table, own, policy, self._last)

    def _last(self, session: Session, id: int) -> str:
        with contextlib.suppress(DatabaseError):
            return " ".join(str(session.value("last_statement", (id,)) or "").split())
        return ""
