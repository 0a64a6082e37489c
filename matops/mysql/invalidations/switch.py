"""DDL on a table that others use, without anybody waiting for long: RENAME, DROP, ALTER.

Such a statement needs an exclusive metadata lock: it waits for every transaction that has touched
the table, and everybody else waits behind it. So: it is not begun while somebody has held the
table for long (``gate``); it gives way after ``LIMIT`` seconds of waiting (KILL QUERY of our own
statement, from the second connection), and tries again later. ``lock_wait_timeout = 1`` is the
server's own backstop, should this process die.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Optional

from matops.errors import Refused
from matops.mysql.gate import Gate
from matops.mysql.guard import WAITING
from matops.mysql.server import Server
from matops.mysql.session import ConnectionCut, DatabaseError, Session
from matops.mysql.sources import Sources

LIMIT = 0.15
"""Seconds that our statement may wait for its lock, and others behind it."""
PATIENCE = 60.0
"""Seconds after which we give up: somebody holds the table."""
_GAVE_WAY = (1205, 1317, 1969)


@dataclass
class Switch:
    """Does such statements on ``session``. ``watch``: the second connection, for nothing else.

    ``tell`` gets a line when somebody is waited for. ``pause`` sleeps (a test shortens it).
    """

    session: Session
    watch: Session
    server: Server
    tell: Callable[[str], None] = lambda line: None
    patience: float = PATIENCE
    pause: Callable[[float], None] = time.sleep
    attempts: int = 0
    waited: float = 0.0
    """Longest time that one of our statements took: others waited no longer than that."""
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._sources = Sources(self.session.address.schema, self.server)
        self._gate = Gate(self.session.address, self.server.flavour, self._held)
        self.session.set({"lock_wait_timeout": 1})

    def do(
        self,
        table: str,
        work: Callable[[], object],
        done: Callable[[], bool],
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """Runs ``work`` (one DDL statement that needs ``table``) until it is done.

        ``before`` each attempt: what must be true then. ``done`` looks whether it is, after an
        error: a statement may have gone through although its answer was an error. Refused where
        the table stays held for ``patience``.
        """
        until = time.monotonic() + self.patience
        blocked = 0
        held: list[str] = []
        try:
            while True:
                clear = self._gate.look(table)
                held = clear.held or held
                if clear.held:
                    self._say(table, clear.held)
                left = until - time.monotonic()
                wait = clear.after(blocked)
                if wait < left:
                    self.pause(wait)
                    before()
                    if self._once(work, done):
                        return
                    blocked += 1
                    continue
                if left <= 0:
                    raise self._given_up(table, held, blocked)
                self.pause(min(0.5, max(left, 0.01)))
        finally:
            self._gate.close()

    def _once(self, work: Callable[[], object], done: Callable[[], bool]) -> bool:
        began = time.monotonic()
        self.attempts += 1
        try:
            with self._giving_way():
                work()
        except ConnectionCut:
            raise
        except DatabaseError as error:
            if done():
                return True
            if error.number not in _GAVE_WAY:
                raise
            return False
        finally:
            self.waited = max(self.waited, time.monotonic() - began)
        return True

    @contextlib.contextmanager
    def _giving_way(self) -> Iterator[None]:
        own, over, killed = self.session.connection_id, threading.Event(), threading.Event()

        def look() -> None:
            if over.wait(LIMIT):
                return
            with contextlib.suppress(DatabaseError):
                state = str(self.watch.value("statement_state", (own,)) or "").lower()
                # Only while it waits: what works with the lock held is best left to end.
                if state.startswith(WAITING) and not over.is_set():
                    killed.set()
                    self.watch.kill_query(own)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            # Our end is closed now, but the server would go on waiting, and do it yet.
            over.set()
            thread.join()
            with contextlib.suppress(DatabaseError):
                self.watch.kill_connection(own)
            raise
        finally:
            over.set()
            thread.join()
            if killed.is_set():
                self._swallow()

    def _swallow(self) -> None:
        # A KILL QUERY that came too late hits the next statement: let it be this one.
        with contextlib.suppress(DatabaseError):
            self.session.value("server_time")

    def _held(self, table: str, older: float) -> Optional[list[str]]:
        return self._sources.held(self.watch, table, older, self.session.connection_id)

    def _say(self, table: str, held: list[str]) -> None:
        line = f"  waiting for {'; '.join(held)} to let go of {table}"
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    def _given_up(self, table: str, held: list[str], blocked: int) -> Refused:
        who = "; ".join(held) or f"somebody ({blocked} attempts; db.locks may tell who)"
        return Refused(
            f"{table} is held by {who}, for {self.patience:.0f} s now",
            next="end that transaction (db.locks shows it), and run this again",
        )
