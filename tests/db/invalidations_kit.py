"""What the tests of ``invalidations.*`` that change things share: a queue like Matomo's, clients at
work on it, and a session that dies before its n-th change.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pymysql

from matops.mysql import server as facts
from matops.mysql.invalidations import tools as tools_module
from matops.mysql.invalidations.tools import Tools
from matops.mysql.session import Session
from tests.db.servers import Server

PREFIX = "piwik_"
TABLE = PREFIX + "archive_invalidations"
OPTION = PREFIX + "option"

# core/Db/Schema/Mysql.php of Matomo 5.3.1, the same in 5.8.0.
QUEUE = f"""CREATE TABLE {TABLE} (
  idinvalidation BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, idarchive INTEGER UNSIGNED NULL,
  name VARCHAR(255) NOT NULL, idsite INTEGER UNSIGNED NOT NULL, date1 DATE NOT NULL,
  date2 DATE NOT NULL, period TINYINT UNSIGNED NOT NULL, ts_invalidated DATETIME NULL,
  ts_started DATETIME NULL, status TINYINT(1) UNSIGNED DEFAULT 0, `report` VARCHAR(255) NULL,
  processing_host VARCHAR(100) NULL DEFAULT NULL, process_id VARCHAR(15) NULL DEFAULT NULL,
  PRIMARY KEY(idinvalidation), INDEX index_idsite_dates_period_name(idsite, date1, period)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""
NUMERIC = """CREATE TABLE {table} (
  idarchive INTEGER UNSIGNED NOT NULL, name VARCHAR(190) NOT NULL, idsite INTEGER UNSIGNED NULL,
  date1 DATE NULL, date2 DATE NULL, period TINYINT UNSIGNED NULL, ts_archived DATETIME NULL,
  value DOUBLE NULL, PRIMARY KEY(idarchive, name),
  INDEX index_idsite_dates_period(idsite, date1, date2, period, name(6)),
  INDEX index_period_archived(period, ts_archived)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""
_OTHERS = f"""CREATE TABLE {OPTION} (option_name VARCHAR(191) NOT NULL,
  option_value LONGTEXT NOT NULL, autoload TINYINT NOT NULL DEFAULT 1, PRIMARY KEY (option_name),
  INDEX autoload(autoload))
  ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE {PREFIX}site (idsite INTEGER UNSIGNED NOT NULL AUTO_INCREMENT, name VARCHAR(90),
  PRIMARY KEY(idsite)) ENGINE=InnoDB;
INSERT INTO {PREFIX}site VALUES (1, 'one'), (2, 'two'), (3, 'three')"""

Row = tuple[Any, ...]


def make(server: Server, schema: str) -> None:
    """A schema with Matomo's tables that matter here, all empty but for three sites."""
    server.sql(f"DROP DATABASE IF EXISTS {schema}; CREATE DATABASE {schema}")
    server.sql(f"{QUEUE}; {_OTHERS}", schema)


def clean(server: Server, schema: str) -> None:
    """As ``make`` left it, but that the counter goes on."""
    others = [n for n in tables(server, schema) if n not in (TABLE, OPTION, f"{PREFIX}site")]
    made = QUEUE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
    dropped = f"DROP TABLE {', '.join(others)};" if others else ""
    server.sql(f"{dropped} {made}; DELETE FROM {TABLE}; DELETE FROM {OPTION}", schema)


def tables(server: Server, schema: str) -> list[str]:
    """All tables' names."""
    return [str(next(iter(row.values()))) for row in server.sql("SHOW TABLES", schema)]


def fill(server: Server, schema: str, rows: int = 60) -> None:
    """Rows of sites 1–3 and of site 9, which is gone; days of 2026, a month each in ten.

    Row n: site n % 4 (0 = site 9), day 2026-01-01 + 3n % 200 days.
    """
    values = []
    for n in range(rows):
        site = (n % 4) or 9
        day = f"DATE('2026-01-01') + INTERVAL {n * 3 % 200} DAY"
        if n % 10 == 9:
            span = f"DATE_FORMAT({day}, '%Y-%m-01'), LAST_DAY({day}), 3"
        else:
            span = f"{day}, {day}, 1"
        name = "done" if n % 5 else "done.Goals"
        values.append(f"(NULL, '{name}', {site}, {span}, '2026-10-01 00:00:00', 0)")
    insert(server, schema, values)


def insert(server: Server, schema: str, values: list[str]) -> None:
    """Inserts rows: (idarchive, name, idsite, date1, date2, period, ts_invalidated, status)."""
    for at in range(0, len(values), 5000):
        server.sql(
            f"INSERT INTO {TABLE} (idarchive, name, idsite, date1, date2, period, ts_invalidated,"
            f" status) VALUES {', '.join(values[at : at + 5000])}",
            schema,
        )


def rows(server: Server, schema: str, table: str = TABLE, where: str = "TRUE") -> dict[int, Row]:
    """id → (name, idsite, date1, date2, period, report, status)."""
    found = server.sql(
        "SELECT idinvalidation AS id, name, idsite, CAST(date1 AS CHAR) AS a,"
        f" CAST(date2 AS CHAR) AS b, period, report, status FROM {table} WHERE {where}", schema,
    )  # fmt: skip
    return {int(row["id"]): tuple(row.values())[1:] for row in found}


_known: dict[int, facts.Server] = {}


@contextlib.contextmanager
def opened(server: Server, schema: str, **options: Any) -> Iterator[Tools]:
    """The tools, as root."""
    known = _known.get(server.port)
    address = server.address(schema=schema, tcp=False)
    with tools_module.opened(address, PREFIX, known=known, **options) as found:
        _known[server.port] = found.server
        yield found


_CHANGE = re.compile(r"\s*(INSERT|UPDATE|DELETE|CREATE TABLE|ALTER|RENAME|DROP TABLE|COMMIT)")


class Dying(Session):
    """A session whose process is killed (-9) before its n-th changing statement, or COMMIT.

    Before a statement that changes nothing things stand as after the change before it.
    """

    left = 0

    def _cursor(self, text: str, args: Any, doing: str) -> Any:
        if _CHANGE.match(text):
            Dying.left -= 1
            if Dying.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return super()._cursor(text, args, doing)


def dies(work: Callable[[], object], before: int) -> bool:
    """Runs ``work`` in a child of its own that dies before that many changes; did it come so far?

    False: it ended before. AssertionError where it failed otherwise.
    """
    child = os.fork()
    if child == 0:
        code = 0
        try:
            Dying.left = before
            work()
        except BaseException as error:  # the parent shall see that it failed
            os.write(2, f"child: {error!r}\n".encode())
            code = 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


class Clients:
    """Writers that insert, and an archiver that takes and deletes, as Matomo's does.

    ``written``: ids of committed inserts; ``finished``: ids that an archiver deleted (a row was
    there); ``stall``: the longest that one statement took, in seconds.
    """

    def __init__(self, server: Server, schema: str, writers: int = 2, archivers: int = 1) -> None:
        self._server, self._schema = server, schema
        self._stop = threading.Event()
        self.written: list[int] = []
        self.finished: list[int] = []
        self.missed: list[int] = []
        """Ids that an archiver had taken, and whose row was not there when it was done."""
        self.errors: list[str] = []
        self.stall = 0.0
        self._threads = [threading.Thread(target=self._run, args=(self._write,))
                         for _ in range(writers)]  # fmt: skip
        self._threads += [threading.Thread(target=self._run, args=(self._archive,))
                          for _ in range(archivers)]  # fmt: skip

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[[Any], None]) -> None:
        with contextlib.closing(self._server.connect(schema=self._schema)) as connection:
            cursor = connection.cursor()
            while not self._stop.is_set():
                try:
                    work(cursor)
                except pymysql.Error as error:
                    self.errors.append(repr(error))
                time.sleep(0.002)

    def _timed(self, cursor: Any, text: str, *args: Any) -> int:
        began = time.monotonic()
        changed = int(cursor.execute(text, args))
        self.stall = max(self.stall, time.monotonic() - began)
        return changed

    def _write(self, cursor: Any) -> None:
        day = f"2026-{random.randint(1, 9):02}-{random.randint(1, 28):02}"
        self._timed(
            cursor,
            f"INSERT INTO {TABLE} (name, idsite, date1, date2, period, ts_invalidated)"
            " VALUES ('done', %s, %s, %s, 1, UTC_TIMESTAMP())",
            random.randint(1, 3), day, day,
        )  # fmt: skip
        self.written.append(int(cursor.lastrowid))

    def _archive(self, cursor: Any) -> None:
        # QueueConsumer::getNextArchivesToProcess, Model::startArchive, Model::deleteInvalidations.
        self._timed(
            cursor,
            f"SELECT idinvalidation AS id FROM {TABLE} WHERE idsite = %s AND status != 1"
            " ORDER BY date1 DESC, period ASC, CHAR_LENGTH(name) ASC, idinvalidation DESC LIMIT 1",
            random.randint(1, 3),
        )  # fmt: skip
        found = cursor.fetchall()
        if not found:
            return
        taken = int(found[0]["id"])
        if not self._timed(
            cursor,
            f"UPDATE {TABLE} SET status = 1, ts_started = NOW(), processing_host = 'archiver',"
            " process_id = '1' WHERE idinvalidation = %s AND status = 0",
            taken,
        ):
            return
        time.sleep(0.003)
        gone = self._timed(cursor, f"DELETE FROM {TABLE} WHERE idinvalidation IN (%s)", taken)
        (self.finished if gone else self.missed).append(taken)
