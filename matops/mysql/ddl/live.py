"""What an empty copy cannot know of a live table: asked of the server's dictionary, SELECT only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from matops.mysql.ddl import clauses
from matops.mysql.ddl.reading import Statement
from matops.mysql.server import version_of
from matops.mysql.session import ConnectionCut, DatabaseError, Session

NEAR = 4
"""So close to the limit of row versions it is told."""

_VERSIONED = frozenset((clauses.ADD_COLUMN, clauses.DROP_COLUMN, clauses.MODIFY, clauses.CHANGE))


@dataclass
class Limits:
    """Answers about the tables of one live schema, each asked once."""

    session: Session
    schema: str
    _known: dict[str, Optional[int]] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """Instant column changes that a table can take before it must be rebuilt.

        64 since MySQL 8.0.29, 255 since 9.1 (release notes; error 4092 beyond).
        """
        return 255 if version_of(self.session.version_text) >= (9, 1) else 64

    def versions(self, table: str) -> Optional[int]:
        """Row versions that the table has; None where that cannot be seen, or does not matter."""
        if self.session.flavour != "mysql":
            return None
        if table not in self._known:
            self._known[table] = self._ask(table)
        return self._known[table]

    def _ask(self, table: str) -> Optional[int]:
        try:
            found = self.session.value("ddl_versions", (f"{self.schema}/{table}",))
        except ConnectionCut:
            raise
        except DatabaseError:  # no PROCESS, or older than 8.0.29
            return None
        return None if found is None else int(found)

    def no_instant(self, statement: Statement) -> tuple[str, str]:
        """(why it is not instant on the live table, or ''; a note, or '')."""
        changed = [c for c in statement.changes if c.kind in _VERSIONED]
        if self.session.flavour != "mysql" or not changed:
            return "", ""
        seen = self.versions(statement.table)
        if seen is None:
            return "", (
                "instant unless the live table has used up its row versions, which this account "
                "cannot see (PROCESS)"
            )
        if seen + 1 > self.most:
            return (f"the live table has {seen} row versions of {self.most}: it is rebuilt "
                    "this time"), ""  # fmt: skip
        if seen + NEAR > self.most:
            return "", f"the live table has {seen} row versions of {self.most}"
        return "", ""
