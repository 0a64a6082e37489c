"""db.optimize in odd circumstances that are no fault of the table: each on a tiny one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from matops.mysql import optimize, window
from matops.mysql.attempt import Stop
from matops.mysql.choose import MinGain
from matops.mysql.rebuild import Ended
from matops.tasks.db_optimize import stop_on_signals
from tests.db.optimize_kit import SCHEMA, Run
from tests.db.servers import Server

TINY = "odd"


def test_old_defaults_under_a_strict_mode(mysql: Server, tmp_path: Path) -> None:
    """1067 'Invalid default value' is no reason not to rebuild: it changes no default."""
    run = Run(mysql.address(schema=SCHEMA), tmp_path)
    old = "DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00'"
    mysql.sql(f"SET sql_mode = ''; CREATE TABLE odd_dates (a INT PRIMARY KEY, d {old})", SCHEMA)
    mode = mysql.sql("SELECT @@GLOBAL.sql_mode AS v")[0]["v"]
    mysql.sql("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'")
    try:
        run.go("odd_dates")
    finally:
        mysql.sql(f"SET GLOBAL sql_mode = '{mode}'; DROP TABLE odd_dates", SCHEMA)
    assert run.result("odd_dates").report.ended is Ended.DONE


def test_a_peak_of_connections_passes(mysql: Server, tmp_path: Path) -> None:
    mysql.sql(f"CREATE TABLE IF NOT EXISTS {TINY} (a INT PRIMARY KEY)", SCHEMA)
    run = Run(mysql.account("matomo"), tmp_path)
    root = mysql.connect()
    most = mysql.sql("SELECT @@max_connections AS v")[0]["v"]

    def limit(number: int) -> None:
        root.cursor().execute(f"SET GLOBAL max_connections = {number}")

    def full(event: str, facts: object) -> None:
        if event == "table":
            limit(1)
        elif event == "back_off":
            limit(most)

    run.on_event = full
    run.go(TINY)
    root.close()
    report = run.result(TINY).report
    assert report.ended is Ended.DONE and report.attempts == 2


def test_choosing_does_not_wait_for_lock_tables(
    mysql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimize, "_LOOK", {"lock_wait_timeout": 1})
    monkeypatch.setattr("matops.mysql.server.Server.is_here", False)  # by rows, not by pages
    mysql.sql(f"CREATE TABLE IF NOT EXISTS {TINY} (a INT PRIMARY KEY)", SCHEMA)
    run = Run(mysql.address(schema=SCHEMA), tmp_path)
    with mysql.connect(schema=SCHEMA) as holder:
        holder.cursor().execute(f"LOCK TABLES {TINY} WRITE")
        summary = run.go(TINY, least=MinGain(0.2, 0), free_space=1 << 40)
    assert [choice.chosen for choice in summary.choices] == [False]


def test_a_pause_does_not_move_the_end_of_the_window(mysql: Server, tmp_path: Path) -> None:
    mysql.sql(f"CREATE TABLE IF NOT EXISTS {TINY} (a INT PRIMARY KEY)", SCHEMA)
    run = Run(mysql.address(schema=SCHEMA), tmp_path)
    clock = [1000.0]

    def late(self: optimize.Optimize) -> str:
        clock[0] += 3600
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize.Optimize, "_pause", late)
        summary = run.go(TINY, window=window.Window(2000.0, lambda: clock[0]))
    assert run.result(TINY).report.ended is Ended.LEFT and summary.postponed


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop()
    try:
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not stop.reason
