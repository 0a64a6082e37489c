"""What is said of an outage: in alerts, in outage.status and status. Pure."""

from __future__ import annotations

from typing import Any

from matops.runbook.outage_begin import DEADLINE, LEADER, MODE, REASON
from matops.runbook.outage_state import next_step
from matops.units import show_duration, show_epoch

NAMES = {
    "maintenance": "the UI is closed (maintenance mode)",
    "schedules": "the archiver's schedules are held",
    "workers": "the queue's workers are held",
    "queue": "the queue's settings are changed",
    "queue.enabled": "the queue was switched on or off",
    "tracking": "tracking is off",
    "install": "the new release's files are in place, or were being put there",
}
"""What an entry of the record's ``found`` means; names of other keys are shown as they are."""


def held(data: dict[str, Any]) -> list[str]:
    """What is still to be put back, a phrase each."""
    return [NAMES.get(key, key) for key in data["found"]]


def held_line(data: dict[str, Any]) -> str:
    """One sentence of it."""
    found = held(data)
    return f"Still to be put back: {'; '.join(found)}." if found else "Nothing is left switched."


def on_the_way(data: dict[str, Any], left: str, queue: str) -> str:
    """The text of an alert before the deadline."""
    parts = [f"{left} are left until the deadline.", held_line(data)]
    if queue:
        parts.append(f"The queue: {queue}.")
    parts.append("`update` goes on, `recover` ends it, `rollback` goes back (before a migration).")
    return " ".join(parts)


def at_deadline(data: dict[str, Any], why_not: str) -> str:
    """The text of the alert at the deadline, where nothing is done by itself."""
    proved = (data["notes"].get("update") or {}).get("proved")
    forward = (
        f"The update to {proved} is done: `recover` ends the outage."
        if proved
        else "Go forward: `update` again, then `recover`; or `rollback` by hand, which says what "
        "can be done."
    )
    return (
        f"Nothing is rolled back by itself: {why_not}. {held_line(data)} Hits are kept as before "
        f"({data['notes'].get(MODE, 'unknown')}). {forward}"
    )


def rows(data: dict[str, Any], now: float) -> list[tuple[str, str]]:
    """(what, state) for a table. ``now``: the host's clock."""
    if not data["began"]:
        return [("outage", "none")]
    notes = data["notes"]
    leader = notes.get(LEADER, {})
    since = f"since {data['began']}"
    if leader:
        since += f", {show_duration(max(now - float(leader['at']), 0))}; led from {leader['name']}"
    found = [("outage", since)]
    if notes.get(MODE):
        found.append(("hits", f"{notes[MODE]}: {notes.get(REASON, '')}".rstrip(": ")))
    if notes.get(DEADLINE):
        found.append(("deadline", deadline_line(float(notes[DEADLINE]["at"]), now)))
    found += [("held", line) for line in held(data)] or [("held", "nothing")]
    for name in ("edge.off", "edge.on"):
        if notes.get(name):
            found.append((name, edge_line(notes[name])))
    where = f" (on {leader['name']})" if leader and not notes.get(MODE) else ""
    return [*found, ("next", f"{next_step(data)}{where}")]


def deadline_line(at: float, now: float) -> str:
    """``2026-… UTC, in 2 h`` or ``…, passed 5 min ago``."""
    when = f"in {show_duration(at - now)}" if at > now else f"passed {show_duration(now - at)} ago"
    return f"{show_epoch(at)}, {when}"


def edge_line(mark: Any) -> str:
    """The mark of tracking.off or tracking.on: its time."""
    try:
        at = mark["at"]
        at = at["before"] if isinstance(at, dict) else at
        return show_epoch(float(at))
    except (KeyError, TypeError, ValueError):
        return "marked"
