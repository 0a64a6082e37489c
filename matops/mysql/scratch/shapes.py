"""The shape of tables: what CREATE TABLE would say of them, as one digest each.

Not part of it: rows, the next AUTO_INCREMENT, statistics. Equal digests mean equal columns,
indexes, engine, row format, collation and options.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from matops.mysql.session import DatabaseError, Session


@dataclass(frozen=True)
class Shape:
    """One table. ``rows`` and ``bytes`` are the server's estimates, not part of ``digest``."""

    name: str
    digest: str
    engine: str = ""
    rows: int = 0
    bytes: int = 0
    columns: tuple[str, ...] = ()
    generated: bool = False
    """It has generated columns, which cannot be written to."""
    triggers: bool = False
    foreign_keys: bool = False


@dataclass(frozen=True)
class Schema:
    """What is in a schema: its base tables by name, and the names of its views."""

    tables: dict[str, Shape] = field(default_factory=dict)
    views: tuple[str, ...] = ()


def look(session: Session, schema: str, prefix: str = "") -> Schema:
    """All base tables and views whose names begin with ``prefix``. Five statements.

    Raises DatabaseError. Triggers are seen only with the TRIGGER privilege.
    """
    facts: dict[str, list[Any]] = defaultdict(list)
    columns: dict[str, list[str]] = defaultdict(list)
    generated: set[str] = set()
    for row in session.rows("shape_columns", (schema,)):
        name = str(row.pop("name"))
        columns[name].append(str(row["column_name"]))
        if row["expression"]:
            generated.add(name)
        facts[name].append(_plain(row))
    for row in session.rows("shape_indexes", (schema,)):
        facts[str(row.pop("name"))].append(_plain(row))
    linked = _names(session, "shape_foreign_keys", schema)
    triggered = _names(session, "shape_triggers", schema)
    tables, views = {}, []
    for row in session.rows("shape_tables", (schema,)):
        name = str(row["name"])
        if not name.startswith(prefix):
            continue
        if row["type"] != "BASE TABLE":
            views.append(name)
            continue
        own = [row["engine"], row["row_format"], row["collation"], _options(row["options"])]
        digest = hashlib.sha256(json.dumps([own, *facts[name]]).encode()).hexdigest()[:16]
        tables[name] = Shape(
            name, digest, str(row["engine"] or ""), int(row["estimated_rows"] or 0),
            int(row["bytes"] or 0), tuple(columns[name]), name in generated, name in triggered,
            name in linked,
        )  # fmt: skip
    return Schema(tables, tuple(sorted(views)))


def different(before: dict[str, Shape], after: dict[str, Shape]) -> list[str]:
    """What differs between two looks, a line each: ``matomo_segment changed``. Pure."""
    lines = []
    for name in sorted({*before, *after}):
        if name not in after:
            lines.append(f"{name} is gone")
        elif name not in before:
            lines.append(f"{name} is new")
        elif before[name].digest != after[name].digest:
            lines.append(f"{name} changed")
    return lines


def _plain(row: dict[str, Any]) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in row.values()]


def _options(text: Any) -> list[str]:
    # Statistics options come and go without a change of the table's rows or columns.
    return sorted(word for word in str(text or "").split() if not word.startswith("stats_"))


def _names(session: Session, statement: str, schema: str) -> set[str]:
    try:
        return {str(row["name"]) for row in session.rows(statement, (schema,))}
    except DatabaseError:
        return set()  # a server that hides them: the copy has none either way
