"""The events of a run of ``migrate.ahead`` as lines, for the job's log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from matops.mysql.ahead import run
from matops.mysql.ahead.summary import Result, Summary
from matops.mysql.attempt import Tell
from matops.mysql.rebuild import Ended
from matops.units import show_duration

EVERY = 15  # seconds between two lines of progress


def teller(say: Callable[[str], object]) -> Tell:
    """Says what is worth a line; progress every 15 s."""
    told = [0.0]

    def tell(event: str, **facts: Any) -> None:
        if event == "progress":
            if time.monotonic() - told[0] < EVERY:
                return
            told[0] = time.monotonic()
        make = _LINES.get(event)
        if make is not None:
            say(make(facts))

    return tell


def _progress(facts: dict[str, Any]) -> str:
    eta = f", about {show_duration(facts['eta'])} left" if facts["eta"] is not None else ""
    share = f"{facts['share'] * 100:.0f} %" if facts["share"] else "under way"
    return f"   {share}{eta}; {facts['phase'] or 'starting'}; {facts['waiters']} waiting"


def _ended(facts: dict[str, Any]) -> str:
    result: Result = facts["result"]
    report = result.report
    line = f"   {result.ended}"
    if report.attempts:
        line += (
            f" in {show_duration(report.seconds)}, {report.attempts} attempts; clients waited "
            f"{report.lock_stall:.2f} s at the most"
        )
    if report.ended is Ended.DONE and not result.already:
        line += "; read back: it is there"
    return f"{line}: {report.reason}" if report.reason else line


_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "statement": lambda f: f"[{f['position']}/{f['of']}] #{f['number']} {f['text']}",
    "progress": _progress,
    "ended": _ended,
    "settled": lambda f: (
        f"an earlier run left a statement on {f['table']} at work: {f['ended']}: {f['reason']}"
    ),
    "adopted": lambda f: (
        f"   the server still works on {f['table']} (connection {f['id']}); watching it"
    ),
    "held": lambda f: f"   waiting for {'; '.join(f['by'])}",
    "back_off": lambda f: f"   attempt {f['attempt']} given up: {f['reason']}",
    "cancel": lambda f: (
        f"   KILL QUERY of our own statement: {f['why']}"
        + (f": {f['detail']}" if f["detail"] else "")
    ),
    "paused": lambda f: f"   paused: {f['why']}",
    "blind": lambda f: (
        "   WARNING: the watching connection is lost; trying again. The server's "
        "lock_wait_timeout guards meanwhile"
    ),
    "row_log": lambda f: (
        f"   WARNING: the row log is {f['used'] * 100:.0f} % full; at 100 % it fails (1799): "
        "raise innodb_online_alter_log_max_size, it works at once"
    ),
    "lost": lambda f: f"   {f['reason']}; looking what became of it",
    "killed": lambda f: f"   ended an idle transaction that held the table: {f['who']}",
    "note": lambda f: f"note: {f['text']}",
}


def way_back(summary: Summary) -> list[str]:
    """The statements that take back what is there now, the last first; to be pasted."""
    found = [line for result in reversed(summary.of(Ended.DONE))
             for line in run.undo(result.task.additive)]  # fmt: skip
    if not found:
        return []
    return ["the way back, while the old code runs (paste with the mysql client):", *found]
