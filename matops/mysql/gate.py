"""Is a table free to begin with? Asked before every attempt, and it costs nobody a stall.

Three ways, the best that server and account allow:

* the metadata locks are visible: nobody may have held the table for longer than a second;
* MariaDB without its plugin: ``LOCK TABLES`` with ``lock_wait_timeout = 0`` never queues (0.000 s
  measured) and tells at once whether somebody holds the table, though not who;
* neither: attempts are bounded by the guard, with growing pauses between them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Optional

from matops.mysql.guard import back_off
from matops.mysql.session import Address, DatabaseError, Session

OLD = 1.0
"""Seconds from which on a holder counts: younger ones are statements that are just running."""
_STALE = 10.0  # seconds after which the probe's connection is made anew
_TRIES = 15  # probes within a second: a table in use is free between two statements


@dataclass(frozen=True)
class Clear:
    """``held`` by whom, as far as known. ``sure``: that is a fact, not a suspicion."""

    held: list[str] = field(default_factory=list)
    sure: bool = True

    def after(self, blocked: int) -> float:
        """Seconds to have waited before an attempt, after ``blocked`` attempts that failed."""
        if self.sure:
            return float("inf") if self.held else min(1.0 * blocked, 2.0)
        if self.held:
            # A table so busy that no probe gets through looks the same as one that is held:
            # a bounded attempt finds out, seldom.
            return back_off(blocked + 2, 0.5)
        return back_off(blocked, 0.5) if blocked else 0.0


class Gate:
    """``holders(table, older)`` tells who has held it for so many seconds, None = not visible."""

    def __init__(
        self,
        address: Address,
        flavour: str,
        holders: Callable[[str, float], Optional[list[str]]],
    ) -> None:
        self._address = address
        self._holders = holders
        self._may_probe = flavour == "mariadb"
        self._probe: Optional[Session] = None
        self._used = 0.0

    def look(self, table: str) -> Clear:
        """Now. Raises nothing: what cannot be asked is not known."""
        with contextlib.suppress(DatabaseError):
            held = self._holders(table, OLD)
            if held is not None:
                return Clear(held)
        free = self._probed(table) if self._may_probe else None
        if free is None:
            return Clear(sure=False)
        if free:
            return Clear()
        return Clear(["somebody (who: needs the plugin metadata_lock_info)"], sure=False)

    def _probed(self, table: str) -> Optional[bool]:
        if time.monotonic() - self._used > _STALE:
            self.close()
        self._used = time.monotonic()
        try:
            if self._probe is None:
                # Should the link break between LOCK and UNLOCK, the server lets go soon.
                variables = {"lock_wait_timeout": 0, "wait_timeout": 3 * int(_STALE)}
                self._probe = Session(self._address, timeout=5, variables=variables)
            for _ in range(_TRIES):
                if self._once(self._probe, table):
                    return True
                time.sleep(OLD / _TRIES)
        except DatabaseError as error:
            self.close()
            # No LOCK TABLES privilege: it will not come. A dropped table is the rebuild's to tell.
            self._may_probe = error.number not in (1044, 1142)
            return None
        return False

    @staticmethod
    def _once(session: Session, table: str) -> bool:
        try:
            session.execute("probe_lock", table=table)
        except DatabaseError as error:
            if error.number == 1205:
                return False
            raise
        session.execute("probe_unlock")
        return True

    def close(self) -> None:
        """Ends the probing connection, if there is one."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None
