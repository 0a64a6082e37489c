"""The rules of db.optimize that need no server: guard, window, choice, journal, throttle."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from matops.errors import Refused, UsageError
from matops.mysql import binlog, throttle, watch, window
from matops.mysql.blind_spots import blind_spots
from matops.mysql.choose import MinGain, in_order, parse_min_gain, weigh
from matops.mysql.fragmentation import Estimate
from matops.mysql.gate import Clear
from matops.mysql.guard import (
    ABORT,
    KILL_IDLE,
    WAIT,
    Guard,
    Policy,
    Sight,
    Verdict,
    Waiter,
    back_off,
)
from matops.mysql.idle import may_end
from matops.mysql.locks import Holder
from matops.mysql.optimize_journal import Past, replay
from matops.mysql.server import Server
from matops.mysql.space import Need, Room, need, why_not
from matops.mysql.treatments import LEFT, ONLINE, Part, Treatment
from matops.mysql.work import Options
from matops.tasks.optimize_flags import words

WAITING = "Waiting for table metadata lock"
COPY = "altering table"
COMMIT = "Committing alter table to storage engine"


def sight(at: float, state: str, *ages: float, sees_all: bool = True) -> Sight:
    waiters = tuple(Waiter(n, age) for n, age in enumerate(ages))
    return Sight(at, state, waiters, sees_all)


def test_guard_gives_way_at_the_start_within_half_a_second() -> None:
    guard = Guard(Policy())
    assert guard.judge(sight(0.0, WAITING), 0.15) is Verdict.GO_ON
    assert guard.judge(sight(0.2, WAITING, 0.1), 0.15) is Verdict.GO_ON
    assert guard.judge(sight(0.4, WAITING, 0.3), 0.15) is Verdict.CANCEL_START


def test_guard_waits_on_while_nobody_queues() -> None:
    guard = Guard(Policy())
    assert all(guard.judge(sight(at, WAITING)) is Verdict.GO_ON for at in (0.0, 5.0, 60.0))


def test_guard_counts_waiters_that_the_account_cannot_see() -> None:
    guard = Guard(Policy())
    guard.judge(sight(0.0, WAITING, sees_all=False))
    assert guard.judge(sight(0.5, WAITING, sees_all=False)) is Verdict.CANCEL_START


def test_guard_never_kills_the_commit_work_itself() -> None:
    """Clients wait, but not for a lock that we wait for, too: killing would never end."""
    guard = Guard(Policy(commit=0.1))
    guard.judge(sight(0.0, COPY))
    for at in range(10):
        assert guard.judge(sight(at, COMMIT, float(at), float(at))) is Verdict.GO_ON
    assert guard.commit_stall == 9.0 and guard.lock_stall == 0.0


@pytest.mark.parametrize(
    ("on_block", "age", "expected"),
    [
        (ABORT, 9.0, Verdict.GO_ON),
        (ABORT, 10.0, Verdict.CANCEL_COMMIT),
        (WAIT, 500.0, Verdict.GO_ON),
        (KILL_IDLE, 0.5, Verdict.GO_ON),
        (KILL_IDLE, 1.0, Verdict.KILL_IDLE),
        (KILL_IDLE, 10.0, Verdict.CANCEL_COMMIT),
    ],
)
def test_guard_at_commit(on_block: str, age: float, expected: Verdict) -> None:
    guard = Guard(Policy(commit=10.0, on_block=on_block))
    guard.judge(sight(0.0, COPY))
    guard.judge(sight(100.0, WAITING))
    assert guard.judge(sight(100.0 + age, WAITING, age)) is expected


def test_back_off_grows_to_a_minute_with_jitter() -> None:
    assert [back_off(n, 0.5) for n in (1, 2, 3, 10)] == [2, 4, 8, 60]
    assert back_off(3, 0.0) == 6 and back_off(3, 1.0) == 10


def test_gate_never_lets_through_while_somebody_is_seen_to_hold() -> None:
    assert Clear(["connection 7"]).after(0) == float("inf")
    assert Clear().after(0) == 0 and Clear().after(1) == 1
    assert Clear(sure=False).after(0) == 0 and Clear(sure=False).after(3) == 8
    assert Clear(["somebody"], sure=False).after(0) == 4


def holder(**changes: Any) -> Holder:
    facts: dict[str, Any] = {
        "id": 7, "user": "matomo", "host": "web1", "command": "Sleep", "seconds": 60.0,
        "state": "", "statement": "", "modes": ("SHARED_READ",), "trx_seconds": 60.0,
        "rows_changed": 0, "weight": 0,
    }  # fmt: skip
    return Holder(**{**facts, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "Query"},
        {"seconds": 5.0},
        {"trx_seconds": 5.0},
        {"trx_seconds": None},
        {"rows_changed": 1001},
        {"rows_changed": None},
        {"weight": 1_000_001},
        {"weight": None},
        {"modes": ("SHARED_NO_READ_WRITE",)},
        {"user": "system user"},
        {"command": "Binlog Dump"},
    ],
)
def test_kill_idle_spares_all_but_old_idle_light(changes: dict[str, Any]) -> None:
    assert may_end(holder(), Policy())
    assert not may_end(holder(**changes), Policy())


NOON = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.timezone.utc)


@pytest.mark.parametrize(
    ("until", "lasting", "hours"),
    [("13:30", "", 1.5), ("05:30", "", 17.5), ("05:30Z", "", 17.5), ("", "6h", 6.0),
     ("13:30", "6h", 1.5), ("2026-11-23T12:00Z", "", 24.0), ("", "", None)],
)  # fmt: skip
def test_window(until: str, lasting: str, hours: Any) -> None:
    found = window.parse(until, lasting, NOON)
    expected = None if hours is None else NOON.timestamp() + hours * 3600
    assert found.until == expected


def test_window_over_a_change_of_the_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """05:30 of that morning, not 05:30 by the evening's offset from UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        spring = dt.datetime(2026, 3, 28, 22, 0, tzinfo=dt.timezone.utc).astimezone()
        autumn = dt.datetime(2026, 10, 24, 21, 0, tzinfo=dt.timezone.utc).astimezone()
        for now, utc in ((spring, "2026-03-29T03:30"), (autumn, "2026-10-25T04:30")):
            expected = dt.datetime.fromisoformat(f"{utc}+00:00")
            assert window._moment("05:30", now, None) == expected
            day = expected.date()
            assert window._moment(f"{day}T05:30", now, None) == expected
    time.tzset()


@pytest.mark.parametrize("text", ["noon", "25:00", "2020-01-01T00:00Z", "5"])
def test_window_typed_wrong(text: str) -> None:
    with pytest.raises(UsageError):
        window.parse(text, "", NOON)


def test_window_starts_nothing_that_would_not_finish() -> None:
    found = window.Window(1000.0, now=lambda: 900.0)
    assert found.why_not(5e9, 100e6) == "" and found.why_not(50e9, 100e6)
    assert found.why_not(5e9, 0), "unmeasured counts as slow"


def test_min_gain() -> None:
    assert parse_min_gain("20%,100MB") == MinGain(0.2, 100 << 20)
    assert parse_min_gain("1 GB, 5 %") == MinGain(0.05, 1 << 30)
    assert parse_min_gain("0") == MinGain(0.0, 0)
    for text in ("120%", "a lot", "%"):
        with pytest.raises(UsageError):
            parse_min_gain(text)


def estimate(table: str, size: int, left: int) -> Estimate:
    return Estimate(table, size, left, size - left, 1 << 20, "pages")


def test_choice_and_order() -> None:
    online = Treatment(ONLINE, "InnoDB", (Part("rebuild_online"),))
    least, past = MinGain(0.2, 100 << 20), Past()
    mb = 1 << 20
    cases = {"big": (9000, 3000), "small": (500, 100), "full": (9000, 8900), "tiny": (90, 1)}
    choices = [
        weigh(name, online, estimate(name, size * mb, left * mb), least, past)
        for name, (size, left) in cases.items()
    ]
    choices.append(weigh("view", Treatment(LEFT, "a view"), None, least, past))
    assert [c.table for c in in_order(choices)] == ["small", "big"]
    assert all(c.why for c in choices)


def test_journal_goes_on_where_a_run_stopped() -> None:
    at = dt.datetime.now(dt.timezone.utc).isoformat()
    lines: list[dict[str, Any]] = [
        {"event": "run", "run": "r1"},
        {"event": "begin", "run": "r1", "table": "a", "tag": "t1", "created": "x", "before": 100},
        {"event": "done", "run": "r1", "table": "a", "before": 100, "seconds": 2, "at": at},
        {"event": "begin", "run": "r1", "table": "b", "tag": "t2", "created": "y", "before": 5},
    ]
    past = replay(iter(lines))
    assert past.run == "r1" and past.done_in_this_run("a") and not past.done_in_this_run("b")
    # A run whose end never comes (a table that fits into no window) does not leave out the others
    # for ever.
    stale = replay(iter([line | {"at": "2026-01-01T03:00:00+00:00"} for line in lines]))
    assert stale.run == "r1" and not stale.done_in_this_run("a")
    assert past.begun is not None and (past.begun.table, past.begun.tag) == ("b", "t2")
    assert past.rate == 50 and (past.hours_since("a") or 0) < 0.1
    ended = replay(iter([*lines, {"event": "failed", "run": "r1", "table": "b"},
                         {"event": "end", "run": "r1"}]))  # fmt: skip
    assert ended.run == "" and ended.begun is None and not ended.done_in_this_run("a")


def test_space_is_refused_with_the_figures() -> None:
    gb = 1 << 30
    needs = need(10 * gb, 4 * gb, gb, 128 << 20)
    assert needs == Need(5 * gb + (128 << 20), gb)
    assert need(10 * gb, 0, gb, 0).data == 10 * gb
    assert why_not(Room(20 * gb, None, "df"), needs) == ""
    text = why_not(Room(6 * gb, None, "df"), needs)
    assert "6.1 GB" in text and "6.0 GB" in text
    assert "tmpdir" in why_not(Room(20 * gb, gb // 2, "df"), needs)


def test_throttle() -> None:
    limits = throttle.Limits(lag=60, running=50, history=1000, critical=100)
    assert not throttle.why_pause(throttle.Load(50, 1000, (("r", 60.0),)), limits)
    assert "--max-load" in throttle.why_pause(throttle.Load(51), limits)
    assert "--max-history" in throttle.why_pause(throttle.Load(1, 1001), limits)
    assert "--max-lag" in throttle.why_pause(throttle.Load(1, 1, (("r", 61.0),)), limits)
    # A replica that cannot be asked counts as lagging.
    assert "cannot be asked" in throttle.why_pause(throttle.Load(1, 1, (("r", None),)), limits)
    assert throttle.why_cancel(101, limits) and not throttle.why_cancel(100, limits)
    assert throttle.count("Threads_running=50", "--max-load") == 50


def server(**changes: Any) -> Server:
    facts: dict[str, Any] = {
        "flavour": "mysql", "version": (9, 7, 4), "version_text": "9.7.4",
        "variables": {"log_bin": "ON"}, "process": True, "metadata_locks": "", "replicas": 0,
        "is_replica": False, "galera": False, "managed": "",
    }  # fmt: skip
    return Server(**{**facts, **changes})


def test_binlog_is_decided_by_server_replicas_and_privileges() -> None:
    online, local = "rebuild_online", "rebuild_optimize_local"
    off = binlog.decide(server(variables={}), "auto", False, True)
    assert not off.skip and off.statement(online) == online
    assert binlog.decide(server(replicas=2), "auto", True, False).skip
    assert binlog.decide(server(), "auto", False, True).statement(online) == online
    for replicas in (2, None):
        decision = binlog.decide(server(replicas=replicas), "auto", False, True)
        assert decision.statement(online) == local and not decision.skip
    assert "cannot see replicas" in binlog.decide(server(replicas=None), "auto", False, False).why
    assert not binlog.decide(server(replicas=2), "write", True, True).skip
    for wanted, count in (("auto", 2), ("skip", 0)):
        with pytest.raises(Refused):
            binlog.decide(server(replicas=count), wanted, False, False)


def test_what_cannot_be_seen_is_said() -> None:
    full = server(metadata_locks="performance_schema")
    killing = Options(policy=Policy(on_block=KILL_IDLE))
    assert blind_spots(full, killing) == []
    assert len(blind_spots(server(), killing)) == 2
    plugin = blind_spots(server(flavour="mariadb"), Options())
    assert "INSTALL SONAME" in plugin[0]
    assert any("PROCESS" in note for note in blind_spots(server(process=False), Options()))


def test_galera_is_refused_unless_told() -> None:
    assert binlog.galera(server(), "") == {}
    with pytest.raises(Refused, match="Galera"):
        binlog.galera(server(galera=True), "")
    assert binlog.galera(server(galera=True), "rsu") == {"wsrep_OSU_method": "RSU"}


def test_progress_of_both_servers() -> None:
    def mariadb(pct: int) -> Any:
        return watch.mariadb_share([{"stage": "INNODB_ONLINEDDL_PCT_PROGRESS", "done": pct}])

    assert mariadb(0) is None and mariadb(3333) == pytest.approx(0.8)
    assert mariadb(1666) == pytest.approx(0.4, abs=0.01) and mariadb(8317) == pytest.approx(1.0)
    assert watch.mysql_share([]) is None
    assert watch.mysql_share([{"done": 50, "estimated": 200}]) == 0.25
    # Old statistics: the estimate is raised along with the work, and tells nothing.
    assert watch.mysql_share([{"done": 50, "estimated": 50}]) is None


def test_table_names_in_statements() -> None:
    assert watch.names_table("SELECT 1 FROM log_visit WHERE a", "log_visit")
    assert watch.names_table("SELECT 1 FROM `a``b`", "a`b")
    assert not watch.names_table("SELECT 1 FROM log_visit_x", "log_visit")
    assert watch.names_table("", "log_visit"), "no text: it may be"


def test_the_same_flags_go_to_the_host() -> None:
    flags = {"tables": "a,b", "for_": "6h", "min_gain": "20%,1GB", "quiet": True, "all": False,
             "until": ""}  # fmt: skip
    expected = ["db.optimize", "--tables", "a,b", "--for", "6h", "--min-gain", "20%,1GB", "--quiet"]
    assert words(flags) == expected
