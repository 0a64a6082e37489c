"""The window to announce, and whether disk, logs and queue hold it. Pure."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, Optional
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from matops.errors import UsageError
from matops.mysql.space import RESERVE, Room
from matops.runbook.plan_lines import DOWN, Plan, total
from matops.units import show_duration, show_size

ROUND = 15 * 60
"""Seconds: windows are announced in quarters of an hour."""

HOLDS, NOT, UNKNOWN = "ok", "fail", "unknown"


@dataclass(frozen=True)
class Judgement:
    """Whether something holds the window. ``status``: ok, fail or unknown."""

    name: str
    status: str
    what: str
    todo: str = ""


def announce(plan: Plan, padding: float, *, ahead: bool = False) -> int:
    """Seconds to announce: what is likely, times ``padding``, and no less than the upper end; in
    whole quarters of an hour."""
    expected = total(plan.of(DOWN, ahead=ahead))
    seconds = max(expected.likely * padding, expected.high)
    return max(int(-(-seconds // ROUND)) * ROUND, ROUND)


def parse_padding(text: str) -> float:
    """``2x``, ``1.5``, ``50%`` (on top). UsageError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([x×%]?)\s*", text)
    if found:
        number = float(found[1])
        factor = 1 + number / 100 if found[2] == "%" else number
        if 1 <= factor <= 20:
            return factor
    raise UsageError(f"--padding: '{text}' is not a factor from 1 to 20; write it like 2x or 50%")


def parse_start(text: str, zone: str = "") -> tuple[dt.datetime, str]:
    """(moment with its zone, the zone's name) of ``2026-12-01 22:00 Europe/Berlin``, ``…Z`` or
    ``… UTC``; ``zone`` where the text names none. UsageError.

    A time that the clock shows twice or never (the night summer time begins or ends) is refused.
    """
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(?::00)?\s*(\S+)?", text.strip())
    example = "write it like '2026-12-01 22:00 Europe/Berlin'"
    if not found:
        raise UsageError(f"--start: '{text}' is not a time; {example}")
    name = {"Z": "UTC", None: zone}.get(found[3], found[3]) or ""
    if not name:
        raise UsageError(f"--start: '{text}' names no zone; {example}, or set notice_zone")
    where = known_zone(name, "--start")
    try:
        naive = dt.datetime.fromisoformat(f"{found[1]} {found[2]}")
    except ValueError:
        raise UsageError(f"--start: '{text}' is not a time; {example}") from None
    moment = naive.replace(tzinfo=where)
    if moment.utcoffset() != moment.replace(fold=1).utcoffset():
        raise UsageError(
            f"--start: '{text}' is a time that the clock shows twice, or never, that night",
            next="write it in UTC",
        )
    return moment, name


def known_zone(name: str, flag: str) -> ZoneInfo:
    """The zone of that name. UsageError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"{flag}: '{name}' is no time zone; write it like Europe/Berlin") from None


def disk(plan: Plan, room: Optional[dict[str, Any]]) -> Judgement:
    """Do the data directory and tmpdir hold the largest step beside what those before keep?"""
    data, tmp = plan.peak()
    wanted = f"{show_size(data)} at the peak, and {show_size(tmp)} in tmpdir"
    if room is None:
        return Judgement("disk", UNKNOWN, f"needs {wanted}; what is free there is not seen",
                         "say it with --free-space 200GB, or set db_host")  # fmt: skip
    free = Room(**room)
    both = data + (tmp if free.tmp is None else 0)
    says = f"needs {wanted}; {show_size(free.data)} free ({free.how})"
    if both and free.data - both < RESERVE:
        return Judgement("disk", NOT, f"{says}, {show_size(RESERVE)} stay in reserve",
                         "free space there, or enlarge it")  # fmt: skip
    if free.tmp is not None and free.tmp < tmp:
        return Judgement("disk", NOT, f"{says}, {show_size(free.tmp)} free in tmpdir",
                         "enlarge it, or set innodb_tmpdir")  # fmt: skip
    return Judgement("disk", HOLDS, says)


def queue(room: Optional[int], requests: int, bytes_each: int) -> Judgement:
    """Does Redis hold the requests of the window? ``room``: its free bytes, None = not seen."""
    needs = requests * bytes_each
    says = f"up to {requests} requests wait, {show_size(needs)}"
    if room is None:
        return Judgement("queue", UNKNOWN, f"{says}; Redis' room is not seen", "see `check`")
    says = f"{says}; {show_size(room)} free in Redis"
    if needs > room:
        return Judgement("queue", NOT, says, "raise maxmemory: hits are lost once it is full")
    return Judgement("queue", HOLDS, says)


def shown(seconds: float) -> str:
    """A window in words: ``45 min``, ``2 h 30 min``."""
    return show_duration(seconds)
