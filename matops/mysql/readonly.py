"""Runs a file of reading statements: in read-only transactions, each under a time-out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from matops.errors import MatopsError
from matops.mysql import statement as sql
from matops.mysql.session import Address, DatabaseError, Session

LONGEST = 1000
"""Characters kept of one value."""

GRACE = 1.0
"""Seconds after the server's own time-out when we cancel the statement ourselves: MySQL's
max_execution_time holds for SELECT only."""


@dataclass(frozen=True)
class Result:
    """What one statement gave. ``rows`` hold at most the limit; ``more``: there were others."""

    statement: str
    line: int
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    more: bool = False
    seconds: float = 0.0
    error: str = ""

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def run(address: Address, text: str, *, timeout: float = 60, limit: int = 1000) -> list[Result]:
    """Runs the statements in order; stops at the first that fails, with its error in the result.

    ``timeout``: seconds for each statement; ``limit``: rows kept of each. Every statement has a
    read-only transaction of its own: one for all would keep metadata locks and hold up purge.
    Raises Refused before anything is run where a statement is not surely read-only, UsageError
    for an empty file, DatabaseError where the server cannot be reached.
    """
    statements = sql.split(text)
    sql.refuse_unless_reading(statements)
    results: list[Result] = []
    with _session(address, timeout, limit) as session, Session(address, timeout=10) as killer:
        for one in statements:
            results.append(_run_one(session, killer, one, timeout, limit))
            if results[-1].error:
                break
    return results


def _session(address: Address, timeout: float, limit: int) -> Session:
    variables: dict[str, Any] = {
        "sql_mode": "",  # what statement.split goes by
        "sql_select_limit": limit + 1,
        "lock_wait_timeout": max(int(timeout), 1),
    }
    session = Session(address, timeout=None)
    try:
        if session.flavour == "mysql":
            variables["max_execution_time"] = max(int(timeout * 1000), 1)
        else:
            variables["max_statement_time"] = timeout
        session.set(variables)
        session.execute("readonly_session")
    except BaseException:
        session.close()
        raise
    return session


def _run_one(
    session: Session, killer: Session, one: sql.Statement, timeout: float, limit: int
) -> Result:
    began = time.monotonic()
    try:
        with _cancelled_after(killer, session.connection_id, timeout + GRACE):
            columns, rows, more = session.fetch(one.text, limit, killer)
    except DatabaseError as error:
        seconds = time.monotonic() - began
        late = error.number in (1317, 1969, 3024)
        reason = f"stopped after {seconds:.1f} s (--timeout)" if late else error.what
        return Result(one.text, one.line, seconds=seconds, error=reason)
    shown = [[_plain(value) for value in row] for row in rows]
    return Result(one.text, one.line, columns, shown, more, time.monotonic() - began)


@contextlib.contextmanager
def _cancelled_after(killer: Session, connection_id: int, seconds: float) -> Iterator[None]:
    def cancel() -> None:
        with contextlib.suppress(MatopsError):
            killer.kill_query(connection_id)

    timer = threading.Timer(seconds, cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _plain(value: Any) -> Any:
    """What JSON can hold: bytes as text where they are text, else as 0x…; cut when long."""
    if value is None or isinstance(value, (int, float, bool)):
        return value
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = "0x" + value[: LONGEST // 2].hex()
    text = str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
