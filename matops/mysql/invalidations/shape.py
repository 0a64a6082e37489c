"""What ``archive_invalidations`` is on this server: its columns, keys, triggers, bytes.

The table as Matomo makes it: core/Db/Schema/Mysql.php, the same in 5.3.1 and 5.8.0.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.mysql import filenames
from matops.mysql.invalidations.again import PAUSE
from matops.mysql.server import Server, allowed
from matops.mysql.session import DatabaseError, Session

BASE = "archive_invalidations"
PRIMARY = "idinvalidation"
INDEX = ("idsite", "date1", "period")

_NUMBER = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_TIME = frozenset({"datetime", "timestamp"})
_TEXT = frozenset({"varchar", "char", "text", "tinytext", "mediumtext"})
COLUMNS: dict[str, frozenset[str]] = {
    "idinvalidation": _NUMBER,
    "idarchive": _NUMBER,
    "name": _TEXT,
    "idsite": _NUMBER,
    "date1": frozenset({"date"}),
    "date2": frozenset({"date"}),
    "period": _NUMBER,
    "ts_invalidated": _TIME,
    "ts_started": _TIME,
    "status": _NUMBER,
    "report": _TEXT,
}
"""What must be there, with the types that will do."""
ONLY_LATER = ("processing_host", "process_id")
"""Columns that Matomo before 5.1 does not have: who works on a row cannot be told without."""

_DENIED = (1044, 1142, 1143, 1227, 1370)
_NO_TABLE = (1146, 1049)


@dataclass(frozen=True)
class Column:
    """One column, in the table's order. ``type``: ``bigint``; ``declared``: with its size."""

    name: str
    type: str
    declared: str
    extra: str


@dataclass(frozen=True)
class Beside:
    """A table whose name begins with ours and ``_``: a backup of ours, or somebody's copy."""

    name: str
    rows: int
    """The server's estimate."""
    bytes: int


@dataclass(frozen=True)
class Shape:
    """One look at the table. Bytes; times in seconds since 1970; None = not known."""

    name: str
    type: str
    engine: str
    options: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...]
    indexes: dict[str, tuple[str, ...]]
    """Secondary indexes: name → columns (a prefix-indexed column is left out)."""
    next_id: int
    rows: int
    """The server's estimate: off by tens of percent."""
    data_bytes: int
    index_bytes: int
    file_bytes: Optional[int]
    created: Optional[float]
    triggers: tuple[str, ...]
    """Those that this account may see: see ``sees_triggers``."""
    foreign_keys: tuple[str, ...]
    beside: tuple[Beside, ...]

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns that Matomo itself does not make: a plugin's, or another version's."""
        known = {*COLUMNS, *ONLY_LATER}
        return tuple(c.name for c in self.columns if c.name not in known)

    @property
    def has_owner(self) -> bool:
        """Rows in progress name the host and process that work on them."""
        return {c.name for c in self.columns} >= set(ONLY_LATER)

    @property
    def index(self) -> str:
        """The index that begins with site, first day, period; '' where there is none."""
        begins = (n for n, columns in self.indexes.items() if columns[: len(INDEX)] == INDEX)
        return next(begins, "")

    @property
    def disk_bytes(self) -> int:
        """The file's size where known, else data + index."""
        return self.data_bytes + self.index_bytes if self.file_bytes is None else self.file_bytes

    def why_not(self) -> str:
        """Why this is not Matomo's table, in words; '' where it is. Pure."""
        if self.type != "BASE TABLE":
            return f"{self.name} is a {self.type.lower()}, not a table"
        if self.engine.lower() != "innodb":
            return f"{self.name} is kept by {self.engine or 'no engine'}, not InnoDB"
        types = {column.name: column.type for column in self.columns}
        missing = [name for name in COLUMNS if name not in types]
        if missing:
            return f"{self.name} has no column {', '.join(missing)}"
        wrong = [f"{n} {types[n]}" for n, good in COLUMNS.items() if types[n] not in good]
        if wrong:
            return f"{self.name} has columns of another type: {', '.join(wrong)}"
        if self.primary != (PRIMARY,):
            return f"the primary key of {self.name} is ({', '.join(self.primary)}), not {PRIMARY}"
        extra = next(c.extra for c in self.columns if c.name == PRIMARY)
        if "auto_increment" not in extra.lower():
            return f"{self.name}.{PRIMARY} is not AUTO_INCREMENT"
        return ""

    def require(self) -> Shape:
        """Itself. Refused where it is not the table it should be."""
        why = self.why_not()
        if why:
            raise Refused(
                f"this is not Matomo's {BASE}: {why}",
                state="Nothing was changed",
                next="check [database] dbname and tables_prefix in config.ini.php",
            )
        return self


def look(session: Session, prefix: str, server: Optional[Server] = None) -> Shape:
    """The table with that prefix. Six small statements; changes nothing.

    ``server``: to find the file's size, too. Raises MatopsError where there is no such table.
    """
    if session.flavour == "mysql":
        allowed(session, "statistics_fresh")
    found = _look(session, prefix, server)
    if found is None or not found.columns or not found.primary:
        # While tables are being exchanged with two statements there is none for a moment.
        time.sleep(PAUSE)
        found = _look(session, prefix, server)
    if found is None:
        raise _missing(session, prefix)
    return found


def _look(session: Session, prefix: str, server: Optional[Server]) -> Optional[Shape]:
    name = prefix + BASE
    rows = session.rows("invalidations_shape_table", (name,))
    if not rows:
        return None
    row = rows[0]
    schema = session.address.schema
    primary, indexes = _indexes(session, schema, name)
    return Shape(
        name=name,
        type=str(row["type"]),
        engine=str(row["engine"] or ""),
        options=str(row["options"] or ""),
        columns=_columns(session, schema, name),
        primary=primary,
        indexes=indexes,
        next_id=int(row["next_id"] or 0),
        rows=int(row["estimated_rows"] or 0),
        data_bytes=int(row["data_bytes"] or 0),
        index_bytes=int(row["index_bytes"] or 0),
        file_bytes=_file_bytes(session, server, schema, name),
        created=None if row["created"] is None else float(row["created"]),
        triggers=tuple(
            f"{r['name']} ({r['timing']} {r['event']})".lower()
            for r in session.rows("invalidations_shape_triggers", (name,))
        ),
        foreign_keys=tuple(
            f"{r['child_schema']}.{r['child']}.{r['name']} -> {r['parent']}"
            for r in session.rows("invalidations_shape_keys", (name, name))
        ),
        beside=beside(session, name),
    )


def beside(session: Session, name: str) -> tuple[Beside, ...]:
    """Tables called ``<name>_…``, by name."""
    found = session.rows("invalidations_shape_named", (like(f"{name}_") + "%",))
    return tuple(
        Beside(str(r["name"]), int(r["estimated_rows"] or 0), int(r["bytes"] or 0))
        for r in found
        if r["type"] == "BASE TABLE"
    )


def like(text: str) -> str:
    r"""``text`` for LIKE, where ``_`` and ``%`` would be wild cards: ``a\_b``."""
    return text.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def sees_triggers(session: Session) -> Optional[bool]:
    """Whether this account would see triggers: it needs the TRIGGER privilege to.

    Tries to make one on a table that does not exist. None: the server said something else
    (read-only; 1419, where the binary log is on and the account has not SUPER).
    """
    token = secrets.token_hex(6)
    names = {"trigger": f"matops_asks_{token}", "table": f"matops_asks_{token}"}
    try:
        session.rows("invalidations_probe_trigger", **names)
    except DatabaseError as error:
        if error.number in _DENIED:
            return False
        return True if error.number in _NO_TABLE else None
    return True


def _columns(session: Session, schema: str, name: str) -> tuple[Column, ...]:
    return tuple(
        Column(str(r["name"]), str(r["type"]).lower(), str(r["declared"]), str(r["extra"] or ""))
        for r in session.rows("table_columns", (schema, name))
    )


def _indexes(
    session: Session, schema: str, name: str
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    found: dict[str, list[str]] = {}
    for row in session.rows("table_indexes", (schema, name)):
        columns = found.setdefault(str(row["name"]), [])
        if row["prefix_length"] is None and row["type"] == "BTREE":
            columns.append(str(row["column_name"]))
    primary = tuple(found.pop("PRIMARY", ()))
    return primary, {key: tuple(columns) for key, columns in found.items()}


def _file_bytes(
    session: Session, server: Optional[Server], schema: str, name: str
) -> Optional[int]:
    if server is None:
        return None
    files = filenames.lookup(filenames.files_of(session, server, schema, name), name)
    return sum(file.bytes for file in files) if files else None


def _missing(session: Session, prefix: str) -> MatopsError:
    rows: list[dict[str, Any]] = session.rows("invalidations_shape_named", (f"%{like(BASE)}",))
    others = ", ".join(str(row["name"]) for row in rows[:5])
    return MatopsError(
        f"there is no table {prefix}{BASE} in {session.address.shown}",
        state=f"There is {others}" if others else "Nor any other *archive_invalidations",
        next="check [database] dbname and tables_prefix in config.ini.php",
    )
