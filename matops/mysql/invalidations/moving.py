"""Rows moved in chunks: each in one transaction with the record that counts them.

Killed anywhere, a chunk is either done and recorded or neither: every row is moved exactly once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional, TypeVar

from matops import sqlfile
from matops.mysql.invalidations.keep import Condition
from matops.mysql.invalidations.shape import PRIMARY
from matops.mysql.quote import fill, quote
from matops.mysql.session import DatabaseError, Row, Session

Answer = TypeVar("Answer")
_AGAIN = (1205, 1213)
"""Lock wait timeout, deadlock: the whole transaction is done again."""
_TRIES = 8
SESSION = {
    # Rows go as they are: an id of 0 stays 0, and a value that does not fit is an error.
    "sql_mode": "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO",
    "innodb_lock_wait_timeout": 2,
    "lock_wait_timeout": 5,
}
"""Session variables of a connection that changes the queue."""

# A row that was in progress when it was taken away comes back queued: a DELETE of its archiver
# may have found nothing meanwhile, and a row in progress that nobody works on blocks its site for
# a day. Should it be worked on after all, the archiver's DELETE by id still finds it.
_AS_QUEUED = {"ts_started": "NULL", "processing_host": "NULL", "process_id": "NULL"}


@contextlib.contextmanager
def transaction(session: Session) -> Iterator[None]:
    """One transaction: committed at the end, rolled back on any exception."""
    session.execute("transaction_begin")
    try:
        yield
    except BaseException:
        with contextlib.suppress(DatabaseError):
            session.execute("transaction_rollback")
        raise
    session.execute("transaction_commit")


def again(work: Callable[[], Answer]) -> Answer:
    """``work()``, anew after a deadlock or a lock wait: it must be one whole transaction."""
    for attempt in range(_TRIES):
        try:
            return work()
        except DatabaseError as error:
            if error.number not in _AGAIN or attempt == _TRIES - 1:
                raise
        time.sleep(0.05 * 2**attempt)
    raise AssertionError("not reached")


def run(
    session: Session, name: str, args: Sequence[Any] = (), *,
    parts: Optional[dict[str, str]] = None, **names: str,
) -> list[Row]:  # fmt: skip
    """Statement ``sql/<name>`` with ``parts`` (built text) and ``names`` for its marks."""
    text = sqlfile.load(name, session.flavour)
    for mark, part in (parts or {}).items():
        text = text.replace("{{" + mark + "}}", part)
    return session.run(fill(text, names, bound=bool(args)), args, doing=name)


def change(
    session: Session, name: str, args: Sequence[Any] = (), *,
    parts: Optional[dict[str, str]] = None, **names: str,
) -> int:  # fmt: skip
    """As ``run``, for a changing statement: how many rows it changed, as the server says."""
    run(session, name, args, parts=parts, **names)
    return int(session.value("row_count"))


def count(session: Session, table: str, condition: Condition) -> tuple[int, int]:
    """(all rows, rows for which it holds). Reads the whole table."""
    text, values = condition
    rows = run(session, "invalidations_count", values, parts={"condition": text}, table=table)
    return int(rows[0]["all_rows"]), int(rows[0]["matching"])


def max_id(session: Session, table: str) -> int:
    """The highest id there is now; 0 in an empty table."""
    return int(session.value("invalidations_next_id", table=table) or 0)


def is_empty(session: Session, table: str) -> bool:
    """It has no row."""
    return not session.rows("invalidations_any", table=table)


@dataclass
class Pace:
    """Rows a chunk, steered towards ``want`` seconds."""

    rows: int = 1000
    want: float = 0.1
    least: int = 100
    most: int = 50_000

    def took(self, seconds: float) -> None:
        """Halves after a chunk that was too long, doubles after one that was short."""
        if seconds > self.want:
            self.rows = max(self.rows // 2, self.least)
        elif seconds < self.want / 3:
            self.rows = min(self.rows * 2, self.most)


def ends(session: Session, table: str, after: int, last: int, pace: Pace) -> Iterator[int]:
    """The end of each chunk of ``table`` (which nobody changes), behind ``after``, to ``last``."""
    while after < last:
        end = session.value("invalidations_chunk_end", (after, pace.rows - 1), table=table)
        after = last if end is None else min(int(end), last)
        yield after


def copy(
    session: Session, source: str, target: str, columns: Sequence[str],
    after: int, until: int, condition: Condition, *, missing: bool = False,
) -> int:  # fmt: skip
    """Copies the rows of one chunk; how many. Rows in progress become queued ones.

    ``missing``: only those that are not there yet; else one that is there is an error (1062).
    """
    text, values = condition
    if missing:
        # Looking for ids that are not there must not lock the gaps: see tools.isolation.
        text += fill(
            " AND NOT EXISTS (SELECT 1 FROM {{to}} AS there"
            " WHERE there.idinvalidation = {{from}}.idinvalidation)",
            {"to": target, "from": source}, bound=True,
        )  # fmt: skip
    parts = {
        "columns": listed(columns),
        "values": ", ".join(_value(name) for name in columns),
        "condition": text,
    }
    return change(
        session, "invalidations_copy", (after, until, *values),
        parts=parts, **{"to": target, "from": source},
    )  # fmt: skip


def names(session: Session, schema: str, table: str) -> list[str]:
    """The columns to be copied, in order: those that are not computed."""
    found = session.rows("table_columns", (schema, table))
    return [
        str(row["name"])
        for row in found
        if "GENERATED" not in str(row["extra"] or "").upper().replace("DEFAULT_GENERATED", "")
        and "VIRTUAL" not in str(row["extra"] or "").upper()
    ]


def listed(columns: Sequence[str]) -> str:
    """The columns, quoted, for a statement with bound values."""
    return ", ".join(_bound(name) for name in columns)


def _bound(name: str) -> str:
    return quote(name).replace("%", "%%")


def _value(name: str) -> str:
    column = _bound(name)
    if name == "status":
        return f"IF({column} = 1, 0, {column})"
    if name in _AS_QUEUED:
        return f"IF(status = 1, {_AS_QUEUED[name]}, {column})"
    return column


__all__ = ["PRIMARY", "SESSION", "Pace", "again", "change", "copy", "count", "ends", "is_empty",
           "listed", "max_id", "names", "run", "transaction"]  # fmt: skip
