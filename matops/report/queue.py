"""The tracking queue as an operator reads it."""

from __future__ import annotations

from typing import Any

from matops.units import show_duration, show_size

HEADERS = ("what", "is")
Rows = list[tuple[str, str]]


def rows(found: dict[str, Any]) -> Rows:
    """From ``runbook.queue_facts.collect``. Pure."""
    setup = found["setup"]
    shown: Rows = [("plugin", found["why_none"] or _plugin(setup))]
    if found["running"]:
        shown += [("worker", f"process {w['pid']} of {w['user']}, since {w['seconds']} s: "
                   f"{w['line'][:80]}") for w in found["running"]]  # fmt: skip
    if found["why_none"]:
        return shown
    return shown + _depth(found) + _space(found)


def _plugin(setup: dict[str, Any]) -> str:
    values, origins = setup["values"], setup["origins"]
    names = ("queueEnabled", "processDuringTrackingRequest", "numQueueWorkers",
             "numRequestsToProcess")  # fmt: skip
    parts = [f"{name} = {values[name]} ({origins[name]})" for name in names]
    state = "hits go through it" if setup["enabled"] else "off: hits do not go through it"
    if not setup["recording"]:
        state += "; TRACKING IS OFF: nothing is queued or processed"
    return f"{state}; {'; '.join(parts)}"


def _depth(found: dict[str, Any]) -> Rows:
    about, most = "" if found["requests_exact"] else "about ", "" if found["exact"] else "up to "
    shown = [("backend", found["where"]),
             ("waiting", f"{most}{found['sets']} request sets, {about}{found['requests']} "
              "requests")]  # fmt: skip
    used = {number: length for number, length in found["lists"].items() if length}
    if len(found["lists"]) > 1:
        shown.append(("by list", ", ".join(f"{n}: {length}" for n, length in used.items()) or "-"))
    if found["beyond"]:
        shown.append(("in no worker's list", f"{found['beyond']} request sets: numQueueWorkers "
                      "was lowered"))  # fmt: skip
    if found["sets"]:
        pace = found["requests_per_second"]
        shown.append(("oldest", f"waits for {show_duration(found['oldest'])}"))
        shown.append(("coming in", f"{pace:.1f} requests/s" if pace is not None else "?"))
    locks = [f"{number} for {show_duration(left)}" for number, left in found["locks"].items()]
    shown.append(("locked lists", ", ".join(locks) or "none"))
    return shown


def _space(found: dict[str, Any]) -> Rows:
    space, need = found["space"], found["need"]
    shown = [("room", f"{show_size(space['free'])} free: {space['how']}"),
             (f"in {show_duration(need['seconds'])}", f"up to {need['requests']} requests, "
              f"{show_size(need['bytes'])} ({need['from']})")]  # fmt: skip
    if need["full_in"] is not None:
        shown.append(("full, if held", f"after {show_duration(need['full_in'])}"))
    if space["wrong"]:
        shown.append(("WRONG", space["wrong"]))
    return shown + [("mind", line) for line in space["warnings"]]
