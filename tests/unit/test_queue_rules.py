"""The tracking queue: what is decided from figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matops.matomo import queue, queue_contents, queue_space
from matops.matomo.queue_settings import DEFAULTS, in_force
from matops.matomo.queue_setup import Setup, why_none
from matops.matomo.queue_store import Waiting
from matops.mysql.space import RESERVE, Room
from matops.report import queue as report
from matops.runbook import queue_facts
from matops.runbook.queue_drain_words import Progress, complaint, met_another, no_headway

GB = 2**30


def facts(**changed: Any) -> dict[str, Any]:
    """A healthy Redis on this machine, as queue_settings.redis_facts has it."""
    return {"where": "127.0.0.1:6379", "policy": "noeviction", "used": GB, "maxmemory": 4 * GB,
            "aof": True, "save": "", "last_save_ok": True, "last_append_ok": True,
            "stops_unsaved": True, "role": "master", **changed}  # fmt: skip


def setup(**values: str) -> Setup:
    """An active plugin with these settings."""
    origins = dict.fromkeys(DEFAULTS, "the default")
    return Setup(True, True, True, in_force({"QueuedTracking": dict(values)}, {}), origins)


def found(**changed: Any) -> dict[str, Any]:
    """As queue.status has it: 1000 sets of one request, 2 a second."""
    state = {
        "setup": setup(queueEnabled="1").data(), "why_none": "", "where": "Redis at x", "beyond": 0,
        "lists": {"0": 1000}, "sets": 1000, "exact": True, "requests": 1000, "locks": {},
        "requests_exact": True, "bytes": 10**6, "bytes_each": 1000.0, "oldest": 500.0,
        "sets_per_second": 2.0, "requests_per_second": 2.0, "running": [],
        "space": {"free": 10**8, "how": "as seen", "wrong": "", "warnings": []},
    }  # fmt: skip
    state["need"] = queue_facts.needs(state, 0, 0, 3600.0)
    return {**state, **changed}


@pytest.mark.parametrize(
    ("changed", "lives", "wrong"),
    [
        ({}, {}, ""),
        ({"policy": "allkeys-lru"}, {}, "throws waiting hits away when it is full"),
        ({"policy": "allkeys-lru", "maxmemory": 0}, {}, "as soon as it has a maxmemory"),
        ({"policy": "volatile-ttl"}, {}, ""),
        ({"policy": "volatile-ttl"}, {0: 60}, "time to live"),
        ({"role": "slave"}, {}, "takes no writes"),
        ({"policy": None}, {}, ""),
        ({"used": 4 * GB}, {}, "no hits and no locks"),
        ({"last_append_ok": False}, {}, "append-only file"),
        ({"last_save_ok": False}, {}, ""),  # no save points: it goes on
        ({"last_save_ok": False, "save": "60 1"}, {}, "refuses writes"),
        ({"last_save_ok": False, "save": "60 1", "stops_unsaved": False}, {}, ""),
    ],
)
def test_a_redis_that_would_lose_hits(changed: Any, lives: Any, wrong: str) -> None:
    seen = queue_space.of_redis(facts(**changed), 20 * GB, lives)
    assert (wrong in seen.wrong) if wrong else not seen.wrong


@pytest.mark.parametrize(
    ("changed", "available", "free"),
    [
        ({}, 20 * GB, 3 * GB),  # maxmemory
        ({}, 2 * GB, (2 * GB - queue_space.KEEP_FREE) // 2),  # the machine is fuller; it forks
        ({"aof": False}, 2 * GB, 2 * GB - queue_space.KEEP_FREE),
        ({"maxmemory": 0, "where": "10.0.0.9:6379"}, 2 * GB, None),  # another machine
        ({"used": 5 * GB}, 20 * GB, 0),
        ({"disk": 3 * GB, "dir": "/d"}, 20 * GB, (2 * GB - RESERVE) // 2),
        ({"disk": 3 * GB, "dir": "/d", "aof": False}, 20 * GB, 3 * GB),
        (
            {"maxmemory": 0, "where": "10.0.0.9:6379", "machine_memory": 9 * GB, "used": GB},
            0,
            (8 * GB - queue_space.KEEP_FREE) // 2,
        ),
    ],
)
def test_room_in_redis(changed: Any, available: int, free: Any) -> None:
    assert queue_space.of_redis(facts(**changed), available, {}).free == free


def test_what_a_restart_would_lose_is_said() -> None:
    def words(**changed: Any) -> str:
        return " ".join(queue_space.of_redis(facts(**changed), GB, {}).warnings)

    assert words() == ""
    assert "persists nothing" in words(aof=False, save="")
    assert "saves at points only (60 1)" in words(aof=False, save="60 1")
    assert "not told" in words(aof=False, save=None)
    assert "the workers' locks" in words(policy="volatile-lru")


def test_room_on_the_databases_disk_keeps_a_reserve() -> None:
    assert queue_space.of_disk(Room(RESERVE + 5, None, "df /x")).free == 5
    assert queue_space.of_disk(None).free is None


def test_a_queue_or_why_there_is_none() -> None:
    assert why_none(setup().data()) == ""
    gone = Setup(False, False, True, in_force({}, {})).data()
    asleep = Setup(True, False, True, in_force({}, {})).data()
    assert "not installed" in why_none(gone) and "not active" in why_none(asleep)
    assert not Setup(True, False, True, in_force({}, {"queueEnabled": "1"})).enabled


def test_settings_in_force_and_their_habits() -> None:
    odd = setup(queueEnabled="false", numQueueWorkers="x", backend="Redis", redisPassword="geheim")
    assert odd.enabled and odd.workers == 1 and odd.backend == "redis"
    assert "geheim" not in repr(odd) and "geheim" not in json.dumps(odd.data())


def waiting(count: int, at: float) -> Waiting:
    """A set of so many requests."""
    hit = {"idsite": 3, "url": "http://a.example/x?secret=1", "token_auth": "t0ken"}
    return Waiting(json.dumps({"requests": [hit] * count, "time": at, "tokenAuth": "t0ken"}), 500)


def test_what_waiting_sets_say() -> None:
    seen = queue_contents.sample([waiting(1, 5), waiting(3, 6), Waiting("rubbish", 7)])
    assert (seen.sets, seen.requests, seen.bytes) == (3, 5, 1007)
    words = queue_contents.describe(waiting(2, 5))
    assert words == "2 request(s), idsite 3, http://a.example/x"
    assert "not readable" in queue_contents.describe(Waiting("rubbish", 7))


def test_pace_is_up_to_now() -> None:
    assert queue_contents.pace([(1, 999.0), (10, 995.0), (100, 950.0)], 1000.0) == 2.0
    assert queue_contents.pace([(1, 100.0)], 1100.0) == 0.001
    assert queue_contents.pace([], 1000.0) is None


def test_the_need_is_the_larger_of_last_week_and_now() -> None:
    assert found()["need"]["requests"] == 7200
    week = queue_facts.needs(found(), 9000, 10000, 3600.0)
    assert week["requests"] == 10000 and "last week" in week["from"]
    assert week["bytes"] == 12_500_000  # measured, and a quarter on top
    assert week["full_in"] == pytest.approx(3600 * 10**8 / 12_500_000)


def test_no_room_is_said_with_figures() -> None:
    assert queue_facts.why_short(found()) == ""
    tight = found(space={**found()["space"], "free": 10**6})
    tight["need"] = queue_facts.needs(tight, 0, 0, 3600.0)
    assert "no room for 60 min: up to 7200 requests" in queue_facts.why_short(tight)
    assert queue.full_in(tight) == 500.0
    unknown = found(space={**found()["space"], "free": None})
    assert queue_facts.why_short(unknown) == "" and queue.full_in(unknown) is None


def test_lists_that_no_worker_looks_at() -> None:
    left = found(beyond=7, lists={"0": 3, "5": 7})
    assert "raise it to 6" in str(queue_facts.beyond_line(left))
    assert queue_facts.beyond_line(found()) is None


def test_a_redis_of_each_server() -> None:
    assert queue_facts.own_line(found(where="Redis at 127.0.0.1:6379"), 1) is None
    assert queue_facts.own_line(found(where="Redis at 10.0.0.9:6379"), 3) is None
    assert "each server's own" in str(queue_facts.own_line(found(where="Redis at /run/r.sock"), 2))


def test_the_table_an_operator_reads() -> None:
    rows = dict(report.rows(found()))
    assert "1000 request sets" in rows["waiting"] and "2.0 requests/s" in rows["coming in"]
    assert rows["full, if held"] and rows["locked lists"] == "none"
    none = dict(report.rows(found(why_none="QueuedTracking is not installed")))
    assert none == {"plugin": "QueuedTracking is not installed"}


def test_symfonys_complaint_without_its_frame() -> None:
    text = "Starting\n\nIn Mysql.php line 416:\n      \n  There is no\n  transaction\n    \nx"
    assert complaint(text) == "There is no transaction (Mysql.php line 416)"
    assert complaint("fine") == ""
    assert met_another("SQLSTATE[HY000]: General error: 1020 Record has changed")
    assert met_another("There is no active transaction") and not met_another("killed")


def test_how_a_drain_goes() -> None:
    going = Progress()
    going.add(100)
    going.seen[0] = (going.seen[0][0] - 10, 400)
    going.add(100)
    seen = {"sets": 100, "lists": {"0": 50, "1": 10, "7": 40}, "locks": {"0": 9}, "workers": 2}
    line = going.line(seen, 0)
    assert line.startswith("100 request sets wait in 3 lists, 1 workers at work, 30 sets/s less")
    assert "2.0 s left" in line  # nobody gets at list 7
    going.seen[0] = (going.seen[0][0] - 30, 80)
    assert "left" not in going.line(seen, 0) and "as fast as they are" in going.line(seen, 0)
    assert "faster than they are recorded" in no_headway(seen, True)[0]
    assert "list 0 is locked" in no_headway(seen, False)[0]
