"""Which tables an essentials backup holds with their rows, and how each is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matops.mysql.catalog import Table
from matops.mysql.families import OTHER_SCHEMA, group

ROWS, SCHEMA_ONLY, NOT_OURS = "rows", "schema only", "not Matomo's"

TOGETHER = 64 * 2**20
"""Bytes: a table larger than this is read part by part, outside the common snapshot."""


@dataclass(frozen=True)
class Part:
    """One table: ``what`` of it is saved, and why. ``together``: in the common snapshot."""

    name: str
    what: str
    why: str
    bytes: int
    rows: int
    """The server's estimate."""
    together: bool = False


def essentials(tables: Sequence[Table], *, numeric: bool) -> list[Part]:
    """A part for every table. ``numeric``: with the rows of archive_numeric. Pure.

    In the order in which they are to be read: what changes together first, then the archives,
    then whatever is large.
    """
    parts = [_part(table, numeric) for table in tables]
    return sorted(parts, key=lambda part: (not part.together, part.bytes, part.name))


def _part(table: Table, numeric: bool) -> Part:
    name, kind, size = table.name, group(table.family), table.data_bytes
    if kind == OTHER_SCHEMA:
        return Part(name, NOT_OURS, "another application's", size, table.rows)
    if kind == "log":
        return Part(name, SCHEMA_ONLY, "raw logs", size, table.rows)
    if kind == "archive_blob":
        return Part(name, SCHEMA_ONLY, "archive blobs", size, table.rows)
    if kind == "archive_numeric":
        if not numeric:
            return Part(name, SCHEMA_ONLY, "--no-numeric", size, table.rows)
        return Part(name, ROWS, "archive numbers", size, table.rows)
    return Part(name, ROWS, "", size, table.rows, together=size <= TOGETHER)


def total(parts: Sequence[Part]) -> int:
    """Bytes of data in the tables whose rows are saved."""
    return sum(part.bytes for part in parts if part.what == ROWS)
