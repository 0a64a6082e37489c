"""What every piece of a purge has around it: pauses for load, stops, retries, lost links."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Callable

from matops.errors import MatopsError
from matops.mysql import throttle
from matops.mysql.attempt import Stop
from matops.mysql.purge.link import RETRY, Link
from matops.mysql.purge.steer import Steer
from matops.mysql.purge.summary import Options, Summary
from matops.mysql.session import ConnectionCut, DatabaseError, NotReachable
from matops.units import show_duration

_BLOCKED = 600.0  # seconds that one chunk may be refused its locks
_OURS_EVERY = 10.0  # seconds between two looks whether the installation's lock is still ours


class Enough(Exception):
    """Told to stop, or the window is over: the chunk under work has ended."""


class Work:
    """``say`` gets lines, ``add`` the visits done, ``ours`` raises where the installation's lock
    was lost."""

    def __init__(
        self,
        link: Link,
        options: Options,
        stop: Stop,
        *,
        say: Callable[[str], object] = lambda line: None,
        add: Callable[[int], object] = lambda visits: None,
        ours: Callable[[], object] = lambda: None,
    ) -> None:
        self.link, self.options, self.stop = link, options, stop
        self.summary = Summary()
        self.steer = Steer()
        self.say, self.add, self._ours = say, add, ours
        self.halt = threading.Event()
        """Set where another connection of the same run has failed."""
        self._looked = self._asked = 0.0

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
                self.say(f"the link to the database was lost ({error.what}); looking again")
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
            self.say(f"somebody holds rows that are to go ({error.number}): trying smaller chunks")
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
            if self.stop.reason or self.halt.is_set():
                raise Enough
            time.sleep(min(0.1, max(until - time.monotonic(), 0)))

    def between(self) -> None:
        """Before each chunk: is this still wanted, still ours, and is there room for it?"""
        if self.stop.reason or self.halt.is_set():
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
                self.say(f"pausing: {why}")
                told = why
            if time.monotonic() - began > self.options.pause:
                raise MatopsError(
                    f"paused for too long: {why}", next="run the same again when that is over"
                )
            self.wait(1.0)
        if told:
            self.summary.paused += time.monotonic() - began
            self.say(f"going on after {show_duration(time.monotonic() - began)}")

    def _why_pause(self) -> str:
        load: list[throttle.Load] = []

        def look() -> None:
            load.append(throttle.look(self.link.session, self.options.replicas))

        self.insist(look, lambda: False)
        return throttle.why_pause(load[-1], self.options.limits)
