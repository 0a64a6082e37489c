"""How long there is: a rebuild that would not finish in time is not started."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Optional

from matops.errors import UsageError
from matops.units import parse_duration, show_duration

GUESS = 20e6
"""Bytes a second before anything was measured: slow, so that the first table is safe, too."""
_MARGIN = 1.3  # rebuilds of wide rows were measured up to a third slower than the mean


class Window:
    """Until when tables may be started. ``until``: seconds since 1970, None = no end."""

    def __init__(self, until: Optional[float] = None, now: Callable[[], float] = time.time) -> None:
        self.until = until
        self._now = now

    @property
    def left(self) -> Optional[float]:
        """Seconds left; None = no end."""
        return None if self.until is None else self.until - self._now()

    @property
    def shown(self) -> str:
        """``until 2026-11-22 05:30 CET``: the zone of this machine, stated."""
        if self.until is None:
            return "no end"
        local = dt.datetime.fromtimestamp(self.until).astimezone()
        return f"until {local.strftime('%Y-%m-%d %H:%M %Z')} ({show_duration(self.left)} left)"

    def why_not(self, size: float, rate: float) -> str:
        """Why a table of ``size`` bytes is not started now; '' where it would finish."""
        if self.left is None:
            return ""
        needs = seconds_for(size, rate)
        if needs <= self.left:
            return ""
        left = show_duration(max(self.left, 0))
        return f"would take about {show_duration(needs)}, {left} are left ({self.shown})"


def seconds_for(size: float, rate: float) -> float:
    """How long a table takes: ``rate`` in bytes of old file a second, 0 = not measured yet."""
    return 1.0 + _MARGIN * size / (rate or GUESS)


def parse(until: str, lasting: str, now: Optional[dt.datetime] = None) -> Window:
    """The window of ``--until 05:30`` (this machine's zone; also 05:30Z, or a whole date and
    time) and ``--for 6h``; the earlier of the two. UsageError.
    """
    zone = now.tzinfo if now else None
    now = now or dt.datetime.now().astimezone()
    ends = []
    if until:
        ends.append(_moment(until.strip(), now, zone).timestamp())
    if lasting:
        ends.append(now.timestamp() + parse_duration(lasting, "--for"))
    return Window(min(ends) if ends else None)


def _moment(text: str, now: dt.datetime, zone: Optional[dt.tzinfo]) -> dt.datetime:
    """``zone`` None = this machine's, by its rules of that day: not by today's offset from UTC."""
    plain = text[:-1] + "+00:00" if text.upper().endswith("Z") else text
    try:
        if "T" not in plain and "-" not in plain[:8]:
            clock = dt.time.fromisoformat(plain)
            zone = clock.tzinfo or zone
            today = now.astimezone(zone).date()
            moment = _in_zone(dt.datetime.combine(today, clock.replace(tzinfo=None)), zone)
            if moment > now:
                return moment
            tomorrow = today + dt.timedelta(days=1)
            return _in_zone(dt.datetime.combine(tomorrow, clock.replace(tzinfo=None)), zone)
        moment = dt.datetime.fromisoformat(plain)
    except ValueError:
        raise UsageError(
            f"--until: '{text}' is not a time; write 05:30, 05:30Z or 2026-01-31T05:30"
        ) from None
    moment = moment if moment.tzinfo else _in_zone(moment, zone)
    if moment <= now:
        raise UsageError(f"--until: {text} lies in the past")
    return moment


def _in_zone(moment: dt.datetime, zone: Optional[dt.tzinfo]) -> dt.datetime:
    return moment.replace(tzinfo=zone) if zone else moment.astimezone()
