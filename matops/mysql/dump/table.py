"""One table into one file: the statement that makes it, then its rows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matops.errors import MatopsError
from matops.mysql.dump.columns import Shape, after, shape
from matops.mysql.dump.files import DumpFile
from matops.mysql.dump.source import Source, Values
from matops.mysql.quote import quote
from matops.mysql.session import DatabaseError

STATEMENT = 512 * 1024
"""Bytes after which an INSERT ends: any server's max_allowed_packet takes it."""

SECONDS = 1.0
"""How long one reading of a large table should take; the next one's length is set by it."""

_NEXT = re.compile(r" AUTO_INCREMENT=\d+")  # grows all the time
_FIRST, _MOST = 10_000, 500_000  # rows of one reading
_WIDE = 16 * 2**20  # bytes of one reading, at most, going by the mean row

HEAD = b"""\
SET NAMES utf8mb4;
SET SESSION time_zone = '+00:00', foreign_key_checks = 0,
    sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES' /*M! , innodb_strict_mode = 0 */;
"""
"""Of every file: each can be read back alone. Times are UTC in it; an AUTO_INCREMENT column may
hold 0; zero and impossible dates are let through; a table whose row is too wide for the strict
mode is made all the same (MariaDB; on MySQL that needs a privilege to set). Not unique_checks = 0:
MariaDB then reports a duplicate as 1180 "Operation not permitted", without its value."""

_ALTERED = 1412
CHANGED = (1054, 1146, _ALTERED)
"""The table was altered or exchanged while it was read: it is read anew."""


class Cannot(MatopsError):
    """A table cannot be dumped."""


@dataclass
class Written:
    """What went into a file. ``readings``: how many statements read it (1: one moment)."""

    rows: int = 0
    readings: int = 0
    largest: int = 0
    """Bytes of its longest statement."""


def make_statement(source: Source, schema: str, table: str) -> str:
    """``CREATE TABLE …`` of a table. DatabaseError."""
    found = source.rows("backup_table", schema=schema, table=table)
    return str(found[0]["Create Table"])


def look(source: Source, schema: str, table: str) -> Shape:
    """Columns and key of a table. DatabaseError."""
    names = (schema, table)
    return shape(source.rows("backup_columns", names), source.rows("backup_key", names))


def write_schema(source: Source, schema: str, table: str, file: DumpFile) -> str:
    """The statement that makes it. There is no DROP: nothing is ever overwritten by a restore."""
    text = make_statement(source, schema, table)
    file.write(f"\n{text};\n".encode())
    return text


def still(source: Source, schema: str, table: str, made: str) -> None:
    """DatabaseError (1412) where the table is made by another statement than ``made`` by now.

    What was read in parts is of two tables then: columns are missing, values cut off.
    """
    now = make_statement(source, schema, table)
    if _NEXT.sub("", now) != _NEXT.sub("", made):
        error = DatabaseError(f"table {table} was altered while it was read")
        error.number = _ALTERED
        raise error


def write_rows(
    source: Source, schema: str, table: str, file: DumpFile, *,
    by_key: bool, row_bytes: int, told: Callable[[int], None],
) -> Written:  # fmt: skip
    """All rows, in one reading or (``by_key``) many short ones along the primary key.

    ``row_bytes``: their mean, as the server thinks. ``told`` hears how many rows more there are.
    Raises DatabaseError, Cannot, and what ``DumpFile.write`` raises.
    """
    form = look(source, schema, table)
    writer = _Inserts(file, table, form)
    written = Written()
    if by_key and form.key:
        for rows in _along_key(source, schema, table, form, writer, row_bytes):
            written.readings += 1
            told(rows)
    else:
        written.readings = 1
        count = 0
        for values in source.read(schema, table, form.select(with_key=False)):
            writer.add(values)
            count += 1
            if count % _FIRST == 0:
                told(_FIRST)
        told(count % _FIRST)
    writer.flush()
    written.rows, written.largest = writer.rows, writer.largest
    return written


def _along_key(
    source: Source, schema: str, table: str, form: Shape, writer: _Inserts, row_bytes: int
) -> Iterator[int]:
    """Rows of each reading: a statement, a read view and a metadata lock of its own."""
    most = max(min(_MOST, _WIDE // max(row_bytes, 1)), 100)
    limit, where = min(_FIRST, most), ""
    select, order = form.select(with_key=True), ", ".join(quote(part.name) for part in form.key)
    while True:
        began, count, last = time.monotonic(), 0, None
        for values in source.read(schema, table, select, where=where, order=order, limit=limit):
            writer.add(values)
            count, last = count + 1, values
        yield count
        if last is None or count < limit:
            return
        where = after(form.key, form.key_of(last))
        took = max(time.monotonic() - began, 0.001)
        limit = int(min(max(limit * SECONDS / took, limit / 4, 100), limit * 4, most))


class _Inserts:
    """Rows into INSERT statements of about STATEMENT bytes."""

    def __init__(self, file: DumpFile, table: str, form: Shape) -> None:
        columns = ", ".join(quote(column.name) for column in form.columns)
        self._lead = f"INSERT INTO {quote(table)} ({columns}) VALUES\n".encode()
        self._file, self._table, self._form = file, table, form
        self._rows: list[bytes] = []
        self._size = 0
        self.rows = self.largest = 0

    def add(self, values: Values) -> None:
        """One row as it came."""
        try:
            row = self._form.row(values)
        except ValueError as error:
            raise Cannot(f"{self._table}: {error}", state="No backup was made") from None
        if self._size + len(row) > STATEMENT and self._rows:
            self.flush()
        self._rows.append(row)
        self._size += len(row) + 2

    def flush(self) -> None:
        """What is there becomes a statement."""
        if not self._rows:
            return
        text = self._lead + b",\n".join(self._rows) + b";\n"
        self._file.write(text)
        self.rows += len(self._rows)
        self.largest = max(self.largest, len(text))
        self._rows, self._size = [], 0


def last_words(table: str, rows: int) -> str:
    """The last line of a table's file: what a check looks for."""
    return f"-- matops: end of {one_line(quote(table))}, {rows} rows"


def one_line(text: str) -> str:
    """For a comment, which ends where the line does: a name may hold a line break. Pure."""
    return "".join(c if c.isprintable() else "?" for c in text)


__all__ = ["CHANGED", "HEAD", "Cannot", "DatabaseError", "Written"]
