"""A table's columns as expressions that the server turns into SQL literals itself.

The server writes the literals where it can: exact for every type, and ten times as fast as
taking values apart here. Only what may be longer than a packet (TEXT, BLOB, JSON, …) comes as it
is and is quoted here. An expression too long for a packet would be NULL without an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from matops.mysql.quote import quote
from matops.mysql.session import Row

INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
_CHARACTERS = ("char", "varchar", "enum", "set")
_BYTES = ("binary", "varbinary")
_LONG_TEXT = ("tinytext", "text", "mediumtext", "longtext", "json")
_LONG_BYTES = (
    "tinyblob", "blob", "mediumblob", "longblob", "vector", "geometry", "point", "linestring",
    "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection",
    "geomcollection",
)  # fmt: skip
_ORDERED = (*INTEGERS, *_BYTES, "char", "varchar", "date", "datetime", "timestamp", "decimal")
"""Types by which ``>`` and ORDER BY agree, and a literal compares exactly. Not ENUM (compared as
text, sorted by number), FLOAT and DOUBLE."""

LITERAL, TEXT, BYTES = "literal", "text", "bytes"

_SPECIAL = re.compile(rb"['\\\x00\n\r\x1a]")
_ESCAPES = {
    b"'": b"\\'", b"\\": b"\\\\", b"\0": b"\\0", b"\n": b"\\n", b"\r": b"\\r", b"\x1a": b"\\Z",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column whose values are dumped. ``kind``: who makes the literal (see above)."""

    name: str
    type: str

    @property
    def kind(self) -> str:
        """LITERAL: the server makes it; TEXT and BYTES: we do."""
        if self.type in _LONG_TEXT:
            return TEXT
        return BYTES if self.type in _LONG_BYTES else LITERAL

    @property
    def expression(self) -> str:
        """What to select."""
        name = quote(self.name)
        return name if self.kind != LITERAL else f"IFNULL({self._literal(name)}, 'NULL')"

    @property
    def key_literal(self) -> str:
        """As a part of a key (never NULL): what the next reading compares with."""
        return self._literal(quote(self.name))

    def _literal(self, name: str) -> str:
        if self.type in (*INTEGERS, "decimal"):
            return name
        if self.type in _BYTES:
            return f"IF(LENGTH({name}) = 0, '''''', CONCAT('0x', HEX({name})))"
        if self.type == "bit":
            return f"CONCAT('0x', HEX({name}))"
        if self.type in _CHARACTERS:
            # Columns of several character sets end up in one text.
            text = f"QUOTE(CONVERT({name} USING utf8mb4))"
            # QUOTE leaves it as it is, and the client that reads it back makes \r\n a \n.
            return f"REPLACE({text}, '\\r', '\\\\r')"
        if self.type == "float":
            return f"QUOTE({name} * 1e0)"  # as text a FLOAT has six digits, which lose bits
        return f"QUOTE({name})"


@dataclass(frozen=True)
class Shape:
    """What of a table is read: its columns but the generated ones, and its primary key.

    ``key`` is empty where the table cannot be read part by part.
    """

    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    narrow: bool
    """The server can write a whole row as one text: nothing in it outgrows a packet."""

    def select(self, *, with_key: bool) -> str:
        """The select list: the row (one column, or one each), then the key's literals."""
        parts = [column.expression for column in self.columns]
        if self.narrow:
            parts = ["CONCAT('(', " + ", ',', ".join(parts) + ", ')')"]
        return ", ".join(parts + [c.key_literal for c in self.key if with_key])

    def row(self, values: Sequence[Optional[bytes]]) -> bytes:
        """``(1,'a',NULL)`` from what the server sent for ``select``. ValueError: it sent NULL."""
        if self.narrow:
            if values[0] is None:
                raise ValueError("the server could not write a row as text (max_allowed_packet)")
            return values[0]
        return b"(" + b",".join(map(_literal, self.columns, values)) + b")"

    def key_of(self, values: Sequence[Optional[bytes]]) -> tuple[str, ...]:
        """The key of a row sent for ``select(with_key=True)``, as literals."""
        return tuple((value or b"").decode() for value in values[-len(self.key) :])


def shape(columns: Sequence[Row], key: Sequence[Row]) -> Shape:
    """From the rows of ``sql/backup_columns`` and ``sql/backup_key``. Pure."""
    types = {str(row["name"]): str(row["type"]) for row in columns}
    dumped = tuple(
        Column(str(row["name"]), str(row["type"])) for row in columns if not row["expression"]
    )
    whole = all(row["prefix"] is None for row in key)
    parts = tuple(Column(str(row["name"]), types.get(str(row["name"]), "")) for row in key)
    usable = whole and all(part.type in _ORDERED for part in parts)
    narrow = all(column.kind == LITERAL for column in dumped)
    return Shape(dumped, parts if usable else (), narrow)


def after(key: Sequence[Column], last: Sequence[str]) -> str:
    """``a > 1 OR (a = 1 AND b > 'x')``: the rows behind key ``last``, as ranges of the index.

    ``(a, b) > (1, 'x')`` says the same, but MySQL reads the index from its start for it.
    """
    ways = []
    for at, part in enumerate(key):
        same = [f"{quote(p.name)} = {v}" for p, v in zip(key[:at], last)]
        ways.append("(" + " AND ".join([*same, f"{quote(part.name)} > {last[at]}"]) + ")")
    return " OR ".join(ways)


def _literal(column: Column, value: Optional[bytes]) -> bytes:
    if value is None:
        return b"NULL"
    if column.kind == LITERAL:
        return value
    if column.kind == BYTES:
        return b"0x" + value.hex().encode() if value else b"''"
    return b"'" + quoted(value) + b"'"


def quoted(text: bytes) -> bytes:
    """UTF-8 text with what ends or changes a literal escaped: ``it\\'s``. Pure."""
    if not _SPECIAL.search(text):
        return text
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)
