"""What the server said about one statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from matops.mysql.ddl import reading
from matops.mysql.ddl.reading import Statement

INSTANT, INPLACE, COPY = "instant", "inplace", "copy"
NOTHING, NEW, ROWS = "nothing", "new", "rows"
FAILS, UNKNOWN = "fails", "unknown"
WAYS = (NOTHING, NEW, INSTANT, INPLACE, COPY, ROWS, FAILS, UNKNOWN)

NO_LOCK, SHARED, EXCLUSIVE = "none", "shared", "exclusive"


@dataclass(frozen=True)
class Verdict:
    """How the server does one statement.

    ``algorithm``: one of WAYS. ``new``: the table is made by an earlier statement, and empty;
    ``rows``: an INSERT, UPDATE or DELETE, whose cost is its rows. ``lock``: what clients may not
    do meanwhile: none = nothing, shared = not write, exclusive = neither. ``rebuild``: the whole
    table is written anew (None: not told). ``reason``: of ``fails`` and ``unknown``, and why no
    better way. ``notes``: what the empty copy cannot know. ``forced``: this server copies
    unless told otherwise, so the plain statement does, though ``algorithm`` is possible.
    """

    statement: Statement
    algorithm: str
    lock: str = NO_LOCK
    rebuild: Optional[bool] = False
    reason: str = ""
    notes: tuple[str, ...] = ()
    forced: bool = False

    @property
    def plain(self) -> str:
        """The algorithm of the statement as Matomo runs it, which names none."""
        return COPY if self.forced and self.algorithm in (INSTANT, INPLACE) else self.algorithm

    @property
    def online(self) -> bool:
        """Clients read and write all the while (but for its very start and end)."""
        return self.algorithm == INSTANT or (self.algorithm == INPLACE and self.lock == NO_LOCK)

    def data(self) -> dict[str, object]:
        """For JSON; ``from_data`` reads it."""
        return {
            "statement": self.statement.text, "algorithm": self.algorithm, "lock": self.lock,
            "rebuild": self.rebuild, "reason": self.reason, "notes": list(self.notes),
            "forced": self.forced,
        }  # fmt: skip


def from_data(data: dict[str, object]) -> Verdict:
    """A verdict that was stored with ``Verdict.data``."""
    rebuild = data.get("rebuild")
    notes = data.get("notes")
    return Verdict(
        statement=reading.parse(str(data["statement"])),
        algorithm=str(data["algorithm"]),
        lock=str(data.get("lock", NO_LOCK)),
        rebuild=None if rebuild is None else bool(rebuild),
        reason=str(data.get("reason", "")),
        notes=tuple(str(note) for note in notes) if isinstance(notes, list) else (),
        forced=bool(data.get("forced")),
    )
