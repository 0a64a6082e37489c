"""Whole runs of db.optimize on real servers: what is chosen, how it is done, what is reported."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from matops.errors import Locked, UsageError
from matops.mysql import throttle, treatments
from matops.mysql.choose import MinGain
from matops.mysql.rebuild import Ended
from matops.mysql.window import Window
from tests.db import data
from tests.db.optimize_kit import SCHEMA, Run, beside, wait_for
from tests.db.servers import Server

WEIRD = ("back`tick", "two words", "per%cent", "x%s{{table}}")


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    return Run(server.address(schema=SCHEMA), tmp_path)


def counted(server: Server, table: str) -> int:
    name = table.replace("`", "``")
    return int(server.sql(f"SELECT COUNT(*) AS n FROM `{name}`", SCHEMA)[0]["n"])


def test_hollow_tables_are_chosen_and_full_ones_left(server: Server, run: Run) -> None:
    hollow = data.make(server, "archive_blob", "run_hollow", 60, "scattered")
    data.make(server, "archive_blob", "run_full", 40, "none")
    server.sql("OPTIMIZE TABLE run_full", SCHEMA)  # filling leaves gaps, too
    data.wait_purged(server)
    least = MinGain(0.3, 10 << 20)
    summary = run.go(tables=(), starts=("run_",), least=least)
    chosen = {c.table: c.chosen for c in summary.choices}
    assert chosen == {"run_hollow": True, "run_full": False}
    assert all(c.why for c in summary.choices)
    result = run.result("run_hollow")
    assert result.report.ended is Ended.DONE
    assert result.after is not None and result.after < 0.6 * result.choice.file_bytes
    assert result.reclaimed == result.choice.file_bytes - data.file_bytes(server, "run_hollow")
    # The estimate kept its promise, within a quarter of the table.
    assert abs(result.choice.reclaim - result.reclaimed) < 0.25 * result.choice.file_bytes
    assert counted(server, "run_hollow") == hollow.left
    assert summary.error() is None
    # At once again: it is not worth it any more, and says so.
    again = Run(run.address, run.folder)
    second = again.go(tables=(), starts=("run_",), least=least)
    assert not any(c.chosen for c in second.choices)
    assert "rebuilt" in next(c.why for c in second.choices if c.table == "run_hollow")


def test_unusual_names(server: Server, run: Run) -> None:
    quoted = ["`" + name.replace("`", "``") + "`" for name in WEIRD]
    for name in quoted:
        server.sql(
            f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (a INT PRIMARY KEY);"
            f"INSERT INTO {name} VALUES (1), (2)",
            SCHEMA,
        )
    summary = run.go(*WEIRD)
    for name in WEIRD:
        assert run.result(name).report.ended is Ended.DONE, run.result(name).report
        assert run.result(name).after and counted(server, name) == 2
    assert summary.error() is None
    server.sql(f"DROP TABLE {', '.join(quoted)}", SCHEMA)


def make_odd_tables(server: Server) -> None:
    server.sql(
        """
        DROP VIEW IF EXISTS odd_view; DROP TABLE IF EXISTS odd_myisam, odd_memory, odd_full,
            odd_part, odd_plain;
        CREATE TABLE odd_plain (a INT PRIMARY KEY, b VARCHAR(100));
        INSERT INTO odd_plain VALUES (1, 'x'), (2, 'y'), (1001, 'z');
        CREATE VIEW odd_view AS SELECT * FROM odd_plain;
        CREATE TABLE odd_myisam (a INT PRIMARY KEY, b VARCHAR(100)) ENGINE=MyISAM;
        INSERT INTO odd_myisam SELECT * FROM odd_plain;
        CREATE TABLE odd_memory (a INT PRIMARY KEY) ENGINE=MEMORY;
        INSERT INTO odd_memory SELECT a FROM odd_plain;
        CREATE TABLE odd_full (a INT PRIMARY KEY, b VARCHAR(100), FULLTEXT KEY f (b));
        INSERT INTO odd_full SELECT * FROM odd_plain;
        CREATE TABLE odd_part (a INT PRIMARY KEY, b VARCHAR(100))
            PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (1000),
                                    PARTITION p1 VALUES LESS THAN MAXVALUE);
        INSERT INTO odd_part SELECT * FROM odd_plain
        """,
        SCHEMA,
    )


def test_odd_tables_are_left_with_a_reason(server: Server, run: Run) -> None:
    make_odd_tables(server)
    names = ("odd_view", "odd_myisam", "odd_memory", "odd_full", "odd_part")
    summary = run.go(*names)
    why = {c.table: c.why for c in summary.choices if not c.chosen}
    assert set(why) == set(names) - {"odd_part"}
    assert "view" in why["odd_view"] and "MyISAM" in why["odd_myisam"]
    assert "not on disk" in why["odd_memory"] and "FULLTEXT" in why["odd_full"]
    # A partitioned table is rebuilt online, whole.
    assert run.result("odd_part").report.ended is Ended.DONE
    assert counted(server, "odd_part") == 3


def test_odd_tables_when_blocking_is_allowed(server: Server, run: Run) -> None:
    make_odd_tables(server)
    how = treatments.Options(allow_blocking=True, one_partition_at_a_time=True)
    names = ("odd_myisam", "odd_full", "odd_part")
    summary = run.go(*names, how=how)
    assert summary.error() is None, summary.error()
    for name in names:
        assert run.result(name).report.ended is Ended.DONE, run.result(name)
        assert counted(server, name) == 3
    assert run.result("odd_part").report.attempts == 2  # one a partition


def test_optimize_statement(server: Server, run: Run) -> None:
    make_odd_tables(server)
    run.go("odd_plain", how=treatments.Options(statement="optimize"))
    assert run.result("odd_plain").report.ended is Ended.DONE


def test_a_table_that_is_not_there(run: Run) -> None:
    with pytest.raises(UsageError, match="no table nosuch"):
        run.go("nosuch")


def test_nothing_starts_that_would_not_finish(server: Server, run: Run) -> None:
    make_odd_tables(server)
    summary = run.go("odd_plain", window=Window(time.time() + 0.5))
    assert run.result("odd_plain").report.attempts == 0
    assert "would take about" in run.result("odd_plain").report.reason
    assert summary.postponed and summary.error() is None  # as asked: not an error


def test_two_runs_keep_apart(server: Server, run: Run, tmp_path: Path) -> None:
    make_odd_tables(server)
    other = Run(run.address, tmp_path / "other")  # another machine's journal: GET_LOCK decides
    caught: list[Locked] = []

    def try_it(event: str, facts: object) -> None:
        if event == "table":
            for second in (other, Run(run.address, run.folder)):
                with pytest.raises(Locked) as refusal:
                    second.go("odd_plain")
                caught.append(refusal.value)

    run.on_event = try_it
    run.go("odd_plain")
    assert [error.code for error in caught] == [75, 75]
    assert run.result("odd_plain").report.ended is Ended.DONE


def test_a_dry_run_changes_nothing(server: Server, run: Run) -> None:
    make_odd_tables(server)
    before = server.sql("SHOW TABLE STATUS LIKE 'odd_plain'", SCHEMA)[0]["Create_time"]
    summary = run.go("odd_plain", dry_run=True)
    assert [c.table for c in summary.choices if c.chosen] == ["odd_plain"]
    assert not summary.results and "table" not in run.names()
    assert server.sql("SHOW TABLE STATUS LIKE 'odd_plain'", SCHEMA)[0]["Create_time"] == before


def test_a_replica_that_does_not_answer_holds_up_the_run(server: Server, run: Run) -> None:
    make_odd_tables(server)
    gone = dataclasses.replace(run.address, port=1)
    summary = run.go("odd_plain", "odd_part", replicas=[gone], pause=1.0)
    error = summary.error()
    assert error is not None and error.code == 1 and "cannot be asked" in error.line()
    assert [r.report.ended for r in summary.results] == [Ended.BLOCKED, Ended.BLOCKED]
    assert run.names().count("paused") == 1 and "table" not in run.names()


def test_load_pauses_the_run_until_it_is_gone(server: Server, run: Run) -> None:
    make_odd_tables(server)
    with server.connect() as connection:
        quiet = idle_threads(server)
        busy = beside(lambda: connection.cursor().execute("SELECT SLEEP(4)"))
        wait_for(lambda: idle_threads(server) > quiet)
        calm = throttle.Limits(running=quiet)
        run.go("odd_plain", limits=calm, pause=30)
        busy.join()
    assert "paused" in run.names() and run.result("odd_plain").report.ended is Ended.DONE


def idle_threads(server: Server) -> int:
    return int(server.sql("SHOW GLOBAL STATUS LIKE 'Threads_running'")[0]["Value"])
