"""What waiting request sets say: how many hits, how fast they come, since when the oldest waits.

Pure. A set is JSON: ``{"requests": [{…}, …], "env": …, "tokenAuth": …, "time": epoch}``; nothing
of it but counts, times and page addresses without their query leaves these functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.matomo.queue_store import Waiting

SAMPLE = 200
"""Sets that are read of a list's end to know how large they are."""
LONG_ENOUGH = 20.0
"""Seconds between a set and now that make a pace."""


@dataclass(frozen=True)
class Sample:
    """Of some sets: how many, the hits and bytes in them."""

    sets: int = 0
    requests: int = 0
    bytes: int = 0

    @property
    def requests_each(self) -> float:
        """Hits in a set: 1 where there are none to tell."""
        return self.requests / self.sets if self.sets else 1.0

    @property
    def bytes_each(self) -> Optional[float]:
        """Bytes of a set, or None."""
        return self.bytes / self.sets if self.sets else None


def sample(values: Sequence[Waiting]) -> Sample:
    """What these sets say together; one that cannot be read counts as one hit."""
    requests = 0
    for value in values:
        found = _read(value.text).get("requests")
        requests += max(len(found), 1) if isinstance(found, (list, dict)) else 1
    return Sample(len(values), requests, sum(value.size for value in values))


def pace(marks: Iterable[tuple[int, float]], now: float) -> Optional[float]:
    """Sets a second that come into one list; None where too little waits to tell.

    ``marks``: (places before the end, time of arrival), the newest first. The first that is old
    enough decides: times are whole seconds. Up to now, not up to the newest: what came long ago
    is no pace.
    """
    found = None
    for place, at in marks:
        if at:
            found = place / max(now - at, 1.0)
            if now - at >= LONG_ENOUGH:
                break
    return found


def arrived(value: Optional[Waiting]) -> float:
    """When a set came in, in seconds since 1970; 0 where it does not tell."""
    at = _read(value.text if value else "").get("time")
    return float(at) if isinstance(at, (int, float)) else 0.0


def describe(value: Waiting) -> str:
    """One set without what is secret: site and page address of its first hit, its time."""
    content = _read(value.text)
    requests = content.get("requests")
    first = requests[0] if isinstance(requests, list) and requests else {}
    if not content or not isinstance(first, dict):
        return "a request set that is not readable JSON"
    site, page = first.get("idsite", "?"), str(first.get("url", "?")).split("?")[0]
    count = len(requests) if isinstance(requests, list) else 1
    return f"{count} request(s), idsite {site}, {page[:120]}"


def digest(value: str) -> str:
    """A set's name: changes when another one is the oldest."""
    return hashlib.sha256(value.encode()).hexdigest()[:16]


def holds(values: Iterable[Waiting], mark: str) -> int:
    """How many of these sets hold that mark."""
    return sum(mark in value.text for value in values)


def _read(value: str) -> dict[str, Any]:
    try:
        content = json.loads(value)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
