"""What ``db.optimize`` did: one JSON line an event, in a folder that the caller names.

A run that was stopped, or killed, is gone on with: tables done in it are not done again, and a
table that was begun and not ended is looked at on the server. A file lock keeps two runs on one
machine apart; the server's own lock (GET_LOCK) keeps machines apart.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from matops.errors import Locked, MatopsError
from matops.units import utc_now

VERSION = 1
GOES_ON = 7 * 24.0
"""Hours for which a table counts as done by the run that is gone on with. A nightly window may
never come to the end of a run (one table does not fit): the others are looked at again then."""


@dataclass(frozen=True)
class Begun:
    """A table whose rebuild was begun. ``created`` as the server said before it began."""

    table: str
    run: str
    tag: str
    connection_id: int
    created: str
    before_bytes: Optional[int]
    partition: str = ""
    """The one that was under work; '' = the whole table."""
    statement: str = ""
    """Of ``migrate.ahead``: what it was to add tells whether it was done."""


@dataclass(frozen=True)
class Past:
    """What earlier runs left. ``run`` is '' where the last run came to its end.

    ``done``: the last rebuild of each table, ``{table: {"at", "run", "before", "after", …}}``.
    """

    run: str = ""
    begun: Optional[Begun] = None
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    rate: float = 0.0
    """Bytes of old file rebuilt a second, over all rebuilds known; 0 where there were none."""

    def done_in_this_run(self, table: str) -> bool:
        """Was it done by the unfinished run that is gone on with?"""
        hours = self.hours_since(table)
        same = bool(self.run) and self.done.get(table, {}).get("run") == self.run
        return same and hours is not None and hours < GOES_ON

    def hours_since(self, table: str) -> Optional[float]:
        """Hours since its last rebuild by us; None where there was none."""
        at = self.done.get(table, {}).get("at")
        if not at:
            return None
        return (utc_now() - dt.datetime.fromisoformat(at)).total_seconds() / 3600


class OptimizeJournal:
    """``<folder>/<name>.jsonl`` and ``.lock``. Use as a context manager: it holds the lock.

    ``name`` stands for the server and schema, ``task`` is whose journal it is. Raises Locked (75)
    where another run on this machine holds it, MatopsError where the folder cannot be written.
    """

    def __init__(self, folder: str, name: str, task: str = "db.optimize") -> None:
        self._task = task
        self.path = Path(folder) / f"{name}.jsonl"
        self._lock: Any = None

    def __enter__(self) -> OptimizeJournal:
        try:
            # The installation's folder is private; the one above holds the agent, for all.
            self.path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self._lock = self.path.with_suffix(".lock").open("a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            self._lock.close()
            raise Locked(
                f"another {self._task} is at work on this schema ({holder or 'unknown'})",
                state="Nothing was changed",
                next="wait for it; `jobs` shows it where it is a job",
            ) from None
        except OSError as error:
            raise MatopsError(
                f"the journal {self.path} cannot be written: {error.strerror}",
                state="Nothing was changed",
                next="run as the user that keeps the state, or set state_dir",
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"pid {os.getpid()} since {utc_now().isoformat(timespec='seconds')}")
        self._lock.flush()
        return self

    def __exit__(self, *unused: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def write(self, event: str, run: str, **facts: Any) -> None:
        """Appends one line and brings it to disk. MatopsError where that fails."""
        at = utc_now().isoformat(timespec="seconds")
        line = {"v": VERSION, "at": at, "run": run, "event": event, **facts}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line, default=str) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MatopsError(
                f"the journal {self.path} cannot be written: {error.strerror}",
                next="make room there and run again",
            ) from None

    def past(self) -> Past:
        """What the lines say; half-written ones (the machine went down) are passed over."""
        return replay(self._lines())

    def _lines(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError), self.path.open(errors="replace") as file:
            for text in file:
                with contextlib.suppress(ValueError):
                    line = json.loads(text)
                    if isinstance(line, dict) and line.get("v", 0) <= VERSION:
                        yield line


def replay(lines: Iterator[dict[str, Any]]) -> Past:
    """The state after these events, the oldest first. Pure."""
    run, begun, done = "", None, {}
    weight, seconds = 0.0, 0.0
    for line in lines:
        event, table = line.get("event"), str(line.get("table", ""))
        if event == "run":
            run = str(line["run"])
        elif event == "begin":
            begun = Begun(
                table, str(line["run"]), str(line.get("tag", "")),
                int(line.get("connection_id") or 0), str(line.get("created") or ""),
                line.get("before"), str(line.get("partition") or ""),
                str(line.get("statement") or ""),
            )  # fmt: skip
        elif event in ("done", "left", "failed"):
            begun = None
            if event == "done":
                done[table] = line
                weight += float(line.get("before") or 0)
                seconds += float(line.get("seconds") or 0)
        elif event == "end":
            run = ""
    return Past(run, begun, done, weight / seconds if seconds > 1 else 0.0)
