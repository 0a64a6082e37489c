"""How a drain goes, and what a worker complained of, in words."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from matops.units import show_duration


@dataclass
class Progress:
    """How it goes: recorded hits, and depths with their times for the rate."""

    requests: int = 0
    began: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, int]] = field(default_factory=list)
    told: float = 0.0

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def add(self, sets: int) -> None:
        """A look at the depth."""
        now = time.monotonic()
        self.seen.append((now, sets))
        while len(self.seen) > 2 and now - self.seen[0][0] > 60:
            self.seen.pop(0)

    @property
    def rate(self) -> float:
        """Sets a second by which the queue gets shorter; what comes in meanwhile is in it."""
        (then, before), (now, after) = self.seen[0], self.seen[-1]
        return (before - after) / (now - then) if now > then else 0.0

    def line(self, found: dict[str, Any], below: int) -> str:
        """``12345 request sets wait in 4 lists, 3 workers, 210/s, about 58 s left``."""
        lists = sum(1 for length in found["lists"].values() if length)
        locked = len(found["locks"])
        text = f"{found['sets']} request sets wait in {lists} lists, {locked} workers at work"
        reach = sum(n for name, n in found["lists"].items() if int(name) < found["workers"])
        if self.rate > 0:
            left = show_duration(max(reach - below, 0) / self.rate)
            text += f", {self.rate:.3g} sets/s less, about {left} left"
        elif self.seen[-1][0] - self.seen[0][0] > 30:
            text += f", {-self.rate:.3g} sets/s more: hits come in as fast as they are recorded"
        return text


def complaint(output: str) -> str:
    """What Symfony says of an exception, without its frame and the command's usage. Pure."""
    found = re.search(r"(?m)^In (\S+) line (\d+):\s*$", output)
    if not found:
        return ""
    lines: list[str] = []
    for line in output[found.end() :].splitlines():
        if lines and not line.strip():
            break
        lines += [line.strip()] if line.strip() else []
    return f"{' '.join(lines)[:300]} ({found[1]} line {found[2]})"


def no_headway(found: dict[str, Any], working: bool) -> tuple[str, str]:
    """Why the queue gets no shorter, and what to do. ``working``: workers of ours run. Pure."""
    if found["locks"] and not working:
        name, left = next(iter(found["locks"].items()))
        return (
            f"list {name} is locked for another {show_duration(left)}, and no worker of ours runs",
            "see who works on it (queue.status on each server); a dead worker's lock runs out",
        )
    return (
        "hits come in faster than they are recorded",
        "more workers (--workers, numQueueWorkers), or look at the database's load",
    )


def met_another(why: str) -> bool:
    """It met another transaction, and begins anew: that is no standing still. Pure."""
    return bool(re.search(r"no active transaction|\b(?:1020|1205|1213)\b", why))
