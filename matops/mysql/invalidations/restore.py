"""Putting a backup back.

A whole table (``swap``, ``replaced``): the reverse of the exchange, just as atomic; then the rows
created since are merged into it. The table that was replaced stays as another backup. What the
archiver has done since the truncate is done once more: an archive is built anew, none is lost.

Rows that were carved out: those that are not there are inserted back. So are those of a whole
table that has other columns than the live one has now (an upgrade lies between): in its place
Matomo would find a table it does not know.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from matops.errors import MatopsError
from matops.mysql.invalidations import clear_flags, moving, swap
from matops.mysql.invalidations.record import (
    BEGUN,
    CARVE,
    COPYING,
    DONE,
    FLAGS,
    REPLACED,
    RESTORING,
    SWAP,
    Record,
    unfinished,
)  # fmt: skip
from matops.mysql.invalidations.tools import GAP, Tools
from matops.mysql.session import Session

EVERY = ("TRUE", ())
LOST = 1000
"""Gaps left free above the ids of a live table that is gone: a thousand million ids."""


@dataclass(frozen=True)
class Outcome:
    """``merged``: rows created since, or put back. ``aside``: the backup of what was replaced."""

    record: Record
    merged: int
    aside: str = ""


def begun(tools: Tools) -> list[Record]:
    """Restores that a killed run left."""
    return [r for r in unfinished(tools.records.all()) if r.method == REPLACED
            or r.state == RESTORING]  # fmt: skip


def put_back(tools: Tools, record: Record) -> Outcome:
    """Puts that backup back. Refused where the table stays held; nothing was changed then."""
    if record.method == FLAGS:
        return Outcome(record, clear_flags.put_back(tools, record))
    if not tools.there(record.backup):
        raise swap.lost(record)
    if not tools.there(record.table):
        if record.method == CARVE:
            raise _nowhere(record)
        return _take_place(tools, record)
    if inserts(tools.session, tools.schema, record):
        return _insert_back(tools, record)
    return _exchange_back(tools, record)


def inserts(session: Session, schema: str, record: Record) -> bool:
    """Its rows are inserted into the live table; else the two tables are exchanged."""
    if record.method == CARVE or record.state == RESTORING or record.restored:
        return True
    return not swap.alike(session, schema, record.table, record.backup)


def _insert_back(tools: Tools, record: Record) -> Outcome:
    if record.restored:
        return Outcome(record, 0)
    if record.state != RESTORING:
        record = tools.records.change(record, state=RESTORING, after=-1, back=0)
    record = swap.copy_back(tools, record, record.backup, EVERY, missing=True, counter="back")
    rows, _ = moving.count(tools.session, record.backup, EVERY)
    record = tools.records.change(record, state=DONE, rows=rows, restored=tools.now())
    return Outcome(record, record.back)


def _nowhere(record: Record) -> MatopsError:
    return MatopsError(
        f"{record.table} is gone, and {record.backup} holds but a part of its rows",
        state="Nothing was changed",
        next="put a whole table back first: invalidations.backups lists them",
    )


def _take_place(tools: Tools, record: Record) -> Outcome:
    """Where there is no live table at all. Its ids, given out since, are known to nobody: they
    began ``GAP`` above those of the newest backup."""
    known = [one.backup for one in tools.records.all() if one.method in (SWAP, REPLACED)
             and tools.there(one.backup)]  # fmt: skip
    swap.set_first(tools, record.backup, tools.highest(*known) + LOST * GAP)
    tools.switch.do(
        record.backup,
        lambda: tools.session.execute(
            "invalidations_put", **{"from": record.backup, "to": record.table}
        ),
        lambda: tools.there(record.table),
    )
    tools.records.drop(record)
    return Outcome(record, 0)


def _exchange_back(tools: Tools, record: Record) -> Outcome:
    aside = tools.free_name("bak")
    old = moving.max_id(tools.session, record.backup)
    if _strangers(tools, record, old):
        # Rows below the boundary that the backup never had: another backup's, put back since.
        old = -1
    made = tools.records.create(
        Record(aside, record.table, REPLACED, f"replaced by the restore of {record.backup}",
               tools.now(), new=record.backup, boundary=old, after=old)
    )  # fmt: skip
    try:
        swap.set_first(tools, record.backup, tools.highest(record.table, record.backup) + GAP)
        swap.exchange(tools, record.backup, aside, record.table)
    except BaseException as error:
        with contextlib.suppress(MatopsError):
            if not tools.there(aside):
                tools.records.drop(made)
                if isinstance(error, MatopsError):
                    error.state = "Nothing was changed"
        raise
    return finish(tools, made)


def _strangers(tools: Tools, record: Record, old: int) -> int:
    return int(
        tools.session.value(
            "invalidations_strangers", (old,), table=record.table, backup=record.backup
        )
    )


def finish(tools: Tools, record: Record) -> Outcome:
    """Merges the rows created since, after the exchange. Goes on where a killed run was."""
    if record.state == BEGUN:
        # Columns may differ by now, if the restore was killed and an upgrade came before this.
        swap.above(tools, record.table, record.backup)
        record = tools.records.change(record, state=COPYING)
    record = swap.copy_back(tools, record, record.backup, EVERY, missing=True)
    rows, newer = moving.count(
        tools.session, record.backup, ("idinvalidation > %s", (record.boundary,))
    )
    if record.boundary >= 0 and newer != record.moved:
        raise MatopsError(
            f"{newer} rows were created since, {record.moved} of them were merged",
            state=f"{record.table} is the restored table; they are all in {record.backup}",
            next="look at both",
        )
    old = tools.records.find(record.new)
    if old:
        tools.records.drop(old)
    record = tools.records.change(record, state=DONE, rows=rows)
    return Outcome(record, record.moved, record.backup)


def settle(tools: Tools, record: Record) -> bool:
    """After a killed restore: True where ``finish`` (or ``put_back``) goes on."""
    if record.state == RESTORING or tools.there(record.backup):
        return True
    if record.state != BEGUN:
        raise swap.lost(record)
    tools.records.drop(record)
    return False
