"""A client that sends hits of every kind, a given number a second, and writes down each answer.

    with Traffic("10.77.1.2", host="stats.example.org", log=path, rate=20) as traffic:
        …the outage…
    book = traffic_account.account(sandbox.sql, traffic.run, read(path))

or as a process: ``python -m tests.e2e.traffic --address A --host NAME --log FILE --rate 20
--seconds 60`` (TERM ends it). Each request has a connection of its own, as different visitors
have. It goes by the clock: when the server is slow, up to ``workers`` requests wait at a time, and
then the next ones come late; ``Answer.sent`` is when a request really went out.

Hits of one visitor may overtake each other by some milliseconds (several workers).
``send(count)`` sends that many hits, as fast as they are answered, and comes back.

The log: JSON lines, one a request: ``Answer``. Written as answers come; a killed process leaves
those lines whole.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import itertools
import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Optional

from tests.e2e import traffic_hits as hits
from tests.e2e.traffic_hits import API, BULK, PER_BULK, TRACKING, UI, Request

PATIENCE = 60.0  # seconds until a request counts as not answered


@dataclass(frozen=True)
class Answer:
    """One request and its answer. ``sent``: seconds since 1970; ``status`` 0: no answer came,
    ``error`` says why; ``body``: its class (gif, empty, maintenance, html, json …)."""

    kind: str
    numbers: tuple[int, ...]
    site: int
    cid: str
    sent: float
    seconds: float
    status: int
    body: str
    error: str = ""

    @property
    def ok(self) -> bool:
        """Answered as a tracker should: 2xx."""
        return 200 <= self.status < 300


class _Pace:
    """Requests at their times, for several workers."""

    def __init__(self, rate: float, make: Callable[[], Request], stop: threading.Event) -> None:
        self._rate, self._make, self._stop = rate, make, stop
        self._lock, self._count, self._began = threading.Lock(), itertools.count(), time.monotonic()

    def next(self) -> Optional[Request]:
        """The next one, when its time has come; None when stopped."""
        with self._lock:
            due = self._began + next(self._count) / self._rate
            if self._stop.wait(max(due - time.monotonic(), 0)):
                return None
            return self._make()


class Traffic:
    """Sends until ``stop``. Use as a context manager, or start/stop, or only ``send``."""

    def __init__(
        self,
        address: str,
        *,
        host: str,
        log: Path,
        rate: float = 20.0,
        ui_rate: float = 1.0,
        kinds: Sequence[str] = TRACKING,
        sites: tuple[int, ...] = (1, 2),
        token: str = "",
        workers: int = 16,
        run: str = "",
        first: int = 1,
    ) -> None:
        """``rate``: tracking requests a second; ``ui_rate``: requests to the UI a second, above
        them. ``run``: names this client's hits; ``first``: their first number."""
        self.address, self.host, self.log = address, host, log
        self.run = run or secrets.token_hex(3)
        self._token, self._sites = token, sites
        self._rate, self._ui_rate, self._workers = rate, ui_rate, workers
        self._numbers = itertools.count(first)
        self._kind, self._ui = itertools.cycle(kinds), itertools.cycle((UI, API))
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> Traffic:
        """Begins to send."""
        self._stop.clear()
        paces = [(_Pace(self._rate, self._tracking, self._stop), self._workers)]
        if self._ui_rate:
            paces.append((_Pace(self._ui_rate, self._interface, self._stop), 4))
        self._threads = [
            threading.Thread(target=self._work, args=(pace,), daemon=True)
            for pace, count in paces
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> list[Answer]:
        """Ends, waits for the answers still out; all answers so far."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE + 5)
        self._threads = []
        return self.answers()

    def send(self, count: int) -> list[Answer]:
        """Sends so many tracking requests, one behind the other; their answers."""
        return [self._ask(self._tracking()) for _ in range(count)]

    def answers(self) -> list[Answer]:
        """What the log holds."""
        return read(self.log)

    def __enter__(self) -> Traffic:
        return self.start()

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    def _work(self, pace: _Pace) -> None:
        while request := pace.next():
            self._ask(request)

    def _tracking(self) -> Request:
        kind = next(self._kind)
        count = PER_BULK if kind == BULK else 1
        numbers = tuple(next(self._numbers) for _ in range(count))
        return hits.tracking(kind, self.run, numbers, self._sites, self._token, time.time())

    def _interface(self) -> Request:
        return hits.interface(next(self._ui) if self._token else UI, self._token)

    def _ask(self, request: Request) -> Answer:
        sent, began = time.time(), time.monotonic()
        status, body, error = 0, "", ""
        try:
            status, data = exchange(self.address, self.host, request)
            body = body_class(data)
        except (OSError, http.client.HTTPException) as problem:
            error = f"{type(problem).__name__}: {problem}"
        answer = Answer(request.kind, request.numbers, request.site, request.cid, sent,
                        round(time.monotonic() - began, 4), status, body, error)  # fmt: skip
        with self._lock, self.log.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(answer)) + "\n")
        return answer


def exchange(address: str, host: str, request: Request) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.putrequest(request.method, request.path, skip_host=True,
                              skip_accept_encoding=True)  # fmt: skip
        connection.putheader("Host", host)
        connection.putheader("User-Agent", request.agent)
        connection.putheader("Accept-Language", request.language)
        connection.putheader("Connection", "close")
        if request.body is not None:
            connection.putheader("Content-Type", request.content)
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def body_class(data: bytes) -> str:
    """What kind of answer that is, in a word."""
    if not data:
        return "empty"
    if data.startswith(b"GIF8"):
        return "gif"
    if data.startswith((b"{", b"[")):
        found = json.loads(data) if data.endswith((b"}", b"]")) else {}
        tracked = found.get("tracked") if isinstance(found, dict) else None
        return "json" if tracked is None else f"json:tracked={tracked}"
    if b"maintenance" in data.lower():
        return "maintenance"
    return "html" if b"<html" in data.lower() or b"<!doctype" in data[:200].lower() else "text"


def read(log: Path) -> list[Answer]:
    """The answers in a log; half a line at its end is passed over."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else ():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        found.append(Answer(**{**data, "numbers": tuple(data["numbers"])}))
    return found


def main() -> None:
    """As a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--address", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--ui-rate", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=1e9)
    asked = parser.parse_args()
    with Traffic(asked.address, host=asked.host, log=asked.log, rate=asked.rate,
                 ui_rate=asked.ui_rate) as traffic:  # fmt: skip
        print(traffic.run, flush=True)
        time.sleep(asked.seconds)


if __name__ == "__main__":
    main()
