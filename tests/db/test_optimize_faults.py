"""What can go wrong during db.optimize, on real servers: each ends with the table whole, a true
report and the right exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from matops.errors import MatopsError, Refused
from matops.mysql.guard import ABORT, KILL_IDLE, WAIT, Policy
from matops.mysql.rebuild import Ended
from tests.db import data
from tests.db.optimize_kit import (
    SCHEMA,
    Clients,
    Idle,
    Proxy,
    Run,
    beside,
    copying,
    later,
    state_of_rebuild,
    wait_for,
)
from tests.db.pulse import Pulse
from tests.db.servers import Server

BIG = "fault_big"
_made: dict[int, int] = {}


@pytest.fixture
def big(server: Server) -> str:
    """A table whose rebuild takes some seconds, made once for each server."""
    if id(server) not in _made:
        megabytes = {"mariadb": 150, "mysql": 80}[server.flavour]
        _made[id(server)] = data.make(server, "archive_blob", BIG, megabytes).left
    return BIG


@pytest.fixture
def run(server: Server, tmp_path: Path, big: str) -> Iterator[Run]:
    found = Run(server.address(schema=SCHEMA), tmp_path)
    yield found
    Idle.end_all()
    whole(server)


def whole(server: Server) -> None:
    """Every row is there, nothing is left behind, no statement of ours runs."""
    assert int(server.sql(f"SELECT COUNT(*) AS n FROM {BIG}", SCHEMA)[0]["n"]) == _made[id(server)]
    wait_for(lambda: state_of_rebuild(server) == "", 10, "the end of our statement")
    folder = server.datadir / SCHEMA
    wait_for(lambda: not list(folder.glob("#sql*")), 10, "the removal of temporary files")


def created(server: Server) -> object:
    rows = server.sql(
        "SELECT create_time AS c FROM information_schema.tables"
        f" WHERE table_schema = '{SCHEMA}' AND table_name = '{BIG}'"
    )
    return rows[0]["c"]


def exit_code(run: Run) -> int:
    assert run.summary is not None
    error = run.summary.error(run.stop.reason, run.stop.code)
    return error.code if error else 0


def test_blocker_at_start(server: Server, run: Run) -> None:
    idle = Idle(server, BIG)
    with Clients(server, BIG) as clients, Pulse(server) as pulse, later(4, idle.end):
        run.go(BIG)
    report = run.result(BIG).report
    assert report.ended is Ended.DONE and exit_code(run) == 0
    assert clients.failed == 0 and clients.done > 100
    # The guard gave way within half a second; commit work of the server itself comes on top.
    assert report.lock_stall < 0.7 + pulse.late
    assert clients.longest < max(1.5, report.commit_stall + 0.7) + pulse.late
    assert report.waited > 1 and (report.blockers or report.attempts > 1)


def test_blocker_that_stays(server: Server, run: Run) -> None:
    idle = Idle(server, BIG)
    try:
        with Clients(server, BIG) as clients, Pulse(server) as pulse:
            run.go(BIG, patience=5)
        assert run.result(BIG).report.ended is Ended.BLOCKED
        assert exit_code(run) == 1 and clients.failed == 0
        assert clients.longest < 1.5 + pulse.late
        assert idle.alive()
    finally:
        idle.end()


@pytest.fixture
def plugin(server: Server) -> Iterator[None]:
    """Metadata locks are visible: MariaDB needs its plugin for that."""
    if server.flavour == "mariadb":
        server.sql("INSTALL SONAME 'metadata_lock_info'")
    yield
    if server.flavour == "mariadb":
        server.sql("UNINSTALL SONAME 'metadata_lock_info'")


def test_blocker_at_start_is_seen_and_named(server: Server, run: Run, plugin: None) -> None:
    idle = Idle(server, BIG)
    time.sleep(1.5)  # younger holders do not count: most are statements that just run
    with Clients(server, BIG), Pulse(server) as pulse, later(4, idle.end):
        run.go(BIG)
    report = run.result(BIG).report
    # Not one blind attempt: nobody waited for it.
    assert report.ended is Ended.DONE and report.attempts == 1
    assert report.lock_stall < 0.5 + pulse.late
    assert any(f"connection {idle.id} " in name for name in report.blockers)


def block_commit(server: Server, holders: list[Idle], statement: str = "") -> None:
    """Opens a transaction on the table while the copy is under way."""
    holders.append(Idle(server, BIG, statement, when=lambda: copying(server)))


def test_blocker_at_commit_abort(server: Server, run: Run) -> None:
    holders: list[Idle] = []
    thread = beside(lambda: block_commit(server, holders))
    policy = Policy(commit=1.5, on_block=ABORT)

    def leave(event: str, facts: object) -> None:
        if event == "back_off":
            holders[0].end()

    run.on_event = leave
    with Clients(server, BIG) as clients, Pulse(server) as pulse:
        run.go(BIG, policy=policy)
    thread.join()
    report = run.result(BIG).report
    assert report.ended is Ended.DONE and report.attempts >= 2 and report.lost_copies == 1
    assert 1.0 < report.lock_stall < 2.5 + pulse.late and clients.failed == 0
    assert "cancel" in run.names() and "copying lost" in str(run.events)


def test_blocker_at_commit_wait(server: Server, run: Run) -> None:
    holders: list[Idle] = []
    thread = beside(lambda: block_commit(server, holders))
    with later(6, lambda: holders[0].end()):
        run.go(BIG, policy=Policy(commit=0.5, on_block=WAIT))
    thread.join()
    report = run.result(BIG).report
    assert report.ended is Ended.DONE and report.attempts == 1 and not report.lost_copies


def test_blocker_at_commit_kill_idle(server: Server, run: Run, plugin: None) -> None:
    holders: list[Idle] = []
    thread = beside(lambda: block_commit(server, holders))
    with Clients(server, BIG):
        run.go(BIG, policy=Policy(commit=15, on_block=KILL_IDLE, idle=2))
    thread.join()
    report = run.result(BIG).report
    assert report.ended is Ended.DONE and report.attempts == 1
    assert len(report.killed) == 1 and f"connection {holders[0].id} " in report.killed[0]
    assert not holders[0].alive()


@pytest.mark.parametrize("statement", ["LOCK TABLES fault_big READ", "heavy"])
def test_kill_idle_spares(server: Server, run: Run, plugin: None, statement: str) -> None:
    """LOCK TABLES holders, and transactions that changed a lot, are never ended."""
    holders: list[Idle] = []
    heavy = f"UPDATE {BIG} SET ts_archived = NOW() WHERE idarchive < 3000"
    text = heavy if statement == "heavy" else statement
    thread = beside(lambda: block_commit(server, holders, text))
    policy = Policy(commit=2, on_block=KILL_IDLE, idle=0.5, rows=100)

    def leave(event: str, facts: object) -> None:
        if event == "back_off":
            holders[0].end()

    run.on_event = leave
    with Clients(server, BIG):
        run.go(BIG, policy=policy, patience=30)
    thread.join()
    report = run.result(BIG).report
    assert not report.killed
    assert report.ended is Ended.DONE and report.lost_copies <= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop(server: Server, run: Run, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: the server stops working, too."""
    before = created(server)
    child = start_child(run)
    wait_for(lambda: copying(server), 30, "the copy")
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 128 + number, err
    assert "the table under work is as it was" in err.decode()
    assert "KILL QUERY of our own statement" in out.decode()
    assert created(server) == before and state_of_rebuild(server) == ""


def test_server_killed(server: Server, run: Run) -> None:
    before = created(server)

    def crash() -> None:
        wait_for(lambda: copying(server), 20, "the copy")
        server.kill9()

    def restart(event: str, facts: object) -> None:
        if event == "lost":  # in this thread: the server dies with the thread that started it
            server.restart()

    run.on_event = restart
    thread = beside(crash)
    run.go(BIG)
    thread.join()
    report = run.result(BIG).report
    assert report.ended is Ended.FAILED and "rolled it back" in report.reason
    assert exit_code(run) == 1 and created(server) == before
    # And the next run simply does it.
    again = Run(run.address, run.folder)
    again.go(BIG)
    assert again.result(BIG).report.ended is Ended.DONE


def start_child(run: Run) -> subprocess.Popen[bytes]:
    asked = {
        "address": dataclasses.asdict(run.address),
        "folder": str(run.folder),
        "flags": {"tables": BIG},
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.db.optimize_kit", json.dumps(asked)],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_matops_killed_and_the_server_goes_on(server: Server, run: Run) -> None:
    before = created(server)
    child = start_child(run)
    wait_for(lambda: copying(server), 30, "the copy")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert copying(server), "the server goes on without its client"
    run.go(BIG)
    assert {"adopted", "settled", "resumed"} <= set(run.names())
    settled = next(facts for event, facts in run.events if event == "settled")
    assert settled["ended"] == "done" and created(server) != before
    # It was done: it is not done again by the run that goes on.
    assert "table" not in run.names() and exit_code(run) == 0
    assert [line["event"] for line in run.journal()] == ["run", "begin", "done", "end"]


def test_matops_killed_and_the_server_rolled_back(server: Server, run: Run) -> None:
    before = created(server)
    child = start_child(run)
    wait_for(lambda: copying(server), 30, "the copy")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    rows = server.sql(
        "SELECT id AS i FROM information_schema.processlist WHERE info LIKE '/* matops.opt%'"
    )
    server.sql(f"KILL {rows[0]['i']}")
    wait_for(lambda: state_of_rebuild(server) == "", 20, "the roll-back")
    assert created(server) == before
    run.go(BIG)
    settled = next(facts for event, facts in run.events if event == "settled")
    assert settled["ended"] == "failed" and "rolled it back" in settled["reason"]
    assert run.result(BIG).report.ended is Ended.DONE and exit_code(run) == 0


def test_connection_cut(server: Server, run: Run) -> None:
    proxy = Proxy(server.port)
    run.address = dataclasses.replace(run.address, port=proxy.port)

    def cut() -> None:
        wait_for(lambda: copying(server), 20, "the copy")
        proxy.cut()

    thread = beside(cut)
    try:
        run.go(BIG)
    finally:
        thread.join()
        proxy.close()
    report = run.result(BIG).report
    assert report.ended is Ended.DONE and "finished it by itself" in report.reason
    assert "lost" in run.names() and exit_code(run) == 0


def test_somebody_else_cancels(server: Server, run: Run) -> None:
    def kill() -> None:
        wait_for(lambda: copying(server), 20, "the copy")
        rows = server.sql(
            "SELECT id AS i FROM information_schema.processlist WHERE info LIKE '/* matops.opt%'"
        )
        server.sql(f"KILL QUERY {rows[0]['i']}")

    thread = beside(kill)
    run.go(BIG)
    thread.join()
    assert run.result(BIG).report.ended is Ended.FAILED and exit_code(run) == 1
    assert "somebody else cancelled" in run.result(BIG).report.reason


def test_disk_too_small(server: Server, run: Run) -> None:
    before = created(server)
    run.go(BIG, free_space=100 << 20)
    error = run.summary and run.summary.error()
    assert isinstance(error, Refused) and error.code == 3
    assert "100 MB are free" in error.line() and "Nothing was changed" in error.line()
    assert created(server) == before and "table" not in run.names()


def test_free_space_that_nobody_can_tell(run: Run) -> None:
    run.go(BIG, local=False)
    error = run.summary and run.summary.error()
    assert isinstance(error, Refused) and "--free-space" in error.line()


def test_disk_fills_during_the_rebuild(server: Server, run: Run) -> None:
    before = created(server)
    # All that is free is declared the reserve, once the rebuild has begun.
    stat = os.statvfs(server.datadir)
    free = stat.f_bavail * stat.f_frsize
    run.go(BIG, free_space=1 << 50, reserve=free + (1 << 40))
    report = run.result(BIG).report
    assert report.ended is Ended.FAILED and "disk is filling up" in report.reason
    assert created(server) == before and exit_code(run) == 1


def test_row_log_too_small(server: Server, run: Run) -> None:
    before = created(server)
    old = server.sql("SELECT @@innodb_online_alter_log_max_size AS v")[0]["v"]
    server.sql("SET GLOBAL innodb_online_alter_log_max_size = 65536")
    try:
        with Clients(server, BIG, think=0.0):
            statement = f"UPDATE {BIG} SET value = REPEAT('x', 6000) WHERE idarchive < 200"
            thread = beside(lambda: write_much(server, statement))
            run.go(BIG)
            thread.join()
    finally:
        server.sql(f"SET GLOBAL innodb_online_alter_log_max_size = {old}")
    report = run.result(BIG).report
    assert report.ended is Ended.FAILED and "1799" in report.reason, report
    assert exit_code(run) == 1 and created(server) == before


def write_much(server: Server, statement: str) -> None:
    wait_for(lambda: copying(server), 20, "the copy")
    server.sql(statement, SCHEMA)


def test_table_dropped_meanwhile(server: Server, run: Run) -> None:
    server.sql("CREATE TABLE IF NOT EXISTS fault_gone (a INT PRIMARY KEY)", SCHEMA)

    def drop(event: str, facts: object) -> None:
        if event == "table":
            server.sql("DROP TABLE fault_gone", SCHEMA)

    run.on_event = drop
    run.go("fault_gone")
    report = run.result("fault_gone").report
    assert report.ended is Ended.LEFT and "dropped meanwhile" in report.reason
    assert exit_code(run) == 0


def test_critical_load(server: Server, run: Run) -> None:
    from matops.mysql.throttle import Limits

    before = created(server)
    run.go(BIG, limits=Limits(critical=0))
    report = run.result(BIG).report
    assert report.ended is Ended.FAILED and "--critical-load" in report.reason
    assert created(server) == before


@pytest.mark.parametrize("kind", ["matomo", "managed"])
def test_accounts(server: Server, run: Run, kind: str) -> None:
    """Matomo's own grants are enough; what cannot be seen is made up for by caution."""
    run.address = server.account(kind)
    with Clients(server, BIG) as clients:
        run.go(BIG)
    assert run.result(BIG).report.ended is Ended.DONE and exit_code(run) == 0
    assert clients.failed == 0


def test_privileges_missing(server: Server, run: Run) -> None:
    before = created(server)
    run.address = server.account("reader")
    error: Optional[MatopsError]
    try:
        error = run.go(BIG).error()
    except MatopsError as refusal:
        error = refusal
    assert error is not None and error.code == 1 and "denied" in error.line()
    assert created(server) == before
