"""One chunk: some visits and all that belongs to them, in one transaction, children first."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Optional

from matops.mysql.purge.link import MOVED
from matops.mysql.purge.steer import Steer
from matops.mysql.purge.tables import VISIT, Table, Tables
from matops.mysql.session import DatabaseError, Session

KEYS = 5000
"""Longer lists are not planned as ranges any more: optimizer_max_sel_args on MariaDB,
range_optimizer_max_mem_size on MySQL. A full scan would be the plan then."""
Place = tuple[str, int]
"""(visit_last_action_time, idvisit) of the last visit taken: where the next chunk begins."""
What = tuple[list[int], int, str, str]
"""The visits, their site, and the range of time that they must lie in still."""


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
    (row,) = session.rows(
        "purge_pick",
        (site, max(start, chunk.place[0]), end, *chunk.place, steer.visits),
        log_visit=tables.visit, time_index=tables.time_index, weight=tables.weight or VISIT,
    )  # fmt: skip
    found = _numbers(row["found"])
    if sum(found[::2]) != int(row["total"] or 0):
        raise Moved("the list of visits was cut off (max_allowed_packet): smaller chunks")
    weights = [weight if tables.weight else 0 for weight in found[1::2]]
    taken = found[::2][: steer.cut(weights)]
    chunk.more = len(taken) < len(weights) or len(weights) == steer.visits
    if not taken:
        return
    chunk.ids, last = sorted(taken), taken[-1]
    time_of_last = session.value("purge_time_of", (last,), log_visit=tables.visit)
    if time_of_last is None:
        raise Moved("a visit is gone that was read a moment ago")
    session.execute("purge_begin")
    _delete(session, tables, (chunk.ids, site, start, end), chunk.rows)
    if chunk.rows[tables.visit] < len(chunk.ids):
        raise Moved("a visit moved on while its chunk was under work")
    session.execute("purge_commit")
    chunk.place = (str(time_of_last), last)
    chunk.seconds = time.monotonic() - began


class Moved(DatabaseError):
    """A visit of the chunk got a new action, or is gone, or a list did not arrive whole: the chunk
    is undone, and read anew, smaller."""

    number = MOVED


def _numbers(text: object) -> list[int]:
    """Of ``1:2,3:4`` or ``1,2``; none of NULL."""
    if isinstance(text, bytes):
        text = text.decode()
    return [int(part) for part in str(text).replace(":", ",").split(",") if part] if text else []


def _delete(session: Session, tables: Tables, what: What, rows: Counter[str]) -> None:
    ids = what[0]
    for table in tables.quick:
        rows[table.name] += _delete_of(session, tables, table, ids)
    rows[tables.visit] += session.execute("purge_visits", what, log_visit=tables.visit)


def _delete_of(session: Session, tables: Tables, table: Table, ids: list[int]) -> int:
    keys = _keys(session, table, ids) if table.by_key else None
    if keys is None:
        statement, names = how(tables, table)
        return session.execute(statement, (ids,), **names)
    return sum(
        session.execute("purge_by_key", (keys[at : at + KEYS],), table=table.name, pk=table.pk)
        for at in range(0, len(keys), KEYS)
    )


def _keys(session: Session, table: Table, ids: list[int]) -> Optional[list[int]]:
    names = {"table": table.name, "index": table.index, "pk": table.pk}
    (row,) = session.rows("purge_keys", (ids,), **names)
    keys = sorted(_numbers(row["found"]))
    # Cut off (max_allowed_packet): the last number may be another row's.
    return keys if sum(keys) == int(row["total"] or 0) else None


def how(tables: Tables, table: Table) -> tuple[str, dict[str, str]]:
    """The statement that deletes from ``table`` by a list of visits, and its identifiers."""
    names = {"log_visit": tables.visit, "table": table.name, "index": table.index}
    if not table.parent:
        return "purge_rows", names
    between = {"parent": table.parent, "parent_index": table.parent_index, "key": table.key}
    return "purge_rows_through", {**names, **between}
