"""``python -m tests.bench.optimize [--quick]``: mysqlcheck -o against db.optimize, on real servers.

One large table, 60 % of its rows deleted at random, two writers and a reader at work, and one
transaction that was left open: how long do clients wait, and what for? Then a database of 60
tables of which a third are worth a rebuild. Prints a table, and one JSON object as last line.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from matops.mysql.attempt import Stop
from matops.mysql.choose import MinGain
from matops.mysql.optimize import Optimize
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.session import Address
from matops.mysql.work import Options
from matops.report.tables import table as show
from tests.db import data, servers
from tests.db.servers import Server

BIG = "archive_blob_2026_01"
TOOLS = ("mysqlcheck -o", "db.optimize")
_STALL = 0.2  # seconds: an operation that took longer was stalled


@dataclass(frozen=True)
class Size:
    """How large a bench. ``idle``: seconds that the forgotten transaction stays open;
    ``lock_wait``: lock_wait_timeout of the clients."""

    big_mb: int = 1100
    idle: float = 60.0
    lock_wait: int = 50
    small_mb: int = 40
    tables: int = 60


QUICK = Size(big_mb=100, idle=8.0, lock_wait=6, small_mb=16, tables=12)


@dataclass
class Operation:
    """One client statement, in monotonic seconds."""

    began: float
    ended: float
    failed: bool


class Load:
    """Two writers and a reader with 2 ms of thought, and a sampler of the rebuild's own state."""

    def __init__(self, server: Server, schema: str, table: str, rows: int, lock_wait: int) -> None:
        self._server, self._schema, self._table = server, schema, table
        self._rows, self._lock_wait = rows, lock_wait
        self._stop = threading.Event()
        self.operations: list[list[Operation]] = []
        self.waiting: list[tuple[float, float]] = []
        """When the rebuild itself was waiting for the metadata lock."""
        writer = f"UPDATE `{table}` SET ts_archived = NOW() WHERE idarchive = %s"
        reader = f"SELECT name, LENGTH(value) FROM `{table}` WHERE idarchive = %s"
        self._threads = [
            threading.Thread(target=self._client, args=(sql,)) for sql in (writer, writer, reader)
        ]
        self._threads.append(threading.Thread(target=self._sample))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, sql: str) -> None:
        mine: list[Operation] = []
        self.operations.append(mine)
        with self._server.connect(schema=self._schema) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SET SESSION lock_wait_timeout = {self._lock_wait}")
            while not self._stop.is_set():
                began, failed = time.monotonic(), False
                try:
                    cursor.execute(sql, (random.randint(1, self._rows),))
                    cursor.fetchall()
                except pymysql.Error:
                    failed = True
                mine.append(Operation(began, time.monotonic(), failed))
                time.sleep(0.002)

    def _sample(self) -> None:
        query = (
            "SELECT COUNT(*) AS n FROM information_schema.processlist"
            " WHERE state LIKE 'Waiting for table metadata lock%'"
            f" AND (info LIKE '%ALTER TABLE%' OR info LIKE '%OPTIMIZE%') AND info LIKE '%{BIG}%'"
        )
        with self._server.connect() as connection:
            cursor = connection.cursor()
            last = time.monotonic()
            while not self._stop.is_set():
                cursor.execute(query)
                now = time.monotonic()
                if int(cursor.fetchall()[0]["n"]):
                    self.waiting.append((last, now))
                last = now
                time.sleep(0.02)

    def stalls(self) -> tuple[float, float]:
        """(longest wait for locks, longest wait at the commit) of any one operation, in seconds."""
        locks = commit = 0.0
        for op in (op for client in self.operations for op in client):
            if op.ended - op.began < _STALL:
                continue
            waited = sum(max(min(op.ended, b) - max(op.began, a), 0) for a, b in self.waiting)
            locks = max(locks, waited)
            commit = max(commit, op.ended - op.began - waited)
        return locks, commit

    @property
    def failed(self) -> int:
        """Statements that came back with an error."""
        return sum(op.failed for client in self.operations for op in client)

    @property
    def writes(self) -> int:
        """Writes that were done."""
        return sum(not op.failed for client in self.operations[:2] for op in client)


@dataclass
class Cell:
    """One line of the table. Seconds and bytes."""

    server: str
    case: str
    tool: str
    seconds: float
    before: int
    after: int
    lock_stall: float | None = None
    commit_stall: float | None = None
    failed: int | None = None
    writes: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> tuple[str, ...]:
        """For people."""

        def number(value: float | None, form: str = "{:.2f}") -> str:
            return "" if value is None else form.format(value)

        mb = 2**20
        return (
            self.server, self.case, self.tool, f"{self.seconds:.1f}", number(self.lock_stall),
            number(self.commit_stall), number(self.failed, "{}"), number(self.writes, "{}"),
            f"{self.before // mb} → {self.after // mb}", f"{(self.before - self.after) // mb}",
        )  # fmt: skip


HEADERS = ("server", "case", "tool", "seconds", "lock stall s", "commit stall s",
           "failed", "writes", "size MB", "freed MB")  # fmt: skip


def run_tool(server: Server, tool: str, schema: str, tables: list[str], least: MinGain) -> Any:
    """Runs one tool to its end, as a process of its own; db.optimize's summary."""
    if tool == TOOLS[0]:
        program = "mariadb-check" if server.flavour == "mariadb" else "mysqlcheck"
        words = ["--optimize", schema, *tables]
        done = subprocess.run(server.client(program, *words), capture_output=True, text=True,
                              check=False)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-500:]}")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        asked = {
            "address": dataclasses.asdict(server.address(schema=schema)), "folder": folder,
            "tables": tables, "share": least.share, "size": least.size,
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.bench.optimize", "--child", json.dumps(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"db.optimize: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def child(text: str) -> None:
    """db.optimize itself, in its own process."""
    asked = json.loads(text)
    options = Options(
        tables=tuple(asked["tables"]), least=MinGain(asked["share"], asked["size"]), purge_wait=30
    )
    with OptimizeJournal(asked["folder"], "bench") as journal:
        summary = Optimize(
            Address(**asked["address"]), options, journal, lambda event, **facts: None, Stop()
        ).run()
    error = summary.error()
    print(json.dumps({**summary.data(), "error": error.line() if error else ""}))


class Template:
    """A table's file, put back before each tool: both get the same bytes."""

    def __init__(self, server: Server, schema: str, table: str) -> None:
        self._server, self._schema, self._table = server, schema, table
        self._kept = server.folder / f"{table}.kept"
        self._kept.mkdir(exist_ok=True)
        with server.connect(schema=schema) as connection, connection.cursor() as cursor:
            cursor.execute(f"FLUSH TABLES `{table}` FOR EXPORT")
            for suffix in (".ibd", ".cfg"):
                shutil.copy2(self._folder / (table + suffix), self._kept)
            cursor.execute("UNLOCK TABLES")

    @property
    def _folder(self) -> Path:
        return self._server.datadir / self._schema

    def restore(self) -> None:
        """As it was kept."""
        self._server.sql(f"ALTER TABLE `{self._table}` DISCARD TABLESPACE", self._schema)
        for suffix in (".ibd", ".cfg"):
            target = self._folder / (self._table + suffix)
            shutil.copy2(self._kept / (self._table + suffix), target)
            with contextlib.suppress(PermissionError):
                shutil.chown(target, self._server.datadir.owner(), self._server.datadir.group())
        self._server.sql(f"ALTER TABLE `{self._table}` IMPORT TABLESPACE", self._schema)


def one_big_table(server: Server, size: Size, log: Any) -> list[Cell]:
    """Both tools on the same table, beside the same load and a forgotten transaction."""
    log(f"{server.flavour}: making {size.big_mb} MB, deleting 60 %")
    made = data.make(server, "archive_blob", BIG, size.big_mb, "scattered", 0.6)
    data.wait_purged(server, 300)
    template = Template(server, "matomo", BIG)
    cells = []
    for tool in TOOLS:
        template.restore()
        log(f"{server.flavour}: {tool} beside 2 writers, 1 reader, 1 idle transaction")
        before = data.file_bytes(server, BIG)
        with Load(server, "matomo", BIG, made.rows, size.lock_wait) as load:
            time.sleep(2)
            idle = server.connect(schema="matomo", autocommit=False)
            idle.cursor().execute(f"SELECT 1 FROM `{BIG}` LIMIT 1")
            threading.Timer(size.idle, idle.close).start()
            time.sleep(1)
            began = time.monotonic()
            extra = run_tool(server, tool, "matomo", [BIG], MinGain(0.2, 1 << 20))
            seconds = time.monotonic() - began
        locks, commit = load.stalls()
        cells.append(Cell(
            shown(server), "1 big table", tool, seconds, before, data.file_bytes(server, BIG),
            locks, commit, load.failed, load.writes, extra,
        ))  # fmt: skip
    server.sql(f"DROP TABLE `{BIG}`", "matomo")
    return cells


def many_tables(server: Server, size: Size, log: Any) -> list[Cell]:
    """A database of which a third is worth it; the same bytes for each tool."""
    schema = "bench_many"
    log(f"{server.flavour}: making {size.tables} tables of {size.small_mb} MB, a third hollow")
    server.sql(f"DROP DATABASE IF EXISTS {schema}; CREATE DATABASE {schema}")
    names = [f"archive_blob_20{20 + n // 12}_{n % 12 + 1:02}" for n in range(size.tables)]
    for n, name in enumerate(names):
        deletes = "scattered" if n % 3 == 0 else "none"
        data.make(server, "archive_blob", name, size.small_mb, deletes, 0.6, schema)
        if deletes == "none":  # filling a table leaves gaps, too: these shall have none
            server.sql(f"OPTIMIZE TABLE `{name}`", schema)
    data.wait_purged(server, 300)
    templates = [Template(server, schema, name) for name in names]
    cells = []
    for tool in TOOLS:
        for template in templates:
            template.restore()
        log(f"{server.flavour}: {tool} on {size.tables} tables")
        before = sum(data.file_bytes(server, name, schema) for name in names)
        began = time.monotonic()
        extra = run_tool(server, tool, schema, names, MinGain(0.2, 1 << 20))
        seconds = time.monotonic() - began
        after = sum(data.file_bytes(server, name, schema) for name in names)
        cells.append(Cell(shown(server), f"{size.tables} tables", tool, seconds, before, after,
                          extra=extra))  # fmt: skip
    server.sql(f"DROP DATABASE {schema}")
    return cells


def shown(server: Server) -> str:
    """``MariaDB 10.11.19``."""
    name = "MariaDB" if server.flavour == "mariadb" else "MySQL"
    return f"{name} {server.version.split('-')[0]}"


def verdicts(cells: list[Cell]) -> dict[str, Any]:
    """What the bench is judged by, per server."""
    found: dict[str, Any] = {}
    for server in sorted({cell.server for cell in cells}):
        mine = [cell for cell in cells if cell.server == server]
        old, new = (next(c for c in mine if c.case == "1 big table" and c.tool == t) for t in TOOLS)
        many_old, many_new = (next(c for c in mine if c.case != "1 big table" and c.tool == t)
                              for t in TOOLS)  # fmt: skip
        found[server] = {
            "lock_stall": [round(old.lock_stall or 0, 2), round(new.lock_stall or 0, 2)],
            "commit_stall": [round(old.commit_stall or 0, 2), round(new.commit_stall or 0, 2)],
            "failed": [old.failed, new.failed],
            "writes": [old.writes, new.writes],
            "seconds": [round(old.seconds, 1), round(new.seconds, 1)],
            "freed_mb": [(c.before - c.after) >> 20 for c in (old, new)],
            "many_time_ratio": round(many_new.seconds / many_old.seconds, 2),
            "many_bytes_ratio": round(
                (many_new.before - many_new.after) / max(many_old.before - many_old.after, 1), 3
            ),
        }
    return found


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.optimize", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller tables, below 3 minutes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--server", choices=("mariadb", "mysql"), action="append")
    asked = parser.parse_args()
    if asked.child:
        child(asked.child)
        return
    size = QUICK if asked.quick else Size()

    def log(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    cells: list[Cell] = []
    for flavour in asked.server or ("mariadb", "mysql"):
        options = {"innodb_buffer_pool_size": "512M"}
        with servers.start(flavour, options=options) as server:
            cells += one_big_table(server, size, log)
            cells += many_tables(server, size, log)
    print(show(HEADERS, [cell.row for cell in cells]))
    print(json.dumps({"bench": "optimize", "quick": asked.quick, "servers": verdicts(cells)}))


if __name__ == "__main__":
    main()
