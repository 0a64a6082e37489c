"""The purge itself: site by site, chunk by chunk, pausing for load, ending cleanly when told to.

There is no checkpoint to lose: what was deleted is gone, and a run that follows finds the first
visit that is left by one dive into the index. Within a run the place in the index is kept, so that
entries deleted a moment ago, which are in the index until purge has removed them, are not walked
over again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Callable, Optional

from matops.errors import MatopsError
from matops.mysql import throttle
from matops.mysql.attempt import Stop
from matops.mysql.purge import chunk as piece
from matops.mysql.purge import count
from matops.mysql.purge.chunk import Chunk, Place
from matops.mysql.purge.link import RETRY, Link
from matops.mysql.purge.steer import Steer
from matops.mysql.purge.summary import Options, Summary
from matops.mysql.purge.tables import Table, Tables
from matops.mysql.session import ConnectionCut, DatabaseError, NotReachable
from matops.units import show_duration

BEGIN = "1000-01-01 00:00:00"
ROUNDS = 3  # visits may be tracked late, with a time that lies in the range
_BLOCKED = 600.0  # seconds that one chunk may be refused its locks
_OURS_EVERY = 10.0  # seconds between two looks whether the installation's lock is still ours


class Enough(Exception):
    """Told to stop, or the window is over: the chunk under work has ended."""


class Purge:
    """Runs once. ``say`` gets lines, ``add`` the visits done, ``ours`` raises where the
    installation's lock was lost."""

    def __init__(
        self,
        link: Link,
        tables: Tables,
        options: Options,
        stop: Stop,
        *,
        say: Callable[[str], object] = lambda line: None,
        add: Callable[[int], object] = lambda visits: None,
        ours: Callable[[], object] = lambda: None,
    ) -> None:
        self.link, self.tables, self.options, self.stop = link, tables, options, stop
        self.summary = Summary()
        self.steer = Steer()
        self._say, self._add, self._ours = say, add, ours
        self._looked = self._asked = 0.0

    def run(self, sites: Sequence[int]) -> Summary:
        """Deletes what ``options`` says of ``sites`` (those that have visits there).

        Raises MatopsError with how far it came; a stop and a closed window are no errors here.
        """
        began = time.monotonic()
        try:
            with contextlib.suppress(Enough):
                self._all(sites)
            self._count_left()
        except MatopsError as error:
            raise self._told(error) from None
        finally:
            self.summary.seconds = time.monotonic() - began
        return self.summary

    def _all(self, sites: Sequence[int]) -> None:
        for table in self.tables.slow:
            self._slow(table, sites)
        for _ in range(ROUNDS):
            for site in sites:
                self._site(site)
            self._count_left()
            sites = list(self.summary.left)
            if not sites:
                return

    def _site(self, site: int) -> None:
        place: Place = (BEGIN, 0)
        more = True
        while more:
            self.between()
            chunk = self._chunk(site, place)
            place, more = chunk.place, chunk.more
            if chunk.ids:
                self.summary.add(chunk, self.tables.visit)
                self.steer.after(chunk.seconds, chunk.total, len(chunk.ids))
                self._add(len(chunk.ids))

    def _chunk(self, site: int, place: Place) -> Chunk:
        start, end, last = self.options.start, self.options.end, Chunk(place)

        def attempt() -> None:
            nonlocal last
            last = Chunk(place)
            piece.run(self.link.session, self.tables, site, end, start, last, self.steer)

        def happened() -> bool:
            return bool(self.link.settle(self.tables.visit, last.ids))

        self.insist(attempt, happened)
        return last

    def _slow(self, table: Table, sites: Sequence[int]) -> None:
        """Goes through a table without an index once: chunks of its own key, before the visits."""
        self._say(f"{table.name}: {table.how}")
        size, low = 2000, 0
        bounds = self.link.session.rows("key_range", key=table.pk, table=table.name)[0]
        if bounds["low"] is None or not sites:
            return
        low, last = int(bounds["low"]), int(bounds["high"])
        while low <= last:
            self.between()
            began, high = time.monotonic(), self._key_after(table, low, size)
            deleted = self._slow_part(table, low, high, sites)
            self.summary.rows[table.name] += deleted
            seconds = time.monotonic() - began
            self.summary.longest = max(self.summary.longest, seconds)
            size = int(
                min(max(size * min(max(self.steer.target / seconds, 0.4), 1.5), 100), 200_000)
            )
            low = high

    def _key_after(self, table: Table, low: int, size: int) -> int:
        found: list[Optional[int]] = []

        def read() -> None:
            names = {"pk": table.pk, "table": table.name}
            found.append(self.link.session.value("purge_key_after", (low, size), **names))

        self.insist(read, lambda: False)
        return int(found[-1]) + 1 if found[-1] is not None else low + size

    def _slow_part(self, table: Table, low: int, high: int, sites: Sequence[int]) -> int:
        name, names = count.slow_names("purge_rows_slow", self.tables, table)
        args = (low, high, list(sites), self.options.start, self.options.end)
        done = 0

        def delete() -> None:  # autocommitted, and safe to run again
            nonlocal done
            done = self.link.session.execute(name, args, **names)

        self.insist(delete, lambda: False)
        return done

    # What every piece of work has around it

    def insist(self, attempt: Callable[[], None], happened: Callable[[], bool]) -> None:
        """Runs a piece until it came about: smaller after a deadlock or a lock wait time-out; after
        a lost link it looks first (``happened``). Raises what does not pass by itself.
        """
        began, tries = time.monotonic(), 0
        while True:
            try:
                attempt()
                return
            except (ConnectionCut, NotReachable) as error:
                self._say(f"the link to the database was lost ({error.what}); looking again")
                self.link.renew(lambda: bool(self.stop.reason))
                if happened():
                    return
            except DatabaseError as error:
                self._rollback()
                if error.number not in RETRY:
                    raise
                tries += 1
                self._held_up(error, tries, time.monotonic() - began)

    def _rollback(self) -> None:
        with contextlib.suppress(DatabaseError):
            self.link.session.execute("purge_rollback")

    def _held_up(self, error: DatabaseError, tries: int, seconds: float) -> None:
        self.summary.retries += 1
        self.steer.smaller()
        if tries in (3, 30, 300):
            self._say(f"somebody holds rows that are to go ({error.number}): trying smaller chunks")
        if seconds > _BLOCKED:
            raise MatopsError(
                f"somebody has held rows that are to go for {show_duration(seconds)} "
                f"({error.number})",
                next="db.locks shows who; then run the same again",
            )
        self.wait(min(0.1 * 2**tries, 5.0))

    def wait(self, seconds: float) -> None:
        """Sleeps, unless told to stop: Enough."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.stop.reason:
                raise Enough
            time.sleep(min(0.1, max(until - time.monotonic(), 0)))

    def between(self) -> None:
        """Before each chunk: is this still wanted, still ours, and is there room for it?"""
        if self.stop.reason:
            raise Enough
        left = self.options.window.left
        if left is not None and left <= 0:
            self.summary.late = f"the time is over ({self.options.window.shown})"
            raise Enough
        now = time.monotonic()
        if now - self._asked > _OURS_EVERY:
            self._asked = now
            self._ours()
        if now - self._looked > 1.0:
            self._breathe()
            self._looked = time.monotonic()

    def _breathe(self) -> None:
        began, told = time.monotonic(), ""
        while True:
            why = self._why_pause()
            if not why:
                break
            if why.split(" ")[0] != told.split(" ")[0]:
                self._say(f"pausing: {why}")
                told = why
            if time.monotonic() - began > self.options.pause:
                raise MatopsError(
                    f"paused for too long: {why}", next="run the same again when that is over"
                )
            self.wait(1.0)
        if told:
            self.summary.paused += time.monotonic() - began
            self._say(f"going on after {show_duration(time.monotonic() - began)}")

    def _why_pause(self) -> str:
        load: list[throttle.Load] = []

        def look() -> None:
            load.append(throttle.look(self.link.session, self.options.replicas))

        self.insist(look, lambda: False)
        return throttle.why_pause(load[-1], self.options.limits)

    def _count_left(self) -> None:
        def look() -> None:
            self.summary.left = count.left(
                self.link.session, self.tables, self.options.sites,
                self.options.start, self.options.end,
            )  # fmt: skip

        self.insist(look, lambda: False)

    def _told(self, error: MatopsError) -> MatopsError:
        done = f"{self.summary.visits} visits with all that belongs to them are gone"
        error.state = f"{done}; the chunk under work was undone" if not error.state else error.state
        error.state = error.state if done in error.state else f"{error.state}; {done}"
        error.next = error.next or "run the same again: it goes on with what is left"
        return error
