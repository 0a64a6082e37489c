"""The second connection: it holds the run's lock on the server, asks, and kills."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import Callable, Optional, TypeVar

from matops.errors import Locked
from matops.mysql.session import Address, ConnectionCut, DatabaseError, NotReachable, Session

Answer = TypeVar("Answer")
_TIMEOUT = 5  # seconds for one answer: a guard that hangs guards nothing


class Monitor:
    """Keeps a connection for questions through lost links. Use as a context manager.

    It takes the server-wide lock of this schema's guarded ALTERs (GET_LOCK), which ends with the
    connection. Raises Locked (75) where another run holds it, on whatever machine.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._name = lock_name(address.schema)
        self._session: Optional[Session] = None
        self._retry_at = 0.0
        self._ours: set[int] = set()
        self._held = True
        self.lost_lock = False
        """True where another run took the lock while our link was down."""

    def __enter__(self) -> Monitor:
        session = Session(self._address, timeout=_TIMEOUT)
        if not self._take(session):
            holder = session.value("user_lock_holder", (self._name,))
            session.close()
            raise Locked(
                f"another db.optimize or migrate.ahead is at work on {self._address.schema} "
                f"(server connection {holder})",
                state="Nothing was changed",
                next="wait for it to end",
            )
        self._session = session
        self._ours.add(session.connection_id)
        return self

    def __exit__(self, *unused: object) -> None:
        if self._session is not None:
            self._session.close()

    def _take(self, session: Session) -> bool:
        return int(session.value("user_lock_take", (self._name,)) or 0) == 1

    def ask(self, question: Callable[[Session], Answer]) -> Optional[Answer]:
        """The answer, or None while the link is down (tried again at every call).

        Raises DatabaseError for what the server refuses.
        """
        if self._session is None and not self._connect():
            return None
        assert self._session is not None
        try:
            if not self._held:
                self._retake(self._session)
            return question(self._session)
        except (ConnectionCut, NotReachable):
            self._drop()
        try:
            return question(self._session) if self._connect() and self._session else None
        except (ConnectionCut, NotReachable):  # a slow answer, or a link that comes and goes
            self._drop()
            return None

    def must(self, question: Callable[[Session], Answer], patience: float = 30.0) -> Answer:
        """As ``ask``, waiting for the link to come back. Raises ConnectionCut after patience."""
        until = time.monotonic() + patience
        while True:
            answer = self.ask(lambda session: (question(session),))
            if answer is not None:
                return answer[0]
            if time.monotonic() > until:
                raise ConnectionCut(
                    f"database {self._address.shown} does not answer any more",
                    state="What ran there may have gone on",
                    next="run the same task again: it looks first",
                )
            time.sleep(0.3)

    def kill(self, tag: str) -> bool:
        """Cancels the statement with that tag, over a fresh link if need be.

        By its tag, not by the number of its connection: after the server was restarted, or behind
        a proxy, that number is somebody else's.
        """
        prefix = f"/* {tag} */"

        def cancel(session: Session) -> bool:
            rows = session.rows("statement_tagged", (prefix, prefix))
            killed = [session.kill_query(int(row["id"])) for row in rows]
            return any(killed)

        return bool(self.ask(cancel))

    def _connect(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        self._retry_at = time.monotonic() + 0.5
        with contextlib.suppress(DatabaseError):
            session = Session(self._address, timeout=_TIMEOUT)
            self._ours.add(session.connection_id)
            self._session, self._held = session, False
            return True
        return False

    def _retake(self, session: Session) -> None:
        """After a lost link: the server may not have noticed yet that our old connection, which
        holds the lock, is gone."""
        self._held = self._take(session)
        if not self._held:
            holder = session.value("user_lock_holder", (self._name,))
            self.lost_lock = holder is not None and int(holder) not in self._ours

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session, self._retry_at = None, 0.0


def lock_name(schema: str) -> str:
    """At most 64 characters, which is all that GET_LOCK takes."""
    name = f"matops.optimize.{schema}"
    return (
        name
        if len(name) <= 64
        else f"matops.optimize.{hashlib.sha256(schema.encode()).hexdigest()[:32]}"
    )
