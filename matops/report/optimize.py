"""What ``db.optimize`` shows: events as lines for people, and the same as JSON lines."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matops.errors import MatopsError
from matops.mysql.choose import Choice
from matops.mysql.summary import Result, Summary
from matops.mysql.treatments import shown
from matops.units import show_duration, show_size, utc_now

EVERY = 15  # seconds between two progress lines where there is no terminal

CHOICE_HEADERS = ("table", "rebuild", "file", "would free", "why")
RESULT_HEADERS = ("table", "how it ended", "before", "after", "seconds", "attempts",
                  "lock stall", "commit stall", "notes")  # fmt: skip


class Voice:
    """Hears the events of a run. ``say`` prints a line; ``gone`` is called once nobody listens.

    ``quiet``: only what is wrong is said. ``json_lines``: a file that gets every event.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        gone: Callable[[], None],
        *,
        quiet: bool = False,
        json_lines: str = "",
    ) -> None:
        self._say, self._gone, self._quiet = say, gone, quiet
        self._file = _open(json_lines) if json_lines else None
        self._told = self._noted = 0.0
        self._table = ""
        self._terminal = sys.stdout.isatty() and not quiet

    def tell(self, event: str, **facts: Any) -> None:
        """One event, from whatever part of the run. Never raises for a reader that is gone."""
        if "table" in facts:
            self._table = str(facts["table"])
        self._write(event, facts)
        line, wrong = self._line(event, facts)
        if not line or (self._quiet and not wrong):
            return
        try:
            if self._terminal:
                # The progress line is written over, everything else stays.
                sys.stdout.write("\r\033[K" + line + ("" if event == "progress" else "\n"))
                sys.stdout.flush()
            else:
                self._say(line)
        except OSError:
            self._quiet = True
            self._gone()

    def _line(self, event: str, facts: dict[str, Any]) -> tuple[str, bool]:
        if event == "progress":
            return self._progress(facts), False
        make = _LINES.get(event)
        return (make(facts), event in _WRONG) if make else ("", False)

    def _progress(self, facts: dict[str, Any]) -> str:
        if not self._terminal and time.monotonic() - self._told < EVERY:
            return ""
        self._told = time.monotonic()
        eta = f", about {show_duration(facts['eta'])} left" if facts["eta"] is not None else ""
        share = f"{facts['share'] * 100:.0f} %" if facts["share"] else "under way"
        log = f", row log {facts['row_log'] * 100:.0f} % full" if facts["row_log"] else ""
        return (
            f"  {shown(self._table)}: {share}{eta}; {facts['phase'] or 'starting'}; "
            f"{facts['waiters']} waiting{log}"
        )

    def _write(self, event: str, facts: dict[str, Any]) -> None:
        if self._file is None or (event == "progress" and self._too_early()):
            return
        line = {"at": utc_now().isoformat(timespec="milliseconds"), "event": event, **facts}
        with contextlib.suppress(OSError):
            self._file.write(json.dumps(line, default=_plain) + "\n")
            self._file.flush()

    def _too_early(self) -> bool:
        # A rebuild of days shall not fill the disk with its own progress.
        early = time.monotonic() - self._noted < EVERY
        self._noted = self._noted if early else time.monotonic()
        return early

    def close(self) -> None:
        """Ends the JSON lines."""
        if self._file is not None:
            self._file.close()


_WRONG = ("row_log", "lost", "blind", "settled")


def _ended(facts: dict[str, Any]) -> str:
    result: Result = facts["result"]
    choice, report = result.choice, result.report
    head = f"  {shown(choice.table)}: {report.ended.value}"
    if result.after is not None:
        head += (
            f", {show_size(choice.file_bytes)} → {show_size(result.after)} "
            f"in {show_duration(report.seconds)}"
        )
    if report.lock_stall or report.commit_stall:
        head += (
            f"; clients waited {report.lock_stall:.2f} s for locks, "
            f"{report.commit_stall:.2f} s at the commit at the most"
        )
    return f"{head}{': ' + report.reason if report.reason else ''}"


def _choices(facts: dict[str, Any]) -> str:
    choices: Sequence[Choice] = facts["choices"]
    chosen = [c for c in choices if c.chosen]
    promised = show_size(sum(c.reclaim for c in chosen))
    return (
        f"{facts['server']}: {len(chosen)} of {len(choices)} tables are worth a rebuild, about "
        f"{promised} to come free; {facts['binlog']}; window: {facts['window']}"
    )


_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "purge": lambda f: f"purge: {f['note']}" if f["note"] else "",
    "choices": _choices,
    "note": lambda f: f"note: {f['text']}",
    "settled": lambda f: (
        f"the last run left {shown(f['table'])} under work: {f['ended']}: {f['reason']}"
    ),
    "resumed": lambda f: f"going on with run {f['run']}: {f['done']} tables are done already",
    "adopted": lambda f: (
        f"  {shown(f['table'])}: the server still works on it (connection "
        f"{f['id']}); watching it to its end"
    ),
    "table": lambda f: (
        f"[{f['position']}/{f['of']}] {shown(f['table'])}: {show_size(f['before'])}"
        f", about {show_size(f['predicted'])} after, {show_duration(f['seconds'])} at the most"
    ),
    "skipped": lambda f: f"  {shown(f['table'])}: not started: {f['why']}",
    "held": lambda f: f"  {shown(f['table'])}: waiting for {'; '.join(f['by'])}",
    "back_off": lambda f: f"  {shown(f['table'])}: attempt {f['attempt']} given up: {f['reason']}",
    "cancel": lambda f: (
        f"  KILL QUERY of our own statement: {f['why']}"
        + (f": {f['detail']}" if f["detail"] else "")
    ),
    "row_log": lambda f: (
        f"  WARNING: the row log is {f['used'] * 100:.0f} % full; at 100 % the "
        "rebuild fails (1799): raise innodb_online_alter_log_max_size, it works at once"
    ),
    "paused": lambda f: f"  paused: {f['why']}",
    "blind": lambda f: (
        "  WARNING: the watching connection is lost; trying again. The server's "
        "lock_wait_timeout guards meanwhile"
    ),
    "lost": lambda f: f"  {shown(f['table'])}: {f['reason']}; looking what became of it",
    "killed": lambda f: f"  ended an idle transaction that held the table: {f['who']}",
    "ended": _ended,
}


def choice_rows(choices: Sequence[Choice]) -> list[tuple[str, ...]]:
    """For a table with CHOICE_HEADERS: what is rebuilt first, the others after it."""
    order = sorted(choices, key=lambda c: (not c.chosen, c.file_bytes if c.chosen else 0, c.table))
    return [
        (
            shown(c.table),
            "yes" if c.chosen else "no",
            show_size(c.file_bytes),
            show_size(c.reclaim) if c.predicted is not None else "?",
            c.why,
        )
        for c in order
    ]


def result_rows(summary: Summary) -> list[tuple[str, ...]]:
    """For a table with RESULT_HEADERS."""
    return [
        (
            shown(r.choice.table),
            r.report.ended.value,
            show_size(r.choice.file_bytes),
            show_size(r.after),
            f"{r.report.seconds:.1f}",
            str(r.report.attempts),
            f"{r.report.lock_stall:.2f} s",
            f"{r.report.commit_stall:.2f} s",
            "; ".join([r.report.reason, *r.notes, *(f"blocked by {b}" for b in r.report.blockers)])
            .strip("; "),
        )
        for r in summary.results
    ]  # fmt: skip


def closing_line(summary: Summary) -> str:
    """Predicted and real bytes, the longest stalls, attempts."""
    facts = summary.data()
    return (
        f"{facts['rebuilt']} of {facts['chosen']} tables rebuilt; {show_size(summary.reclaimed)} "
        f"came free ({show_size(summary.predicted)} predicted); the longest wait of a client was "
        f"{facts['longest_lock_stall']:.2f} s for locks, {facts['longest_commit_stall']:.2f} s at "
        f"a commit; {facts['attempts']} attempts"
    )


def _open(path: str) -> Any:
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(path).open("a")
    except OSError as error:
        raise MatopsError(
            f"--json-lines {path} cannot be written: {error.strerror}", state="Nothing was changed"
        ) from None


def _plain(value: object) -> object:
    if isinstance(value, Result):
        return value.data()
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return str(value)
