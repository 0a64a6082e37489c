"""What of a live table decides how long a change of it takes: sizes, key, which indexes are
written at random. Some hundred one-row reads."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from matops import sqlfile
from matops.mysql.quote import fill, quote
from matops.mysql.session import Row, Session

DIVES = 150
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")


@dataclass(frozen=True)
class Dives:
    """What random reads showed. ``latency``: seconds that one page from disk took, None where
    all was in memory; ``cold``: share of the reads that went to disk."""

    latency: Optional[float] = None
    cold: float = 0.0


@dataclass(frozen=True)
class Shape:
    """A live table. Bytes; ``rows`` is the server's estimate.

    ``key``: the integer that its primary key starts with, '' where it does not; ``low``, ``high``
    its range. ``places``: of each secondary index, the number of places where entries are added
    when the rows come by primary key, each a page: 1 where the index grows at its end.
    """

    schema: str
    table: str
    engine: str = ""
    rows: int = 0
    data_bytes: int = 0
    index_bytes: int = 0
    columns: tuple[str, ...] = ()
    key: str = ""
    low: int = 0
    high: int = 0
    places: tuple[int, ...] = ()
    dives: Dives = field(default_factory=Dives)

    @property
    def bytes(self) -> int:
        """Data and indexes."""
        return self.data_bytes + self.index_bytes

    @property
    def scattered(self) -> int:
        """How many secondary indexes are added to all over, not at a few places."""
        size = self.index_bytes / max(len(self.places), 1)
        return sum(places * 16384 > size / 4 for places in self.places)

    def working_set(self, rows: float, page: int = 16384) -> float:
        """Bytes of index pages that ``rows`` rows added one by one keep coming back to."""
        size = self.index_bytes / len(self.places) * rows / max(self.rows, 1) if self.places else 0
        return float(sum(min(size, places * page) for places in self.places))


def look(session: Session, schema: str, table: str, *, dives: int = DIVES) -> Optional[Shape]:
    """The table's shape; None where it does not exist. DatabaseError."""
    status = session.rows("table_status", (schema, table))
    if not status:
        return None
    found = session.rows("table_columns", (schema, table))
    parts: dict[str, list[Row]] = {}
    for row in session.rows("ddl_indexes", (schema, table)):
        parts.setdefault(str(row["name"]), []).append(row)
    kinds = {str(row["name"]): str(row["type"]).lower() for row in found}
    primary = str(parts["PRIMARY"][0]["column_name"]) if "PRIMARY" in parts else ""
    key = primary if kinds.get(primary) in _INTEGERS else ""
    low = high = 0
    if key:
        edge = session.rows("ddl_key_range", schema=schema, table=table, key=key)[0]
        low, high = int(edge["low"] or 0), int(edge["high"] or -1) + 1
    secondary = {name: rows for name, rows in parts.items() if name != "PRIMARY"}
    wanted = {str(row["column_name"]) for rows in secondary.values() for row in rows}
    seen, dived = _dive(session, schema, table, key, low, high, wanted, dives)
    return Shape(
        schema, table, str(status[0]["engine"] or ""),
        rows=int(status[0]["estimated_rows"] or 0),
        data_bytes=int(status[0]["data_bytes"] or 0),
        index_bytes=int(status[0]["index_bytes"] or 0),
        columns=tuple(str(r["name"]) for r in found if "GENERATED" not in str(r["extra"]).upper()),
        key=key, low=low, high=high,
        places=tuple(places(seen, index) for index in secondary.values()),
        dives=dived,
    )  # fmt: skip


def _dive(session: Session, schema: str, table: str, key: str, low: int, high: int,
          columns: set[str], number: int) -> tuple[list[Row], Dives]:  # fmt: skip
    if not key or high - low < 2 * number:
        return [], Dives()
    wanted = sorted({key, *columns})
    text = sqlfile.load("ddl_dive").replace("{{columns}}", ", ".join(map(quote, wanted)))
    text = fill(text, {"schema": schema, "table": table, "key": key}, bound=True)
    points = sorted(random.randrange(low, high) for _ in range(number))
    before, cold = _pages(session), 0.0
    took: list[list[float]] = []
    rows: list[Row] = []
    for _ in range(2):  # the second time all is in memory: what is left is the round trip
        rows, each = [], []
        for at in points:
            began = time.monotonic()
            rows += session.run(text, (at,), doing="ddl_dive")
            each.append(time.monotonic() - began)
        took.append(sorted(each))
        if len(took) == 1:
            cold = min((_pages(session) - before) / number, 1.0)
    if cold < 0.1:
        return rows, Dives(None, cold)
    # The quick ones among those that went to disk: a mean, or the median on a busy machine, would
    # be of the reads during which somebody else had the processor.
    slow = took[0][int(number * (1 - cold + cold / 5)) - 1]
    return rows, Dives(min(max(slow - took[1][number // 5], 2e-5), 0.02), cold)


def _pages(session: Session) -> int:
    rows = session.rows("ddl_pages_read")
    return int(rows[0]["Value"]) if rows else 0


def places(rows: Sequence[Row], index: Sequence[Row]) -> int:
    """At how many places entries of ``index`` are added, for ``rows`` in the order of the primary
    key: one for each value of the columns before the first that grows with the key. Pure.

    ``index``: its columns in order, with ``distinct_values`` up to each.
    """
    heads = 1
    for part in index:
        values = [row[part["column_name"]] for row in rows]
        values = [value for value in values if value is not None]
        steps = list(zip(values, values[1:]))
        rising = sum(_not_less(b, a) for a, b in steps)
        if steps and len(set(map(str, values))) > len(rows) / 4 and rising >= 0.9 * len(steps):
            break
        heads = max(int(part["distinct_values"] or 1), heads)
    return heads


def _not_less(one: Any, other: Any) -> bool:
    try:
        return bool(one >= other)
    except TypeError:
        return False
