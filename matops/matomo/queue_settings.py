"""QueuedTracking's settings in force, and what its Redis says. Runs where Matomo runs."""

from __future__ import annotations

from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import ini
from matops.matomo.redis import Redis, RedisRefused

DEFAULTS = {
    "backend": "redis",
    "redisHost": "127.0.0.1",
    "redisPort": "6379",
    "redisTimeout": "0.0",
    "redisDatabase": "0",
    "redisPassword": "",
    "useWhatRedisBackendType": "1",
    "sentinelMasterName": "mymaster",
    "queueEnabled": "0",
    "numQueueWorkers": "1",
    "numRequestsToProcess": "25",
    "processDuringTrackingRequest": "1",
}
"""The plugin's own defaults (QueuedTracking 5.1.1, SystemSettings.php)."""

STANDALONE, SENTINEL, CLUSTER = "1", "2", "3"
KEY = "trackingQueueV1"
"""The list of request sets; with several workers one list each, ``…_1`` and so on."""


def in_force(config: ini.Sections, rows: dict[str, str]) -> dict[str, str]:
    """``[QueuedTracking]`` of the config goes before the plugin_setting row, before the default.

    (Measured: matomo.md §4. A row that was written by plain SQL reaches the tracker only after
    core:clear-caches.)
    """
    section = {
        key: ini.text_of(config, "QueuedTracking", key) for key in config.get("QueuedTracking", {})
    }
    found = {key: section.get(key, rows.get(key, default)) for key, default in DEFAULTS.items()}
    if found["useWhatRedisBackendType"] == SENTINEL and "redisPort" not in {*section, *rows}:
        found["redisPort"] = "26379"  # the plugin's default is another one then
    return found


def keys(workers: str) -> list[str]:
    """Names of all lists that requests may wait in."""
    number = int(workers) if workers.isdigit() else 1
    return [KEY, *(f"{KEY}_{i}" for i in range(1, min(number, 64)))]


def connect(settings: dict[str, str]) -> Redis:
    """A connection to the (first, or master) Redis of these settings. Raises as ``Redis``."""
    kind = settings["useWhatRedisBackendType"]
    hosts = [host.strip() for host in settings["redisHost"].split(",")]
    ports = [_number(port, 6379) for port in settings["redisPort"].split(",")]
    port = ports[0]
    if kind == SENTINEL:
        hosts[0], port = _master(hosts, ports, settings["sentinelMasterName"])
    return Redis(
        hosts[0],
        port,
        password=settings["redisPassword"],
        database=_number(settings["redisDatabase"], 0) if kind != CLUSTER else 0,
    )


def _master(hosts: list[str], ports: list[int], name: str) -> tuple[str, int]:
    last: Optional[MatopsError] = None
    for place, host in enumerate(hosts):
        try:
            with Redis(host, ports[min(place, len(ports) - 1)]) as sentinel:
                found = sentinel.ask("SENTINEL", "get-master-addr-by-name", name)
            if isinstance(found, list) and len(found) == 2:
                return str(found[0]), int(str(found[1]))
            last = MatopsError(f"the sentinel at {host} knows no master named '{name}'")
        except MatopsError as error:
            last = error
    raise last or MatopsError("no sentinel is named in redisHost")


def redis_facts(settings: dict[str, str]) -> dict[str, Any]:
    """What the checks want to know; figures in bytes. ``{"error": …}`` where it is not reached.

    ``policy`` and ``persistence`` are None where CONFIG is forbidden and INFO does not tell.
    """
    try:
        with connect(settings) as redis:
            info = redis.info()
            facts: dict[str, Any] = {
                "where": redis.shown,
                "version": info.get("redis_version") or info.get("valkey_version", ""),
                "policy": info.get("maxmemory_policy"),
                "used": _number(info.get("used_memory", ""), 0),
                "maxmemory": _number(info.get("maxmemory", ""), 0),
                "machine_memory": _number(info.get("total_system_memory", ""), 0),
                "aof": info.get("aof_enabled") == "1",
                "last_save_ok": info.get("rdb_last_bgsave_status", "ok") == "ok",
                "last_append_ok": info.get("aof_last_write_status", "ok") == "ok",
                "evicted": _number(info.get("evicted_keys", ""), 0),
                "role": info.get("role", ""),
            }
            facts["save"] = _config(redis, "save")
            facts["dir"] = _config(redis, "dir")
            facts["stops_unsaved"] = _config(redis, "stop-writes-on-bgsave-error") != "no"
            facts["policy"] = facts["policy"] or _config(redis, "maxmemory-policy")
            facts["waiting"] = _waiting(redis, settings)
            return facts
    except MatopsError as error:
        return {"error": error.line()}


def _config(redis: Redis, name: str) -> Optional[str]:
    try:
        return redis.config(name).get(name)
    except RedisRefused:
        return None


def _waiting(redis: Redis, settings: dict[str, str]) -> Optional[int]:
    try:
        return sum(redis.length(key) for key in keys(settings["numQueueWorkers"]))
    except RedisRefused:  # in a cluster the list may live on another node (MOVED)
        return None


def _number(text: str, default: int) -> int:
    return int(text) if text.strip().lstrip("-").isdigit() else default
