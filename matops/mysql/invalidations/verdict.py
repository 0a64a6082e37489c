"""What to do about the queue: pure rules on figures, each with its reason and its command.

Several may hold; they come in the order in which to act: free what is stuck (it blocks longer
periods), drop what is superfluous, then see whether what is left can ever be done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Optional

from matops.errors import UsageError
from matops.units import parse_duration, show_duration

HEALTHY, STUCK, DUPLICATED, DELETED = "healthy", "stuck", "duplicated", "deleted sites"
FLOODED, UNKNOWN, UNCOVERED = "flooded", "unknown", "uncovered"


@dataclass(frozen=True)
class Facts:
    """Figures of the whole table (rows; a day = 86400 s). None = not known."""

    queued: int
    stale: int = 0
    """In progress for longer than archive_failure_recovery_timeout."""
    no_start: int = 0
    """In progress without ts_started: neither Matomo nor core:reset-invalidations frees them."""
    gone: int = 0
    """In progress, by a process of this host that is not there any more."""
    duplicates: Optional[int] = 0
    deleted: Optional[int] = 0
    """Rows of sites that do not exist."""
    per_day: Optional[float] = None
    """Rows that leave in a day, at best."""
    added_per_day: float = 0.0
    """Rows that came in the last day and are still there: the least that is added."""
    archiver: Optional[bool] = None
    uncovered: Optional[int] = 0
    again: str = "--dates=<first>,<last> --sites=<ids>"
    """Words for core:invalidate-report-data that name the uncovered archives."""
    again_size: str = "those days"
    """How much that command queues: it takes no list of single archives."""
    kept: Mapping[int, int] = field(default_factory=dict)
    """Days → rows that ``truncate --keep-days`` would leave."""
    estimated: bool = False
    """Rows were not all counted: they are shown with ~ and three figures."""
    least: frozenset[str] = frozenset()
    """Of ``LIMITS``: figures of a part only, so that the truth may be larger."""

    @property
    def left(self) -> int:
        """Queued rows that are neither superfluous nor of deleted sites."""
        return max(self.queued - (self.duplicates or 0) - (self.deleted or 0), 0)

    def show(self, rows: int) -> str:
        """For people; with ~ where rows are estimated."""
        return rounded(rows, self.estimated)

    def days(self, rows: int) -> Optional[float]:
        """Days to finish so many rows, at best."""
        return 0.0 if not rows else rows / self.per_day if self.per_day else None


@dataclass(frozen=True)
class Thresholds:
    """When a figure is a problem."""

    few: int = 10_000
    """Rows: a smaller queue is never called flooded (a day's own work of a large Matomo)."""
    days: float = 7.0
    """Days to finish: more and the reports of last week are never right."""
    share: float = 0.10
    """Of the queue: duplicates, or rows of deleted sites, that are worth a run of their own."""
    least: int = 1_000
    """Rows: fewer duplicates than that are left to the archiver, which drops them itself."""
    best: float = 1_000_000.0
    """Rows a day that no archiver exceeds for long: where no pace can be told (it is stuck, or
    off), a queue that is too long even for this one is flooded all the same."""
    finish: float = 1.0
    """Days in which the rows that a truncate keeps are to be done."""


@dataclass(frozen=True)
class Advice:
    """One finding: a word, the reason in figures, and what to type ('' = nothing)."""

    word: str
    why: str
    command: str = ""


def rounded(number: int, estimated: bool = True) -> str:
    """``1,234,567``; ``~ 1,230,000`` where estimated: no more figures than mean something."""
    if not estimated or not number:
        return f"{number:,}"
    cut = 10 ** max(len(str(number)) - 3, 0)
    return f"~ {round(number / cut) * cut:,}"


def judge(facts: Facts, limits: Optional[Thresholds] = None, fab: str = "fab") -> list[Advice]:
    """At least one; several in the order in which to act. ``fab``: ``fab -H web1`` or ``inv``."""
    limits = limits or Thresholds()
    found = [
        *_stuck(facts, fab),
        *_duplicated(facts, limits, fab),
        *_deleted(facts, limits, fab),
        *_flooded(facts, limits, fab),
        *_unknown(facts, fab),
        *_uncovered(facts, fab),
    ]
    return found or [Advice(HEALTHY, _healthy(facts))]


def _stuck(facts: Facts, fab: str) -> list[Advice]:
    parts = []
    if facts.no_start:
        parts.append(f"{facts.no_start:,} rows are in progress without a start: nothing frees them")
    if facts.stale:
        parts.append(f"{facts.stale:,} rows are in progress for longer than the recovery time-out")
    if facts.gone:
        parts.append(f"{facts.gone:,} rows are in progress by a process that is gone")
    if not parts:
        return []
    why = "; ".join(parts) + ". They keep the longer periods of their sites from being built"
    return [Advice(STUCK, why, f"{fab} invalidations.reset")]


def _duplicated(facts: Facts, limits: Thresholds, fab: str) -> list[Advice]:
    number = facts.duplicates or 0
    if number < max(limits.least, limits.share * facts.queued):
        return []
    of_all = f"{facts.show(number)} of {facts.show(facts.queued)}"
    why = f"{of_all} queued rows ask for what another row asks for, too"
    return [Advice(DUPLICATED, why, f"{fab} invalidations.dedupe")]


def _deleted(facts: Facts, limits: Thresholds, fab: str) -> list[Advice]:
    number = facts.deleted or 0
    if number < max(limits.least, limits.share * facts.queued):
        return []
    why = f"{facts.show(number)} rows are of sites that do not exist"
    return [Advice(DELETED, why, f"{fab} invalidations.truncate --only deleted-sites")]


def _flooded(facts: Facts, limits: Thresholds, fab: str) -> list[Advice]:
    measured = bool(facts.per_day)
    facts = replace(facts, per_day=facts.per_day or limits.best)
    days = facts.days(facts.left)
    if facts.left < limits.few or days is None or facts.per_day is None:
        return []
    drowning = measured and facts.added_per_day >= facts.per_day
    if days <= limits.days and not drowning:
        return []
    keep = keep_days(facts, limits)
    at = "at" if measured else "are not worked off now; even at"
    why = (f"{facts.show(facts.left)} rows {at} {facts.per_day:,.0f} a day take "
           f"{days:,.1f} days at best")  # fmt: skip
    if drowning:
        why += f", and {facts.added_per_day:,.0f} a day are added: it never ends"
    why += f". Keeping {keep} days leaves {facts.show(facts.kept.get(keep, 0))} rows"
    return [Advice(FLOODED, why, f"{fab} invalidations.truncate --keep-days {keep}")]


def keep_days(facts: Facts, limits: Thresholds) -> int:
    """The most days whose rows are done within ``finish`` days; the fewest where none are."""
    choices = sorted(facts.kept) or [7]
    fitting = [n for n in choices if (facts.days(facts.kept.get(n, 0)) or 0) <= limits.finish]
    return fitting[-1] if fitting else choices[0]


def _unknown(facts: Facts, fab: str) -> list[Advice]:
    if not facts.queued or facts.per_day:
        return []
    queued = facts.show(facts.queued)
    if facts.per_day is None:
        why = f"how fast {queued} queued rows are worked off could not be measured"
        return [Advice(UNKNOWN, why, f"{fab} invalidations.size --sample 60s --max-seconds 300")]
    if facts.archiver:
        why = (f"an archiver runs, but none of {queued} queued rows left, and nothing was "
               "archived in the last day")  # fmt: skip
        return [Advice(UNKNOWN, why, f"{fab} invalidations.size --sample 5m")]
    seen = "no archiver runs" if facts.archiver is False else "no archiver is seen"
    why = (f"{queued} rows are queued, {seen}, and nothing was archived in the last day: "
           "is its cron job on?")  # fmt: skip
    return [Advice(UNKNOWN, why, f'{fab} console "core:archive"')]


def _uncovered(facts: Facts, fab: str) -> list[Advice]:
    if not facts.uncovered:
        return []
    why = (f"{facts.uncovered:,} archives are marked invalid and no row asks for them: they "
           f"stay so until they are invalidated again, which queues {facts.again_size} anew, with "
           "their longer periods and segments: take fewer where that is too much")  # fmt: skip
    command = f'{fab} console "core:invalidate-report-data {facts.again}"'
    return [Advice(UNCOVERED, why, command)]


def _healthy(facts: Facts) -> str:
    if not facts.queued:
        return "nothing is queued"
    days = facts.days(facts.queued)
    pace = "" if days is None else f", done in {show_duration(days * 86400)} at best"
    return f"{facts.show(facts.queued)} rows are queued{pace}"


LIMITS = ("rows", "days", "duplicates", "stuck", "uncovered")


def parse_limits(text: str) -> dict[str, float]:
    """``rows=1000000,days=7,duplicates=20%,stuck=0``: what must not be exceeded. UsageError."""
    found: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.partition("=")
        if name not in LIMITS:
            raise UsageError(f"--fail-above: '{name}' is not one of {', '.join(LIMITS)}")
        found[name] = _limit(name, value.strip())
    return found


def _limit(name: str, value: str) -> float:
    if name == "days" and value[-1:] in tuple("smhdw"):
        return parse_duration(value, "--fail-above days") / 86400
    number, percent = value.replace("_", ""), 1.0
    if name == "duplicates" and number.endswith("%"):
        number, percent = number[:-1], 100.0
    if not re.fullmatch(r"\d+(\.\d+)?", number):
        example = "20%" if name == "duplicates" else "7" if name == "days" else "1000"
        raise UsageError(
            f"--fail-above: {name}={value} is not a number; for example {name}={example}"
        )
    return float(number) / percent


def crossed(facts: Facts, rows: int, limits: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """(what exceeds its limit, what cannot be told), in words. Pure."""
    stuck = facts.stale + facts.no_start + facts.gone
    values: dict[str, Optional[float]] = {
        "rows": rows,
        "days": facts.days(facts.queued),
        "duplicates": None if facts.duplicates is None else facts.duplicates / max(facts.queued, 1),
        "stuck": stuck,
        "uncovered": facts.uncovered,
    }
    over, unknown = [], []
    for name, limit in limits.items():
        value = values[name]
        if value is None or (name in facts.least and value <= limit):
            unknown.append(name)
        elif value > limit:
            over.append(f"{name} {_show(name, value)} > {_show(name, limit)}")
    return over, unknown


def _show(name: str, value: float) -> str:
    if name == "duplicates":
        return f"{100 * value:.1f} %"
    return f"{value:,.1f}" if name == "days" else f"{value:,.0f}"
