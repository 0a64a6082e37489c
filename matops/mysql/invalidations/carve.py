"""Rows moved out of the live table into a backup table, some hundred at a time.

For when most rows stay: the table is never exchanged, nobody waits for more than a batch. Each
batch is one transaction: the rows are locked by primary key and looked at once more, copied into
the backup, deleted, counted in the record. Killed anywhere, the backup holds exactly what is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Optional

from matops.errors import MatopsError
from matops.mysql.invalidations import moving
from matops.mysql.invalidations.keep import DUPLICATES, Condition, Rule
from matops.mysql.invalidations.moving import Pace
from matops.mysql.invalidations.record import BEGUN, CARVE, COPYING, DONE, Record
from matops.mysql.invalidations.swap import gone, lost
from matops.mysql.invalidations.tools import Tools
from matops.mysql.session import Session

WINDOW = 20_000
"""Rows of the live table that are looked through with one statement."""

Doomed = tuple[int, int]
"""(id of a row that goes, id of the row that must stay for it; 0 = none)."""
Find = Callable[[], Iterator[list[Doomed]]]


def begin(tools: Tools, rule: Rule, why: str) -> Record:
    """Makes the empty backup table; the record. ``finish`` does the rest."""
    backup = tools.free_name("bak")
    # Rows that come later are not what was looked at: a run that goes on days later leaves them.
    last = moving.max_id(tools.session, tools.table)
    record = tools.records.create(
        Record(backup, tools.table, CARVE, why, tools.now(), rule=rule, boundary=last)
    )
    tools.session.execute("invalidations_like", new=backup, table=tools.table)
    return record


def settle(tools: Tools, record: Record) -> bool:
    """After a killed run: True where ``finish`` goes on; False where nothing had happened."""
    if not tools.there(record.backup):
        if record.moved:
            raise lost(record)
        tools.records.drop(record)
        return False
    if not tools.there(record.table):
        raise gone(record)
    return True


def finish(tools: Tools, record: Record, find: Find) -> Record:
    """Carves until ``find`` finds nothing more; verifies the count. Goes on after a kill.

    A backup that stayed empty goes again. MatopsError where the counts do not agree.
    """
    if record.state == BEGUN:
        record = tools.records.change(record, state=COPYING)
    pace = Pace(rows=500, least=50, most=5000)
    for found in find():
        for at in range(0, len(found), pace.most):
            record = _in_batches(tools, record, found[at : at + pace.most], pace)
    rows, _ = moving.count(tools.session, record.backup, ("TRUE", ()))
    if rows != record.moved:
        raise MatopsError(
            f"{record.backup} holds {rows} rows, but {record.moved} were moved into it",
            state=f"{record.table} is in use",
            next="somebody changed the backup: look at it before you drop it",
        )
    if not rows:
        tools.drop_empty(record.backup, "the backup")
        tools.records.drop(record)
        return record
    return tools.records.change(record, state=DONE, rows=rows)


def _in_batches(tools: Tools, record: Record, found: Sequence[Doomed], pace: Pace) -> Record:
    at = 0
    while at < len(found):
        tools.check()
        batch = found[at : at + pace.rows]
        began, held = time.monotonic(), record
        record = moving.again(lambda batch=batch, held=held: _batch(tools, held, batch))  # type: ignore[misc]
        pace.took(time.monotonic() - began)
        at += len(batch)
        tools.moved(len(batch))
    return record


def _batch(tools: Tools, record: Record, batch: Sequence[Doomed]) -> Record:
    session = tools.session
    with moving.transaction(session):
        ids = _locked(session, record, batch)
        if not ids:
            return record
        marks, names = ", ".join(["%s"] * len(ids)), {"table": record.table}
        columns = moving.listed(moving.names(session, tools.schema, record.table))
        put = moving.change(session, "invalidations_carve", ids, backup=record.backup,
                            parts={"ids": marks, "columns": columns}, **names)  # fmt: skip
        taken = moving.change(session, "invalidations_take", ids, parts={"ids": marks}, **names)
        if not put == taken == len(ids):
            raise MatopsError(
                f"of {len(ids)} rows {put} were copied and {taken} deleted",
                state="That batch was rolled back",
                next="look for triggers on the table, and run it again",
            )
        return tools.records.change(record, moved=record.moved + taken, after=ids[-1])


def _locked(session: Session, record: Record, batch: Sequence[Doomed]) -> list[int]:
    """Those that are still to go, locked: an archiver may have begun on one meanwhile."""
    rule = record.rule
    condition: Condition = rule.goes()
    wanted = sorted({id for pair in batch for id in pair if id})
    if rule.only == DUPLICATES:
        # The one that stays must be there, and queued: Matomo, when it gives up on a row in
        # progress, deletes that row where it sees a queued twin.
        condition = ("COALESCE(status, 0) = 0", ())
    rows = moving.run(
        session, "invalidations_lock", (*wanted, *condition[1]), table=record.table,
        parts={"ids": ", ".join(["%s"] * len(wanted)), "condition": condition[0]},
    )  # fmt: skip
    good = {int(row["id"]) for row in rows}
    return sorted(id for id, other in batch if id in good and (not other or other in good))


def finder(tools: Tools, rule: Rule, last: Optional[int] = None) -> Find:
    """Finds rows by the rule, in the order of the primary key, up to the highest id of now."""

    def find() -> Iterator[list[Doomed]]:
        session, after = tools.session, -1
        end = moving.max_id(session, tools.table) if last is None else last
        pace = Pace(rows=WINDOW, least=WINDOW, most=WINDOW)
        text, values = rule.goes()
        for until in moving.ends(session, tools.table, -1, end, pace):
            rows = moving.run(
                session, "invalidations_find", (after, until, *values),
                parts={"condition": text}, table=tools.table,
            )  # fmt: skip
            after = until
            if rows:
                yield [(int(row["id"]), 0) for row in rows]

    return find
