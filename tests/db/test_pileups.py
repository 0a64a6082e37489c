"""Pile-ups that do not look like one: behind a FLUSH, a backup, a long statement."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from matops.mysql import server as servers
from matops.mysql.guard import Policy
from matops.mysql.rebuild import Ended
from matops.mysql.session import Session
from matops.mysql.watch import Watcher
from tests.db import data
from tests.db.optimize_kit import SCHEMA, Idle, Run, beside, copying, state_of_rebuild, wait_for
from tests.db.pulse import Pulse
from tests.db.servers import Server

TABLE = "pileup"
WRITE = f"UPDATE {TABLE} SET ts_archived = NOW() WHERE idarchive = 11"


def prepared(server: Server, folder: Path) -> Run:
    """On a table whose copy takes a second or two."""
    if not server.sql(f"SHOW TABLES LIKE '{TABLE}'", SCHEMA):
        data.make(server, "archive_blob", TABLE, {"mariadb": 150, "mysql": 40}[server.flavour])
    return Run(server.address(schema=SCHEMA), folder)


class Victim:
    """A client with one statement, beside the test: ``seconds`` it took."""

    def __init__(self, server: Server, statement: str, autocommit: bool = True) -> None:
        self._connection: Any = server.connect(schema=SCHEMA, autocommit=autocommit)
        self._statement = statement
        self.seconds = 0.0
        self.thread = beside(self._work)

    def _work(self) -> None:
        began = time.monotonic()
        with contextlib.suppress(pymysql.Error), self._connection.cursor() as cursor:
            cursor.execute(self._statement)
        self.seconds = time.monotonic() - began
        self._connection.close()


def test_a_flush_that_waits_for_the_copy(server: Server, tmp_path: Path) -> None:
    """All writers of the server wait behind it, for hours; on MySQL all clients of the table, even
    behind the one without a lock."""
    flush = {"mariadb": "FLUSH TABLES WITH READ LOCK", "mysql": "FLUSH TABLES"}[server.flavour]
    run = prepared(server, tmp_path)
    victims: list[Victim] = []

    def backup() -> None:
        wait_for(lambda: copying(server), 20, "the copy")
        victims.append(Victim(server, flush))
        asked = (
            "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'FLUSH%' AND state LIKE"
        )
        wait_for(lambda: server.sql(f"{asked} 'Waiting%'"))
        victims.append(Victim(server, WRITE))

    thread = beside(backup)
    with Pulse(server) as pulse:
        run.go(TABLE, policy=Policy(commit=0.2), patience=0)
    thread.join()
    for victim in victims:
        victim.thread.join()
    report = run.result(TABLE).report
    assert report.ended is Ended.BLOCKED and "FLUSH" in report.reason, report
    assert report.blockers and report.blockers[0].startswith(flush)
    assert 0.2 < report.lock_stall < 2.5 + pulse.late and victims[1].seconds < 3 + pulse.late


def test_a_backup_at_the_commit(mariadb: Server, tmp_path: Path) -> None:
    """MariaDB waits for the end of the backup's stage with the table's lock in its hand."""
    run = prepared(mariadb, tmp_path)
    held: list[Any] = []

    def backup() -> None:
        wait_for(lambda: copying(mariadb), 20, "the copy")
        held.append(mariadb.connect())
        for stage in ("START", "FLUSH", "BLOCK_DDL"):
            held[0].cursor().execute(f"BACKUP STAGE {stage}")
        wait_for(lambda: "backup" in state_of_rebuild(mariadb), 20, "the wait at the commit")
        held.append(Victim(mariadb, WRITE))

    thread = beside(backup)
    with Pulse(mariadb) as pulse:
        run.go(TABLE, policy=Policy(commit=0.2), patience=0)
    thread.join()
    held[1].thread.join()
    held[0].close()
    assert run.result(TABLE).report.ended is Ended.BLOCKED and held[1].seconds < 2 + pulse.late


@pytest.fixture
def queue(server: Server) -> Iterator[tuple[Server, int]]:
    """A rebuild that waits behind an idle transaction; its connection."""
    server.sql("CREATE TABLE IF NOT EXISTS queue (a INT PRIMARY KEY)", SCHEMA)
    idle = Idle(server, "queue")
    rebuild = server.connect(schema=SCHEMA)
    statement = "/* matops.optimize x */ ALTER TABLE queue ENGINE=InnoDB"
    thread = beside(lambda: rebuild.cursor().execute(statement))
    wait_for(lambda: state_of_rebuild(server).startswith("Waiting"))
    yield server, rebuild.thread_id()
    idle.end()
    thread.join()
    rebuild.close()


def test_waiters_whose_table_comes_late_in_their_statement(queue: tuple[Server, int]) -> None:
    """Matomo's reports name the table behind a page of expressions."""
    server, id = queue
    long = "SELECT " + ", ".join(f"COUNT(DISTINCT IF(a = {n}, a, NULL))" for n in range(30))
    victim = Victim(server, f"{long} FROM QUEUE" if _folds(server) else f"{long} FROM queue")
    with Session(server.address(schema=SCHEMA)) as session:
        watcher = Watcher(SCHEMA, "queue", id, performance_schema=False, sees_all=True)
        wait_for(lambda: watcher.look(session).waiters, 5, "the sight of the waiter")
        other = Watcher(SCHEMA, "another", id, performance_schema=False, sees_all=True)
        assert not other.look(session).waiters
    assert victim.thread.is_alive()


def _folds(server: Server) -> bool:
    return str(server.sql("SELECT @@lower_case_table_names AS v")[0]["v"]) != "0"


def test_metadata_locks_that_are_not_instrumented(mysql: Server) -> None:
    """The table is there and readable, and always empty: nobody would be seen to wait."""
    change = "UPDATE performance_schema.setup_instruments SET ENABLED = '{}' WHERE NAME = '{}'"
    instrument = "wait/lock/metadata/sql/mdl"
    with Session(mysql.address(schema=SCHEMA)) as session:
        assert servers.look(session).metadata_locks == "performance_schema"
        mysql.sql(change.format("NO", instrument))
        try:
            assert servers.look(session).metadata_locks == ""
        finally:
            mysql.sql(change.format("YES", instrument))
