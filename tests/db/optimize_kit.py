"""What the tests of ``db.optimize`` share: a run with its events, clients, blockers, a proxy.

``python -m tests.db.optimize_kit`` is a run in a process of its own, for tests that kill it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, ClassVar, Optional

import pymysql

from matops.errors import MatopsError
from matops.mysql.attempt import Stop
from matops.mysql.choose import MinGain
from matops.mysql.optimize import Optimize
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.session import Address
from matops.mysql.summary import Result, Summary
from matops.mysql.work import Options
from matops.tasks.db_optimize import journal_name
from tests.db.servers import Server

EVERYTHING = MinGain(0.0, 0)
SCHEMA = "matomo"


@dataclass
class Run:
    """One optimize run: ``events`` as (name, facts)."""

    address: Address
    folder: Path
    stop: Stop = field(default_factory=Stop)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    summary: Optional[Summary] = None
    on_event: Callable[[str, dict[str, Any]], None] = lambda event, facts: None

    def tell(self, event: str, **facts: Any) -> None:
        """Keeps the event."""
        self.events.append((event, facts))
        self.on_event(event, facts)

    def go(self, *tables: str, **options: Any) -> Summary:
        """Optimizes these tables, whatever they gain."""
        chosen = Options(tables=tables, least=EVERYTHING, purge_wait=0, reserve=1 << 20)
        with OptimizeJournal(str(self.folder), journal_name(self.address)) as journal:
            optimize = Optimize(
                self.address, replace(chosen, **options), journal, self.tell, self.stop
            )
            self.summary = optimize.run()
        return self.summary

    def result(self, table: str) -> Result:
        """Of one table."""
        assert self.summary is not None
        return next(r for r in self.summary.results if r.choice.table == table)

    def names(self) -> list[str]:
        """The events' names, in order."""
        return [event for event, _ in self.events]

    def journal(self) -> list[dict[str, Any]]:
        """Its lines."""
        path = self.folder / f"{journal_name(self.address)}.jsonl"
        return [json.loads(x) for x in path.read_text().splitlines()]


def wait_for(condition: Callable[[], Any], seconds: float = 30.0, what: str = "it") -> Any:
    """Until the condition holds; AssertionError after so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen in {seconds} s")


def state_of_rebuild(server: Server) -> str:
    """The state of the tagged statement, '' where none runs."""
    rows = server.peek(
        "SELECT state AS s FROM information_schema.processlist"
        " WHERE info LIKE '/* matops.optimize %'"
    )
    return str(rows[0]["s"] or "") if rows else ""


def copying(server: Server) -> bool:
    """Is a rebuild in its copy?"""
    state = state_of_rebuild(server).lower()
    return state.startswith(("altering table", "alter table ("))


class Idle:
    """A client with an open transaction that has read the table, and sits there.

    ``when``: it is connected, and reads as soon as that is so: a copy may be short.
    """

    _all: ClassVar[list[Idle]] = []

    def __init__(
        self, server: Server, table: str, statement: str = "",
        when: Callable[[], Any] = lambda: True,
    ) -> None:  # fmt: skip
        self.connection: Any = server.connect(schema=SCHEMA, autocommit=False)
        self._all.append(self)
        self.id = self.connection.thread_id()
        with self.connection.cursor() as cursor:
            wait_for(when, 30, "what it waits for")
            cursor.execute(statement or f"SELECT 1 FROM `{table}` LIMIT 1")
            cursor.fetchall()

    def end(self) -> None:
        """Commits and leaves."""
        with contextlib.suppress(pymysql.Error):
            self.connection.rollback()
            self.connection.close()

    @classmethod
    def end_all(cls) -> None:
        """What a failed test left: its read views would keep purge waiting in all tests to come."""
        while cls._all:
            cls._all.pop().end()

    def alive(self) -> bool:
        """Is its connection still there?"""
        try:
            self.connection.ping(reconnect=False)
        except pymysql.Error:
            return False
        return True


class Clients:
    """Readers and writers of one table at work, and how long they had to wait."""

    def __init__(self, server: Server, table: str, think: float = 0.003) -> None:
        self._server, self._table, self._think = server, table, think
        self._stop = threading.Event()
        self.longest = 0.0
        self.failed = 0
        self.done = 0
        work = [
            f"SELECT COUNT(*) FROM `{table}` WHERE idarchive = 7",
            f"UPDATE `{table}` SET ts_archived = NOW() WHERE idarchive = 11",
        ]
        self._threads = [threading.Thread(target=self._run, args=(sql,)) for sql in work]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, sql: str) -> None:
        with self._server.connect(schema=SCHEMA) as connection:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    with connection.cursor() as cursor:
                        cursor.execute(sql)
                        cursor.fetchall()
                    self.done += 1
                except pymysql.Error:
                    self.failed += 1
                self.longest = max(self.longest, time.monotonic() - began)
                time.sleep(self._think)


class Proxy:
    """A link to the server that can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            # Not close(): the other direction's thread still reads, and would keep it open.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Every connection that there is now; new ones are let through."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        """For good."""
        self._listener.close()
        self.cut()


@contextlib.contextmanager
def later(seconds: float, action: Callable[[], Any]) -> Iterator[None]:
    """Does something in a while, beside the test."""
    timer = threading.Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def beside(action: Callable[[], Any]) -> threading.Thread:
    """Does something beside the test, from now on."""
    thread = threading.Thread(target=action)
    thread.start()
    return thread


FLAGS: dict[str, Any] = {
    "tables": "", "family": "", "all": False, "min_gain": "0", "until": "", "for_": "",
    "statement": "alter", "on_block": "abort", "commit_wait": "10s", "idle": "10s",
    "patience": "10m", "allow_blocking": False, "one_partition_at_a_time": False, "galera": "",
    "binlog": "auto", "free_space": "", "replicas": "", "max_lag": "60s", "max_load": "",
    "max_history": "0", "critical_load": "", "purge_wait": "0", "json_lines": "", "quiet": False,
    "dry_run": False,
}  # fmt: skip
"""The task's flags, as the tests want them when they say nothing else."""


def main() -> None:
    """``python -m tests.db.optimize_kit '{"address": {…}, "folder": …, "flags": {…}}'``: what the
    task does once it knows the database."""
    from invoke import Context

    from matops.tasks import db_optimize, optimize_flags
    from matops.tasks.desk import Desk

    asked = json.loads(sys.argv[1])
    flags = {**FLAGS, **asked["flags"]}
    try:
        db_optimize.run_here(
            Desk(Context(), json=asked.get("json", False)), Address(**asked["address"]), "", True,
            asked["folder"], optimize_flags.parse(flags), quiet=flags["quiet"],
            json_lines=flags["json_lines"],
        )  # fmt: skip
    except MatopsError as error:
        print(error.line(), file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
