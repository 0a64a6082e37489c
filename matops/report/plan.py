"""A plan as people read it: step by step, in three phases, then what it comes to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Optional
from zoneinfo import ZoneInfo

from matops.mysql.ddl.forecast import Range
from matops.runbook.plan import Outcome
from matops.runbook.plan_lines import AFTER, DOWN, UP, Line, total
from matops.units import show_duration, show_size, show_time

HEADERS = ("when", "step", "table", "low", "likely", "high", "disk", "how it is known")
_WHEN = {UP: "up", DOWN: "OUTAGE", AFTER: "after"}


def rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """The table: a line a step, a sum a phase."""
    for phase in (UP, DOWN, AFTER):
        lines = outcome.plan.of(phase)
        for line in lines:
            yield _row(_WHEN[phase], line)
        if phase != UP:
            yield (_WHEN[phase], "= together", "", *_times(total(lines)), "", _missing(lines))


def _row(when: str, line: Line) -> tuple[str, ...]:
    table = ""
    if line.table:
        table = f"{line.table}: ~{line.rows} rows, {show_size(line.bytes)}"
    disk = show_size(line.disk) if line.disk else ""
    known = "; ".join(
        part for part in (line.way, line.basis, "migrate.ahead can do it" if line.ahead else "",
                          *line.notes) if part
    )  # fmt: skip
    what = f"FAILS {line.what}" if line.fails else line.what
    return (when, what, table, *_times(line.time), disk, known)


def _times(time: Optional[Range]) -> tuple[str, str, str]:
    if time is None:
        return ("?", "?", "?")
    return (show_duration(time.low), show_duration(time.likely), show_duration(time.high))


def _missing(lines: list[Line]) -> str:
    count = sum(line.time is None for line in lines)
    return f"without {count} whose time is not known" if count else ""


def lines(outcome: Outcome) -> Iterator[str]:
    """What it comes to: the window, what migrate.ahead would save, what holds, what is unknown."""
    rehearsal = outcome.rehearsal
    yield f"{rehearsal.from_version} -> {rehearsal.to_version}, {outcome.facts.get('server', '')}"
    if outcome.stale:
        yield f"OUT OF DATE: {outcome.stale}: rehearse again"
    outage, padding = total(outcome.plan.of(DOWN)), outcome.asked.padding
    count = sum(line.time is None for line in outcome.plan.of(DOWN))
    more = f"; and {count} steps whose time is not known" if count else ""
    yield f"outage: {_range(outage)}{more}"
    if outcome.has_ahead:
        rest = total(outcome.plan.of(DOWN, ahead=True))
        yield (f"outage with migrate.ahead: {_range(rest)}{more}; window "
               f"{show_duration(outcome.window_ahead)}")  # fmt: skip
    window = show_duration(outcome.window)
    add = f"; WITHOUT the {count} of unknown time: add what they may take" if count else ""
    yield f"WINDOW TO ANNOUNCE: {window} (likely x {padding:g}, no less than the upper end){add}"
    yield from _when(outcome)
    for note in outcome.plan.notes:
        yield f"note: {note}"
    for line in [line for line in outcome.plan.lines if line.time is None and not line.fails]:
        yield f"not in these numbers: {line.what}: {line.basis}"
    for each in outcome.judgements:
        todo = f" -> {each.todo}" if each.todo and each.status != "ok" else ""
        yield f"{each.name}: {each.status}: {each.what}{todo}"
    yield "row numbers are the server's estimates; times are of this machine, as busy as it was now"


def _when(outcome: Outcome) -> Iterator[str]:
    start = outcome.asked.start
    if start is None:
        return
    zone = ZoneInfo(outcome.asked.zone or "UTC")
    for word, at in (("from", start), ("to", start + outcome.window)):
        moment = dt.datetime.fromtimestamp(at, zone)
        yield f"{word} {moment:%Y-%m-%d %H:%M} {outcome.asked.zone} ({show_time(moment)})"


def _range(time: Range) -> str:
    return (f"{show_duration(time.low)} to {show_duration(time.high)}, likely "
            f"{show_duration(time.likely)}")  # fmt: skip
