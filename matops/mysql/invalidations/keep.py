"""Which rows of ``archive_invalidations`` go, and which stay: one rule, fixed when it is made.

A row goes if it is what ``only`` names (every row, where it names nothing), unless it matches
*all* keep rules that were given. ``--keep-days 30 --keep-sites 7`` keeps the last thirty days of
site 7 and nothing else. The rule holds dates and numbers, never "today": a run that was killed
goes on tomorrow with the same rows.

``since``: a row is kept when its period *reaches into* the days (``date2 >= since``). So the
week, month and year that hold these days stay with them; without their rows those reports would
never be rebuilt. Older days of such a month go: the month is then built from the days as they are.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.errors import UsageError

PERIODS = {"day": 1, "week": 2, "month": 3, "year": 4, "range": 5}
"""core/Piwik.php: $idPeriods."""
ALL, DUPLICATES, DELETED_SITES, STUCK, PLUGIN = "", "duplicates", "deleted-sites", "stuck", "plugin"
ONLY = (DUPLICATES, DELETED_SITES, STUCK, "plugin=NAME")
IN_PROGRESS = 1
"""core/Archive/ArchiveInvalidator.php: INVALIDATION_STATUS_IN_PROGRESS."""

Condition = tuple[str, tuple[Any, ...]]
"""A condition on one row, with ``%s`` for the values beside it."""


@dataclass(frozen=True)
class Rule:
    """Plain data, so that it can be written down. '' and () mean: not asked for.

    ``gone_sites``: for deleted-sites. ``stuck_before``: for stuck, the start (as ``ts_started``
    is written) before which a row in progress counts as stuck; one without a start always does.
    ``since``: YYYY-MM-DD. ``periods``: Matomo's numbers.
    """

    only: str = ALL
    plugin: str = ""
    gone_sites: tuple[int, ...] = ()
    stuck_before: str = ""
    since: str = ""
    sites: tuple[int, ...] = ()
    periods: tuple[int, ...] = ()

    @property
    def keeps(self) -> bool:
        """Some rows are to stay by a keep rule."""
        return bool(self.since or self.sites or self.periods)

    @property
    def takes_all(self) -> bool:
        """No row stays."""
        return self.only == ALL and not self.keeps

    @property
    def words(self) -> str:
        """``all rows but those since 2026-10-23 of site 7``."""
        what = {
            ALL: "all rows", DUPLICATES: "duplicates", STUCK: "rows stuck in progress",
            DELETED_SITES: "rows of deleted sites", PLUGIN: f"rows of plugin {self.plugin}",
        }[self.only]  # fmt: skip
        return f"{what} but those {self.kept_words}" if self.keeps else what

    @property
    def kept_words(self) -> str:
        """``reaching into 2026-10-23 or later, of site 7, of period day``; '' = keeps none."""
        parts = []
        if self.since:
            parts.append(f"reaching into {self.since} or later")
        if self.sites:
            parts.append(f"of site {', '.join(map(str, self.sites))}")
        if self.periods:
            names = {number: name for name, number in PERIODS.items()}
            parts.append(f"of period {', '.join(names[number] for number in self.periods)}")
        return ", ".join(parts)

    def data(self) -> dict[str, Any]:
        """For the record: only what is set."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v not in ("", ())}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Rule:
        """From ``data``; lists become tuples again."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return cls(**values)

    def kept(self) -> Condition:
        """True for rows that match all keep rules; never NULL. Without any: never true."""
        if not self.keeps:
            return "FALSE", ()
        parts: list[str] = []
        values: list[Any] = []
        if self.since:
            parts.append("date2 >= %s")
            values.append(self.since)
        for column, numbers in (("idsite", self.sites), ("period", self.periods)):
            if numbers:
                parts.append(f"{column} IN ({_marks(numbers)})")
                values += numbers
        return " AND ".join(parts), tuple(values)

    def goes(self) -> Condition:
        """True for rows that go, false for the others; never NULL.

        For duplicates it is the part that one row can tell: that it is not kept, and queued.
        """
        what, values = self._only()
        kept, kept_values = self.kept()
        return f"(({what}) AND NOT ({kept}))", (*values, *kept_values)

    def stays(self) -> Condition:
        """The opposite of ``goes``."""
        text, values = self.goes()
        return f"(NOT {text})", values

    def _only(self) -> Condition:
        if self.only == DUPLICATES:
            return "COALESCE(status, 0) = 0", ()
        if self.only == DELETED_SITES:
            marks = _marks(self.gone_sites)
            return (f"idsite IN ({marks})", self.gone_sites) if self.gone_sites else ("FALSE", ())
        if self.only == STUCK:
            stuck = "COALESCE(status, 0) = 1 AND (ts_started IS NULL OR ts_started < %s)"
            return stuck, (self.stuck_before,)
        if self.only == PLUGIN:
            # done.Plugin, done<hash>.Plugin; the hash is hexadecimal, so no other dot comes first.
            return "SUBSTRING_INDEX(name, '.', -1) = %s AND LOCATE('.', name) > 0", (self.plugin,)
        return "TRUE", ()


def _marks(numbers: Sequence[int]) -> str:
    return ", ".join(["%s"] * len(numbers))


def parse_only(text: str) -> tuple[str, str]:
    """(what, plugin) of ``--only``. UsageError."""
    if text in ("", DUPLICATES, DELETED_SITES, STUCK):
        return text, ""
    found = re.fullmatch(r"plugin=(\w+)", text)
    if found:
        return PLUGIN, found[1]
    raise UsageError(f"--only: '{text}' is not one of {', '.join(ONLY)}")


def parse_days(text: str) -> Optional[int]:
    """``--keep-days``: a whole number; None for ''. UsageError."""
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) <= 36525:
        raise UsageError(f"--keep-days: '{text}' is not a number of days; for example 30")
    return int(text)


def parse_sites(text: str, flag: str = "--keep-sites") -> tuple[int, ...]:
    """``1,2,7``; () for ''. UsageError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    wrong = next((part for part in parts if not part.isdigit() or not int(part)), "")
    if wrong or (text and not parts):
        raise UsageError(f"{flag}: '{wrong or text}' is not a site's number; for example 1,2")
    return tuple(sorted({int(part) for part in parts}))


def parse_periods(text: str) -> tuple[int, ...]:
    """``day,week``; () for ''. UsageError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    wrong = next((part for part in parts if part not in PERIODS), "")
    if wrong or (text and not parts):
        raise UsageError(f"--keep-periods: '{wrong or text}' is not one of {', '.join(PERIODS)}")
    return tuple(sorted({PERIODS[part] for part in parts}))


def since(days: Optional[int], today: dt.date) -> str:
    """The first day kept: ``days`` before today (UTC), which itself is kept, too. '' for None."""
    return "" if days is None else str(today - dt.timedelta(days=days))
