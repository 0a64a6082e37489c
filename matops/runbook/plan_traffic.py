"""How many actions come in, hour by hour, over the last week. Runs where the database is reached.

Not counted but bisected: actions are numbered as they come, so the difference of two numbers is
their count, and a number is found with some fifteen one-row reads. An estimate: numbers have gaps.
"""

from __future__ import annotations

import time
from typing import Optional

from matops.matomo.database import Database
from matops.mysql.session import Session

HOURS = 168
HOUR = 3600.0


def hourly(db: Database, now: float) -> list[int]:
    """Actions of each of the last 168 full hours, the oldest first; [] where there are none."""
    table = db.table("log_link_visit_action")
    edge = db.session.rows("plan_action_range", actions=table)[0]
    if edge["low"] is None:
        return []
    low, high = int(edge["low"]), int(edge["high"]) + 1
    newest = now - now % HOUR
    marks = [newest - HOUR * (HOURS - i) for i in range(HOURS + 1)]
    numbers: list[int] = []
    for mark in marks:
        numbers.append(_first_at(db.session, table, mark, numbers[-1] if numbers else low, high))
    return [b - a for a, b in zip(numbers, numbers[1:])]


def _first_at(session: Session, table: str, mark: float, low: int, high: int) -> int:
    """The first number whose action came at ``mark`` or later; ``high`` where none did."""
    # Neighbouring hours are near each other: double the step until past the mark, then halve.
    step, reach = 64, low
    while reach < high:
        at = _at(session, table, reach)
        if at is None or at >= mark:
            break
        low, reach, step = reach, reach + step, step * 4
    high = min(reach, high)
    while high - low > 1:
        middle = (low + high) // 2
        at = _at(session, table, middle)
        if at is None or at >= mark:
            high = middle
        else:
            low = middle
    at = _at(session, table, low)
    return low if at is None or at >= mark else high


def _at(session: Session, table: str, number: int) -> Optional[float]:
    rows = session.rows("plan_action_at", (number,), actions=table)
    return float(rows[0]["at"]) if rows else None


def coming(docroot: str, window: float) -> int:
    """Hits that may come in the next ``window`` seconds, at most. Raises DatabaseError."""
    with Database(docroot, timeout=60) as db:
        now = time.time()
        return during(hourly(db, now), now, now, window)[1]


def during(hours: list[int], now: float, start: Optional[float], seconds: float) -> tuple[int, int]:
    """(likely, high) actions in ``seconds`` from ``start`` on: as in the same hours of last week.

    Without a start: at the week's mean pace, and at its busiest hour's. Pure.
    """
    if not hours or not sum(hours):
        return 0, 0
    mean, most = sum(hours) / len(hours), max(hours)
    if start is None or len(hours) < HOURS:
        return int(mean * seconds / HOUR), int(most * seconds / HOUR)
    first = now - now % HOUR - HOURS * HOUR
    total, at = 0.0, start
    while at < start + seconds:
        end = min(at - at % HOUR + HOUR, start + seconds)
        total += hours[int((at - first) // HOUR) % HOURS] * (end - at) / HOUR
        at = end
    # A young site, or a gap of an hour last week, must not look like no traffic at all.
    return int(total), int(max(total * 1.5, mean * seconds / HOUR))
