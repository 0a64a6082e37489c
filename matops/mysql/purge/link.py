"""The connection that deletes: bounded waits, one run at a time, back after a lost link."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import Callable, Optional, Union

from matops.errors import Locked
from matops.mysql import server as servers
from matops.mysql.server import Server
from matops.mysql.session import Address, ConnectionCut, DatabaseError, NotReachable, Session

PATIENCE = 120.0  # seconds that a server may take to come back: a restart
_LOCK_WAIT = 3  # seconds a chunk waits for somebody's row: then it is tried smaller
_TEXT = 16 << 20  # bytes of the longest list of numbers that the server gives as one text
_TIMEOUT = 120  # seconds for one answer
MOVED = -1  # no server's number: a visit moved on while its chunk was under work
RETRY = (1205, 1213, MOVED)
"""Lock wait time-out, deadlock: the chunk was undone, and is tried again. On Galera a conflict
with another node ends as 1213, at the commit, too."""


class Link:
    """Use as a context manager. ``session`` is the connection now. ``helps``: beside one that
    holds the lock.

    Raises Locked (75) where another purge of this installation holds the server's lock.
    """

    def __init__(self, address: Address, prefix: str, *, helps: bool = False) -> None:
        self._address, self._helps = address, helps
        self._name = lock_name(address.schema, prefix)
        self._row_binlog = True
        self.session: Session
        self.server: Server

    def __enter__(self) -> Link:
        self.session = Session(self._address, timeout=_TIMEOUT)
        try:
            self.server = servers.look(self.session)
            # A statement binary log cannot hold what READ COMMITTED changes (1665).
            self._row_binlog = not (
                self.server.binlog and self.server.text("binlog_format").upper() == "STATEMENT"
            )
            self._prepare()
            if not self._helps and not self._take():
                raise self._locked()
        except BaseException:
            self.session.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self.session.close()

    @property
    def gap_locks(self) -> bool:
        """The tracker's inserts may have to wait for a chunk: statement binary log."""
        return not self._row_binlog

    def _prepare(self) -> None:
        variables: dict[str, Union[int, float, str]] = {
            "lock_wait_timeout": 2 * _LOCK_WAIT,
            "innodb_lock_wait_timeout": _LOCK_WAIT,
            "group_concat_max_len": _TEXT,
        }
        if self.session.flavour == "mariadb":
            # A long list would be made a join, with a full scan where the statistics like it.
            variables["in_predicate_conversion_threshold"] = 0
            variables["max_statement_time"] = 0
        else:
            variables["max_execution_time"] = 0
        self.session.set(variables)
        if self._row_binlog:
            self.session.execute("purge_isolation")

    def _take(self) -> bool:
        return int(self.session.value("user_lock_take", (self._name,)) or 0) == 1

    def _locked(self) -> Locked:
        holder = self.session.value("user_lock_holder", (self._name,))
        return Locked(
            f"another logs.purge is at work on {self._address.schema} (server connection {holder})",
            state="Nothing was changed",
            next="wait for it to end; `jobs` shows it where it is a job",
        )

    def renew(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """After a lost link: a new connection; what the old one had under work is ended.

        Waits up to PATIENCE for the server. Raises NotReachable or ConnectionCut after that,
        Locked where another run has come meanwhile.
        """
        old, until = self.session.connection_id, time.monotonic() + PATIENCE
        while True:
            try:
                self.session.close()
                self.session = Session(self._address, timeout=_TIMEOUT)
                self._prepare()
                if not self._helps:
                    self._end(old)
                    self._retake(until)
                return
            except (ConnectionCut, NotReachable):
                if time.monotonic() > until or stopped():
                    raise
                time.sleep(0.5)

    def _end(self, old: int) -> None:
        # The server may not have noticed that the old connection is gone: its locks are in force.
        with contextlib.suppress(DatabaseError):
            if old != self.session.connection_id and self._is_ours(old):
                self.session.kill_connection(old)

    def _is_ours(self, old: int) -> bool:
        # After a restart the number may be somebody else's: only the holder of our lock is ours.
        return bool(self.session.value("user_lock_holder", (self._name,)) == old)

    def _retake(self, until: float) -> None:
        while not self._take():
            if time.monotonic() > until:
                raise self._locked()
            time.sleep(0.2)

    def settle(self, visit: str, ids: list[int]) -> Optional[bool]:
        """Did the chunk of these visits, cut off in the middle, come about? None: partly.

        Call after ``renew``. Raises DatabaseError.
        """
        if not ids:
            return False
        until = time.monotonic() + PATIENCE
        while True:
            try:
                left = int(self.session.value("purge_still_there", (ids,), log_visit=visit))
                return True if left == 0 else False if left == len(ids) else None
            except DatabaseError as error:
                if error.number not in RETRY or time.monotonic() > until:
                    raise
                time.sleep(0.2)


def lock_name(schema: str, prefix: str) -> str:
    """At most 64 characters, which is all that GET_LOCK takes."""
    digest = hashlib.sha256(f"{schema}/{prefix}".encode()).hexdigest()[:24]
    return f"matops.purge.{digest}"
