"""Step ``archive.compare``: do the reports of the window's days hold what the log tables hold?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matops.errors import MatopsError
from matops.matomo.site import Site
from matops.runbook.archive_step import WindowOf
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

AGREES, BEHIND, DIFFERS, NONE = "agrees", "day not over", "differs", "no report"
NO_LOGS = "no visit in the logs"
"""A report without a visit in the log tables: a roll-up site's, or they were deleted."""


def judge(row: dict[str, Any]) -> str:
    """One of the words above. Pure."""
    if row["report"] is None:
        return BEHIND if row["running"] else NONE
    if row["report"] == row["log"] and not row["state"]:
        return AGREES
    if row["running"]:
        return BEHIND
    return DIFFERS if row["log"] != [0, 0] else NO_LOGS


def wrong(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose report is not what it should be, each with its ``verdict``. Pure."""
    for row in rows:
        row["verdict"] = judge(row)
    return [row for row in rows if row["verdict"] in (DIFFERS, NONE)]


class ArchiveCompare(Step):
    """Visits and actions of each site and day: in the newest valid archive, and in the logs."""

    name = "archive.compare"
    title = "Compare the reports with the log tables"
    scope = Scope.INSTALLATION
    changes_data = False
    reads_only = True

    def __init__(self, site: Site, say: Say, window: WindowOf, sites: Sequence[int] = ()) -> None:
        super().__init__(site, say)
        self._window_of, self.sites = window, tuple(sites)
        self.rows: list[dict[str, Any]] = []

    def look(self) -> Look:
        """It reads only."""
        return Look([Action("compare the reports with the log tables", self._window_of().shown)])

    def act(self, action: Action) -> None:
        """Nothing: it reads only."""

    def verify(self) -> Evidence:
        """MatopsError where a day that is over differs."""
        window = self._window_of()
        self.rows = self.site.ask(
            "matomo.archive_days:compare", start=window.start, end=window.end,
            sites=list(self.sites), timeout=24 * 3600.0,
        )  # fmt: skip
        bad = wrong(self.rows)
        if bad:
            raise MatopsError(
                f"{len(bad)} of {len(self.rows)} reports do not hold what the log tables hold: "
                + "; ".join(words(row) for row in bad[:3]),
                host=self.site.host.name,
                state="Nothing was changed",
                next="archive.invalidate and archive.run, or recover again, build them anew: hits "
                "tracked for that day since make them differ (recover --no-archive leaves them)",
            )
        open_days = sum(row["verdict"] == BEHIND for row in self.rows)
        later = f", {open_days} days are not over yet" if open_days else ""
        bare = sum(row["verdict"] == NO_LOGS for row in self.rows)
        later += f", {bare} have no visit in the logs (roll-up, or deleted)" if bare else ""
        visits = sum(row["log"][0] for row in self.rows)
        return Evidence(
            f"{len(self.rows) - open_days - bare} reports agree with the log tables{later} "
            f"({visits} visits)",
            {"days": len(self.rows), "visits": visits, "open": open_days},
        )


def words(row: dict[str, Any]) -> str:
    """``site 1, 2026-11-21: 12 visits in the log tables, 10 in the report``."""
    shown = "none" if row["report"] is None else f"{row['report'][0]} visits, {row['report'][1]}"
    state = f" ({row['state']})" if row["state"] else ""
    return (
        f"site {row['idsite']}, {row['day']}: {row['log'][0]} visits, {row['log'][1]} actions in "
        f"the log tables, {shown}{' actions' * (row['report'] is not None)} in the report{state}"
    )
