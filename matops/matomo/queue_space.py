"""How much more the queue's backend can hold, and whether it keeps what it holds. Runs there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.errors import MatopsError
from matops.host.probes.machine import memory
from matops.matomo import queue_settings
from matops.matomo.database import Database
from matops.matomo.queue_setup import MYSQL, Setup
from matops.matomo.queue_store import MysqlStore, RedisStore, Store
from matops.mysql import server as servers
from matops.mysql import space
from matops.units import show_size

KEEP_FREE = 256 << 20
"""Bytes of the machine's memory that stay free whatever happens."""


@dataclass(frozen=True)
class Space:
    """``free`` bytes (None: it cannot be seen), found ``how``. ``wrong``: it would lose hits.
    ``warnings``: what may."""

    free: Optional[int]
    how: str
    wrong: str = ""
    warnings: list[str] = field(default_factory=list)


def look(setup: Setup, store: Store, docroot: str) -> Space:
    """Asks the backend and this machine. MatopsError where it is not reached."""
    if isinstance(store, RedisStore):
        facts = queue_settings.redis_facts(setup.values)
        if "error" in facts:
            raise MatopsError(str(facts["error"]))
        free_here = int(memory().get("MemAvailable", 0) or 0)
        facts["disk"] = _disk(facts)
        return of_redis(facts, free_here, store.lives())
    assert isinstance(store, MysqlStore) and setup.backend == MYSQL
    with Database(docroot, timeout=30) as db:
        return of_disk(space.look(servers.look(db.session), db.is_local))


def _is_here(facts: dict[str, Any]) -> bool:
    return str(facts["where"]).startswith(("127.", "localhost", "/", "::1"))


def _disk(facts: dict[str, Any]) -> Optional[int]:
    """Free bytes where this machine's Redis keeps its files; None where that is not seen."""
    try:
        seen = os.statvfs(str(facts["dir"])) if _is_here(facts) and facts["dir"] else None
    except OSError:
        return None
    return seen.f_bavail * seen.f_frsize if seen else None


def of_disk(room: Optional[space.Room]) -> Space:
    """Free space where the database keeps its tables. Pure."""
    note = ["the queue lies in the database: hits are lost while that is down"]
    if room is None:
        return Space(None, "the database's disk is not seen from here", warnings=note)
    free = max(room.data - space.RESERVE, 0)
    return Space(free, f"{room.how}, {show_size(space.RESERVE)} stay in reserve", warnings=note)


def of_redis(facts: dict[str, Any], available: int, lives: dict[int, int]) -> Space:
    """``facts`` of queue_settings.redis_facts, the free memory of this machine. Pure."""
    limit, used = int(facts["maxmemory"]), int(facts["used"])
    local = _is_here(facts)
    bounds: list[tuple[int, str]] = []
    if limit:
        bounds.append((limit - used, f"{show_size(used)} of maxmemory {show_size(limit)} used"))
    if local and available:
        # A save forks: in the worst case every page that changes meanwhile is held twice.
        spare = max(available - KEEP_FREE, 0) // (2 if facts["save"] or facts["aof"] else 1)
        bounds.append((spare, f"{show_size(available)} of this machine's memory are free"))
    if facts.get("disk") is not None and (facts["save"] or facts["aof"]):
        # What is kept is written, and written anew beside that: full, Redis refuses writes.
        spare = max(int(facts["disk"]) - used - space.RESERVE, 0) // 2
        bounds.append(
            (spare, f"{show_size(facts['disk'])} of the disk under {facts['dir']} are free")
        )
    if not local and not limit and (whole := int(facts.get("machine_memory") or 0)):
        # Another machine: at best what it has and Redis does not use; others may use it, too.
        spare = max(whole - used - KEEP_FREE, 0) // (2 if facts["save"] or facts["aof"] else 1)
        bounds.append((spare, f"no maxmemory; its machine has {show_size(whole)} altogether"))
    free, how = min(bounds) if bounds else (None, "no maxmemory; its machine is not seen from here")
    return Space(
        None if free is None else max(free, 0), how, _wrong(facts, lives), _warnings(facts)
    )


def _wrong(facts: dict[str, Any], lives: dict[int, int]) -> str:
    policy, limit = str(facts["policy"] or ""), int(facts["maxmemory"])
    if policy.startswith("allkeys"):
        when = "when it is full" if limit else "as soon as it has a maxmemory"
        return f"Redis throws waiting hits away {when} (maxmemory-policy {policy})"
    if lives:
        return f"the list {queue_settings.KEY} has a time to live: {min(lives.values())} s"
    if limit and int(facts["used"]) >= limit:
        # SET, which takes a worker's lock, is refused then as RPUSH is: it cannot even be drained.
        return f"Redis is full ({show_size(limit)} of maxmemory): it takes no hits and no locks"
    if facts["role"] not in ("", "master"):
        return f"Redis at {facts['where']} is a {facts['role']}: it takes no writes"
    if not facts["last_append_ok"]:
        return "Redis could not write its append-only file, and refuses writes (disk full?)"
    if not facts["last_save_ok"] and facts["save"] and facts["stops_unsaved"]:
        return ("Redis' last save failed, and it refuses writes (stop-writes-on-bgsave-error): "
                "disk full, or no memory to fork")  # fmt: skip
    return ""


def cure_of(wrong: str) -> str:
    """What to do about ``Space.wrong``. Pure."""
    logs = "or let the access logs carry the outage"
    if "maxmemory-policy" in wrong:
        return f"redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf; {logs}"
    if "is full" in wrong:
        return ("redis-cli CONFIG SET maxmemory to some more at once (else no worker drains it), "
                "then queue.drain")  # fmt: skip
    return f"repair that (Redis' own log tells more); {logs}"


def _warnings(facts: dict[str, Any]) -> list[str]:
    found = []
    policy = facts["policy"]
    if policy is None:
        found.append("maxmemory-policy is not told (CONFIG is forbidden): noeviction is needed")
    elif str(policy).startswith("volatile") and int(facts["maxmemory"]):
        found.append(f"maxmemory-policy {policy}: a full Redis drops the workers' locks first")
    cure = "redis-cli CONFIG SET appendonly yes"
    if facts["aof"]:
        pass
    elif facts["save"] is None:
        found.append("whether Redis persists anything is not told: a restart may lose the queue")
    elif not facts["save"]:
        found.append("Redis persists nothing (no appendonly, no save points): a restart of Redis "
                     f"loses all that waits; {cure}")  # fmt: skip
    else:
        found.append(f"Redis saves at points only ({facts['save']}): a crash of Redis loses what "
                     f"came since the last one; {cure}")  # fmt: skip
    if not facts["last_save_ok"]:
        found.append("Redis' last save failed: look at its log")
    return found
