"""Looking at a rebuild from a second connection: its state and who waits behind it."""

from __future__ import annotations

import re
import time
from typing import Any, Optional

from matops.mysql.guard import WAITING, Sight, Waiter
from matops.mysql.session import Row, Session

_CUT = 400  # characters of a statement that rebuild_poll brings
_FLUSHED = "waiting for table flush"
_SERVER_WIDE = (
    "waiting for global read lock",
    "waiting for backup lock",
    "waiting for commit lock",
)
_FLUSH = re.compile(r"\s*(?:/\*.*?\*/\s*)*(?:FLUSH|BACKUP|LOCK)\b", re.IGNORECASE | re.DOTALL)


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
        name = self.table.replace("`", "``")
        rows = session.rows("rebuild_poll_plain" if plain else "rebuild_poll", (name, self.id))
        mine = next((row for row in rows if row["id"] == self.id), None)
        self.statement = str((mine or {}).get("statement") or "")
        others = [r for r in rows if r["id"] != self.id and _waits(r)]
        state = str((mine or {}).get("state") or "")
        waiting = self._of_this_table(session, others)
        flush, behind = (
            ("", []) if state.lower().startswith("waiting") else self._behind(session, rows)
        )
        aged = self._aged(session, [*waiting, *behind])
        cut = len(waiting)
        return Sight(
            time.monotonic(), state, aged[:cut], self._sees_all, behind=aged[cut:], flush=flush
        )

    def _behind(self, session: Session, rows: list[Row]) -> tuple[str, list[Row]]:
        """(the FLUSH in words, its victims): somebody's FLUSH waits for us, clients wait for it.

        Measured: FLUSH TABLES WITH READ LOCK (every backup that wants a position) waits for the
        whole ALTER, and all writers of the server behind it; on MySQL a plain FLUSH TABLES stops
        every client of the table.
        """
        mysql = session.flavour == "mysql"
        found = [r for r in rows if r["id"] != self.id and self._is_behind(r, mysql)]
        flushes = [r for r in found if _FLUSH.match(str(r["statement"] or ""))]
        if self._sees_all and not flushes:
            # Not for us: who has got the lock already (a backup's last stage) keeps them.
            found = [r for r in found if _state(r).startswith(_FLUSHED)]
        by = next(
            (f"{_short(r)} (connection {r['id']}, {r['user']}@{r['host']})" for r in flushes), ""
        )
        return by, [r for r in found if r not in flushes]

    def _is_behind(self, row: Row, mysql: bool) -> bool:
        state = _state(row)
        if state.startswith(_FLUSHED):
            return self._names(row) or bool(_FLUSH.match(str(row["statement"] or "")))
        # MySQL's backup lock stops DDL only.
        return state.startswith(_SERVER_WIDE) and not (mysql and "backup" in state)

    def _of_this_table(self, session: Session, rows: list[Row]) -> list[Row]:
        if rows and session.flavour == "mysql" and self._performance_schema:
            found = session.rows("rebuild_pending", (self.schema, self.table))
            ids = {row["id"] for row in found}
            return [row for row in rows if row["id"] in ids]
        # MariaDB shows granted locks only: the statement's text is what tells the table.
        return [row for row in rows if self._names(row)]

    def _names(self, row: Row) -> bool:
        text = str(row["statement"] or "")
        # Reports name their table behind a page of expressions: the server looked at all of it.
        return names_table(text, self.table) or (len(text) >= _CUT and bool(row["mentions"]))

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


def _state(row: Row) -> str:
    return str(row["state"] or "").lower()


def _waits(row: Row) -> bool:
    return _state(row).startswith(WAITING)


def _short(row: Row) -> str:
    return " ".join(str(row["statement"] or "").split())[:60]


def names_table(statement: str, table: str) -> bool:
    """May this statement concern the table? True where there is no text to tell."""
    if not statement:
        return True
    quoted = "`" + table.replace("`", "``") + "`"
    # Case does not tell tables apart where lower_case_table_names is on.
    return quoted.lower() in statement.lower() or bool(
        re.search(rf"(?<![\w$]){re.escape(table)}(?![\w$])", statement, re.IGNORECASE)
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
