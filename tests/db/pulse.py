"""How late a loaded machine is by itself: what a client that nobody can block had to wait.

with Pulse(server) as pulse:
    ...
assert stall < 0.7 + pulse.late
"""

from __future__ import annotations

import threading
import time

from tests.db.servers import Server

_EVERY = 0.02


class Pulse:
    """Asks for nothing, again and again, beside the test. ``late``: twice the longest time, seconds
    (a stall is measured from one look to another). Hardly any on a quiet machine."""

    def __init__(self, server: Server) -> None:
        self._server, self._stop = server, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.late = 0.0

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._server.connect() as connection, connection.cursor() as cursor:
            while not self._stop.is_set():
                began = time.monotonic()
                time.sleep(_EVERY)
                cursor.execute("SELECT 1")
                self.late = max(self.late, 2 * (time.monotonic() - began - _EVERY))
