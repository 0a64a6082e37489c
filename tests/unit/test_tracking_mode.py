"""Who keeps the hits of the outage: the decision."""

from __future__ import annotations

from typing import Any

import pytest

from matops.errors import Refused, UsageError
from matops.runbook.checks.result import FAIL, OK, UNKNOWN, WARN, CheckResult
from matops.runbook.tracking_mode import Asked, decide, parse_mode

MB = 2**20


def results(**changed: Any) -> dict[str, CheckResult]:
    """A site where both ways are open, but for what is changed."""
    settings = {"backend": changed.pop("backend", "redis"),
                "queueEnabled": changed.pop("enabled", "1")}  # fmt: skip
    queue = {"installed": True, "active": changed.pop("active", True), "settings": settings}
    found = {
        "queue": CheckResult("queue", OK, "QueuedTracking", figures=queue),
        "redis": CheckResult("redis", OK, "Redis", figures={"used": 1}),
        "redis-eviction": CheckResult("redis-eviction", OK, "noeviction",
                                      figures={"policy": "noeviction"}),
        "redis-room": CheckResult("redis-room", OK, "", figures={"room": 600 * MB}),
        "access-log": CheckResult("access-log", OK, "/var/log/apache2/access.log"),
        "log-retention": CheckResult("log-retention", OK, "14 days"),
    }  # fmt: skip
    for name, value in changed.items():
        found[name.replace("_", "-")] = value
    return {name: value for name, value in found.items() if value is not None}


def test_the_queue_is_the_default_where_it_has_room() -> None:
    found = decide(Asked(), results(), 14400, 100_000)
    assert (found.mode, found.switch_on) == ("queue", False)
    assert "room for 307200 requests; up to 100000 come in 4 h" in found.line


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"queue": CheckResult("queue", WARN, "", figures={"installed": False, "active": False})},
         "not installed"),
        ({"queue": CheckResult("queue", UNKNOWN, "database down")}, "database down"),
        ({"enabled": "0"}, "--switch-queue-on"),
        ({"active": False}, "installed, not active"),
        ({"redis": CheckResult("redis", FAIL, "Redis cannot be reached")}, "cannot be reached"),
        ({"redis_eviction": CheckResult("redis-eviction", FAIL, "allkeys-lru",
                                        figures={"policy": "allkeys-lru"})}, "allkeys-lru"),
        ({"redis_room": CheckResult("redis-room", WARN, "", figures={"room": 10 * MB})}, "no room"),
    ],
)  # fmt: skip
def test_replay_where_the_queue_cannot_with_the_reason(changed: dict[str, Any], why: str) -> None:
    found = decide(Asked(), results(**changed), 14400, 100_000)
    assert found.mode == "replay" and why in found.reason
    with pytest.raises(Refused, match="--tracking queue"):
        decide(Asked("queue"), results(**changed), 14400, 100_000)


@pytest.mark.parametrize("changed", [{"enabled": "0"}, {"active": False}])
def test_a_queue_that_is_off_may_be_switched_on(changed: dict[str, Any]) -> None:
    found = decide(Asked(switch_on=True), results(**changed), 14400, 100)
    assert (found.mode, found.switch_on) == ("queue", True)


def test_the_text_false_counts_as_on_as_php_has_it() -> None:
    assert decide(Asked(), results(enabled="false"), 1, 1).mode == "queue"


def test_a_queue_in_the_database_carries_it_and_says_what_that_means() -> None:
    found = decide(Asked(), results(backend="mysql"), 14400, 10**9)
    assert found.mode == "queue" and "while that is down" in found.notes[0]


def test_what_is_not_seen_is_a_note_not_a_no() -> None:
    unknown = CheckResult("redis-room", UNKNOWN, "no maxmemory", figures={"used": 1})
    assert "cannot be seen" in decide(Asked(), results(redis_room=unknown), 1, 1).notes[0]


@pytest.mark.parametrize("log", [WARN, UNKNOWN])
def test_logs_that_cannot_give_the_hits_back_are_refused_unless_accepted(log: str) -> None:
    blind = results(access_log=CheckResult("access-log", log, "no query string"), enabled="0")
    for asked in (Asked(), Asked("replay")):
        with pytest.raises(Refused, match="no query string"):
            decide(asked, blind, 1, 1)
    assert decide(Asked(accept_loss=True), blind, 1, 1).mode == "replay"


def test_logs_that_are_not_kept_long_enough_are_refused() -> None:
    short = results(log_retention=CheckResult("log-retention", FAIL, "1 day"))
    with pytest.raises(Refused, match="not kept long enough"):
        decide(Asked("replay"), short, 1, 1)


def test_replay_is_taken_when_asked_for_although_the_queue_could() -> None:
    assert decide(Asked("replay"), results(), 1, 1).reason.startswith("as asked")


def test_another_word_is_a_usage_error() -> None:
    assert parse_mode("") == ""
    with pytest.raises(UsageError, match="not one of queue, replay"):
        parse_mode("redis")
