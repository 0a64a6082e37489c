"""Removes the actions (URLs, titles, …) that nothing refers to any more, without LOCK TABLES.

Matomo's own way locks every log table, and tracking stops (matomo-org/matomo#13637), because a
tracker looks an action up by its hash and a moment later stores a row that refers to it: an action
deleted in between would leave that row without its name. So here an action goes in two steps:

1. *Wait* for ``grace``, longer than any request of a tracker, and until no transaction is open that
   is older than the run (bulk tracking works in one). Actions and page views that had a number when
   the run began are committed then; a tracker has read back the action that it made.
2. *Scan.* Every reference is noted in a bitmap (one bit an action), in short reads. Actions newer
   than the run are not looked at.
3. *Set aside.* Actions that nothing refers to get their hash inverted. From then on a tracker does
   not find them and makes new ones; what refers to one by its number is served as before.
4. *Wait* again, in the same way. Now nobody can hold the number of such an action any more, by a
   look-up or an old snapshot, so no reference to it can be added.
5. *Scan again* what may have changed: the page views with numbers given since the run began; the
   other tables as a whole, for a tracker changes their rows in place.
6. *Delete* what is still unreferenced; the others get their hash back.

Killed anywhere, it leaves at the worst actions with an inverted hash. Nothing reads wrongly by
that, and the next run goes on with them: they can be told by their hash.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.errors import MatopsError
from matops.mysql.purge.bitmap import Bitmap
from matops.mysql.purge.references import Reference
from matops.mysql.purge.work import Work
from matops.mysql.session import DatabaseError
from matops.units import show_duration

WINDOW = 1 << 28
"""Actions looked at in one go: a bitmap of 32 MB, twice. More are done window by window."""
_ROWS = 50_000  # rows of a table read by one statement, at first
_STEP = 5_000  # actions changed or deleted by one statement


@dataclass
class Done:
    """``aside`` of them were set aside (by an earlier run, too), ``back`` were put back as
    somebody refers to them, ``deleted`` are gone; ``odd``: unreferenced, but their hash is not
    that of their name, so they stay."""

    seen: int = 0
    aside: int = 0
    deleted: int = 0
    back: int = 0
    odd: int = 0

    def data(self) -> dict[str, int]:
        """For the journal and JSON."""
        return dict(vars(self))


class Actions:
    """Runs once. ``grace``: seconds, longer than any request of a tracker."""

    def __init__(
        self, work: Work, log_action: str, references: Sequence[Reference], grace: float
    ) -> None:
        self.work, self.table, self.references, self.grace = work, log_action, references, grace
        self.done = Done()

    def run(self) -> Done:
        """Raises MatopsError, Enough (told to stop) with ``done`` so far."""
        bounds = self._bounds(self.table, "idaction")
        if bounds is None:
            return self.done
        low, newest = bounds
        while low <= newest:
            high = min(low + WINDOW, newest + 1)
            self._window(low, high)
            low = high
        return self.done

    def _window(self, low: int, high: int) -> None:
        used = Bitmap(low, high)
        ends = {ref.table: self._bounds(ref.table, ref.pk) for ref in self.references}
        self._wait("that are under way")
        for ref in self.references:
            self.work.say(f"looking for references in {ref.table} ({len(ref.columns)} columns)")
            self._scan(ref, ends[ref.table], used)
        if not self._set_aside(low, high, used):
            return
        self._wait("that may have looked one of them up")
        self.work.say("looking for references that were added meanwhile")
        for ref in self.references:
            old, now = ends[ref.table], self._bounds(ref.table, ref.pk)
            if ref.grows and old and now:
                now = (old[1] + 1, now[1])
            self._scan(ref, now, used)
        self._settle(low, high, used)

    # References

    def _scan(self, ref: Reference, bounds: Optional[tuple[int, int]], used: Bitmap) -> None:
        """Notes every reference in [low, high] of the table's key."""
        if bounds is None:
            return
        low, last = bounds
        size = _ROWS
        while low <= last:
            self.work.between()
            at, end = time.monotonic(), self._key_after(ref, low, size)
            high = min(end, last + 1)
            for column in ref.columns:
                used.add(self._used(ref, column, low, high, used))
            low = high
            pace = self.work.steer.target / max(time.monotonic() - at, 0.001)
            size = int(min(max(size * min(max(pace, 0.5), 1.5), 1000), 500_000))

    def _used(
        self, ref: Reference, column: str, low: int, high: int, used: Bitmap
    ) -> Iterator[int]:
        rows = self._rows(
            "purge_action_used", (low, high, used.low, used.high),
            table=ref.table, pk=ref.pk, column=column,
        )  # fmt: skip
        return (int(row["idaction"]) for row in rows)

    def _key_after(self, ref: Reference, low: int, size: int) -> int:
        rows = self._rows("purge_key_after", (low, size), table=ref.table, pk=ref.pk)
        value = next(iter(rows[0].values()))
        return int(value) + 1 if value is not None else low + size

    def _bounds(self, table: str, key: str) -> Optional[tuple[int, int]]:
        row = self._rows("key_range", (), table=table, key=key)[0]
        return None if row["low"] is None else (int(row["low"]), int(row["high"]))

    def _rows(self, name: str, args: Sequence[Any], **names: str) -> list[dict[str, Any]]:
        found: list[list[dict[str, Any]]] = []

        def read() -> None:
            found.append(self.work.link.session.rows(name, args, **names))

        self.work.insist(read, lambda: False)
        return found[-1]

    # Actions

    def _each(self, low: int, high: int) -> Iterator[list[dict[str, Any]]]:
        while low < high:
            self.work.between()
            rows = self._rows("purge_key_after", (low, _STEP), table=self.table, pk="idaction")
            key = next(iter(rows[0].values()))
            if key is None:
                return
            end = min(int(key) + 1, high)
            yield self._rows("purge_actions_read", (low, end), log_action=self.table)
            low = end

    def _set_aside(self, low: int, high: int, used: Bitmap) -> int:
        begun = self.done.aside
        for rows in self._each(low, high):
            self.done.seen += len(rows)
            free = [row for row in rows if int(row["idaction"]) not in used]
            self._change("aside", [int(row["idaction"]) for row in free if row["open"]])
            self.done.aside += sum(1 for row in free if row["open"] or row["aside"])
            self.done.odd += sum(1 for row in free if not row["open"] and not row["aside"])
            # Set aside by a run that was killed, and referred to: found in its second scan.
            self._back([r for r in rows if r["aside"] and int(r["idaction"]) in used])
        found = self.done.aside - begun
        self.work.say(f"{found} actions of {self.done.seen} are set aside: nothing refers to them")
        return found

    def _settle(self, low: int, high: int, used: Bitmap) -> None:
        for rows in self._each(low, high):
            aside = [row for row in rows if row["aside"]]
            self._back([row for row in aside if int(row["idaction"]) in used])
            gone = [int(row["idaction"]) for row in aside if int(row["idaction"]) not in used]
            self.done.deleted += self._change("delete", gone)

    def _back(self, rows: list[dict[str, Any]]) -> None:
        self.done.back += self._change("back", [int(row["idaction"]) for row in rows])

    def _change(self, how: str, ids: list[int]) -> int:
        if not ids:
            return 0
        changed = [0]

        def change() -> None:  # autocommitted, and safe to run again
            session = self.work.link.session
            changed[0] = session.execute(f"purge_actions_{how}", (ids,), log_action=self.table)

        self.work.insist(change, lambda: False)
        return changed[0]

    # Waiting

    def _wait(self, whom: str) -> None:
        """Until every tracker's request that has begun by now has ended, and every transaction."""
        began = time.monotonic()
        self.work.say(f"waiting {show_duration(self.grace)} for a tracker's requests {whom}")
        while time.monotonic() - began < self.grace:
            self.work.between()
            self.work.wait(min(1.0, self.grace))
        patience = max(6 * self.grace, 60.0)
        while (older := self._older(time.monotonic() - began)) is not None:
            if time.monotonic() - began > self.grace + patience:
                raise MatopsError(
                    f"connection {older} has had a transaction open for longer than "
                    f"{show_duration(self.grace + patience)}, and may yet refer to an action",
                    state=stopped(self.done),
                    next="when that transaction has ended (db.locks shows it), run it again",
                )
            self.work.between()
            self.work.wait(0.5)

    def _older(self, seconds: float) -> Optional[int]:
        """A connection whose transaction is older than that; None = none, or not to be seen."""
        try:
            rows = self.work.link.session.rows("transactions")
        except DatabaseError as error:
            if error.number in (1227, 1142, 1044):
                return None
            raise
        me = self.work.link.session.connection_id
        for row in rows:
            if int(row["id"]) != me and float(row["trx_seconds"] or 0) > seconds:
                return int(row["id"])
        return None


def stopped(done: Done) -> str:
    """What a run that was told to stop leaves. Pure."""
    left = done.aside - done.deleted - done.back
    if not left:
        return f"{done.deleted} actions were deleted"
    return (
        f"{done.deleted} actions were deleted, {left} that nothing refers to are set aside (hidden "
        "from the tracker, which makes new ones; no report changes): the next run goes on with them"
    )
