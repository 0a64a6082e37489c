"""``invalidations.size``: one screen to decide from."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import sys
from typing import Any

from matops.errors import OutcomeUnknown, Refused, UsageError
from matops.matomo.site import Site
from matops.mysql.invalidations import verdict
from matops.mysql.invalidations.verdict import Facts, Thresholds
from matops.report import invalidations as shown
from matops.report.tables import as_json
from matops.tasks.desk import JSON_HELP, Desk, host_name, is_remote, operation
from matops.units import parse_duration

MOST_SITES = 50
"""As many are listed at most: with more of them all are meant."""
_MARGIN = 90
"""Seconds that a look may take beyond its own limits, before it counts as hung."""


@operation(
    help={
        "max-seconds": "time for counting; what is not done by then is an estimate that says so",
        "sample": "how long to watch rows leave while an archiver runs, like 10s or 5m; 0s = not",
        "top": "sites and segments shown",
        "days": "days to finish from which the queue counts as flooded",
        "fail-above": "for cron: exit 3 when a figure is larger, like "
        "rows=1000000,days=7,duplicates=20%,stuck=0,uncovered=0",
        "json": JSON_HELP,
    }
)
def size(
    c: Any,
    max_seconds: str = "60",
    sample: str = "10s",
    top: str = "10",
    days: str = "7",
    fail_above: str = "",
    json: bool = False,
) -> None:
    """Show the archiver's queue (archive_invalidations) and say what to do about it.

    Rows by status, site, segment and plugin, period, age; duplicates; rows of deleted sites; what
    will be added; the archiver and its pace; archives marked invalid that no row asks for. Reads
    in short statements without locks; takes no lock of the installation, changes nothing.
    Verdicts: healthy, stuck (invalidations.reset), duplicated (invalidations.dedupe), flooded
    (invalidations.truncate --keep-days N), unknown. ~ marks estimates.
    Example: fab -H web1 invalidations.size
    Cron: inv invalidations.size --fail-above rows=1000000,stuck=0
    """
    limits = verdict.parse_limits(fail_above)
    thresholds = Thresholds(days=_positive(days, "--days"))
    seconds, watch = _positive(max_seconds, "--max-seconds"), parse_duration(sample, "--sample")
    most = int(_positive(top, "--top"))
    desk = Desk(c, json=json)
    site = desk.site()
    if sys.stderr.isatty():
        print(f"looking, for {seconds + watch:.0f} s at most …", file=sys.stderr, flush=True)
    found: dict[str, Any] = _ask(site, seconds + watch, max_seconds=seconds, sample=watch, top=most)
    facts = facts_of(found)
    command = f"fab -H {host_name(c)}" if is_remote(c) else "inv"
    advice = verdict.judge(facts, thresholds, command)
    if json:
        found["verdict"] = [dataclasses.asdict(one) for one in advice]
        print(as_json({"host": desk.host.name, **found}), flush=True)
    else:
        desk.say("\n\n".join(shown.screen(found, advice)))
    _enforce(facts, found["rows"], limits)


def _ask(site: Site, seconds: float, **options: Any) -> Any:
    """Where the database is reached, as root where we may: it sees all processes and files."""
    user = site.keeper
    if site.host.is_local and (user is None or os.geteuid() == 0):
        user = None  # in this very process
    return site.agent.call(
        "matops.matomo.invalidations_size:look",
        {"docroot": site.docroot, **options},
        user=user,
        timeout=1.5 * seconds + _MARGIN,
    )


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


def _enforce(facts: Facts, rows: int, limits: dict[str, float]) -> None:
    over, unknown = verdict.crossed(facts, rows, limits)
    if over:
        raise Refused(f"archive_invalidations is above its limits: {'; '.join(over)}")
    if unknown:
        raise OutcomeUnknown(
            f"whether archive_invalidations is above its limits cannot be told: "
            f"{', '.join(unknown)} unknown",
            next="look at the figures: invalidations.size",
        )


def _positive(text: str, flag: str) -> float:
    if not text.isdecimal() or not int(text):
        raise UsageError(f"{flag}: '{text}' is not a whole number above 0")
    return int(text)


TASKS: tuple[Any, ...] = (size,)
