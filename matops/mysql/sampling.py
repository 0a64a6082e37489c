"""Rows counted and measured at random points of the primary key: SQL only, SELECT only.

The optimizer's row count is off by 20–45 % for tables with blobs, so rows are counted as well:
the key's range is cut into equal strata, and in each a random window is read. That is unbiased
for scattered and for contiguous deletes alike, and its spread gives the error.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from matops import sqlfile
from matops.mysql import rowlength
from matops.mysql.packing import INDEX_EXTRA, RECORD_EXTRA
from matops.mysql.quote import fill
from matops.mysql.rowlength import Column
from matops.mysql.session import Row, Session

STRATA = 300
_ROWS_A_WINDOW = 25
_BYTES_A_WINDOW = 200_000  # LENGTH() reads off-page values whole
_SMALL = 128 * 2**20  # such a table is read whole where it has no integer key
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")


class NotPossible(Exception):
    """This table cannot be sampled by its key."""


@dataclass(frozen=True)
class Measured:
    """A table's rows and their mean bytes; ``error`` is the relative standard error of rows."""

    rows: float
    row_bytes: float
    offpage_pages: float
    index_bytes: tuple[float, ...]
    """Mean bytes of an entry of each secondary index."""
    error: float
    note: str = ""


def measure(session: Session, schema: str, table: str, status: Row) -> Measured:
    """Samples one table: about 300 short statements. NotPossible; DatabaseError.

    ``status``: its row of ``sql/table_status``.
    """
    if str(status["row_format"]).lower() == "compressed":
        raise NotPossible("compressed rows cannot be measured by their length")
    found = session.rows("table_columns", (schema, table))
    indexes = _indexes(session.rows("table_indexes", (schema, table)))
    measures = _measures(rowlength.columns(found), indexes)
    text = _with_measures("sample_window", measures)
    key = _integer_key(found, indexes)
    size = int(status["data_bytes"] or 0)
    if not key:
        if size > _SMALL:
            raise NotPossible("no primary key that starts with an integer")
        return _whole(session, table, measures)
    edge = session.rows("key_range", table=table, key=key)[0]
    if edge["low"] is None:
        return Measured(0, 0, 0, tuple(0.0 for _ in measures[2:]), 0)
    low, high = int(edge["low"]), int(edge["high"]) + 1
    estimated = max(int(status["estimated_rows"] or 0), 1)
    wanted = max(min(_ROWS_A_WINDOW, _BYTES_A_WINDOW * estimated // max(size, 1)), 1)
    width = max((high - low) * wanted // estimated, 1)
    if width * STRATA >= high - low:
        return _whole(session, table, measures)
    statement = fill(text, {"table": table, "key": key}, bound=True)
    windows = []
    dice = random.Random()
    stratum = (high - low) / STRATA
    for i in range(STRATA):
        first = low + int(i * stratum + dice.random() * max(stratum - width, 0))
        windows.append(session.run(statement, (first, first + width), doing="sample_window")[0])
    return _sum_up(windows, (high - low) / width / STRATA, len(measures))


def _sum_up(windows: list[Row], scale: float, measures: int) -> Measured:
    counts = [int(row["n"]) for row in windows]
    seen = sum(counts)
    if not seen:
        return Measured(0, 0, 0, (0.0,) * (measures - 2), 1.0, "no row in any sample")
    sums = [sum(float(row[f"m{i}"] or 0) for row in windows) for i in range(measures)]
    # Differences of neighbours: strata that differ (contiguous deletes) are not an error.
    steps = sum((a - b) ** 2 for a, b in zip(counts, counts[1:]))
    error = math.sqrt(steps / 2 / max(len(counts) - 1, 1) * len(counts)) / seen
    return Measured(
        rows=seen * scale,
        row_bytes=sums[0] / seen,
        offpage_pages=sums[1] * scale,
        index_bytes=tuple(total / seen for total in sums[2:]),
        error=error,
        note=f"{seen} rows sampled",
    )


def _whole(session: Session, table: str, measures: list[str]) -> Measured:
    text = fill(_with_measures("sample_all", measures, bound=False), {"table": table}, bound=False)
    return _sum_up(session.run(text, doing="sample_all"), 1.0, len(measures))


def _with_measures(name: str, measures: list[str], *, bound: bool = True) -> str:
    sums = ", ".join(f"SUM({text}) AS m{i}" for i, text in enumerate(measures))
    sums = sums.replace("%", "%%") if bound else sums
    return sqlfile.load(name).replace("{{measures}}", sums)


def _measures(found: list[Column], indexes: dict[str, list[Row]]) -> list[str]:
    """Row bytes, off-page pages, then the bytes of an entry of each secondary index."""
    page = 16384
    texts = [
        rowlength.inline_sql(found, RECORD_EXTRA, page),
        rowlength.offpage_sql(found, RECORD_EXTRA, page),
    ]
    by_name = {column.name: column for column in found}
    primary = [str(row["column_name"]) for row in indexes.get("PRIMARY", [])]
    for name, parts in indexes.items():
        if name == "PRIMARY" or str(parts[0]["type"]).upper() != "BTREE":
            continue
        terms = [str(INDEX_EXTRA)]
        for row in parts:
            column = by_name.get(str(row["column_name"]))
            if column:
                prefix = row["prefix_length"]
                terms.append(column.prefix_sql(int(prefix) if prefix else None))
        own = {str(row["column_name"]) for row in parts}
        terms += [by_name[c].sql for c in primary if c not in own and c in by_name]
        texts.append(" + ".join(terms))
    return texts


def _indexes(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["name"]), []).append(row)
    return found


def _integer_key(found: list[Row], indexes: dict[str, list[Row]]) -> str:
    """The primary key's first column where it is an integer, else ''."""
    primary = indexes.get("PRIMARY")
    if not primary:
        return ""
    name = str(primary[0]["column_name"])
    kinds = {str(row["name"]): str(row["type"]).lower() for row in found}
    return name if kinds.get(name) in _INTEGERS else ""
