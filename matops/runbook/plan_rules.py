"""From facts to a plan: which steps, in which phase, how long. Pure.

Paces that no server told are conservative and said as such: drain and replay by the facts
measured on small hosts ("tens to hundreds per second"), each as (slow, likely, fast).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.matomo.rehearsal import SQL, Migration, Rehearsal
from matops.mysql.ddl import parse
from matops.mysql.ddl.forecast import Range
from matops.mysql.ddl.verdict import FAILS, UNKNOWN
from matops.runbook import plan_traffic
from matops.runbook.plan_lines import AFTER, DOWN, UP, Line, Plan
from matops.units import show_size

Facts = Mapping[str, Any]

QUEUE_PACE = (20.0, 100.0, 400.0)  # requests a second, all workers together
REPLAY_PACE = (30.0, 100.0, 300.0)  # requests a second through the bulk API
REBUILD_RATE = (15e6, 50e6, 150e6)  # bytes of old table a second
SWITCH = Range(5, 20, 90, "a few commands")
EXCHANGE = Range(1, 5, 60, "one rename; caches warm up")
BOOT = Range(1, 5, 30)  # core:update but for its migrations: 1 s on a small host
SOON = 2.0
"""Seconds: migrations that are sure to take less are shown as one line."""

_LIGHT = ("config:set", "plugin:activate", "plugin:deactivate", "core:clear-caches")
"""Console migrations that do not depend on the amount of data."""


@dataclass(frozen=True)
class Wanted:
    """``start``: of the outage, seconds since 1970, None = not decided. ``ahead``: numbers of the
    migrations that migrate.ahead would take. ``requests_a_set``: requests in one entry of the
    queue (more than 1 only where clients send in bulk)."""

    start: Optional[float] = None
    ahead: frozenset[int] = frozenset()
    queue: bool = False
    """QueuedTracking carries the outage: no log need be replayed."""
    requests_a_set: int = 1


def make(rehearsal: Rehearsal, facts: Facts, wanted: Wanted) -> Plan:
    """The whole plan, but for what follows from its length (``after``)."""
    migrations = [
        migration_line(each, found, each.number in wanted.ahead)
        for each, found in zip(rehearsal.migrations, facts["migrations"]["of"])
    ]
    shown = [line for line in migrations if not _is_soon(line)]
    quick = [line for line in migrations if _is_soon(line)]
    down = [Line(DOWN, "offline: maintenance mode, archiver stopped, queue held", SWITCH)]
    down += _drain(facts, wanted)
    down.append(Line(DOWN, "exchange of the files", EXCHANGE))
    down.append(Line(DOWN, "core:update: start, plugins, caches", BOOT, basis="measured: 1 s"))
    down += shown
    if quick:
        down.append(_folded(quick))
    down.append(Line(DOWN, "recover: tracking, queue and user interface on", SWITCH))
    notes = []
    if not facts["migrations"]["sampled"]:
        notes.append(f"times are not measured: {facts['migrations']['why_not']}")
    return Plan((*_before(rehearsal, facts), *down), tuple(quick), tuple(notes))


def migration_line(each: Migration, found: Sequence[Facts], ahead: bool) -> Line:
    """One migration. ``found``: an estimate for each of its statements."""
    what = f"#{each.number} {shown(each.statement)}"
    if not each.ok:
        return Line(DOWN, what, None, number=each.number, fails=True,
                    basis=f"failed in the rehearsal: {each.error}")  # fmt: skip
    if each.kind != SQL:
        return _console(each, what)
    broken = next((one for one in found if one["way"] == FAILS), None)
    if broken:
        return Line(DOWN, what, None, number=each.number, fails=True, table=broken["table"],
                    basis=f"would fail: {broken['reason']}")  # fmt: skip
    times = [_range(one["time"]) for one in found]
    ways = "+".join(dict.fromkeys(_way(one) for one in found))
    first: Facts = found[0] if found else {"table": "", "rows": 0, "bytes": 0}
    known = [time for time in times if time is not None]
    if len(known) < len(times) or not times:
        why = next((str(o["reason"]) for o in found if o["way"] == UNKNOWN and o["reason"]), "")
        return Line(DOWN, what, None, number=each.number, way=ways, table=first["table"],
                    rows=first["rows"], bytes=first["bytes"],
                    basis=why or "its rows cannot be told")  # fmt: skip
    time = known[0]
    for more in known[1:]:
        time = time + more
    stays = sum(int(one["disk"]) for one in found if _way(one) == "in place (index)")
    return Line(
        DOWN, what, time, max((int(one["disk"]) for one in found), default=0),
        max((int(one["tmp"]) for one in found), default=0), stays, known[0].basis, each.number,
        ahead=ahead, table=first["table"], rows=first["rows"], bytes=first["bytes"], way=ways,
        notes=tuple(dict.fromkeys(note for one in found for note in one["notes"])),
    )  # fmt: skip


def _way(one: Facts) -> str:
    way = str(one["way"])
    if way == "inplace":
        return {True: "in place (rebuild)", False: "in place (index)"}.get(one["rebuild"], way)
    return way


def _console(each: Migration, what: str) -> Line:
    if parse(each.statement).command in _LIGHT:
        taken = max(each.seconds, 0.1)
        return Line(DOWN, what, Range(taken, 2 * taken, 10 * taken + 2), number=each.number,
                    way="console", basis="as in the rehearsal")  # fmt: skip
    return Line(DOWN, what, None, number=each.number, way="console",
                basis=f"a command whose time depends on the data ({each.seconds:.1f} s on the "
                "empty copy)")  # fmt: skip


def _is_soon(line: Line) -> bool:
    return not line.fails and line.time is not None and line.time.high <= SOON + 3.0 and (
        not line.disk
    )  # fmt: skip


def _folded(quick: Sequence[Line]) -> Line:
    """Instant ones wait for a metadata lock at the most, and hardly all of them."""
    likely = sum(line.time.likely for line in quick if line.time)
    low = sum(line.time.low for line in quick if line.time)
    numbers = ", ".join(f"#{line.number}" for line in quick)
    time = Range(low, likely, likely * 4 + 2)
    what = f"{len(quick)} quick migrations ({numbers})"
    return Line(DOWN, what, time, basis="instant, or on small tables")


def _before(rehearsal: Rehearsal, facts: Facts) -> list[Line]:
    lines = [Line(UP, "rehearse", Range(0, 0, 0), basis=f"done, took {rehearsal.seconds:.0f} s")]
    lines.append(_purge(facts))
    lines.append(_optimize(facts))
    return lines


def _purge(facts: Facts) -> Line:
    found = facts["purge"]
    if "error" in found:
        return Line(UP, "archive.purge", None, basis=str(found["error"]))
    count = sum(found["counts"].values())
    looked, months = found["looked"], found["of"]
    partly = f" (in {looked} of {months} months)" if looked < months else ""
    if not count:
        return Line(UP, "archive.purge", Range(0, 0, 1), basis=f"nothing to purge{partly}")
    return Line(UP, f"archive.purge: {count} outdated archives{partly}", None,
                basis="what one archive's rows take is not known; nobody waits for it")  # fmt: skip


def _optimize(facts: Facts) -> Line:
    found = facts["optimize"]
    if "error" in found:
        return Line(UP, "db.optimize", None, basis=str(found["error"]))
    if not found["tables"]:
        return Line(UP, "db.optimize", Range(0, 0, 0), basis="no table is worth a rebuild")
    slow, likely, fast = REBUILD_RATE
    basis = "an assumed pace"
    if facts["rate"]:
        slow, likely, fast = (facts["rate"] * f for f in (0.5, 1.0, 1.6))
        basis = "at the pace of earlier runs here"
    size = found["bytes"]
    gain = show_size(found["gain"])
    what = f"db.optimize: {found['tables']} tables, {show_size(size)}, frees {gain}"
    return Line(UP, what, Range(size / fast, size / likely, size / slow), found["largest"],
                basis=basis, bytes=size)  # fmt: skip


def _drain(facts: Facts, wanted: Wanted) -> list[Line]:
    waiting = facts["queue"]["after"]
    if waiting is None:
        return []
    requests = waiting * wanted.requests_a_set
    pace, basis = _queue_pace(facts, wanted)
    return [Line(DOWN, f"drain the queue: {requests} requests wait", _at_pace(requests, pace),
                 basis=basis)]  # fmt: skip


def _queue_pace(facts: Facts, wanted: Wanted) -> tuple[tuple[float, float, float], str]:
    """What the workers do now, where it can be seen: the queue shrank although more came in."""
    queue, hours = facts["queue"], _hours(facts)
    if queue["before"] and queue["seconds"] > 5 and hours:
        came = hours[-1] / 3600 * queue["seconds"]
        gone = (queue["before"] - queue["after"]) * wanted.requests_a_set + came
        pace = gone / queue["seconds"]
        if queue["after"] and pace > 1:
            return (
                pace * 0.5,
                pace,
                pace * 2,
            ), f"at the pace seen now: {pace:.0f} requests a second"
    slow, _, fast = QUEUE_PACE
    return QUEUE_PACE, f"pace not seen: {slow:.0f} to {fast:.0f} requests a second assumed"


def _at_pace(requests: float, pace: Sequence[float]) -> Range:
    slow, likely, fast = pace
    return Range(requests / fast, requests / likely, requests / slow + 1)


def after(facts: Facts, wanted: Wanted, window: float) -> list[Line]:
    """What comes when the system is back: catching up with a window of so many seconds."""
    likely, most = plan_traffic.during(_hours(facts), facts["now"], wanted.start, window)
    if not _hours(facts):
        hits = Line(AFTER, "bring the outage's requests in", None,
                    basis=_why(facts["traffic"]) or "no traffic was seen")  # fmt: skip
    elif wanted.queue:
        pace, basis = _queue_pace(facts, wanted)
        hits = Line(AFTER, f"process the held queue: about {likely} to {most} actions",
                    _between(likely, most, pace), basis=basis)  # fmt: skip
    else:
        hits = Line(AFTER, f"replay the access log: about {likely} to {most} actions",
                    _between(likely, most, REPLAY_PACE), basis="an assumed pace")  # fmt: skip
    return [hits, _archive(facts)]


def _between(likely: int, most: int, pace: Sequence[float]) -> Range:
    slow, usual, fast = pace
    return Range(0.5 * likely / fast, likely / usual, most / slow + 1)


def _archive(facts: Facts) -> Line:
    found = facts["archiving"]
    seconds = None if "error" in found else found["seconds"]
    if not seconds:
        return Line(AFTER, "core:archive", None,
                    basis=_why(found) or "no full run has left its times")  # fmt: skip
    queued = f", {found['queued']} invalidations wait" if found["queued"] else ""
    return Line(AFTER, f"core:archive{queued}", Range(0.5 * seconds, seconds, 3 * seconds),
                basis="the last full run; more where the update invalidates reports")  # fmt: skip


def _why(found: Any) -> str:
    return str(found["error"]) if isinstance(found, dict) and "error" in found else ""


def _hours(facts: Facts) -> list[int]:
    found = facts["traffic"]
    return found if isinstance(found, list) and sum(found) else []


def _range(data: Optional[Facts]) -> Optional[Range]:
    return None if data is None else Range(**data)


def shown(text: str) -> str:
    """A statement on one line, shortened."""
    line = " ".join(text.split()).rstrip("; ")
    return line if len(line) <= 90 else line[:89] + "…"
