"""Which tables are worth a rebuild: for every table a yes or no, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Optional

from matops.errors import UsageError
from matops.mysql.fragmentation import NOTHING, Estimate
from matops.mysql.optimize_journal import Past
from matops.mysql.treatments import LEFT, Treatment
from matops.units import parse_size, show_size

RECENT = 24.0
"""Hours: a table that we rebuilt so lately is only done again when it is named. An estimate
that is a little high would else rebuild it again and again."""


@dataclass(frozen=True)
class MinGain:
    """A table is worth it when it gains at least this ``share`` of its file, and these bytes."""

    share: float = 0.20
    size: int = 100 << 20

    @property
    def shown(self) -> str:
        """``20 % and 100 MB``."""
        return f"{self.share * 100:.0f} % and {show_size(self.size)}"


def parse_min_gain(text: str) -> MinGain:
    """``20%,100MB``, in any order; what is left out is 0. UsageError."""
    share, size = 0.0, 0
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", part)
        if found:
            share = float(found[1]) / 100
        else:
            size = parse_size(part, "--min-gain")
    if share > 1:
        raise UsageError(f"--min-gain: {text}: a table cannot lose more than 100 %")
    return MinGain(share, size)


@dataclass(frozen=True)
class Choice:
    """One table, whether it is to be rebuilt, and why (not). Sizes in bytes."""

    table: str
    chosen: bool
    why: str
    treatment: Treatment
    file_bytes: int = 0
    index_bytes: int = 0
    predicted: Optional[int] = None
    error: int = 0
    method: str = ""

    @property
    def reclaim(self) -> int:
        """What it would give back, by the estimate."""
        return max(self.file_bytes - self.predicted, 0) if self.predicted is not None else 0

    @property
    def upper(self) -> int:
        """The new file at its largest, by the estimate; 0 where there is none."""
        return self.predicted + self.error if self.predicted is not None else 0


def weigh(
    table: str,
    treatment: Treatment,
    estimate: Optional[Estimate],
    least: MinGain,
    past: Past,
    *,
    named: bool = False,
    index_bytes: int = 0,
) -> Choice:
    """The choice for one table. ``named``: the operator asked for this very one. Pure."""
    base = Choice(table, False, treatment.why, treatment, index_bytes=index_bytes)
    if treatment.how == LEFT:
        return base
    if past.done_in_this_run(table):
        return replace(base, why="done by the run that is gone on with")
    hours = past.hours_since(table)
    if hours is not None and hours < RECENT and not named:
        return replace(base, why=f"rebuilt {hours:.1f} h ago; --tables {table} does it again")
    if estimate is None:
        return replace(base, why="its gain was not estimated")
    choice = replace(
        base,
        file_bytes=estimate.file_bytes,
        predicted=estimate.predicted_bytes,
        error=estimate.error_bytes,
        method=estimate.method,
    )
    return _by_gain(choice, estimate, least, named)


def _by_gain(choice: Choice, estimate: Estimate, least: MinGain, named: bool) -> Choice:
    everything = least.share == 0 and least.size == 0
    if estimate.method == NOTHING:
        choice = replace(choice, predicted=None, error=0)
        why = f"what it would gain cannot be told: {estimate.note}"
        if named and everything:
            return replace(choice, chosen=True, why=f"named; {why}")
        return replace(choice, why=f"{why}; --tables with --min-gain 0 does it all the same")
    gain = f"{show_size(choice.reclaim)} ± {show_size(choice.error)} ({estimate.share * 100:.0f} %)"
    by = f"by {estimate.method}" + (f": {estimate.note}" if estimate.note else "")
    if estimate.share >= least.share and choice.reclaim >= least.size:
        return replace(choice, chosen=True, why=f"gains {gain} {by}; {choice.treatment.why}")
    return replace(choice, why=f"gains only {gain} {by}; less than {least.shown}")


def in_order(choices: Iterable[Choice]) -> list[Choice]:
    """The chosen ones, the smallest first: the space they free helps the next."""
    return sorted((c for c in choices if c.chosen), key=lambda c: (c.file_bytes, c.table))
