"""What every change of the queue works with: two connections, the lock, the records, the switch."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Optional, Union

from matops.errors import Locked, MatopsError, Refused
from matops.mysql import server as servers
from matops.mysql.invalidations import moving
from matops.mysql.invalidations.record import Record, Records, unfinished
from matops.mysql.invalidations.shape import BASE, Shape
from matops.mysql.invalidations.shape import look as look_at
from matops.mysql.invalidations.switch import Switch
from matops.mysql.server import Server
from matops.mysql.session import Address, Session

GAP = 1_000_000
"""Ids left free: more than can be given out between looking at the counter and the RENAME."""
LONGEST = 64
"""Characters of a table's name, on both servers."""
_LINGERS = 2.0  # seconds: a killed run's connection may hold its lock for as long
_ASK_EVERY = 5.0  # seconds between two looks at whether the lock is still ours


def nothing(*unused: object) -> None:
    """Does nothing."""


@dataclass
class Tools:
    """``session`` changes, ``watch`` looks on and kills. ``still_ours`` raises once the
    installation's lock is lost; ``tell`` says a line; ``moved`` hears of rows dealt with.
    """

    session: Session
    watch: Session
    server: Server
    prefix: str
    table: str
    records: Records
    switch: Switch
    still_ours: Callable[[], None] = nothing
    tell: Callable[[str], None] = nothing
    moved: Callable[[int], None] = nothing
    _asked: float = field(default_factory=time.monotonic)

    @property
    def schema(self) -> str:
        """The database's name."""
        return self.session.address.schema

    def check(self) -> None:
        """Raises Refused when the lock was lost. Cheap: asks every few seconds only."""
        if time.monotonic() - self._asked >= _ASK_EVERY:
            self.still_ours()
            self._asked = time.monotonic()

    def there(self, name: str) -> bool:
        """Is there such a table?"""
        return bool(name) and bool(self.session.rows("invalidations_shape_table", (name,)))

    def next_id(self, name: str) -> int:
        """The id that the next row of that table gets; 0 where there is no table."""
        rows = self.session.rows("invalidations_shape_table", (name,))
        return int(rows[0]["next_id"] or 0) if rows else 0

    def shape(self) -> Shape:
        """The live table as it is now. Refused where it is not Matomo's."""
        return look_at(self.session, self.prefix).require()

    def now(self) -> float:
        """The server's clock."""
        return float(self.session.value("server_time"))

    def free_name(self, kind: str) -> str:
        """``<table>_<kind>_YYYYMMDDHHMMSS`` (UTC) that neither a table nor a record has."""
        moment = dt.datetime.fromtimestamp(int(self.now()), dt.timezone.utc)
        taken = {name for record in self.records.all() for name in (record.backup, record.new)}
        while True:
            name = f"{self.table}_{kind}_{moment:%Y%m%d%H%M%S}"
            if len(name) > LONGEST:
                raise Refused(
                    f"a backup's name, {name}, would have {len(name)} characters; a table's may "
                    f"have {LONGEST}: the table prefix is too long",
                    state="Nothing was changed",
                )
            if name not in taken and not self.there(name):
                return name
            moment += dt.timedelta(seconds=1)

    def highest(self, *tables: str) -> int:
        """The first id that no row of these tables ever had. A fresh look at both the rows and
        the counters: CREATE … LIKE forgets the counter, and deletes hide it from MAX."""
        ids = [moving.max_id(self.session, name) + 1 for name in tables]
        return max([*ids, *(self.next_id(name) for name in tables)])

    def drop_empty(self, name: str, what: str) -> None:
        """Drops a table of ours that must be empty. Refused where it has rows."""
        if not self.there(name):
            return
        if not moving.is_empty(self.session, name):
            raise Refused(
                f"{what} {name} of a run that was killed holds rows, which no run of ours puts in",
                state="Nothing was changed",
                next="look at it; if nobody needs it, drop it by hand, and run this again",
            )
        self.drop(name)

    def drop(self, name: str) -> None:
        """Drops a table under guard, and sees that it is gone."""
        self.switch.do(
            name,
            lambda: self.session.execute("invalidations_drop", table=name),
            lambda: not self.there(name),
        )
        if self.there(name):
            raise MatopsError(f"{name} is still there after DROP TABLE", next="run it again")

    def none_unfinished(self, allowed: str = "") -> None:
        """Refused while the work of a killed run waits to be ended; ``allowed``: but this."""
        left = [r for r in unfinished(self.records.all()) if r.backup != allowed]
        if left:
            raise Refused(unfinished_words(left[0]), state="Nothing was changed",
                          next=ending(left[0]))  # fmt: skip


def unfinished_words(record: Record) -> str:
    """What a killed run left, in words."""
    return (
        f"an earlier run ({record.why}) was stopped before its end; its backup is {record.backup}"
    )


def ending(record: Record) -> str:
    """How to end it."""
    if record.method == "replaced":
        return "invalidations.restore ends it"
    return "invalidations.truncate ends it first"


@contextlib.contextmanager
def opened(
    address: Address, prefix: str, *,
    still_ours: Callable[[], None] = nothing,
    tell: Callable[[str], None] = nothing,
    moved: Callable[[int], None] = nothing,
    patience: float = 60.0,
    make: Callable[..., Session] = Session,
    known: Optional[Server] = None,
) -> Iterator[Tools]:  # fmt: skip
    """The tools, under the server's own lock for this table (GET_LOCK): it ends with the
    connection, so it is never left behind. Locked (75) where another run has it.

    ``make`` opens the connection that changes things (a test's may die at a statement).
    ``known``: the server's facts, where they are known already.
    """
    table = prefix + BASE
    with (
        make(address, timeout=None, variables=moving.SESSION) as session,
        Session(address, timeout=5) as watch,
    ):
        _take(session, table)
        session.set(no_time_limit(session.flavour))
        server = known or servers.look(session)
        if session.flavour == "mysql":
            servers.allowed(session, "statistics_fresh")
        if not _by_statement(server):
            # No gap locks: looking for an id that is not there must not stop the inserters.
            session.execute("transaction_isolation")
        records = Records(session, prefix + "option")
        switch = Switch(session, watch, server, tell, patience)
        yield Tools(session, watch, server, prefix, table, records, switch,
                    still_ours, tell, moved)  # fmt: skip


def no_time_limit(flavour: str) -> dict[str, Union[int, float, str]]:
    """A server's own limit for each statement is not for counting a table of many millions."""
    return {"max_statement_time": 0} if flavour == "mariadb" else {"max_execution_time": 0}


def _by_statement(server: Server) -> bool:
    # READ COMMITTED cannot be logged by statement (1665).
    return server.binlog and server.text("binlog_format").upper() == "STATEMENT"


def lock_name(schema: str, table: str) -> str:
    """At most 64 characters, which is all that GET_LOCK takes."""
    return "matops.queue." + hashlib.sha256(f"{schema}.{table}".encode()).hexdigest()[:32]


def _take(session: Session, table: str) -> None:
    name = lock_name(session.address.schema, table)
    # The server may need a moment to notice that a killed run's connection is gone.
    until = time.monotonic() + _LINGERS
    while int(session.value("user_lock_take", (name,)) or 0) != 1:
        if time.monotonic() < until:
            time.sleep(0.1)
            continue
        holder = session.value("user_lock_holder", (name,))
        raise Locked(
            f"another run is at work on {table} (server connection {holder})",
            state="Nothing was changed",
            next="wait for it to end",
        )
