"""What a run of ``migrate.ahead`` came to: per statement, in total, and as an exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown
from matops.mysql.ahead.grammar import Additive
from matops.mysql.ahead.picture import Picture
from matops.mysql.rebuild import Ended, Report


@dataclass(frozen=True)
class Task:
    """One statement to be run on the live schema. ``text``: with its algorithm said.

    ``before``, ``after``: the table as it was when it was proven, and as it must be then.
    """

    number: int
    text: str
    way: str
    additive: Additive
    before: Picture
    after: Picture

    @property
    def table(self) -> str:
        """The table it adds to."""
        return self.additive.table


@dataclass
class Result:
    """How one statement ended. ``already``: it was there, and nothing was done."""

    task: Task
    report: Report
    already: bool = False

    @property
    def ended(self) -> str:
        """In a word or two."""
        return "already done" if self.already else self.report.ended.value

    def data(self) -> dict[str, Any]:
        """For JSON; seconds."""
        report = self.report
        return {
            "number": self.task.number,
            "table": self.task.table,
            "statement": self.task.text,
            "way": self.task.way,
            "ended": self.ended,
            "reason": report.reason,
            "seconds": round(report.seconds, 2),
            "waited_seconds": round(report.waited, 2),
            "attempts": report.attempts,
            "longest_lock_stall": round(report.lock_stall, 3),
            "longest_commit_stall": round(report.commit_stall, 3),
            "blocked_by": report.blockers,
            "ended_connections": report.killed,
        }


@dataclass
class Summary:
    """All results of a run, in order."""

    results: list[Result] = field(default_factory=list)

    def of(self, *ended: Ended) -> list[Result]:
        """The statements that ended so."""
        return [r for r in self.results if r.report.ended in ended]

    @property
    def done(self) -> list[Result]:
        """What this run did itself."""
        return [r for r in self.of(Ended.DONE) if not r.already]

    def error(self, stop_reason: str = "", stop_code: int = 130) -> Optional[MatopsError]:
        """What the run ends with; None where every statement is there now."""
        state = f"{len(self.of(Ended.DONE))} of {len(self.results)} statements are there"
        unknown = self.of(Ended.UNKNOWN)
        if unknown:
            return OutcomeUnknown(
                f"how #{unknown[0].task.number} on {unknown[0].task.table} ended cannot be told: "
                f"{unknown[0].report.reason}",
                state=state,
                next="run the same again: it looks first",
            )
        bad = [r for r in self.results if r.report.ended is not Ended.DONE]
        if stop_reason and bad:
            error = MatopsError(
                f"stopped: {stop_reason}",
                state=f"{state}; no statement is half done",
                next="run the same again: it goes on where it stopped",
            )
            error.code = stop_code
            return error
        if bad:
            return MatopsError(
                f"#{bad[0].task.number} on {bad[0].task.table} was not run: {bad[0].report.reason}",
                state=f"{state}; no statement is half done",
                next="run the same again when that is mended, or rehearse again: it shows the "
                "upgrade of what is there now",
            )
        return None
