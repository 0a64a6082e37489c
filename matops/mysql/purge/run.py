"""The purge itself: site by site, chunk by chunk, pausing for load, ending cleanly when told to.

There is no checkpoint to lose: what was deleted is gone, and a run that follows finds the first
visit that is left by one dive into the index. Within a run the place in the index is kept, so that
entries deleted a moment ago, which are in the index until purge has removed them, are not walked
over again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Callable, Optional

from matops.errors import MatopsError
from matops.mysql.purge import chunk as piece
from matops.mysql.purge import count
from matops.mysql.purge.chunk import Chunk, Place
from matops.mysql.purge.summary import Summary
from matops.mysql.purge.tables import Table, Tables
from matops.mysql.purge.work import Enough, Work

BEGIN = "1000-01-01 00:00:00"
Part = tuple[int, str, str, int]
"""A site, [from, to) and how many visits that are."""
ROUNDS = 3  # visits may be tracked late, with a time that lies in the range


class Purge:
    """Runs once, with what ``work`` has around each piece; ``helpers`` are others at work beside
    it, each with a connection of its own."""

    def __init__(self, work: Work, tables: Tables, helpers: Sequence[Work] = ()) -> None:
        self.work, self.tables = work, tables
        self.link, self.options, self.summary = work.link, work.options, work.summary
        self._helpers = [Purge(helper, tables) for helper in helpers]
        self._parts: deque[Part] = deque()
        self._errors: list[MatopsError] = []

    def run(self) -> Summary:
        """Deletes what ``options`` says.

        Raises MatopsError with how far it came; a stop and a closed window are no errors here.
        """
        began = time.monotonic()
        try:
            self._all()
        except Enough:
            self._count_left()
        except MatopsError as error:
            raise self._told(error) from None
        finally:
            self.summary.seconds = time.monotonic() - began
        return self.summary

    def _all(self) -> None:
        self._count_left()
        for table in self.tables.slow:
            self._slow(table, list(self.summary.left))
        for _ in range(ROUNDS):
            if not self._parts:
                return
            self._together()
            self._count_left()

    def _together(self) -> None:
        """All parts: from the first by us, from the last by the helpers, who end with us."""
        halt = self.work.halt = threading.Event()
        threads = []
        for helper in self._helpers:
            helper.work.halt = halt
            work = threading.Thread(target=self._help, args=(helper, halt), daemon=True)
            threads.append(work)
            work.start()
        try:
            self._until_done(self, self._parts.popleft)
        except Enough:
            halt.set()
        except BaseException:
            halt.set()
            raise
        finally:
            for thread in threads:
                thread.join()
            for helper in self._helpers:
                self.summary.merge(helper.summary)
                self.summary.late = self.summary.late or helper.summary.late
        if self._errors:
            raise self._errors[0]
        if self.work.stop.reason or self.summary.late:
            raise Enough

    def _help(self, helper: Purge, halt: threading.Event) -> None:
        try:
            self._until_done(helper, self._parts.pop)
        except Enough:
            pass
        except MatopsError as error:
            self._errors.append(error)
            halt.set()

    @staticmethod
    def _until_done(who: Purge, take: Callable[[], Part]) -> None:
        while True:
            try:
                part = take()
            except IndexError:
                return
            who.do(part)

    def do(self, part: Part) -> None:
        """Deletes one part: some days of one site."""
        place: Place = (BEGIN, 0)
        more = True
        while more:
            self.work.between()
            chunk = self._chunk(part, place)
            place, more = chunk.place, chunk.more
            if chunk.ids:
                self.summary.add(chunk, self.tables.visit)
                self.work.steer.after(chunk.seconds, chunk.total, len(chunk.ids))
                self.work.add(len(chunk.ids))

    def _chunk(self, part: Part, place: Place) -> Chunk:
        site, start, end, _ = part
        last = Chunk(place)

        def attempt() -> None:
            nonlocal last
            last = Chunk(place)
            piece.run(self.link.session, self.tables, site, end, start, last, self.work.steer)

        def happened() -> bool:
            return bool(self.link.settle(self.tables.visit, last.ids))

        self.work.insist(attempt, happened)
        return last

    def _slow(self, table: Table, sites: Sequence[int]) -> None:
        """Goes through a table without an index once: chunks of its own key, before the visits."""
        self.work.say(f"{table.name}: {table.how}")
        size, low = 2000, 0
        bounds = self.link.session.rows("key_range", key=table.pk, table=table.name)[0]
        if bounds["low"] is None or not sites:
            return
        low, last = int(bounds["low"]), int(bounds["high"])
        while low <= last:
            self.work.between()
            began, high = time.monotonic(), self._key_after(table, low, size)
            deleted = self._slow_part(table, low, high, sites)
            self.summary.rows[table.name] += deleted
            seconds = time.monotonic() - began
            self.summary.longest = max(self.summary.longest, seconds)
            size = int(
                min(max(size * min(max(self.work.steer.target / seconds, 0.4), 1.5), 100), 200_000)
            )
            low = high

    def _key_after(self, table: Table, low: int, size: int) -> int:
        found: list[Optional[int]] = []

        def read() -> None:
            names = {"pk": table.pk, "table": table.name}
            found.append(self.link.session.value("purge_key_after", (low, size), **names))

        self.work.insist(read, lambda: False)
        return int(found[-1]) + 1 if found[-1] is not None else low + size

    def _slow_part(self, table: Table, low: int, high: int, sites: Sequence[int]) -> int:
        name, names = count.slow_names("purge_rows_slow", self.tables, table)
        args = (low, high, list(sites), self.options.start, self.options.end)
        done = 0

        def delete() -> None:  # autocommitted, and safe to run again
            nonlocal done
            done = self.link.session.execute(name, args, **names)

        self.work.insist(delete, lambda: False)
        return done

    def _count_left(self) -> None:
        """What is left, and the parts to do it by."""

        def look() -> None:
            counted = count.visits(
                self.link.session, self.tables, self.options.sites,
                self.options.start, self.options.end, spans=True,
            )  # fmt: skip
            self.summary.left, self._parts = counted.sites, deque(counted.spans)

        self.work.insist(look, lambda: False)

    def _told(self, error: MatopsError) -> MatopsError:
        done = f"{self.summary.visits} visits with all that belongs to them are gone"
        error.state = f"{done}; the chunk under work was undone" if not error.state else error.state
        error.state = error.state if done in error.state else f"{error.state}; {done}"
        error.next = error.next or "run the same again: it goes on with what is left"
        return error
