"""Every table of a schema: rows, sizes, family, and what a rebuild would give back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from matops.mysql import filenames, fragmentation
from matops.mysql.families import family, group
from matops.mysql.filenames import File
from matops.mysql.fragmentation import Estimate
from matops.mysql.server import Server
from matops.mysql.session import Row, Session

ESTIMATE_FROM = 64 * 2**20
"""Bytes: a smaller table cannot give back enough to be worth a look of 0.1–0.5 s."""


@dataclass(frozen=True)
class Table:
    """One base table. Bytes; times in seconds since 1970, UTC. None = not known."""

    name: str
    family: str
    engine: str
    row_format: str
    rows: int
    """The server's estimate: off by up to 45 % for tables with blobs."""
    data_bytes: int
    index_bytes: int
    file_bytes: int
    file_known: bool
    """False: it is data + index + free extents, for this account may not ask for files."""
    rebuilt: Optional[float]
    """When it was made, rebuilt or altered last (MariaDB: altered in any way)."""
    files: tuple[File, ...] = ()
    estimate: Optional[Estimate] = None

    @property
    def reclaim_bytes(self) -> int:
        """What a rebuild gives back; 0 where it was not estimated."""
        return self.estimate.reclaim_bytes if self.estimate else 0


@dataclass(frozen=True)
class Group:
    """The sum of a family. ``estimated`` of its ``tables`` were looked into for ``reclaim``."""

    name: str
    tables: int
    rows: int
    data_bytes: int
    index_bytes: int
    file_bytes: int
    reclaim_bytes: int
    estimated: int


def tables(session: Session, server: Server, schema: str, prefix: str = "") -> list[Table]:
    """All base tables of ``schema``, largest first. Two statements. DatabaseError."""
    files = filenames.files_of(session, server, schema)
    found = [_table(row, files, prefix) for row in session.rows("tables_all", (schema,))]
    return sorted(found, key=lambda table: (-table.file_bytes, table.name))


def with_estimates(
    session: Session,
    server: Server,
    schema: str,
    found: Sequence[Table],
    *,
    least: int = ESTIMATE_FROM,
    budget: float = 60,
) -> tuple[list[Table], int]:
    """The same tables with estimates: the largest first, down to ``least`` bytes.

    Stops after ``budget`` seconds. Returns the tables and how many that are large enough were
    left out for lack of time. DatabaseError for a lost connection.
    """
    until = time.monotonic() + budget
    looked, left_out = [], 0
    for table in found:
        if table.engine.lower() != "innodb" or table.file_bytes < least:
            looked.append(table)
        elif time.monotonic() > until:
            left_out += 1
            looked.append(table)
        else:
            known = list(table.files) or None
            made = fragmentation.estimate(session, server, table.name, schema=schema, files=known)
            looked.append(replace(table, estimate=made))
    return looked, left_out


def groups(found: Iterable[Table], *, months: bool = False) -> list[Group]:
    """Sums by family (``months``: archive tables by month), largest first."""
    by_name: dict[str, list[Table]] = {}
    for table in found:
        by_name.setdefault(table.family if months else group(table.family), []).append(table)
    made = [total(name, members) for name, members in by_name.items()]
    return sorted(made, key=lambda one: (-one.file_bytes, one.name))


def total(name: str, members: Sequence[Table]) -> Group:
    """The sum of some tables."""
    return Group(
        name=name,
        tables=len(members),
        rows=sum(t.rows for t in members),
        data_bytes=sum(t.data_bytes for t in members),
        index_bytes=sum(t.index_bytes for t in members),
        file_bytes=sum(t.file_bytes for t in members),
        reclaim_bytes=sum(t.reclaim_bytes for t in members),
        estimated=sum(t.estimate is not None for t in members),
    )


def _table(row: Row, files: dict[str, list[File]], prefix: str) -> Table:
    name = str(row["name"])
    data, index, free = (int(row[k] or 0) for k in ("data_bytes", "index_bytes", "free_bytes"))
    own = filenames.lookup(files, name)
    innodb = str(row["engine"] or "").lower() == "innodb"
    return Table(
        name=name,
        family=family(name, prefix),
        engine=str(row["engine"] or "unknown"),
        row_format=str(row["row_format"] or ""),
        rows=int(row["estimated_rows"] or 0),
        data_bytes=data,
        index_bytes=index,
        file_bytes=sum(file.bytes for file in own) if own else data + index + free,
        file_known=bool(own) or not innodb,
        rebuilt=None if row["created"] is None else float(row["created"]),
        files=tuple(own),
    )
