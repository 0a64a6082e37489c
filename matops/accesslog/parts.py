"""The logs of one server, each cut: which log the same requests, and is the whole of it there?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matops.accesslog.cut import Cutter
from matops.accesslog.logfiles import Family
from matops.errors import Refused

SAME, SOME = 0.5, 0.02
"""Shares of equal requests from which on two logs are one traffic logged twice, or partly."""


@dataclass
class Part:
    """One log, cut."""

    family: Family
    cutter: Cutter
    report: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    helpers: int = 0
    """Processes that helped."""

    @property
    def hits(self) -> int:
        """Hits to replay, and to ask about."""
        return self.cutter.sure.count + self.cutter.asked.count


def without_doubles(parts: Sequence[Part], notes: list[str]) -> list[Part]:
    """The parts but those that log the same requests as another one: a proxy in front on the
    same machine, or two directives. Refused: only some of the requests are the same."""
    kept = [part for part in parts if part.hits]
    for one in list(kept):
        for two in list(kept):
            if one is two or one not in kept or two not in kept:
                continue
            alike = one.cutter.tally.alike(two.cutter.tally)
            if alike >= SAME:
                worse, better = sorted((one, two), key=_worth)
                kept.remove(worse)
                notes.append(
                    f"{worse.family.name} has the same requests as {better.family.name}: it was "
                    "left out (addresses, size)"
                )
            elif alike >= SOME:
                raise Refused(
                    f"{one.family.name} and {two.family.name} have some requests in common "
                    f"({100 * alike:.0f} %): which of them are the same cannot be told",
                    state="No gap file was written",
                    next="name the log that has all of them: access_logs in config/matops.yaml",
                )
    return kept or list(parts)


def _worth(part: Part) -> tuple[int, int, int]:
    visitors = part.cutter.tally.visitors()
    good = {"real": 3, "masked": 2, "one": 1}.get(visitors["verdict"], 0)
    return good, visitors["distinct"], part.hits


def wholeness(parts: Sequence[Part]) -> dict[str, Any]:
    """Holes, and whether there are lines before and after the window. Times as epochs."""
    seen = [part for part in parts if part.cutter.coverage.first is not None]
    main = [part for part in seen if part.hits] or seen
    found: list[dict[str, Any]] = []
    for part in main:
        found += [{"log": part.family.name, "from": a, "to": b}
                  for a, b in part.cutter.coverage.holes()]  # fmt: skip
    before = [p.cutter.coverage.before for p in main if p.cutter.coverage.before is not None]
    after = [p.cutter.coverage.after for p in main if p.cutter.coverage.after is not None]
    firsts = [p.cutter.coverage.first for p in main if p.cutter.coverage.first is not None]
    lasts = [p.cutter.coverage.last for p in main if p.cutter.coverage.last is not None]
    return {
        "holes": found,
        "line_before": max(before) if before else None,
        "line_after": min(after) if after else None,
        "first_line": min(firsts) if firsts else None,
        "last_line": max(lasts) if lasts else None,
        "lines": sum(part.cutter.coverage.lines for part in main),
    }
