"""Where request sets wait: lists in Redis, or tables in Matomo's database. Only reads.

A *request set* is what one HTTP request brought: one hit, or a bulk of them. The plugin keeps a
list for each worker: ``trackingQueueV1``, ``trackingQueueV1_1``, … and a lock with a time to
live for each list that is being worked on (``QueuedTrackingLock0``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Optional, Protocol

from matops.errors import MatopsError
from matops.matomo import queue_settings
from matops.matomo.database import Database
from matops.matomo.queue_setup import MYSQL, Setup
from matops.matomo.redis import RedisRefused
from matops.mysql.session import DatabaseError, Row

LOCK = "QueuedTrackingLock"
MOST_COUNTED = 10_000
"""Rows of a table that are counted; of more the numbers' span is told, which is the upper end.
(A row lies with its value, a page holds some ten: a drain counts every second, in every list.)"""
_NO_TABLE = 1146


class Waiting(NamedTuple):
    """One request set: its JSON (it may hold tokens: it stays on the host), its bytes there."""

    text: str
    size: int


class Store(Protocol):
    """One backend. All raise MatopsError where it cannot be reached."""

    where: str

    def lengths(self) -> dict[int, int]:
        """Waiting request sets by list number; lists beyond the workers' only where not empty."""

    def exact(self) -> bool:
        """False where a length is the upper end only."""

    def locks(self) -> dict[int, float]:
        """Lists that a worker has locked: seconds left."""

    def size(self) -> Optional[int]:
        """Bytes that all lists take; None where it does not tell."""

    def head(self, number: int, count: int) -> list[Waiting]:
        """The oldest sets of a list."""

    def tail(self, number: int, count: int) -> list[Waiting]:
        """The newest sets of a list, the newest last."""

    def from_end(self, number: int, place: int) -> Optional[Waiting]:
        """The set that came so many places before the end (1 = the newest), or about there."""


def list_name(number: int) -> str:
    """Pure."""
    return f"{queue_settings.KEY}_{number}" if number else queue_settings.KEY


class RedisStore:
    """Lists in Redis: standalone, or the master that a sentinel names."""

    def __init__(self, setup: Setup) -> None:
        """Raises MatopsError (not reached, a cluster), PrivilegeMissing (password)."""
        if setup.values["useWhatRedisBackendType"] == queue_settings.CLUSTER:
            raise MatopsError(
                "the queue is in a Redis cluster (useWhatRedisBackendType = 3), which is not "
                "supported: its lists lie on several nodes",
                state="Nothing was changed",
                next="look with console queuedtracking:monitor --iterations=1, or let the access "
                "logs carry the outage",
            )
        self._setup = setup
        self.redis = queue_settings.connect(setup.values)
        self.where = f"Redis at {self.redis.shown}"

    def lengths(self) -> dict[int, int]:
        # Lists beyond the workers' are what a lowered numQueueWorkers has left behind.
        numbers = range(max(2 * self._setup.workers, 32))
        found = {number: self.redis.length(list_name(number)) for number in numbers}
        return {n: length for n, length in found.items() if length or n < self._setup.workers}

    def exact(self) -> bool:
        return True

    def locks(self) -> dict[int, float]:
        found = {}
        for number in range(self._setup.workers):
            left = self.redis.ask("PTTL", f"{LOCK}{number}")
            if isinstance(left, int) and left != -2:  # -2: no such key; -1: it never ends
                found[number] = left / 1000 if left >= 0 else 1e9  # JSON has no infinity
        return found

    def size(self) -> Optional[int]:
        total = 0
        try:
            for number in self.lengths():
                used = self.redis.ask("MEMORY", "USAGE", list_name(number), "SAMPLES", "100")
                total += used if isinstance(used, int) else 0
        except RedisRefused:
            return None
        return total

    def head(self, number: int, count: int) -> list[Waiting]:
        return self._range(number, 0, count - 1)

    def tail(self, number: int, count: int) -> list[Waiting]:
        return self._range(number, -count, -1)

    def from_end(self, number: int, place: int) -> Optional[Waiting]:
        return next(iter(self._range(number, -place, -place)), None)

    def _range(self, number: int, first: int, last: int) -> list[Waiting]:
        found = self.redis.ask("LRANGE", list_name(number), str(first), str(last))
        values = found if isinstance(found, list) else []
        return [_unpacked(str(value).encode(errors="surrogateescape")) for value in values]

    def lives(self) -> dict[int, int]:
        """Lists with a time to live (seconds), which the plugin never sets."""
        found = {}
        for number in range(self._setup.workers):
            left = self.redis.ask("TTL", list_name(number))
            if isinstance(left, int) and left >= 0:
                found[number] = left
        return found


class MysqlStore:
    """Tables in Matomo's own database, made by the plugin on first use."""

    def __init__(self, setup: Setup, db: Database) -> None:
        self._setup, self._db = setup, db
        self._exact = True
        self.where = f"tables of database {db.address.schema}"
        self._start = db.table(f"queuedtracking_list_{queue_settings.KEY}")
        self._known: dict[int, str] = {}

    def lengths(self) -> dict[int, int]:
        self._exact = True
        found = dict.fromkeys(range(self._setup.workers), 0)
        for number, table in self.tables().items():
            length = self._length(table)
            if length or number in found:
                found[number] = length
        return found

    def _length(self, table: str) -> int:
        session = self._db.session
        edges = session.rows("queue_edges", list=table)[0]
        if edges["low"] is None:
            return 0
        span = int(edges["high"]) - int(edges["low"]) + 1
        counted = self._counted(table)
        if span <= MOST_COUNTED or counted < MOST_COUNTED:
            return counted
        # Numbers have gaps (Galera's steps, failed inserts): of very many only the upper end.
        self._exact = False
        return span

    def _counted(self, table: str) -> int:
        return int(self._db.session.value("queue_count", (MOST_COUNTED,), list=table))

    def exact(self) -> bool:
        return self._exact

    def locks(self) -> dict[int, float]:
        try:
            rows = self._db.session.rows(
                "queue_locks", (f"{LOCK}%",), locks=self._db.table("queuedtracking_queue")
            )
        except DatabaseError as error:
            if error.number == _NO_TABLE:
                return {}
            raise
        named = {str(row["name"])[len(LOCK) :]: float(row["seconds"]) for row in rows}
        return {int(name): left for name, left in named.items() if name.isdecimal()}

    def size(self) -> Optional[int]:
        return sum(int(row["bytes"] or 0) for row in self._rows())

    def head(self, number: int, count: int) -> list[Waiting]:
        return self._values("queue_head", number, count)

    def tail(self, number: int, count: int) -> list[Waiting]:
        return self._values("queue_tail", number, count)[::-1]

    def from_end(self, number: int, place: int) -> Optional[Waiting]:
        table = self.table(number)
        high = self._db.session.rows("queue_edges", list=table)[0]["high"] if table else None
        if table is None or high is None:
            return None
        rows = self._db.session.rows("queue_at", (int(high) - place + 1,), list=table)
        return _unpacked(rows[0]["value"]) if rows else None

    def _values(self, statement: str, number: int, count: int) -> list[Waiting]:
        table = self.table(number)
        if table is None:
            return []
        rows = self._db.session.rows(statement, (count,), list=table)
        return [_unpacked(row["value"]) for row in rows]

    def table(self, number: int) -> Optional[str]:
        """The table of that list; None where it was never made."""
        return self._known.get(number) or self.tables().get(number)

    def tables(self) -> dict[int, str]:
        """The tables by list number; asked anew: the plugin makes them on first use."""
        found: dict[int, str] = {}
        for row in self._rows():
            rest = str(row["name"])[len(self._start) :]
            if not rest:
                found[0] = str(row["name"])
            elif rest[1:].isdecimal() and rest[0] == "_":
                found[int(rest[1:])] = str(row["name"])
        self._known = found
        return found

    def _rows(self) -> list[Row]:
        pattern = self._start.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
        return self._db.session.rows("queue_tables", (f"{pattern}%",))


def _unpacked(value: object) -> Waiting:
    # PHP's gzcompress is zlib's own format. Older versions of the plugin left it plain in Redis.
    data = value if isinstance(value, bytes) else str(value).encode()
    try:
        return Waiting(zlib.decompress(data).decode(errors="replace"), len(data))
    except zlib.error:
        return Waiting(data.decode(errors="replace"), len(data))


@contextmanager
def _opened(setup: Setup, docroot: str) -> Iterator[Store]:
    if setup.backend == MYSQL:
        with Database(docroot, timeout=60) as db:
            yield MysqlStore(setup, db)
    else:
        store = RedisStore(setup)
        with store.redis:
            yield store


def opened(setup: Setup, docroot: str) -> AbstractContextManager[Store]:
    """The backend of these settings. MatopsError, PrivilegeMissing, DatabaseError."""
    return _opened(setup, docroot)
