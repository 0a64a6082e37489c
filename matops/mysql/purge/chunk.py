"""One chunk: some visits and all that belongs to them, in one transaction, children first."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from matops.mysql.purge.steer import Steer
from matops.mysql.purge.tables import VISIT, Table, Tables
from matops.mysql.session import Session

Place = tuple[str, int]
"""(visit_last_action_time, idvisit) of the last visit taken: where the next chunk begins."""


@dataclass
class Chunk:
    """What one chunk did. ``more``: there may be visits behind ``place``."""

    place: Place
    ids: list[int] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    more: bool = True
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def run(
    session: Session, tables: Tables, site: int, end: str, start: str, chunk: Chunk, steer: Steer
) -> None:
    """Deletes the next visits of ``site`` in [start, end) behind ``chunk.place``.

    Fills ``chunk`` as it goes, so that after a lost link it is known which visits were at stake.
    Raises DatabaseError with the transaction still open.
    """
    began = time.monotonic()
    session.execute("purge_begin")
    found = session.rows(
        "purge_pick",
        (site, max(start, chunk.place[0]), end, *chunk.place, steer.visits),
        log_visit=tables.visit, time_index=tables.time_index, weight=tables.weight or VISIT,
    )  # fmt: skip
    weights = [int(row["weight"] or 0) if tables.weight else 0 for row in found]
    taken = found[: steer.cut(weights)]
    chunk.more = len(taken) < len(found) or len(found) == steer.visits
    if taken:
        chunk.ids = [int(row["idvisit"]) for row in taken]
        chunk.place = _place(taken[-1])
        _delete(session, tables, sorted(chunk.ids), chunk.rows)
    session.execute("purge_commit")
    chunk.seconds = time.monotonic() - began


def _place(row: dict[str, Any]) -> Place:
    return str(row["time"]), int(row["idvisit"])


def _delete(session: Session, tables: Tables, ids: list[int], rows: Counter[str]) -> None:
    for table in tables.quick:
        statement, names = how(tables, table)
        rows[table.name] += session.execute(statement, (ids,), **names)
    rows[tables.visit] += session.execute("purge_visits", (ids,), log_visit=tables.visit)


def how(tables: Tables, table: Table) -> tuple[str, dict[str, str]]:
    """The statement that deletes from ``table`` by a list of visits, and its identifiers."""
    names = {"log_visit": tables.visit, "table": table.name, "index": table.index}
    if not table.parent:
        return "purge_rows", names
    between = {"parent": table.parent, "parent_index": table.parent_index, "key": table.key}
    return "purge_rows_through", {**names, **between}
