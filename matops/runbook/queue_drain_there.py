"""Emptying the tracking queue, on the host: workers beside each other until nothing is left.

``console queuedtracking:process`` is one pass: it takes whole batches only, ends after 500 of
them, and ends with 0 whatever it did. So: pass after pass, each list by a worker of its own,
smaller batches for what is left over, and the depth looked at, not the exit code. The plugin's
own locks keep a list to one worker, ours or another: running this twice is safe.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import time
from collections.abc import Callable
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.host.shell import Result
from matops.matomo import console, queue, queue_space
from matops.matomo.console_session import MARK, WITHOUT_SNAPSHOT_ISOLATION
from matops.matomo.site import Site
from matops.runbook.queue_drain_words import Progress, complaint, met_another, no_headway
from matops.runbook.step import Say
from matops.units import show_duration

FRESH = 5.0
"""Seconds: while hits go on being queued, what came in so lately is not old work."""
PASS = 4 * 3600.0  # seconds that one pass may take: 500 batches
LATE = 60.0
"""The same, once it has not got shorter for so long: hits come as fast as they are recorded, and
clocks of servers differ."""
AWAY = 180.0
"""Seconds that a backend may not answer in mid-drain: Redis is restarted, and loads its file."""
_LOOK, _TELL_SOON, _TELL = 1.0, 5.0, 30.0
_TRIES = 3  # passes that leave the oldest set of a list where it was
_CANNOT = ("MatopsSession", "EnvironmentManipulator", "innodb_snapshot_isolation")
"""What PHP or the server names where ``console_session`` does not work there."""
_NO_HEADWAY = 900.0  # seconds without less waiting


class Drain:
    """One run. ``below``: stop when no more sets than that wait (0 = none at all).

    ``parallel``: workers at once; 0 = one for each list, at most one for each processor. On a
    server that aborts transactions which meet (``queue.aborts``) our workers run in sessions that
    do not (``console_session``); where that cannot be had, just one runs.
    """

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        below: int = 0,
        parallel: int = 0,
        still_ours: Callable[[], object] = lambda: None,
    ) -> None:
        self._site, self._say, self._below, self._parallel = site, say, below, parallel
        self._still_ours = still_ours
        self.progress = Progress()
        self._running: dict[int, concurrent.futures.Future[tuple[int, str]]] = {}
        self._tries: dict[int, tuple[str, int]] = {}
        self._why: dict[int, str] = {}
        self._stuck: dict[int, str] = {}
        """Lists that do not move, and what stands in the way: the others go on."""
        self._zero = 0
        self._best = (0, time.monotonic())
        self._aborts = False
        self._eased = False
        """Our workers' sessions do not abort: seen in the first pass."""
        self._code = ""

    def run(self) -> str:
        """Until it is done; what was reached, in words. Refused (tracking is off), MatopsError:
        a list that does not move, a backend that is not reached."""
        self._aborts = here(self._site, "aborts")
        self._code = WITHOUT_SNAPSHOT_ISOLATION if self._aborts else ""
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            try:
                while True:
                    found = self.look()
                    done = self._done(found)
                    if done and not self._running:
                        return done
                    if not done:
                        self._tell(found)
                        self._headway(found)
                        self._start(pool, found)
                        self._end_if_stuck(found)
                    self._wait()
            except KeyboardInterrupt:
                if self._running:
                    self._say(f"  stopping: {len(self._running)} workers end their pass first")
                raise

    def look(self) -> dict[str, Any]:
        """The depth now. Refused where nothing would be processed."""
        found = self._patiently()
        refuse_unless_recording(found, self._site.host.name)
        self.progress.add(found["sets"])
        return found

    def _patiently(self) -> dict[str, Any]:
        """The depth; a backend that goes away once we have begun is waited for, which is said."""
        until = time.monotonic() + (AWAY if self.progress.seen else 0.0)
        told = False
        while True:
            try:
                return depth(self._site)
            except MatopsError as error:
                if time.monotonic() >= until:
                    raise
                if not told:
                    self._say(f"  waiting for the queue, up to {show_duration(AWAY)}: {error.what}")
                told = True
            time.sleep(_LOOK)

    def _done(self, found: dict[str, Any]) -> str:
        left = sum(n for number, n in found["lists"].items() if int(number) < found["workers"])
        self._zero = self._zero + 1 if left == 0 else 0
        if self._below and left <= self._below:
            return f"{left} request sets wait, {self._below} were asked for"
        if self._zero and (found["enabled"] or self._zero > 1):
            # Off, a request in flight may still bring one: so it is looked at twice.
            return "the queue is empty"
        still = time.monotonic() - self._best[1] > LATE
        fresh = LATE if still else FRESH
        if found["enabled"] and left and not self._below and found["oldest"] < fresh:
            return f"nothing older than {fresh:.0f} s waits; {left} request sets came in since"
        return ""

    def _tell(self, found: dict[str, Any]) -> None:
        now = time.monotonic()
        pause = _TELL_SOON if now - self.progress.began < 60 else _TELL
        if now - self.progress.told >= pause:
            self.progress.told = now
            self._say(f"  {self.progress.line(found, self._below)}")
            self._still_ours()

    def _headway(self, found: dict[str, Any]) -> None:
        best, since = self._best
        now = time.monotonic()
        if found["sets"] < best or not best:
            self._best = (found["sets"], now)
        elif now - since > _NO_HEADWAY:
            why, cure = no_headway(found, bool(self._running))
            raise MatopsError(
                f"the queue gets no shorter ({found['sets']} request sets, not fewer for "
                f"{show_duration(now - since)}): {why}",
                host=self._site.host.name,
                state="What was processed stays recorded; the rest waits",
                next=cure,
            )

    def _start(self, pool: concurrent.futures.Executor, found: dict[str, Any]) -> None:
        most = self._parallel or max(min(found["workers"], os.cpu_count() or 1), 1)
        if self._aborts and not self._eased and not self._parallel:
            most = 1
        waiting = sorted(found["lists"].items(), key=lambda item: -item[1])
        for name, length in waiting:
            number = int(name)
            if not length or number >= found["workers"] or number in {*self._running, *self._stuck}:
                continue
            if len(self._running) >= most or name in found["locks"]:
                continue  # another worker is at it, or one that was killed: its lock runs out
            words = self._words(found, number, length)
            if words:
                self._running[number] = pool.submit(self._pass, words)

    def _words(self, found: dict[str, Any], number: int, length: int) -> list[str]:
        head = found["heads"].get(str(number), "")
        before, tries = self._tries.get(number, ("", 0))
        tries = tries + 1 if head == before and not met_another(self._why.get(number, "")) else 0
        if tries >= _TRIES:
            self._stuck[number] = self._why.get(number) or "a worker ends without saying why"
            self._say(f"  list {number} does not move: {self._stuck[number]}")
            return []
        self._tries[number] = (head, tries)
        words = ["queuedtracking:process"]
        if found["workers"] > 1:
            words.append(f"--queue-id={number}")
        size = 1 if tries or self._careful(found) else min(length, found["batch"])
        if size < found["batch"]:
            words.append(f"--force-num-requests-process-at-once={size}")
        return words

    def _careful(self, found: dict[str, Any]) -> bool:
        """One set to a transaction where another one may meet it, and the server aborts either:
        a set begins anew whole, a batch does not; and a direct hit that waits for a batch's row
        is aborted when that commits."""
        others = found["in_request"] and found["workers"] > 1
        beside = self._parallel > 1 and not self._eased
        return self._aborts and (beside or not found["enabled"] or others)

    def _pass(self, words: list[str]) -> tuple[int, str]:
        """One pass of one worker: requests that it says it processed, what it complained of."""
        try:
            result, verdict = self._worker(words)
        except MatopsError as error:
            return 0, error.line()
        found = re.search(r"\((\d+) requests? in", result.text)
        number = int(found[1]) if found else 0
        if verdict.status == console.OK:
            return number, ""
        output = result.text + result.err.decode(errors="replace")
        return number, complaint(output) or verdict.why

    def _worker(self, words: list[str]) -> tuple[Result, console.Verdict]:
        code = self._code
        result, verdict = console.run(self._site, words, timeout=PASS, code=code)
        if not code or MARK.encode() in result.err:
            self._eased = self._eased or bool(code)
            return result, verdict
        said = result.text + result.err.decode(errors="replace")
        if result.code and not any(word in said for word in _CANNOT):
            return result, verdict  # it failed before, as with the database away: once more so
        if self._code:
            self._code, self._eased = "", False
            self._say("  the server has innodb_snapshot_isolation, and this Matomo does not let a "
                      "worker go without it: one at a time, and hits that meet may be lost; "
                      "SET GLOBAL innodb_snapshot_isolation = OFF spares that")  # fmt: skip
        return console.run(self._site, words, timeout=PASS) if result.code else (result, verdict)

    def _wait(self) -> None:
        concurrent.futures.wait(
            self._running.values(), timeout=_LOOK, return_when=concurrent.futures.FIRST_COMPLETED
        )
        if not self._running:
            time.sleep(_LOOK)
        for number, future in list(self._running.items()):
            if future.done():
                requests, self._why[number] = future.result()
                self.progress.requests += requests
                del self._running[number]

    def _end_if_stuck(self, found: dict[str, Any]) -> None:
        """Raises once nothing else is left to be done."""
        lists = {int(n): length for n, length in found["lists"].items()}
        others = [n for n in lists if lists[n] and n < found["workers"] and n not in self._stuck]
        if not self._stuck or self._running or others:
            return
        wrong = here(self._site, "look")["errors"]
        if wrong:
            raise MatopsError(
                f"nothing is processed: {wrong[0]}", host=self._site.host.name,
                state=f"{found['sets']} request sets wait", next=queue_space.cure_of(wrong[0]),
            )  # fmt: skip
        number, why = next(iter(self._stuck.items()))
        first = queue.first_of(self._site.docroot, number)
        only = f" --queue-id={number}" if found["workers"] > 1 else ""
        more = f" (as do lists {', '.join(map(str, list(self._stuck)[1:]))})" * (
            len(self._stuck) > 1
        )
        raise MatopsError(
            f"list {number} does not move{more}: its oldest request set ({first}) stays where it "
            f"is ({why})",
            host=self._site.host.name,
            state=f"Nothing is lost: {found['sets']} request sets wait",
            next=f'console "queuedtracking:process{only} -vvv '
            f'--force-num-requests-process-at-once=1" shows why; queue.set-aside --list {number} '
            "moves that one set into a file",
        )


def here(site: Site, function: str) -> Any:
    """``matomo.queue.<function>``: in this very process where we may read what the web user may."""
    if site.host.is_local and os.geteuid() == 0:
        return getattr(queue, function)(site.docroot)
    return site.ask(f"matomo.queue:{function}")


def depth(site: Site) -> dict[str, Any]:
    """``matomo.queue.depth``."""
    found: dict[str, Any] = here(site, "depth")
    return found


def refuse_unless_recording(found: dict[str, Any], host: str) -> Optional[str]:
    """Refused with record_statistics = 0: the plugin would process nothing, with exit code 0."""
    if found["recording"]:
        return None
    raise Refused(
        "tracking is off ([Tracker] record_statistics = 0): the plugin would process nothing, and "
        "say that it had",
        host=host,
        state=f"{found['sets']} request sets wait" if "sets" in found else "Nothing was changed",
        next="tracking.on, then this again",
    )
