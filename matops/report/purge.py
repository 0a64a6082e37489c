"""How a purge is shown: rows by table and day, or by month where there are many days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_DAYS = 40  # more are shown as months


def rows(found: Mapping[str, Any], prefix: str) -> tuple[list[str], list[Sequence[Any]]]:
    """Headers and rows of ``purge_look.survey(…, rows=True)``, the totals last. Pure."""
    by_table: dict[str, dict[str, int]] = found["rows"]
    names = [name for name in by_table if sum(by_table[name].values())][::-1]
    cut = 10 if len(found["days"]) <= _DAYS else 7
    columns = [_by(by_table[name], cut) for name in names]
    periods = sorted({period for column in columns for period in column})
    headers = ["day (UTC)" if cut == 10 else "month (UTC)"]
    headers += [name[len(prefix) :] if name.startswith(prefix) else name for name in names]
    lines: list[Sequence[Any]] = [
        [period, *(column.get(period, 0) for column in columns)] for period in periods
    ]
    lines.append(["total", *(sum(column.values()) for column in columns)])
    return headers, lines


def _by(days: Mapping[str, int], cut: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for day, n in days.items():
        found[day[:cut]] += n
    return found
