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
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.matomo import console, queue
from matops.matomo.site import Site
from matops.runbook.step import Say
from matops.units import show_duration

FRESH = 5.0
"""Seconds: while hits go on being queued, what came in so lately is not old work."""
PASS = 4 * 3600.0  # seconds that one pass may take: 500 batches
_LOOK, _TELL_SOON, _TELL = 1.0, 5.0, 30.0
_TRIES = 3  # passes that leave the oldest set of a list where it was
_NO_HEADWAY = 900.0  # seconds without less waiting


@dataclass
class Progress:
    """How it goes: recorded hits, and depths with their times for the rate."""

    requests: int = 0
    began: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, int]] = field(default_factory=list)
    told: float = 0.0

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def add(self, sets: int) -> None:
        """A look at the depth."""
        now = time.monotonic()
        self.seen.append((now, sets))
        while len(self.seen) > 2 and now - self.seen[0][0] > 60:
            self.seen.pop(0)

    @property
    def rate(self) -> float:
        """Sets a second by which the queue gets shorter; what comes in meanwhile is in it."""
        (then, before), (now, after) = self.seen[0], self.seen[-1]
        return (before - after) / (now - then) if now > then else 0.0

    def line(self, found: dict[str, Any], below: int) -> str:
        """``12345 request sets wait in 4 lists, 3 workers, 210/s, about 58 s left``."""
        lists = sum(1 for length in found["lists"].values() if length)
        locked = len(found["locks"])
        text = f"{found['sets']} request sets wait in {lists} lists, {locked} workers at work"
        if self.rate > 0:
            left = show_duration((found["sets"] - below) / self.rate)
            text += f", {self.rate:.0f} sets/s less, about {left} left"
        return text


class Drain:
    """One run. ``below``: stop when no more sets than that wait (0 = none at all).

    ``parallel``: workers at once; 0 = one for each list, at most one for each processor; just
    one on a server that aborts transactions which meet (``queue.aborts``).
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
        self._running: dict[int, concurrent.futures.Future[str]] = {}
        self._tries: dict[int, tuple[str, int]] = {}
        self._why: dict[int, str] = {}
        self._zero = 0
        self._best = (0, time.monotonic())
        self._aborts = False

    def run(self) -> str:
        """Until it is done; what was reached, in words. Refused (tracking is off), MatopsError:
        a list that does not move, a backend that is not reached."""
        self._aborts = here(self._site, "aborts")
        if self._aborts and self._parallel != 1:
            how = "single request sets" if self._parallel else "one worker at a time"
            self._say(f"  the server has innodb_snapshot_isolation: {how}, lest workers that meet "
                      "record hits twice")  # fmt: skip
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
                    self._wait()
            finally:
                for future in self._running.values():
                    future.cancel()

    def look(self) -> dict[str, Any]:
        """The depth now. Refused where nothing would be processed."""
        found = depth(self._site)
        refuse_unless_recording(found, self._site.host.name)
        self.progress.add(found["sets"])
        return found

    def _done(self, found: dict[str, Any]) -> str:
        left = sum(n for number, n in found["lists"].items() if int(number) < found["workers"])
        self._zero = self._zero + 1 if left == 0 else 0
        if self._below and left <= self._below:
            return f"{left} request sets wait, {self._below} were asked for"
        if self._zero and (found["enabled"] or self._zero > 1):
            # Off, a request in flight may still bring one: so it is looked at twice.
            return "the queue is empty"
        if found["enabled"] and left and not self._below and found["oldest"] < FRESH:
            return f"nothing older than {FRESH:.0f} s waits; {left} request sets came in since"
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
            raise MatopsError(
                f"the queue gets no shorter ({found['sets']} request sets for "
                f"{show_duration(now - since)}): hits come in faster than they are recorded",
                host=self._site.host.name,
                state="What was processed stays recorded; the rest waits",
                next="more workers (--workers, numQueueWorkers), or look at the database's load",
            )

    def _start(self, pool: concurrent.futures.Executor, found: dict[str, Any]) -> None:
        most = self._parallel or max(min(found["workers"], os.cpu_count() or 1), 1)
        if self._aborts and not self._parallel:
            most = 1
        waiting = sorted(found["lists"].items(), key=lambda item: -item[1])
        for name, length in waiting:
            number = int(name)
            if not length or number in self._running or number >= found["workers"]:
                continue
            if len(self._running) >= most or name in found["locks"]:
                continue  # another worker is at it, or one that was killed: its lock runs out
            words = self._words(found, number, length)
            self._running[number] = pool.submit(self._pass, words)

    def _words(self, found: dict[str, Any], number: int, length: int) -> list[str]:
        head = found["heads"].get(str(number), "")
        before, tries = self._tries.get(number, ("", 0))
        tries = tries + 1 if head == before and not _met(self._why.get(number, "")) else 0
        if tries >= _TRIES:
            self._stuck(number)
        self._tries[number] = (head, tries)
        words = ["queuedtracking:process"]
        if found["workers"] > 1:
            words.append(f"--queue-id={number}")
        size = 1 if tries or self._careful(found) else min(length, found["batch"])
        if size < found["batch"]:
            words.append(f"--force-num-requests-process-at-once={size}")
        return words

    def _careful(self, found: dict[str, Any]) -> bool:
        """One set to a transaction where another one may meet it, and the server aborts it then:
        a set begins anew whole, a batch does not."""
        others = found["in_request"] and found["workers"] > 1
        return self._aborts and (self._parallel > 1 or not found["enabled"] or others)

    def _pass(self, words: list[str]) -> str:
        """One pass of one worker; '' or what it complained of."""
        try:
            result, verdict = console.run(self._site, words, timeout=PASS)
        except MatopsError as error:
            return error.line()
        found = re.search(r"\((\d+) requests? in", result.text)
        self.progress.requests += int(found[1]) if found else 0
        if verdict.status == console.OK:
            return ""
        return complaint(result.text + result.err.decode(errors="replace")) or verdict.why

    def _wait(self) -> None:
        concurrent.futures.wait(
            self._running.values(), timeout=_LOOK, return_when=concurrent.futures.FIRST_COMPLETED
        )
        if not self._running:
            time.sleep(_LOOK)
        for number, future in list(self._running.items()):
            if future.done():
                self._why[number] = future.result()
                del self._running[number]

    def _stuck(self, number: int) -> None:
        first = queue.first_of(self._site.docroot, number)
        why = self._why.get(number) or "a worker ends without saying why"
        only = f" --queue-id={number}" if number else ""
        raise MatopsError(
            f"list {number} does not move: its oldest request set ({first}) stays where it is "
            f"({why})",
            host=self._site.host.name,
            state="Nothing is lost: it and all behind it wait",
            next=f"console \"queuedtracking:process{only} -vvv "
            "--force-num-requests-process-at-once=1\" shows why; queue.set-aside moves that one "
            "set into a file",
        )  # fmt: skip


def here(site: Site, function: str) -> Any:
    """``matomo.queue.<function>``: in this very process where we may read what the web user may."""
    if site.host.is_local and os.geteuid() == 0:
        return getattr(queue, function)(site.docroot)
    return site.ask(f"matomo.queue:{function}")


def depth(site: Site) -> dict[str, Any]:
    """``matomo.queue.depth``."""
    found: dict[str, Any] = here(site, "depth")
    return found


def complaint(output: str) -> str:
    """What Symfony says of an exception, without its frame and the command's usage. Pure."""
    found = re.search(r"(?m)^In (\S+) line (\d+):\s*$", output)
    if not found:
        return ""
    lines: list[str] = []
    for line in output[found.end() :].splitlines():
        if lines and not line.strip():
            break
        lines += [line.strip()] if line.strip() else []
    return f"{' '.join(lines)[:300]} ({found[1]} line {found[2]})"


def _met(why: str) -> bool:
    """It met another transaction, and begins anew: that is no standing still. Pure."""
    return bool(re.search(r"no active transaction|\b(?:1020|1205|1213)\b", why))


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
