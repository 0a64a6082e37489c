"""Looking at a rebuild from a second connection: its state and who waits behind it."""

from __future__ import annotations

import re
import time
from typing import Any, Optional

from matops.mysql.guard import WAITING, Sight, Waiter
from matops.mysql.session import Row, Session


class Watcher:
    """Watches one statement on one table. ``id``: the connection that runs it.

    ``performance_schema``: MySQL's can be read. ``sees_all``: the account sees the connections
    of others (PROCESS).
    """

    def __init__(self, schema: str, table: str, id: int, *,
                 performance_schema: bool, sees_all: bool) -> None:  # fmt: skip
        self.schema, self.table, self.id = schema, table, id
        self._performance_schema = performance_schema
        self._sees_all = sees_all
        self._first: dict[tuple[int, str], float] = {}
        self._last = time.monotonic()
        self.statement = ""
        """What that connection runs now; '' where it runs nothing or is gone."""

    def look(self, session: Session) -> Sight:
        """One or two small queries. Raises DatabaseError, ConnectionCut."""
        plain = session.flavour == "mysql" and not self._performance_schema
        rows = session.rows("rebuild_poll_plain" if plain else "rebuild_poll", (self.id,))
        mine = next((row for row in rows if row["id"] == self.id), None)
        self.statement = str((mine or {}).get("statement") or "")
        others = [r for r in rows if r["id"] != self.id and _waits(r)]
        waiters = self._aged(session, self._of_this_table(session, others))
        state = str((mine or {}).get("state") or "")
        return Sight(time.monotonic(), state, waiters, self._sees_all)

    def _of_this_table(self, session: Session, rows: list[Row]) -> list[Row]:
        if rows and session.flavour == "mysql" and self._performance_schema:
            found = session.rows("rebuild_pending", (self.schema, self.table))
            ids = {row["id"] for row in found}
            return [row for row in rows if row["id"] in ids]
        # MariaDB shows granted locks only: the statement's text is what tells the table.
        return [row for row in rows if names_table(str(row["statement"] or ""), self.table)]

    def _aged(self, session: Session, rows: list[Row]) -> tuple[Waiter, ...]:
        now, first = time.monotonic(), {}
        waiters = []
        for row in rows:
            key = (int(row["id"]), str(row["statement"] or ""))
            # It began to wait at some time after our last look.
            first[key] = self._first.get(key, (now + self._last) / 2)
            age = self._age(session, float(row["seconds"] or 0), now - first[key])
            waiters.append(Waiter(key[0], age, " ".join(key[1].split())[:200]))
        self._first, self._last = first, now
        return tuple(waiters)

    def _age(self, session: Session, server: float, seen: float) -> float:
        # MariaDB counts in milliseconds; MySQL in whole seconds, so it bounds ours only above.
        return max(server, 0.0) if session.flavour == "mariadb" else min(seen, server + 1.0)


def _waits(row: Row) -> bool:
    return str(row["state"] or "").lower().startswith(WAITING)


def names_table(statement: str, table: str) -> bool:
    """May this statement concern the table? True where there is no text to tell."""
    if not statement:
        return True
    quoted = "`" + table.replace("`", "``") + "`"
    return quoted in statement or bool(
        re.search(rf"(?<![\w$]){re.escape(table)}(?![\w$])", statement)
    )


class Progress:
    """How far a rebuild has come: share of the whole (0 to 1), and how full the row log is.

    MySQL tells by stage events; MariaDB by ``Innodb_onlineddl_pct_progress``, which was measured
    to reach 3333 (hundredths of a per cent) when the copy ends, at 80 % of the time, and to fall
    back to 0 after 8317.
    """

    def __init__(self, schema: str, table: str, row_bytes: float, log_bytes: int) -> None:
        self._schema, self._table = schema, table
        self._row_bytes, self._log_bytes = row_bytes, log_bytes
        self._writes: Optional[int] = None
        self.began = time.monotonic()
        self.share = 0.0
        self.by_file = False
        """The new file can be seen: ``grown`` sets the share."""
        self._told: Optional[float] = None
        self.row_log: Optional[float] = None
        """How full the row log is (0 to 1); None where nothing tells. MySQL: estimated."""

    def look(self, session: Session) -> None:
        """Asks the server. Raises DatabaseError where the account may not know."""
        rows = session.rows("rebuild_progress")
        share = mariadb_share(rows) if session.flavour == "mariadb" else mysql_share(rows)
        self._told = share
        if share is not None and not self.by_file:
            self.share = max(self.share, min(share, 0.99))
        if session.flavour == "mariadb":
            used = [float(r["done"]) for r in rows if "ROWLOG" in str(r["stage"]).upper()]
            self.row_log = used[0] / 10000 if used else None
        elif self._log_bytes:
            self._estimate_row_log(session)

    def grown(self, new_bytes: int, predicted: int) -> None:
        """The new file's size: evens out the server's own figure, or stands in for it."""
        if not predicted or not new_bytes:
            return
        file_share = min(0.95 * new_bytes / predicted, 0.95)
        told = self._told
        self.share = max(self.share, file_share if told is None else (told + file_share) / 2)

    @property
    def eta(self) -> Optional[float]:
        """Seconds left, None while it is too early to tell."""
        if self.share < 0.03:
            return None
        elapsed = time.monotonic() - self.began
        return elapsed * (1 - self.share) / self.share

    def _estimate_row_log(self, session: Session) -> None:
        writes = session.value("rebuild_writes", (self._schema, self._table))
        if writes is None:
            return
        self._writes = int(writes) if self._writes is None else self._writes
        self.row_log = (int(writes) - self._writes) * self._row_bytes / self._log_bytes


def mariadb_share(rows: list[dict[str, Any]]) -> Optional[float]:
    """From its status variables; None where it does not tell. Pure."""
    done = [float(r["done"]) for r in rows if "PCT_PROGRESS" in str(r["stage"]).upper()]
    if not done or not done[0]:
        return None
    copied = min(done[0] / 3333, 1.0) * 0.8
    return copied + max(done[0] - 3333, 0.0) / (8317 - 3333) * 0.2


def mysql_share(rows: list[dict[str, Any]]) -> Optional[float]:
    """From its stage events: parallel threads have one each, the furthest one counts. Pure.

    Where the table's statistics are old, the server raises the estimate along with the work
    (both the same, measured): then it does not tell (None).
    """
    furthest = max(rows, key=lambda r: float(r["done"] or 0), default=None)
    if furthest is None or not furthest["estimated"]:
        return None
    if float(furthest["done"]) >= float(furthest["estimated"]):
        # Ahead of its estimate: done, or wrong from the start. Earlier threads tell which.
        shares = [float(r["done"]) / float(r["estimated"]) for r in rows if r["estimated"]]
        return 0.9 if min(shares) < 1 else None
    return float(furthest["done"]) / float(furthest["estimated"])
