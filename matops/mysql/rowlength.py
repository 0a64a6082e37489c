"""SQL expressions for the bytes that InnoDB needs for a row and for an index entry.

LENGTH() of a number is its digits, so types with a fixed width are added up here; off-page
values (Matomo's larger blobs) are counted in whole pages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from matops.mysql.quote import quote
from matops.mysql.session import Row

_FIXED = {
    "tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 8, "float": 4, "double": 8,
    "date": 3, "year": 1, "enum": 2, "set": 4, "uuid": 16, "inet6": 16, "inet4": 4,
}  # fmt: skip
_WITH_FRACTION = {"datetime": 5, "timestamp": 4, "time": 3}
_PAGE_HOLDS = 16327  # bytes of an off-page value in one page
_POINTER = 20


@dataclass(frozen=True)
class Column:
    """One stored column; ``width`` in bytes, or None where it varies."""

    name: str
    width: Optional[int]
    least: int = 0
    """Bytes it takes at least (CHAR in a multi-byte character set)."""

    @property
    def sql(self) -> str:
        """The bytes of this column in a row."""
        name = quote(self.name)
        if self.width is not None:
            return f"IF({name} IS NULL, 0, {self.width})"
        return f"COALESCE(GREATEST(LENGTH({name}), {self.least}) + 1, 0)"

    def prefix_sql(self, characters: Optional[int]) -> str:
        """The bytes of it in an index of its first ``characters``."""
        if not characters or self.width is not None:
            return self.sql
        return f"COALESCE(LEAST(LENGTH({quote(self.name)}), {characters}) + 1, 0)"


def columns(rows: Sequence[Row]) -> list[Column]:
    """The stored columns, from ``sql/table_columns``; virtual ones take no room."""
    return [
        Column(str(row["name"]), _width(row), _least(row))
        for row in rows
        if "VIRTUAL" not in str(row["extra"]).upper()
    ]


def _width(row: Row) -> Optional[int]:
    kind = str(row["type"]).lower()
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _WITH_FRACTION:
        return _WITH_FRACTION[kind] + math.ceil(int(row["fraction"] or 0) / 2)
    if kind == "decimal":
        whole = int(row["digits"] or 10) - int(row["decimals"] or 0)
        return math.ceil(whole * 4 / 9) + math.ceil(int(row["decimals"] or 0) * 4 / 9)
    if kind == "bit":
        return math.ceil(int(row["digits"] or 1) / 8)
    if kind == "binary":
        return int(row["octets"] or 1)
    return None


def _least(row: Row) -> int:
    found = re.match(r"char\((\d+)\)", str(row["declared"]).lower())
    return int(found[1]) if found else 0


def row_sql(found: Sequence[Column], extra: int) -> str:
    """Bytes of a whole row, ``extra`` of them for its header."""
    return " + ".join([str(extra + math.ceil(len(found) / 8)), *(c.sql for c in found)])


def inline_sql(found: Sequence[Column], extra: int, page_size: int) -> str:
    """Bytes of the row in its own page: what is too long lies off it."""
    whole = row_sql(found, extra)
    short = " + ".join([str(extra), *(_short(c) for c in found)])
    return f"IF({whole} > {_limit(page_size)}, LEAST({short}, {_limit(page_size)}), {whole})"


def offpage_sql(found: Sequence[Column], extra: int, page_size: int) -> str:
    """Pages that the row's long values fill."""
    whole = row_sql(found, extra)
    long = [c for c in found if c.width is None]
    if not long:
        return "0"
    holds = page_size - (16384 - _PAGE_HOLDS)
    parts = (
        f"IF(LENGTH({quote(c.name)}) > 1000, CEIL(LENGTH({quote(c.name)}) / {holds}), 0)"
        for c in long
    )
    return f"IF({whole} > {_limit(page_size)}, {' + '.join(parts)}, 0)"


def _short(column: Column) -> str:
    if column.width is not None:
        return column.sql
    return f"IF(LENGTH({quote(column.name)}) > 1000, {_POINTER}, {column.sql})"


def _limit(page_size: int) -> int:
    # Two records must fit into a page; pages of 32 and 64 KB have limits of their own.
    return {32768: 16336, 65536: 16383}.get(page_size, page_size // 2 - 66)
