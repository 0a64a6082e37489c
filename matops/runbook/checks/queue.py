"""Checks of QueuedTracking and its Redis: can the queue carry the outage?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from matops.runbook.checks.result import FAIL, OK, UNKNOWN, WARN, CheckResult, Facts
from matops.units import show_size

REQUEST = 2048
"""Bytes of Redis that one waiting request takes at most, nearly always: measured 1.0 KB for a
page view with a usual query string (QueuedTracking 5.1.1, Redis 8); cookies and long URLs add."""

ROOM = 512 * 2**20
"""Bytes that should be free for waiting requests: 260 000 of them."""


def is_true(value: str) -> bool:
    """As PHP's settype(bool) has it: the text "false" counts as TRUE (matomo.md §4)."""
    return value not in ("", "0")


def in_use(facts: Facts) -> bool:
    """True where hits go through the queue now."""
    seen = facts.preflight.get("queue", {})
    return bool(seen.get("active")) and is_true(seen["settings"]["queueEnabled"])


def plugin(facts: Facts) -> CheckResult:
    """QueuedTracking is there, active and queueing, into Redis."""
    wanted = "active, into Redis: the queue carries the outage"
    seen = facts.preflight.get("queue")
    here = facts.probe("site").get("plugins", {}).get("QueuedTracking")
    replay = "else only the access log can bring the outage's hits back"
    if seen is None:
        return CheckResult("queue", UNKNOWN, facts.preflight_error or "not asked", wanted,
                           "see the reason; then again")  # fmt: skip
    settings = seen["settings"]
    figures = {"installed": here is not None, "active": seen["active"], "settings": settings}
    if here is None and not seen["active"]:
        return CheckResult("queue", WARN, "QueuedTracking is not installed", wanted,
                           f"install it; {replay}", figures)  # fmt: skip
    if not seen["active"]:
        return CheckResult("queue", WARN, "QueuedTracking is installed, not active", wanted,
                           f"console plugin:activate QueuedTracking; {replay}",
                           figures)  # fmt: skip
    if not in_use(facts):
        return CheckResult("queue", WARN, "QueuedTracking is active, the queue is off", wanted,
                           f"set queueEnabled to 1; {replay}", figures)  # fmt: skip
    waiting = _waiting(facts, settings["backend"])
    found = f"QueuedTracking {(here or {}).get('version', '')}, {settings['backend']}"
    found += f", {waiting} request sets waiting" if waiting is not None else ""
    figures["waiting"] = waiting
    if settings["backend"] != "redis":
        return CheckResult("queue", WARN, found, wanted,
                           "the queue is in the database that is upgraded: it cannot carry an "
                           "outage of the database; use Redis", figures)  # fmt: skip
    return CheckResult("queue", OK, found, wanted, "", figures)


def _waiting(facts: Facts, backend: str) -> Optional[int]:
    if backend == "redis":
        found = facts.preflight["queue"].get("redis", {}).get("waiting")
    else:
        found = facts.database.get("sizes", {}).get("queue_rows")
    return None if found is None else int(found)


def redis(facts: Facts) -> list[CheckResult]:
    """Reached; does not throw data away; keeps it over a restart; has room."""
    seen = facts.preflight.get("queue", {}).get("redis")
    if seen is None:
        return []
    if "error" in seen:
        status = FAIL if in_use(facts) else WARN
        todo = "start it before the upgrade: every hit is lost now" if in_use(facts) else (
            "start it, if the queue is to carry the outage")  # fmt: skip
        return [CheckResult("redis", status, str(seen["error"]), "reachable", todo)]
    role = "" if seen["role"] in ("", "master") else f", a {seen['role']}"
    reached = CheckResult(
        "redis", WARN if role else OK, f"Redis {seen['version']} at {seen['where']}{role}",
        "reachable, a master", "point redisHost to the master" if role else "", dict(seen),
    )  # fmt: skip
    return [reached, _eviction(facts, seen), _persistence(seen), _room(facts, seen)]


def _eviction(facts: Facts, seen: Mapping[str, Any]) -> CheckResult:
    policy, wanted = seen["policy"], "noeviction"
    figures = {"policy": policy, "evicted": seen["evicted"]}
    if policy is None:
        return CheckResult("redis-eviction", UNKNOWN, "it does not tell (CONFIG is forbidden)",
                           wanted, "ask its provider for maxmemory-policy", figures)  # fmt: skip
    if policy == wanted:
        return CheckResult("redis-eviction", OK, policy, wanted, "", figures)
    status = FAIL if in_use(facts) and policy.startswith("allkeys") else WARN
    gone = f"; {seen['evicted']} keys thrown away so far" if seen["evicted"] else ""
    return CheckResult(
        "redis-eviction", status, f"{policy}{gone}", wanted,
        "redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf: a full Redis would "
        "throw waiting hits away", figures,
    )  # fmt: skip


def _persistence(seen: Mapping[str, Any]) -> CheckResult:
    wanted = "appendonly yes, or save points"
    save = seen["save"]
    figures = {"appendonly": seen["aof"], "save": save}
    if seen["aof"]:
        return CheckResult("redis-persistence", OK, "appendonly yes", wanted, "", figures)
    if save is None:
        return CheckResult("redis-persistence", UNKNOWN, "appendonly no; save points not told",
                           wanted, "ask its provider", figures)  # fmt: skip
    if not save:
        return CheckResult("redis-persistence", WARN, "none: a restart loses the queue", wanted,
                           "redis-cli CONFIG SET appendonly yes, and in redis.conf",
                           figures)  # fmt: skip
    if not seen["last_save_ok"]:
        return CheckResult("redis-persistence", WARN, f"save {save}; the last save failed",
                           wanted, "look at its log: disk full? memory overcommit?",
                           figures)  # fmt: skip
    return CheckResult("redis-persistence", OK, f"save {save}", wanted, "", figures)


def _room(facts: Facts, seen: Mapping[str, Any]) -> CheckResult:
    wanted = f"{show_size(ROOM)} free: {ROOM // REQUEST} waiting requests"
    limit, used = int(seen["maxmemory"]), int(seen["used"])
    machine = int(facts.probe("machine").get("memory", {}).get("MemAvailable", 0))
    local = str(seen["where"]).startswith(("127.", "localhost", "/", "::1"))
    if limit:
        room, found = limit - used, f"{show_size(used)} of maxmemory {show_size(limit)} used"
        if local and machine:
            room = min(room, machine)
    elif local and machine:
        room, found = machine, f"no maxmemory; the machine has {show_size(machine)} free"
    else:
        return CheckResult("redis-room", UNKNOWN, f"no maxmemory; {show_size(used)} used, its "
                           "machine's free memory is not seen", wanted, "look there with free -h",
                           {"used": used})  # fmt: skip
    figures = {"room": room, "used": used, "maxmemory": limit, "requests": room // REQUEST}
    if room < ROOM:
        return CheckResult("redis-room", WARN, found, wanted,
                           "raise maxmemory, or free memory on that machine",
                           figures)  # fmt: skip
    return CheckResult("redis-room", OK, f"{found}: some {room // REQUEST} requests", wanted, "",
                       figures)  # fmt: skip
