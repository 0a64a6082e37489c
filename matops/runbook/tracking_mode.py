"""Who keeps the hits of the outage: the held queue, or the access logs? A decision. Pure.

``queue``: QueuedTracking takes every hit, POST bodies too, and is processed afterwards; nothing is
lost as long as its backend has room. ``replay``: tracking is off, the tracker answers 503, and the
hits are read back from the access logs: what stands in the body of a POST is lost for good.
So the queue is the default wherever it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from matops.errors import Refused, UsageError
from matops.runbook.checks.queue import REQUEST
from matops.runbook.checks.result import FAIL, OK, UNKNOWN, CheckResult
from matops.units import show_duration, show_size

QUEUE, REPLAY = "queue", "replay"
MODES = (QUEUE, REPLAY)

NOT_UTF8 = (
    "QueuedTracking loses requests with bytes in a header (mostly the user agent) that are not "
    "UTF-8: --tracking replay keeps them"
)
"""Its Queue.php writes with json_encode, which makes nothing of them (5.1.1). On a site where the
queue is on every day it is so every day."""

Results = Mapping[str, CheckResult]
"""Results of ``check`` by name."""


@dataclass(frozen=True)
class Decision:
    """``switch_on``: the queue is off now and is switched on for the outage. ``notes``: what is
    not certain, a line each."""

    mode: str
    reason: str
    switch_on: bool = False
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """``queue: …``, for the operator and the journal."""
        return f"tracking: {self.mode}: {self.reason}"


@dataclass(frozen=True)
class Asked:
    """What was typed. ``mode`` '' = choose. ``accept_loss``: replay, although the logs may not
    hold what it needs."""

    mode: str = ""
    switch_on: bool = False
    accept_loss: bool = False


def parse_mode(text: str) -> str:
    """``queue``, ``replay`` or ''. UsageError."""
    if text and text not in MODES:
        raise UsageError(f"--tracking: '{text}' is not one of {', '.join(MODES)}")
    return text


def decide(asked: Asked, results: Results, window: int, requests: int) -> Decision:
    """``window``: seconds that the outage may last; ``requests``: hits that may come in it.

    Refused where what was asked for is not possible, or nothing is.
    """
    no_queue, no_logs = why_no_queue(results, asked, requests), why_no_replay(results)
    if asked.mode != REPLAY and not no_queue:
        return _queue(results, window, requests)
    if asked.mode == QUEUE:
        raise Refused(f"--tracking queue: {no_queue}", state="Nothing was changed",
                      next="repair that, or --tracking replay")  # fmt: skip
    reason = "as asked" if asked.mode == REPLAY else f"the queue cannot: {no_queue}"
    if not no_logs:
        body = "hits in POST bodies are in no log and are lost"
        return Decision(REPLAY, f"{reason}; the access logs record ({body})",
                        notes=_log_notes(results))  # fmt: skip
    if asked.accept_loss:
        return Decision(REPLAY, f"{reason}; hits may be lost, as accepted",
                        notes=(f"the access logs: {no_logs}",))  # fmt: skip
    lead = "" if asked.mode == REPLAY else f"neither can the queue: {no_queue}; nor can a replay: "
    what = f"hits of the outage could not be brought back: {lead}{no_logs}"
    raise Refused(what, state="Nothing was changed",
                  next="repair one of them, or --accept-loss")  # fmt: skip


def why_no_queue(results: Results, asked: Asked, requests: int) -> str:
    """Why the queue cannot carry the outage; '' where it can."""
    queue = results.get("queue")
    figures: Mapping[str, Any] = queue.figures if queue else {}
    if queue is None or "active" not in figures:
        return f"it could not be looked at ({queue.found if queue else 'not asked'})"
    if not figures["installed"] and not figures["active"]:
        return "QueuedTracking is not installed"
    if not enabled(figures) and not asked.switch_on:
        how = "off" if figures["active"] else "installed, not active"
        return f"QueuedTracking is {how}; --switch-queue-on has it on for the outage"
    return _why_not_redis(results, requests) if _backend(figures) == "redis" else ""


def enabled(figures: Mapping[str, Any]) -> bool:
    """Do hits go through the queue now? From the figures of the check ``queue``."""
    value = str(figures.get("settings", {}).get("queueEnabled", "0"))
    return bool(figures.get("active")) and value not in ("", "0")


def _backend(figures: Mapping[str, Any]) -> str:
    return str(figures.get("settings", {}).get("backend", "redis"))


def _why_not_redis(results: Results, requests: int) -> str:
    redis, eviction = results.get("redis"), results.get("redis-eviction")
    if redis is None or "used" not in redis.figures:
        return redis.found if redis else "its Redis was not reached"
    if eviction is not None and str(eviction.figures.get("policy") or "").startswith("allkeys"):
        return f"Redis throws waiting hits away when it is full ({eviction.found})"
    room = _room(results)
    if room is not None and requests * REQUEST > room:
        needs = f"up to {requests} requests, {show_size(requests * REQUEST)}"
        return f"Redis has no room for the window: {needs}; {show_size(room)} free"
    return ""


def _room(results: Results) -> Optional[int]:
    found = results.get("redis-room")
    room = found.figures.get("room") if found else None
    return None if room is None else int(room)


def _queue(results: Results, window: int, requests: int) -> Decision:
    figures = results["queue"].figures
    backend, room, notes = _backend(figures), _room(results), []
    on = enabled(figures)
    if backend != "redis":
        notes.append("the queue lies in the database: while that is down, hits are lost")
        says = f"QueuedTracking ({backend})"
    elif room is None:
        notes.append("how much room Redis has cannot be seen: the depth is watched")
        says = "QueuedTracking (redis)"
    else:
        says = (f"QueuedTracking (redis) has room for {room // REQUEST} requests; up to "
                f"{requests} come in {show_duration(window)}")  # fmt: skip
    saved = results.get("redis-persistence")
    if backend == "redis" and saved is not None and saved.status not in (OK, UNKNOWN):
        notes.append(f"Redis' persistence: {saved.found}")
    if not on:
        says += "; it is switched on for the outage"
        notes.append(NOT_UTF8)
    return Decision(QUEUE, says, not on, tuple(notes))


def why_no_replay(results: Results) -> str:
    """Why the access logs cannot give the hits back; '' where they can."""
    log, kept = results.get("access-log"), results.get("log-retention")
    if log is None or log.status != OK:
        return log.found if log else "the access logs were not looked at"
    if kept is not None and kept.status == FAIL:
        return f"logs are not kept long enough: {kept.found}"
    return ""


def _log_notes(results: Results) -> tuple[str, ...]:
    kept = results.get("log-retention")
    if kept is None or kept.status == OK:
        return ()
    return (f"log retention, {kept.status}: {kept.found}",)
