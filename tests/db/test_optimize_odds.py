"""db.optimize in odd circumstances that are no fault of the table: each on a tiny one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from matops.errors import UsageError
from matops.mysql import optimize, window
from matops.mysql.attempt import Stop
from matops.mysql.choose import MinGain
from matops.mysql.guarded import Guarded
from matops.mysql.rebuild import Ended
from matops.mysql.session import ConnectionCut
from matops.tasks.db_optimize import stop_on_signals
from tests.db.optimize_kit import SCHEMA, Run
from tests.db.servers import Server

TINY = "odd"


@pytest.fixture(scope="module")
def tiny(mysql: Server) -> Server:
    """Made once: a table that is younger than two seconds is waited for."""
    old = "DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00'"
    for name in (TINY, f"{TINY}_2", f"{TINY}_3"):
        mysql.sql(f"CREATE TABLE {name} (a INT PRIMARY KEY)", SCHEMA)
    mysql.sql(f"SET sql_mode = ''; CREATE TABLE odd_dates (a INT PRIMARY KEY, d {old})", SCHEMA)
    return mysql


def test_choosing_does_not_wait_for_lock_tables(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimize, "_LOOK", {"lock_wait_timeout": 1})
    monkeypatch.setattr("matops.mysql.server.Server.is_here", False)  # by rows, not by pages
    run = Run(tiny.address(schema=SCHEMA), tmp_path)
    with tiny.connect(schema=SCHEMA) as holder:
        holder.cursor().execute(f"LOCK TABLES {TINY} WRITE")
        summary = run.go(TINY, least=MinGain(0.2, 0), free_space=1 << 40)
    assert [choice.chosen for choice in summary.choices] == [False]


def test_a_dry_run_tells_what_would_not_be_started(tiny: Server, tmp_path: Path) -> None:
    run = Run(tiny.address(schema=SCHEMA), tmp_path)
    for options in ({"free_space": 1000}, {"window": window.Window(1.0)}):
        choice = run.go(TINY, dry_run=True, **options).choices[0]
        assert choice.chosen and "would not be started" in choice.why


def test_a_family_that_is_not_there(tiny: Server, tmp_path: Path) -> None:
    """A typing error in a cron line is not 'all is well'."""
    with pytest.raises(UsageError, match="archive_blobs_"):
        Run(tiny.address(schema=SCHEMA), tmp_path).go(starts=("archive_blobs_",))


def test_a_pause_does_not_move_the_end_of_the_window(tiny: Server, tmp_path: Path) -> None:
    run = Run(tiny.address(schema=SCHEMA), tmp_path)
    clock = [1000.0]

    def late(self: Guarded) -> str:
        clock[0] += 3600
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Guarded, "pause", late)
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


def test_old_defaults_under_a_strict_mode(tiny: Server, tmp_path: Path) -> None:
    """1067 'Invalid default value' is no reason not to rebuild: it changes no default."""
    run = Run(tiny.address(schema=SCHEMA), tmp_path)
    mode = tiny.sql("SELECT @@GLOBAL.sql_mode AS v")[0]["v"]
    tiny.sql("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'")
    try:
        run.go("odd_dates")
    finally:
        tiny.sql(f"SET GLOBAL sql_mode = '{mode}'", SCHEMA)
    assert run.result("odd_dates").report.ended is Ended.DONE


def test_a_peak_of_connections_passes(tiny: Server, tmp_path: Path) -> None:
    run = Run(tiny.account("matomo"), tmp_path)
    root = tiny.connect()
    most = tiny.sql("SELECT @@max_connections AS v")[0]["v"]

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


def test_a_server_that_goes_away_takes_no_report_with_it(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tiny.address(schema=SCHEMA), tmp_path)

    paused: list[Guarded] = []

    def pause(self: Guarded) -> str:
        paused.append(self)
        if len(paused) > 1:
            raise ConnectionCut("it does not answer any more")
        return ""

    monkeypatch.setattr(Guarded, "pause", pause)
    summary = run.go(f"{TINY}_2", f"{TINY}_3")
    assert [r.report.ended for r in summary.results] == [Ended.DONE, Ended.BLOCKED]
    error = summary.error()
    assert error and error.code == 1 and "1 tables were rebuilt" in error.line()
