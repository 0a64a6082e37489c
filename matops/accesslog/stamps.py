"""Time stamps of access logs as the gap file's first field: 14 bytes that sort by time.

Only stamps that tell their zone: the same wall clock comes twice on the day when the clocks go
back (comparing strings found 0 of 58 334 lines then).
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Optional

from matops.accesslog.gapfile import stamp as shown

CLF = rb"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4}"
ISO = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)? ?(?:Z|[+-]\d\d:?\d\d)"
EPOCH = rb"\d{10}(?:\.\d+)?|\d{13}|\d{16}"
ANY = re.compile(b"(?<![0-9])(?:(%b)|(%b))" % (CLF, ISO))
"""A stamp anywhere in a line, where its format is not known yet."""

_CLF = re.compile(
    rb"(\d\d)/([A-Z][a-z][a-z])/(\d{4}):(\d\d):(\d\d):(\d\d)(\.\d+)? ([+-])(\d\d)(\d\d)"
)
_ISO = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)([.,]\d+)? ?(?:Z|([+-])(\d\d):?(\d\d))"
)
_MONTHS = {name.encode(): number for number, name in enumerate(
    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}  # fmt: skip
_MANY = 200_000  # stamps remembered: seconds of two days, or the milliseconds of some minutes

known: dict[bytes, bytes] = {}
"""What ``key`` found already."""
_minutes: dict[bytes, float] = {}


def key(raw: bytes) -> Optional[bytes]:
    """``1763800000.000`` from what the log has; None where it is no time with a zone.

    Remembered: a log has the same second thousands of times.
    """
    found = known.get(raw)
    if found is None:
        epoch = _epoch(raw)
        if epoch is None:
            return None
        if len(known) >= _MANY:
            known.clear()
        found = known[raw] = shown(epoch)
    return found


def minute(raw: bytes) -> Optional[int]:
    """Seconds since 1970 at the beginning of the minute of a stamp of 26 bytes that has no
    fraction, the common one; None for any other."""
    if len(raw) != 26 or raw[2:3] != b"/" or not raw[18:20].isdigit():
        return None
    start = _epoch(raw[:18] + b"00" + raw[20:])
    return None if start is None else int(start)


def _epoch(raw: bytes) -> Optional[float]:
    try:
        if len(raw) == 26 and raw[2:3] == b"/":
            minute = raw[:18] + raw[20:]
            start = _minutes.get(minute)
            if start is not None and raw[18:20].isdigit():
                return start + int(raw[18:20])
        if found := _CLF.fullmatch(raw):
            day, month, year, hour, minute, second, part, sign, zh, zm = found.groups()
            epoch = _utc(year, _MONTHS[month], day, hour, minute, second, part, sign, zh, zm)
            if not part and len(_minutes) < _MANY:
                _minutes[raw[:18] + raw[20:]] = epoch - int(second)
            return epoch
        if found := _ISO.fullmatch(raw):
            year, month, day, hour, minute, second, part, sign, zh, zm = found.groups()
            return _utc(year, int(month), day, hour, minute, second, part, sign, zh, zm)
        if re.fullmatch(EPOCH, raw):
            whole = raw.partition(b".")[0]
            return float(raw) / {10: 1, 13: 1e3, 16: 1e6}[len(whole)]
    except (ValueError, KeyError):
        pass
    return None


def _utc(
    year: bytes, month: int, day: bytes, hour: bytes, minute: bytes, second: bytes,
    part: Optional[bytes], sign: Optional[bytes], zone_h: Optional[bytes],
    zone_m: Optional[bytes],
) -> float:  # fmt: skip
    # A leap second is written as 60; its epoch is the next minute's first.
    moment = dt.datetime(int(year), month, int(day), int(hour), int(minute), 0,
                         tzinfo=dt.timezone.utc).timestamp() + min(int(second), 60)  # fmt: skip
    if part:
        moment += float(b"0." + part[1:])
    offset = (int(zone_h or 0) * 60 + int(zone_m or 0)) * 60
    return moment + offset if sign == b"-" else moment - offset
