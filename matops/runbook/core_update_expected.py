"""How long each migration should take: by the last rehearsal and plan, where there are some."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo.rehearsal import Rehearsal, load
from matops.matomo.site import Site
from matops.mysql.update_watch import squeezed
from matops.runbook import plan
from matops.units import show_duration


@dataclass(frozen=True)
class Expected:
    """``times``: (likely, high) seconds of a statement, None = the plan could not tell."""

    total: int = 0
    """How many migrations the rehearsal had; 0 = there was none."""
    times: Mapping[str, Optional[tuple[float, float]]] = field(default_factory=dict)
    source: str = ""
    """What it stands on, in words; '' = nothing."""

    def words(self, statement: str, elapsed: float) -> list[str]:
        """What was planned for it, and whether it takes longer."""
        time = self.times.get(_key(statement))
        if time is None:
            return []
        over = ", longer than its longest" if elapsed > max(time[1], 1.0) else ""
        return [f"planned {show_duration(time[0])} (up to {show_duration(time[1])}){over}"]

    def left(
        self, done: Collection[str], elapsed: float, current: str = "", eta: Optional[float] = None
    ) -> Optional[float]:
        """Seconds for what is not done yet; None = not known.

        ``current``: the statement at work since ``elapsed`` seconds; one that takes longer than
        planned takes nothing off the others. ``eta``: what the server says is left of it.
        """
        ended, now = {_key(each) for each in done}, _key(current)
        rest = [t for name, t in self.times.items() if name not in ended and name != now]
        mine = self.times.get(now)
        if eta is None and mine is not None:
            eta = max(mine[0] - elapsed, 0.0)
        unknown = eta is None and now in self.times
        known = [time[0] for time in rest if time is not None]
        if unknown or len(known) < len(rest) or (not known and eta is None):
            return None
        return sum(known) + (eta or 0.0)


def look(site: Site, to_version: str) -> Expected:
    """From the records on this host, if they are of an update to ``to_version``."""
    with contextlib.suppress(MatopsError, KeyError, TypeError, ValueError):
        found = load(site)
        if found is not None and found.to_version == to_version:
            planned: Optional[dict[str, Any]] = None
            with contextlib.suppress(MatopsError):
                planned = plan.last(site)
            return of(found, planned)
    return Expected()


def of(rehearsal: Rehearsal, planned: Optional[dict[str, Any]]) -> Expected:
    """Pure. ``planned``: the plan's JSON document."""
    by_number: dict[int, tuple[float, float]] = {}
    same = bool(planned) and (planned or {}).get("rehearsed_at") == rehearsal.at
    if planned and same:
        for line in [*planned["phases"].get("down", []), *planned.get("quick", [])]:
            if line.get("number") and line.get("time"):
                time = line["time"]
                by_number[int(line["number"])] = (float(time["likely"]), float(time["high"]))
    times = {_key(each.statement): by_number.get(each.number) for each in rehearsal.migrations}
    source = f"a rehearsal with {len(rehearsal.migrations)} migrations"
    return Expected(len(rehearsal.migrations), times, f"{source}{', and a plan' if same else ''}")


def _key(statement: str) -> str:
    # Some name the day they are run on: core:invalidate-report-data --dates=2026-11-22,today
    return re.sub(r"\d{4}-\d\d-\d\d", "DAY", squeezed(statement))
