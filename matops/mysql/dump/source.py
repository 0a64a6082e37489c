"""Reads rows as they come over the wire: undecoded, one at a time, in flat memory."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Optional, Union

import pymysql
import pymysql.cursors

from matops import sqlfile
from matops.mysql.quote import quote
from matops.mysql.session import Address, Session, explain

LOCK_WAIT = 5
"""Seconds that a reading waits for a metadata lock: it never joins a long queue."""

# ALLOW_INVALID_DATES: a key of 2026-02-31 must compare as what it is.
_VARIABLES: dict[str, Union[int, float, str]] = {
    "lock_wait_timeout": LOCK_WAIT, "sql_mode": "ALLOW_INVALID_DATES"
}  # fmt: skip
_MARK = re.compile(r":(?:values|from|where|order)\b|\{\{\w+\}\}")

Values = tuple[Optional[bytes], ...]


class Source(Session):
    """A session for dumping: text in utf8mb4, times in UTC, snapshots that are some."""

    def __init__(self, address: Address) -> None:
        """Connects. Raises what ``Session`` raises."""
        self._result: Any = None
        super().__init__(address, timeout=None, variables=_VARIABLES)
        self.execute("backup_isolation")

    def __enter__(self) -> Source:
        return self

    def read(
        self, schema: str, table: str, values: str, *, where: str = "", order: str = "",
        limit: int = 0,
    ) -> Iterator[Values]:  # fmt: skip
        """The rows of a table for a select list of ``columns.Shape``; ``order`` with ``limit``:
        so many, by the primary key. DatabaseError.
        """
        marks = {
            ":values": values,
            "{{schema}}": quote(schema),
            "{{table}}": quote(table),
            ":from": "FORCE INDEX (PRIMARY)" if order else "",
            ":where": f"WHERE {where}" if where else "",
            ":order": f"ORDER BY {order} LIMIT {limit}" if order else "",
        }
        # In one pass: a value may hold what looks like a mark.
        text = _MARK.sub(lambda found: marks[found[0]], sqlfile.load("backup_rows"))
        return self._stream(text, f"read {table}")

    def _stream(self, text: str, doing: str) -> Iterator[Values]:
        connection = self._connection
        try:
            cursor = connection.cursor(pymysql.cursors.SSCursor)
            with _undecoded(connection):
                cursor.execute(text)
            self._result = cursor._result
            while (row := cursor.fetchone()) is not None:
                yield row
            cursor.close()
            self._result = None
        except (pymysql.Error, RuntimeError, OSError) as error:
            raise explain(error, self.address, doing) from None
        except BaseException:
            # The reader gave up in the middle: what is still under way is not waited for.
            self.close()
            raise

    def close(self) -> None:
        """Closes the connection at once, in the middle of a result, too."""
        if self._result is not None:
            # Else PyMySQL would read the rest of the table before it lets go.
            self._result.unbuffered_active = False
        super().close()


@contextlib.contextmanager
def _undecoded(connection: Any) -> Iterator[None]:
    # How values are decoded is settled when a result begins.
    before = connection.decoders, connection.use_unicode
    connection.decoders, connection.use_unicode = {}, False
    try:
        yield
    finally:
        connection.decoders, connection.use_unicode = before
