"""The ledger of one replay: what was sent, what came of it. Survives kill -9 and power cuts.

One JSON object a line, appended and fsync'd: ``go`` before a batch leaves, ``end`` after its
outcome is known. A ``go`` without its ``end`` is in doubt: the database is asked before anything
of it is sent again. A torn last line is what a kill left of a write that did not happen.
"""

from __future__ import annotations

import collections
import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Optional

from matops.accesslog.replay.positions import Positions
from matops.accesslog.replay.request import LANES
from matops.errors import Locked, MatopsError

VERSION = 2
REPAIR = -1
"""The lane of single hits of a doubtful batch that are sent again."""


@dataclass(frozen=True)
class Sending:
    """A batch that left. Its hits are those of the lanes that worker ``lane`` of ``of`` had, at
    [``first``, ``upto``) of the gap file; ``mark``: where the database notes that it was recorded.
    """

    number: int
    lane: int
    of: int
    first: int
    upto: int
    hits: int
    mark: int = 0


@dataclass
class Totals:
    """Sums over all runs of this replay."""

    sent: int = 0
    """Settled, in whichever way; ``there`` of them were recorded before they were sent."""
    tracked: int = 0
    there: int = 0
    refused: collections.Counter[str] = field(default_factory=collections.Counter)
    batches: int = 0


class Ledger:
    """Opens (or begins) the ledger at ``path``; one process at a time. Raises Locked, MatopsError.

    ``done[lane]``: up to where that lane's hits are settled. ``found``: positions of hits that the
    database had before they were sent: never sent. ``open``: batches in doubt, by number.
    ``doubtful``: settled batches of which single hits may be missing. ``complete``: all is done.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self.done = dict.fromkeys(range(LANES), 0)
        self.found = Positions()
        self.open: dict[int, Sending] = {}
        self.doubtful: list[Sending] = []
        self.totals = Totals()
        self.about = about
        self.complete = False
        self.begun_before = path.exists()
        self._number = 0
        self._repaired: set[int] = set()
        self._turn = threading.RLock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise Locked(
                f"another logs.replay of this gap file is at work ({path})",
                state="Nothing was sent",
                next="`jobs` shows it where it is a job; wait for it to end",
            ) from None
        self._read()

    def _read(self) -> None:
        size = 0
        with self.path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                size += len(raw)
                self._take(raw)
        os.truncate(self._file, size)
        if not size:
            self._write({"v": VERSION, "about": self.about})
            folder = os.open(self.path.parent, os.O_RDONLY)  # its name survives a power cut, too
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _take(self, raw: bytes) -> None:
        try:
            entry = json.loads(raw)
            if "v" in entry:
                if entry["v"] != VERSION:
                    raise ValueError(f"version {entry['v']}")
                self.about = entry["about"]
            elif entry["t"] == "go":
                sending = Sending(*entry["s"])
                self._number = max(self._number, sending.number)
                self.open[sending.number] = sending
            elif entry["t"] == "end":
                self._end(Sending(*entry["s"]), entry)
            elif entry["t"] == "sure":
                number = entry["n"]
                self.doubtful = [one for one in self.doubtful if one.number != number]
                self._count(entry)
            elif entry["t"] == "there":
                self._there(entry["at"])
            elif entry["t"] == "complete":
                self.complete = True
        except (ValueError, KeyError, TypeError) as error:
            raise MatopsError(
                f"the replay's ledger {self.path} cannot be understood ({error})",
                state="Nothing was sent",
                next="look at it: without it nobody knows which hits were replayed",
            ) from None

    def _end(self, sending: Sending, entry: dict[str, Any]) -> None:
        self.open.pop(sending.number, None)
        if sending.lane == REPAIR:  # its hits belong to a batch that is counted already
            refused = entry.get("refused", {})
            if refused and sending.first not in self._repaired:
                self._repaired.add(sending.first)
                self.totals.refused.update(refused)
                self.totals.tracked -= sum(refused.values())
            return
        for lane in range(sending.lane, LANES, sending.of):
            self.done[lane] = max(self.done[lane], entry["to"])
        if entry.get("doubt"):
            self.doubtful.append(sending)
        self._count(entry)

    def _count(self, entry: dict[str, Any]) -> None:
        self.totals.batches += entry["t"] == "end"
        self.totals.sent += entry.get("sent", 0)
        self.totals.tracked += entry.get("tracked", 0)
        self.totals.refused.update(entry.get("refused", {}))

    def next_number(self) -> int:
        """The number of the next batch."""
        with self._turn:
            self._number += 1
            return self._number

    def go(self, sending: Sending) -> None:
        """Written before the batch is sent."""
        with self._turn:
            self._write({"t": "go", "s": _plain(sending)})
            self.open[sending.number] = sending

    def end(
        self,
        sending: Sending,
        *,
        tracked: int = 0,
        refused: Optional[dict[str, int]] = None,
        doubt: bool = False,
        again: bool = False,
    ) -> None:
        """Its outcome is known. ``again``: nothing of it was recorded, it will be sent again;
        ``doubt``: it was recorded, but single hits may be missing."""
        entry = {"t": "end", "s": _plain(sending), "to": 0 if again else sending.upto}
        if not again:
            entry.update(sent=sending.hits, tracked=tracked)
        entry.update({k: v for k, v in (("refused", refused), ("doubt", doubt)) if v})
        with self._turn:
            self._write(entry)
            self._end(sending, entry)

    def sure(self, sending: Sending, **counts: Any) -> None:
        """A doubtful batch has been looked through, hit by hit."""
        entry = {"t": "sure", "n": sending.number, **counts}
        with self._turn:
            self._write(entry)
            self.doubtful = [one for one in self.doubtful if one.number != sending.number]
            self._count(entry)

    def there(self, positions: Iterable[int]) -> int:
        """Hits at these positions are in the database, though no batch says so; how many of them
        were not known yet."""
        with self._turn:
            new = sorted({one for one in positions if one not in self.found})
            if new:
                self._write({"t": "there", "at": new})
                self._there(new)
        return len(new)

    def _there(self, positions: Iterable[int]) -> None:
        new = sum(self.found.add(one) for one in positions)
        self.totals.sent += new
        self.totals.tracked += new
        self.totals.there += new

    def finish(self) -> None:
        """All is settled."""
        if not self.complete:
            self._write({"t": "complete"})
            self.complete = True

    def _write(self, entry: dict[str, Any]) -> None:
        data = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, data) < len(data):
                os.truncate(self._file, size)  # a half line must not have another one behind it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            raise MatopsError(
                f"the replay's ledger {self.path} cannot be written: {error.strerror}",
                state="What was sent before is in it",
                next="make room, then run the same command again",
            ) from None

    def close(self) -> None:
        """Gives it back."""
        os.close(self._file)


def _plain(sending: Sending) -> list[int]:
    return list(astuple(sending))
