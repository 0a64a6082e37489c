"""What is said of schedules and archivers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matops.units import show_duration

_SHOWN = 5
_ACCEPT = "deal with it there, then --accept-unheld"


def loose(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Entries that would start something, and are not held."""
    return [e for e in found["entries"] if e["live"] and not e["held"]]


def unheld(found: dict[str, Any], stop_running: bool) -> list[str]:
    """What would go on in spite of a hold, a line each."""
    lines = [f"{e['shown']}: cannot be held from here ({e['why_not']})"
             for e in loose(found) if e["why_not"]]  # fmt: skip
    lines += [f"cannot be looked into: {place}" for place in found["hidden"]]
    if not stop_running:
        lines += [f"{e['shown']}: runs without an end that could be waited for (--stop-running "
                  "ends it)" for e in loose(found)
                  if e["endless"] and e["place"] == "supervisor"]  # fmt: skip
    return lines


def strangers(work: dict[str, Any], listed: Sequence[str]) -> list[str]:
    """Hosts that rows in progress name, and that are not listed."""
    known = {name.lower().partition(".")[0] for name in [*listed, work["host"]]}
    return [
        f"{rows} rows in progress are of process {process or '?'} on {host}, which is not listed"
        for host, process, rows in work["owners"]
        if host and host.lower().partition(".")[0] not in known
    ]


def running(work: dict[str, Any]) -> list[str]:
    """A line for each process that archives, with who started it; for each statement."""
    lines = [
        f"{p['kind']}: process {p['pid']} of {p['user']}, started {p['by']}"
        + (f" {show_duration(p['seconds'])} ago" if p["seconds"] else "")
        for p in work["processes"]
    ]
    return lines + [
        f"an archiving query on the server: connection {s['id']} from {s['client']}, since "
        f"{show_duration(s['seconds'])}"
        for s in work["statements"]
    ]


def some(lines: Sequence[str]) -> str:
    """The first few in one line."""
    more = len(lines) - _SHOWN
    return "; ".join(lines[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def count(number: int, thing: str) -> str:
    """``1 schedule``, ``3 schedules``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def doubtful(found: dict[str, Any]) -> list[str]:
    """Notes on entries of which it cannot be told whose they are, and on whole scripts."""
    lines = []
    for one in loose(found):
        if one["ours"] is None:
            far = f" (it goes through {one['elsewhere']})" if one["elsewhere"] else ""
            lines.append(f"{one['shown']}: which Matomo it works on cannot be told{far}; held too")
        if one["place"] == "script":
            lines.append(f"{one['shown']}: the whole script is held, whatever else it does")
        if one["place"] == "supervisor":
            lines.append(f"{one['shown']}: a restart of supervisord would start it again")
    return lines
