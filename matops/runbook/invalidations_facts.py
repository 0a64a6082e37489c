"""From what ``matomo.invalidations_size.look`` saw to what the verdict is made from."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

from matops.mysql.invalidations.verdict import Facts

MOST_SITES = 50
"""As many are listed at most: with more of them all are meant."""


def facts_of(found: dict[str, Any]) -> Facts:
    """What the verdict is made from, out of what ``matomo.invalidations_size.look`` returned."""
    status, pace = found["status"], found["pace"]
    archiver = found["archiver"]
    return Facts(
        queued=status["queued"],
        stale=status["stale"],
        no_start=status["no_start"],
        gone=sum(owner["rows"] for owner in archiver["gone"]),
        duplicates=found["duplicates"]["rows"],
        deleted=found["sites"]["deleted_rows"],
        per_day=pace["per_day"],
        added_per_day=found["added_per_day"],
        archiver=archiver["running"],
        uncovered=found["uncovered"]["total"],
        **_again(found["uncovered"], found["now"]),
        estimated=min(found["share"].values()) < 1,
        least=_least(found),
        kept={int(days): rows for days, rows in found["keep"].items()},
    )


def _least(found: dict[str, Any]) -> frozenset[str]:
    """Figures that may be larger than what was seen: there was no time for all of them."""
    partial = {"stuck": found["share"]["rows"] < 1, "uncovered": found["uncovered"]["left_out"]}
    return frozenset(name for name, so in partial.items() if so)


def _again(bare: dict[str, Any], now: float) -> dict[str, str]:
    """Which sites and days to invalidate: from the first to the last day that is not to come; and
    how much that is, in words."""
    sites, today = bare["sites"], str(dt.datetime.fromtimestamp(now, dt.timezone.utc).date())
    if not sites:
        return {}
    first = min(one["first"] for one in sites)
    last = max(min(max(one["last"] for one in sites), today), first)
    all_listed = len(sites) < MOST_SITES and not bare["others"]
    ids = ",".join(str(one["idsite"]) for one in sites) if all_listed else "all"
    # Not all periods, the default: it would mark custom ranges, too, for which it queues no row.
    periods = "day,week,month,year"
    words = {"again": f"--dates={first},{last} --periods={periods} --sites={ids}"}
    with contextlib.suppress(ValueError):  # 2026-01-00, in an old table
        days = (dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days + 1
        words["again_size"] = f"{days:,} days of {len(sites) if all_listed else 'all'} sites"
    return words
