"""migrate.ahead on real servers: online, guarded, looked at afterwards, safe to be killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from matops.errors import Locked, Refused
from matops.mysql.ahead import run as ahead_run
from matops.mysql.ahead.choose import INPLACE, INSTANT
from matops.mysql.ahead.grammar import read
from matops.mysql.guard import Policy
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.rebuild import Ended
from tests.db import data
from tests.db.ahead_kit import BIG, COLUMN, INDEX, SCHEMA, SCRATCH, Run, columns, state, tasks
from tests.db.optimize_kit import Idle, beside, later, wait_for
from tests.db.pulse import Pulse
from tests.db.servers import Server

MEGABYTES = {"mariadb": 24, "mysql": 16}
_made: set[int] = set()


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Iterator[Run]:
    """A table of some size without what is added; nothing of ours is left behind."""
    if id(server) not in _made:
        server.sql(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}; CREATE DATABASE {SCRATCH}")
        data.make(server, "log_visit", BIG, MEGABYTES[server.flavour])
        _made.add(id(server))
    if "ai_agent_name" in columns(server):
        server.sql(f"ALTER TABLE {BIG} DROP COLUMN ai_agent_name", SCHEMA)
    without_index(server)
    yield Run(server.address(schema=SCHEMA), tmp_path)
    Idle.end_all()
    wait_for(lambda: state(server) == "", 10, "the end of our statement")


def without_index(server: Server) -> None:
    if server.sql(f"SHOW INDEX FROM {BIG} WHERE Key_name = 'index_ai'", SCHEMA):
        server.sql(f"ALTER TABLE {BIG} DROP INDEX index_ai", SCHEMA)


class Writers:
    """A tracker: inserts visits, updates them and reads them, without knowing new columns."""

    def __init__(self, server: Server) -> None:
        self._server, self._stop = server, threading.Event()
        self.longest, self.failed, self.done = 0.0, 0, 0
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def __enter__(self) -> Writers:
        self.before = self._count()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.lost = self.before + self.done - self._count()

    def _count(self) -> int:
        return int(self._server.sql(f"SELECT COUNT(*) AS n FROM {BIG}", SCHEMA)[0]["n"])

    def _run(self) -> None:
        insert = (
            f"INSERT INTO {BIG} (idsite, idvisitor, visit_last_action_time, config_id, location_ip,"
            " visit_first_action_time, visit_total_time) VALUES (1, 'abcdefgh', NOW(), 'abcdefgh',"
            " 'abcd', NOW(), 0)"
        )
        with self._server.connect(schema=SCHEMA) as connection, connection.cursor() as cursor:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    cursor.execute(insert)
                    self.done += 1
                    key = cursor.lastrowid
                    cursor.execute(f"UPDATE {BIG} SET visit_total_time = 9 WHERE idvisit = {key}")
                    cursor.execute(f"SELECT * FROM {BIG} WHERE idvisit = {key}")
                except pymysql.Error:
                    self.failed += 1
                self.longest = max(self.longest, time.monotonic() - began)
                time.sleep(0.003)


def test_adds_online_while_tracking_goes_on_and_then_says_so(server: Server, run: Run) -> None:
    wanted = tasks(run.address, (COLUMN, INSTANT), (INDEX, INPLACE))
    with Writers(server) as writers, Pulse(server) as pulse:
        results = run.go(wanted)
    assert [r.ended for r in results] == ["done", "done"] and run.error() is None
    assert writers.lost == 0 and writers.failed == 0 and writers.done > 50
    assert writers.longest < 1.5 + pulse.late
    assert columns(server)[-1] == "ai_agent_name"
    again = Run(run.address, run.folder)
    assert [r.ended for r in again.go(wanted)] == ["already done"] * 2 and again.error() is None
    outage(server)
    assert ahead_run.undo(read(COLUMN)) == [f"ALTER TABLE `{BIG}` DROP COLUMN `ai_agent_name`;"]
    assert ahead_run.undo(read(INDEX)) == [f"ALTER TABLE `{BIG}` DROP INDEX `index_ai`;"]
    for line in [*ahead_run.undo(read(INDEX)), *ahead_run.undo(read(COLUMN))]:
        server.sql(line, SCHEMA)


def outage(server: Server) -> None:
    """What core:update then does to the table: moments, whatever its size."""
    began = time.monotonic()
    for text, passed_over in ((COLUMN, 1060), (INDEX, 1061)):
        with pytest.raises(pymysql.Error) as refused:
            server.sql(text, SCHEMA)
        assert refused.value.args[0] == passed_over
    modify = f"ALTER TABLE {BIG} MODIFY COLUMN ai_agent_name VARCHAR(40) NULL"
    server.sql(f"{modify}, ALGORITHM=INSTANT", SCHEMA)
    assert time.monotonic() - began < 2


def test_an_old_idle_transaction_holds_the_lock(server: Server, run: Run) -> None:
    idle = Idle(server, BIG)
    wanted = tasks(run.address, (COLUMN, INSTANT))
    with Writers(server) as writers, Pulse(server) as pulse, later(1.8, idle.end):
        results = run.go(wanted)
    report = results[0].report
    assert report.ended is Ended.DONE and writers.lost == 0 and writers.failed == 0
    # The guard gave way within half a second, or never began.
    assert report.lock_stall < 0.8 + pulse.late and writers.longest < 1.5 + pulse.late
    assert report.waited > 1 or report.attempts > 1


def test_one_that_stays_and_what_comes_behind(server: Server, run: Run) -> None:
    wanted = tasks(run.address, (COLUMN, INSTANT), (INDEX, INPLACE))
    idle = Idle(server, BIG)
    try:
        with Writers(server) as writers, Pulse(server) as pulse:
            results = run.go(wanted, patience=1.2)
    finally:
        idle.end()
    assert [r.report.ended for r in results] == [Ended.BLOCKED, Ended.LEFT]
    assert "#1 comes before it" in results[1].report.reason
    assert writers.failed == 0 and writers.longest < 1.5 + pulse.late
    error = run.error()
    assert error is not None and error.code == 1 and "no statement is half done" in error.line()
    assert "ai_agent_name" not in columns(server)


def test_never_falls_back_to_a_copy(server: Server, run: Run) -> None:
    with pytest.raises(Refused, match="does not do it instantly"):
        tasks(run.address, (INDEX, INSTANT))
    run.go(tasks(run.address, (COLUMN, INSTANT)))
    with pytest.raises(Refused, match="core:update would fail"):
        tasks(run.address, (COLUMN, INSTANT))


def test_a_table_that_changed_since_the_proof_is_left(server: Server, run: Run) -> None:
    wanted = tasks(run.address, (COLUMN, INSTANT))
    server.sql(f"ALTER TABLE {BIG} ADD COLUMN someone INT NULL", SCHEMA)
    try:
        results = run.go(wanted)
    finally:
        server.sql(f"ALTER TABLE {BIG} DROP COLUMN someone", SCHEMA)
    assert results[0].report.ended is Ended.LEFT
    assert "changed since it was proven" in results[0].report.reason
    assert "ai_agent_name" not in columns(server)


def test_room_and_load(server: Server, run: Run) -> None:
    wanted = tasks(run.address, (INDEX, INPLACE))
    results = run.go(wanted, free_space=1 << 20)
    assert results[0].report.ended is Ended.LEFT and "are free" in results[0].report.reason
    run.address = server.account("matomo")
    assert run.go(wanted)[0].ended == "done"


def test_one_run_at_a_time(server: Server, run: Run) -> None:
    wanted = tasks(run.address, (COLUMN, INSTANT))

    def second(event: str, facts: object) -> None:
        if event == "statement":
            with pytest.raises(Locked, match=r"migrate\.ahead"):
                Run(run.address, run.folder / "elsewhere").go(wanted)

    run.on_event = second
    assert run.go(wanted)[0].ended == "done"


def test_told_to_stop(server: Server, run: Run) -> None:
    wanted = tasks(run.address, (COLUMN, INSTANT), (INDEX, INPLACE))

    def stop(event: str, facts: object) -> None:
        if event == "ended":
            run.stop.ask("Ctrl-C")

    run.on_event = stop
    results = run.go(wanted)
    assert [r.report.ended for r in results] == [Ended.DONE, Ended.STOPPED]
    error = run.error()
    assert error is not None and error.code == 130 and "1 of 2 statements are there" in error.line()


# Killed -9: before the lock, at the commit, and after it.


@contextlib.contextmanager
def child(run: Run, text: str, way: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process of its own; dead afterwards."""
    asked = {
        "address": dataclasses.asdict(run.address), "folder": str(run.folder),
        "what": [[text, way]],
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.db.ahead_kit", json.dumps(asked)],
        cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()  # -9
        process.wait()


def test_killed_while_it_waits_for_the_lock(server: Server, run: Run) -> None:
    """What is left then: a line in the journal, and a statement that waits in the server."""
    wanted = tasks(run.address, (COLUMN, INSTANT))
    tag = "matops.ahead 0 0"
    with OptimizeJournal(str(run.folder), "ahead", "migrate.ahead") as journal:
        journal.write("begin", "0", table=BIG, tag=tag, connection_id=1, statement=wanted[0].text)
    idle = Idle(server, BIG)
    thread = beside(lambda: server.sql(f"/* {tag} */ {wanted[0].text}", SCHEMA))
    wait_for(lambda: state(server).startswith("Waiting for table metadata"), 20, "the wait")
    with later(1, idle.end):
        results = run.go(wanted)
    thread.join()
    assert {"adopted", "settled"} <= set(run.names())
    assert [r.ended for r in results] == ["already done"] and run.error() is None
    assert columns(server).count("ai_agent_name") == 1


def caught_at_the_commit(server: Server, run: Run) -> Idle:
    """A run was killed while its ALTER waits at the commit for the one that this returns. The sort
    before it is short: sometimes nobody gets in between."""
    for _ in range(5):
        with child(run, INDEX, INPLACE):
            idle = Idle(server, BIG, when=lambda: "lter" in state(server))
            wait_for(lambda: state(server)[:7] in ("", "Waiting"), 20, "the commit")
            if state(server):
                return idle
        idle.end()
        without_index(server)
    raise AssertionError("the sort ended too soon, each time")


def test_killed_at_the_commit_and_rolled_back(server: Server, run: Run) -> None:
    wanted = tasks(run.address, (INDEX, INPLACE))
    holder = caught_at_the_commit(server, run)
    rows = server.sql(
        "SELECT id AS i FROM information_schema.processlist WHERE info LIKE '/* matops.ahead%'"
    )
    server.sql(f"KILL {rows[0]['i']}")
    holder.end()
    wait_for(lambda: state(server) == "", 20, "the roll-back")
    results = run.go(wanted)
    settled = next(facts for event, facts in run.events if event == "settled")
    assert settled["ended"] == "failed" and "rolled it back" in settled["reason"]
    assert [r.ended for r in results] == ["done"] and run.error() is None


def test_clients_pile_up_at_the_commit(server: Server, run: Run) -> None:
    """The copy is thrown away rather than hold everybody up; then it is done again."""
    wanted = tasks(run.address, (INDEX, INPLACE))
    holders: list[Idle] = []

    def block() -> None:
        holders.append(Idle(server, BIG, when=lambda: "lter" in state(server)))

    def leave(event: str, facts: object) -> None:
        if event == "back_off":
            holders[0].end()

    run.on_event = leave
    thread = beside(block)
    with Writers(server) as writers, Pulse(server) as pulse:
        results = run.go(wanted, policy=Policy(commit=1.0))
    thread.join()
    report = results[0].report
    # (A sort that ends between two looks counts as the start: then half a second is the limit.)
    assert report.ended is Ended.DONE and report.attempts >= 2 and report.lost_copies <= 1
    assert writers.lost == 0 and writers.failed == 0 and report.lock_stall < 2 + pulse.late
