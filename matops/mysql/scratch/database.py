"""Makes the scratch database, fills it with an empty copy of the live schema, removes it.

Made under a named lock of the server, so that there is one at a time; marked with a sentinel
before anything else is put into it; removed only where the name is one of ours *and* the sentinel
(or emptiness) says so.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable
from typing import Optional

from matops.errors import Locked, MatopsError, Refused
from matops.mysql.scratch.names import SENTINEL, check_name, grant_for, scratch_name
from matops.mysql.scratch.shapes import look
from matops.mysql.session import AccessDenied, ConnectionCut, DatabaseError, Session

ABSENT, OURS, EMPTY, FOREIGN = "absent", "ours", "empty", "foreign"

_WAIT = 10  # seconds for a live table's metadata lock, three times
_IDLE = 6 * 3600  # seconds that this session may be idle while core:update is at work
_TIMEOUT = 1205
_EXISTS = 1007
_NO_TABLE = 1146
_SPECIAL = (1193, 1231, 1227, 1229)  # a variable that is not there, or not ours to set

Tell = Callable[[int], object]


class Scratch:
    """One scratch database beside the live schema. Use as a context manager.

    ``session``: an account with rights on both; its session variables are set. Entering takes the
    lock and creates the database (after removing what a killed run left); leaving drops it.
    Raises Locked (another run has one), Refused (something of that name is not ours),
    PrivilegeMissing with the GRANT, DatabaseError.
    """

    def __init__(self, session: Session, live: str, prefix: str) -> None:
        self.session = session
        self.live = live
        self.prefix = prefix
        self.name = check_name(scratch_name(live, prefix))
        self.token = ""
        self.left: list[str] = []
        """What a killed run had left and was removed, a line each."""
        self._locked = False
        self._lost = False
        """The lock went with a connection, and was not had again."""

    # --- making and removing -----------------------------------------------------------------

    def __enter__(self) -> Scratch:
        self.lock()
        try:
            self.create()
        except BaseException:
            self.unlock()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        try:
            self.drop()
        finally:
            self.unlock()

    def lock(self) -> None:
        """One at a time on this server; given back when this session ends, however it ends."""
        if not self.session.value("scratch_lock", (self.name,)):
            raise Locked(
                f"another run works in the scratch database {self.name}",
                state="Nothing was changed",
                next="wait for it: `jobs` on the host that runs it shows it",
            )
        self._locked = True

    def hold(self) -> None:
        """The lock is ours, or is taken anew where the connection was cut, which gave it back.

        Raises Locked: another run has it since, and what has our name is its own. DatabaseError.
        """
        try:
            self.session.value("server_time")
        except ConnectionCut:  # it was idle for long, or the server was restarted
            self.session.reconnect()
            self._lost = self._lost or self._locked
            self._locked = False
        if self._lost:
            self.lock()
            self._lost = False

    def unlock(self) -> None:
        """Gives the lock back; nothing where the connection is gone, which gave it back."""
        if self._locked:
            self._locked = False
            with contextlib.suppress(DatabaseError):
                self.session.value("scratch_unlock", (self.name,))

    def state(self) -> str:
        """ABSENT, OURS (with our sentinel), EMPTY (nothing in it), or FOREIGN."""
        if not self.session.rows("scratch_defaults", (self.name,)):
            return ABSENT
        if self.made_by() is not None:
            return OURS
        found = look(self.session, self.name)
        return FOREIGN if found.tables or found.views else EMPTY

    def made_by(self) -> Optional[str]:
        """Who made it, by its sentinel; None where it has none for this live schema."""
        try:
            rows = self.session.rows("scratch_sentinel_read", scratch=self.name, sentinel=SENTINEL)
        except DatabaseError as error:
            if error.number in (1049, _NO_TABLE):
                return None
            raise
        mine = [row for row in rows if row["live"] == self.live]
        # A run killed between the table and its row leaves an empty sentinel: ours, too.
        return str(mine[0]["made_by"]) if mine else (None if rows else "a killed run")

    def create(self) -> None:
        """Creates it with the live schema's defaults, and the sentinel as its first table."""
        self._set_session()
        self.remove_left()
        charset, collation = self._defaults()
        try:
            self.session.execute(
                "scratch_create", scratch=self.name, charset=charset, collation=collation
            )
        except AccessDenied as error:
            raise self.denied(error) from None
        self.token = secrets.token_hex(16)
        self.session.execute("scratch_sentinel_create", scratch=self.name, sentinel=SENTINEL)
        who = f"{os.uname().nodename} {os.getpid()}"
        self.session.execute(
            "scratch_sentinel_write", (self.token, self.live, who),
            scratch=self.name, sentinel=SENTINEL,
        )  # fmt: skip

    def remove_left(self) -> None:
        """Removes what a killed run left. Refused where something of that name is not ours."""
        state = self.state()
        if state == FOREIGN:
            raise self.foreign()
        if state != ABSENT:
            self.left.append(f"the database {self.name} ({self.made_by() or 'empty'})")
            self.session.execute("scratch_drop", scratch=self.name)

    def drop(self) -> None:
        """Removes it, and reads back that it is gone. Safe to call twice.

        Nothing is done where another run took the lock while the connection was cut.
        """
        try:
            self.hold()
        except Locked:
            return
        if self.state() not in (OURS, EMPTY):
            return
        self.session.execute("scratch_drop", scratch=self.name)
        if self.session.rows("scratch_defaults", (self.name,)):
            raise MatopsError(
                f"the scratch database {self.name} is still there",
                next=f"DROP DATABASE `{self.name}`",
            )

    def foreign(self) -> Refused:
        """The refusal for a database of this name that is not ours."""
        return Refused(
            f"a database {self.name} is there, and matops did not make it (no sentinel in it)",
            state="Nothing was changed",
            next=f"look into it; if nobody needs it: DROP DATABASE `{self.name}`",
        )

    def denied(self, error: DatabaseError) -> AccessDenied:
        """The refusal, with the statement that helps."""
        who = str(self.session.value("account_current"))
        user, _, host = who.rpartition("@")
        refused = AccessDenied(
            f"the database account {who} may not have a scratch database ({error.number})",
            state="Nothing was changed",
            next=f"paste as an administrator: {grant_for(self.name, quoted_account(user, host))}",
        )
        refused.number = error.number
        return refused

    def _set_session(self) -> None:
        # As Matomo's own connections: rows with id 0, and zero dates from old tables, are fine.
        self.session.set({
            "lock_wait_timeout": _WAIT,
            "sql_mode": "NO_AUTO_VALUE_ON_ZERO",
            "wait_timeout": _IDLE,
        })  # fmt: skip
        self.session.execute("scratch_isolation")
        try:
            # A table that was made when the server was laxer must be copied all the same.
            self.session.set({"innodb_strict_mode": 0})
        except DatabaseError as error:
            if error.number not in _SPECIAL:
                raise

    def _defaults(self) -> tuple[str, str]:
        rows = self.session.rows("scratch_defaults", (self.live,))
        if not rows:
            raise MatopsError(f"the live schema {self.live} cannot be seen")
        return str(rows[0]["charset"]), str(rows[0]["collation"])

    # --- filling it --------------------------------------------------------------------------

    def copy_tables(self, names: Iterable[str], tell: Tell = lambda count: None) -> None:
        """Makes each table of the live schema anew, empty. 5 to 50 ms each.

        Raises DatabaseError: locked by somebody for half a minute, or a definition that this
        server does not take any more.
        """
        for count, name in enumerate(names, 1):
            self._copy_table(name)
            tell(count)

    def renew(self, names: Iterable[str]) -> None:
        """Drops those tables of the scratch database and makes them anew from the live ones."""
        for name in names:
            self.session.execute("scratch_table_drop", scratch=self.name, table=name)
            self._copy_table(name)

    def _copy_table(self, name: str) -> None:
        for attempt in (1, 2, 3):
            try:
                self.session.execute("scratch_table", scratch=self.name, table=name, live=self.live)
                return
            except DatabaseError as error:
                if error.number == _NO_TABLE:
                    return  # dropped meanwhile: archive tables come and go
                if error.number != _TIMEOUT or attempt == 3:
                    error.what = f"{name} cannot be copied: {error.what}"
                    raise


def quoted_account(user: str, host: str) -> str:
    """``'matomo'@'%'``, as GRANT wants it."""
    return "@".join("'" + part.replace("'", "''") + "'" for part in (user, host))
