"""Sizes, durations, dates and times as operators type and read them. Pure functions."""

from __future__ import annotations

import datetime as dt
import re

from matops.errors import UsageError

_SIZE = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_size(text: str, what: str = "size") -> int:
    """Bytes from ``512``, ``20MB``, ``1.5 GiB`` (powers of 1024 either way). UsageError."""
    found = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    try:
        if found:
            return int(float(found[1]) * _SIZE[found[2].lower()])
    except ValueError:
        pass
    raise UsageError(f"{what}: '{text}' is not a size; write it like 500MB or 20GB")


def parse_duration(text: str, what: str = "duration") -> int:
    """Seconds from ``90s``, ``10m``, ``6h``, ``3d``, ``1h30m``. A unit is required. UsageError."""
    compact = text.replace(" ", "").lower()
    if re.fullmatch(r"(?:\d+(?:\.\d+)?[smhdw])+", compact):
        parts = re.findall(r"([\d.]+)([smhdw])", compact)
        return int(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    hint = f"'{text}s' or '{text}d'" if compact.isdigit() else "90s, 10m, 6h or 3d"
    raise UsageError(f"{what}: '{text}' is not a duration with a unit; write {hint}")


def parse_date(text: str, what: str = "date") -> dt.date:
    """A calendar day from ``YYYY-MM-DD``. UsageError."""
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{what}: '{text}' is not a date; write it like 2026-01-31") from None


def show_size(size: float | None) -> str:
    """``1.5 GB``; ``?`` where the size is not known."""
    if size is None:
        return "?"
    for unit in ("B", "KB", "MB", "GB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def show_duration(seconds: float | None) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``; ``?`` where it is not known."""
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def utc_now() -> dt.datetime:
    """The operator's clock, in UTC."""
    return dt.datetime.now(dt.timezone.utc)


def show_time(moment: dt.datetime) -> str:
    """``2026-11-22 12:16:00 UTC``: every printed time names its zone."""
    return moment.astimezone(dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def show_epoch(seconds: float) -> str:
    """As ``show_time``, from seconds since 1970."""
    return show_time(dt.datetime.fromtimestamp(seconds, dt.timezone.utc))


def compact_time(moment: dt.datetime) -> str:
    """``20261122T121600Z``: the form used in file and job names; sorts by time."""
    return moment.astimezone(dt.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
