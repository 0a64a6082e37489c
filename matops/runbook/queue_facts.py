"""What the steps of the queue look at, in one call on the host: the queue, what will come, who
works on it."""

from __future__ import annotations

import time
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import queue, queue_workers
from matops.matomo.database import Database
from matops.runbook import plan_traffic
from matops.runbook.checks.queue import REQUEST
from matops.units import show_duration, show_size


def collect(docroot: str, window: float = 0.0) -> dict[str, Any]:
    """``matomo.queue.status`` and ``running`` (workers' processes of this machine); with a
    ``window`` (seconds) ``need``, of which ``needs`` tells. MatopsError, DatabaseError."""
    found = queue.status(docroot)
    found["running"] = queue_workers.look(docroot)
    if window and not found["why_none"]:
        found["need"] = _need(docroot, found, window)
    return found


def _need(docroot: str, found: dict[str, Any], window: float) -> dict[str, Any]:
    likely, high, why = 0, 0, ""
    try:
        with Database(docroot, timeout=30) as db:
            now = time.time()
            hours = plan_traffic.hourly(db, now)
            likely, high = plan_traffic.during(hours, now, now, window)
    except MatopsError as error:
        why = error.line()
    return needs(found, likely, high, window, why)


def needs(
    found: dict[str, Any], likely: int, high: int, window: float, why: str = ""
) -> dict[str, Any]:
    """``{"seconds", "requests", "bytes", "from", "full_in", "why": '' or what was not known}``.

    The more of two: the actions of the same hours last week (``high``), and what comes in now.
    Pure.
    """
    pace = (found["requests_per_second"] or 0.0) if found["oldest"] < 3600 else 0.0
    now = int(pace * window)
    requests, source = (
        (now, "the pace of now") if now > high else (high, "the same hours last week")
    )
    each = _bytes_of_one(found)
    full = queue.full_in(found)
    if requests and found["space"]["free"] is not None:
        full = window * found["space"]["free"] / (requests * each)
    return {"seconds": window, "requests": requests, "likely": max(likely, now),
            "bytes": int(requests * each), "from": source, "full_in": full, "why": why}  # fmt: skip


def _bytes_of_one(found: dict[str, Any]) -> float:
    """Bytes that one waiting hit takes: measured where enough wait, with a quarter on top."""
    if not found["sets"] or found["requests"] < 20 or not found["bytes_each"]:
        return float(REQUEST)
    return 1.25 * float(found["bytes_each"]) * float(found["sets"]) / float(found["requests"])


def why_short(found: dict[str, Any]) -> str:
    """Why the backend has no room for what will pile up; '' where it has, or nobody can tell."""
    free, need = found["space"]["free"], found["need"]
    if free is None or need["bytes"] <= free:
        return ""
    return (
        f"no room for {show_duration(need['seconds'])}: up to {need['requests']} requests "
        f"({need['from']}) take {show_size(need['bytes'])}, {show_size(free)} are free "
        f"({found['space']['how']}); it is full after {show_duration(need['full_in'])}"
    )


def room_line(found: dict[str, Any]) -> str:
    """The room and the need, for the plan."""
    free, need = found["space"]["free"], found["need"]
    return (
        f"room: {show_size(free)} free ({found['space']['how']}); in "
        f"{show_duration(need['seconds'])} up to {need['requests']} requests come "
        f"({need['from']}): {show_size(need['bytes'])}"
        + (f"; not known: {need['why']}" if need["why"] else "")
    )


def depth_line(found: dict[str, Any]) -> str:
    """``1234 request sets (about 1500 requests) wait in 4 lists``."""
    if found["why_none"]:
        return str(found["why_none"])
    about = "" if found["requests_exact"] else "about "
    most = "" if found["exact"] else "up to "
    used = len([length for length in found["lists"].values() if length])
    if not found["sets"]:
        return "nothing waits"
    return (
        f"{most}{found['sets']} request sets ({about}{found['requests']} requests) wait in "
        f"{used} list{'' if used == 1 else 's'}, the oldest for {show_duration(found['oldest'])}"
    )


def beyond_line(found: dict[str, Any]) -> Optional[str]:
    """Sets in lists that no worker looks at, and what to do about it."""
    if not found.get("beyond"):
        return None
    lists = [n for n, length in found["lists"].items()
             if length and int(n) >= found["setup"]["workers"]]  # fmt: skip
    return (
        f"{found['beyond']} request sets lie in lists that no worker looks at ({', '.join(lists)}"
        f"): numQueueWorkers was lowered to {found['setup']['workers']}; raise it to "
        f"{int(max(lists, key=int)) + 1} and drain"
    )


def own_line(found: dict[str, Any], servers: int) -> Optional[str]:
    """Where several servers name a Redis by loopback or socket: each has a queue of its own."""
    where = str(found.get("where", ""))
    name = where.rpartition(" at ")[2]
    if servers < 2 or not name.startswith(("127.", "localhost:", "/", "::1:")):
        return None
    return (
        f"{where} is each server's own, if it runs on each of the {servers}: then every one has a "
        "queue of its own, and a drain empties this server's only; fab -H each queue.drain"
    )
