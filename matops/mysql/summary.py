"""What a run of ``db.optimize`` came to: per table, in total, and as an exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.mysql.choose import Choice
from matops.mysql.rebuild import Ended, Report
from matops.mysql.treatments import shown
from matops.units import show_size


@dataclass
class Result:
    """One chosen table. ``after``: bytes of its file now, None where it was not read back."""

    choice: Choice
    report: Report
    after: Optional[int] = None
    notes: list[str] = field(default_factory=list)
    created: str = ""

    @property
    def reclaimed(self) -> int:
        """Bytes really given back (negative where the file grew)."""
        return 0 if self.after is None else self.choice.file_bytes - self.after

    def data(self) -> dict[str, Any]:
        """For JSON."""
        choice, report = self.choice, self.report
        return {
            "table": choice.table,
            "ended": report.ended.value,
            "reason": report.reason,
            "before_bytes": choice.file_bytes,
            "after_bytes": self.after,
            "predicted_bytes": choice.predicted,
            "reclaimed_bytes": self.reclaimed,
            "seconds": round(report.seconds, 2),
            "waited_seconds": round(report.waited, 2),
            "attempts": report.attempts,
            "longest_lock_stall": round(report.lock_stall, 3),
            "longest_commit_stall": round(report.commit_stall, 3),
            "blocked_by": report.blockers,
            "ended_connections": report.killed,
            "notes": self.notes,
        }


@dataclass
class Summary:
    """``postponed``: the window or the load ended the run before its end."""

    choices: list[Choice] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    postponed: bool = False

    def add(self, result: Result) -> None:
        """One more table is through."""
        self.results.append(result)

    def of(self, *ended: Ended) -> list[Result]:
        """The tables that ended so."""
        return [r for r in self.results if r.report.ended in ended]

    @property
    def done(self) -> list[Result]:
        """The tables that were rebuilt."""
        return self.of(Ended.DONE)

    @property
    def reclaimed(self) -> int:
        """Bytes given back."""
        return sum(r.reclaimed for r in self.done)

    @property
    def predicted(self) -> int:
        """Bytes that the estimates had promised for the tables that were rebuilt."""
        return sum(r.choice.reclaim for r in self.done)

    def data(self) -> dict[str, Any]:
        """For JSON."""
        reports = [r.report for r in self.results]
        return {
            "tables": len(self.choices),
            "chosen": len(self.results),
            "rebuilt": len(self.done),
            "predicted_reclaim_bytes": self.predicted,
            "reclaimed_bytes": self.reclaimed,
            "attempts": sum(r.attempts for r in reports),
            "longest_lock_stall": round(max((r.lock_stall for r in reports), default=0.0), 3),
            "longest_commit_stall": round(max((r.commit_stall for r in reports), default=0.0), 3),
            "blocked_by": sorted({b for r in reports for b in r.blockers}),
            "ended_connections": [k for r in reports for k in r.killed],
        }

    def error(self, stop_reason: str = "", stop_code: int = 130) -> Optional[MatopsError]:
        """What the run ends with; None where all is well. Tables left for later are well."""
        state = f"{len(self.done)} tables were rebuilt, {show_size(self.reclaimed)} came free"
        if stop_reason:
            under_work = "; the table under work is as it was" if self.of(Ended.STOPPED) else ""
            error = MatopsError(
                f"stopped: {stop_reason}",
                state=f"{state}{under_work}",
                next="run the same again: it goes on where it stopped",
            )
            error.code = stop_code
            return error
        unknown = self.of(Ended.UNKNOWN)
        if unknown:
            return OutcomeUnknown(
                f"how the rebuild of {_names(unknown)} ended cannot be told: "
                f"{unknown[0].report.reason}",
                state=state,
                next="run the same again: it looks first",
            )
        refused, failed = self.of(Ended.REFUSED), self.of(Ended.FAILED, Ended.BLOCKED)
        if refused and not failed and not self.done:
            return Refused(
                f"no room for {_names(refused)}: {refused[0].report.reason}",
                state="Nothing was changed",
                next="make room, or take smaller tables first",
            )
        if refused or failed:
            bad = [*failed, *refused]
            return MatopsError(
                f"{len(bad)} tables were not rebuilt: {_names(bad)}: {bad[0].report.reason}",
                state=f"{state}; every table is whole",
                next="run the same again when that is mended",
            )
        return None


def _names(results: list[Result]) -> str:
    names = [shown(r.choice.table) for r in results[:3]]
    return ", ".join(names) + (f" and {len(results) - 3} more" if len(results) > 3 else "")
