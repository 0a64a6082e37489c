"""Before measuring: has purge removed what was deleted? What it has not, no rebuild gives back."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Callable, Optional

from matops.mysql import server as servers
from matops.mysql.session import DatabaseError, Session
from matops.units import show_duration

CAUGHT_UP = 20
"""History list length that counts as none: a busy server always has a few. It counts
transactions, not rows: 16 were seen to hide 100,000 rows."""
LEVEL = 8.0
"""Seconds without the list getting shorter after which it is taken to stay so."""
OLD_VIEW = 60
"""Seconds: an open transaction older than this is named as what holds purge back."""


@dataclass(frozen=True)
class Purge:
    """How far purge was when we stopped waiting. None = this account cannot see it."""

    history: Optional[int]
    oldest: str = ""
    """The oldest open transaction, in words, where it is old enough to matter."""

    @property
    def note(self) -> str:
        """What that means for the estimates; '' where all is well."""
        if self.history is None:
            return "whether purge has caught up cannot be seen (needs PROCESS)"
        if self.history <= CAUGHT_UP:
            return ""
        why = f", held back by {self.oldest}" if self.oldest else ""
        return f"purge has {self.history} transactions to go{why}: their rows count as still there"


def wait(session: Session, seconds: float, stopped: Callable[[], bool]) -> Purge:
    """Waits until purge has caught up, at most so long; not for an old transaction, nor where
    writers keep the list at a level that it does not fall below.
    """
    began = time.monotonic()
    least, fell = float("inf"), began
    while True:
        history = servers.history_length(session)
        oldest = _oldest(session) if history is not None else ""
        now = time.monotonic()
        if history is None or history <= CAUGHT_UP or oldest or stopped():
            return Purge(history, oldest)
        if history < 0.95 * least:
            least, fell = float(history), now
        if now - began > seconds or now - fell > LEVEL:
            return Purge(history, oldest)
        time.sleep(0.5)


def _oldest(session: Session) -> str:
    with contextlib.suppress(DatabaseError):
        rows = session.rows("oldest_transaction")
        if rows and int(rows[0]["seconds"] or 0) >= OLD_VIEW:
            row = rows[0]
            return (
                f"connection {row['id']} ({row['user']}@{row['host']}), "
                f"open for {show_duration(int(row['seconds']))}"
            )
    return ""
