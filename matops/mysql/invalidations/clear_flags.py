"""Invalid flags taken back, of archives that no row of the queue will rebuild.

``done…`` = 4 (DONE_INVALIDATED) becomes 1 (DONE_OK): the archive is used as it is, and nothing
rebuilds it until its day is invalidated again. A 6 (invalidated while it was being written, or
failed) stays: it is no whole archive, and ``archive.purge`` removes it. What was changed is kept
in a table, ``<table>_flags_…``, in the same transaction: ``invalidations.restore`` takes it back.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Optional

from matops.mysql.invalidations import moving, ranges, segments
from matops.mysql.invalidations.moving import Pace
from matops.mysql.invalidations.record import COPYING, DONE, FLAGS, RESTORING, Record, unfinished
from matops.mysql.invalidations.tools import Tools
from matops.mysql.invalidations.uncovered import RANGE, numeric_tables

Flag = tuple[int, str]
"""(idarchive, name): the primary key of an archive table."""
_BATCH = 500


def begun(tools: Tools) -> Optional[Record]:
    """The record of a run that was killed at it."""
    found = [r for r in unfinished(tools.records.all()) if r.method == FLAGS]
    return next((r for r in found if r.state != RESTORING), None)


def clear(tools: Tools, why: str) -> Optional[Record]:
    """Clears them in every archive_numeric table; the record of what was changed, None = nothing.

    Goes on where a killed run was: what it had cleared is not found again. Refused while the
    work of another killed run waits to be ended.
    """
    record = begun(tools)
    # Rows that a killed run has yet to put back would be missed.
    tools.none_unfinished(allowed=record.backup if record else "")
    if record is None:
        name = tools.free_name("flags")
        record = tools.records.create(Record(name, tools.table, FLAGS, why, tools.now()))
    if not tools.there(record.backup):
        tools.session.execute("invalidations_flags_table", new=record.backup)
    if record.state != COPYING:
        record = tools.records.change(record, state=COPYING)
    known = segments.look(tools.session, tools.prefix)
    site = tools.prefix + "site"
    sites = {int(row["idsite"]) for row in tools.session.rows("site_ids", site=site)}
    for _, table in numeric_tables(tools.session, tools.prefix):
        for part in ranges.plan(tools.session, table, "idarchive"):
            found = _found(tools, table, part, known, sites)
            for at in range(0, len(found), _BATCH):
                tools.check()
                batch = found[at : at + _BATCH]
                record = moving.again(
                    lambda held=record, table=table, batch=batch: _batch(tools, held, table, batch)  # type: ignore[misc]
                )
    if not record.moved:
        tools.drop_empty(record.backup, "the list of flags")
        tools.records.drop(record)
        return None
    return tools.records.change(record, state=DONE, rows=record.moved)


def _found(
    tools: Tools, table: str, part: ranges.Range, known: segments.Segments, sites: Collection[int]
) -> list[Flag]:
    rows = tools.session.rows(
        "invalidations_stale_flags", (part.low, part.high), numeric=table, queue=tools.table
    )
    return [
        (int(row["idarchive"]), str(row["name"]))
        for row in rows
        if int(row["period"]) != RANGE
        and int(row["idsite"]) in sites
        and segments.built_by_archiver(str(row["name"]), known)
    ]


def _batch(tools: Tools, record: Record, table: str, batch: Sequence[Flag]) -> Record:
    session, moved = tools.session, 0
    with moving.transaction(session):
        for idarchive, name in batch:
            # Only if it is still 4: the archiver, or an invalidation, may have been there.
            if session.execute("invalidations_flag_clear", (idarchive, name), numeric=table):
                session.execute(
                    "invalidations_flag_note", (table, idarchive, name), flags=record.backup
                )
                moved += 1
        if not moved:
            return record
        return tools.records.change(record, moved=record.moved + moved)


def put_back(tools: Tools, record: Record) -> int:
    """Marks the archives invalid again, those that are still as we left them; how many."""
    if record.restored:
        return 0
    if record.state != RESTORING:
        record = tools.records.change(record, state=RESTORING, after=0, back=0)
    pace = Pace(rows=_BATCH, most=_BATCH)
    while True:
        tools.check()
        began = time.monotonic()
        before = record.after
        record = moving.again(lambda held=record: _back(tools, held, pace.rows))  # type: ignore[misc]
        pace.took(time.monotonic() - began)
        if record.after == before:
            break
    record = tools.records.change(record, state=DONE, restored=tools.now())
    return record.back


def _back(tools: Tools, record: Record, rows: int) -> Record:
    session, back = tools.session, 0
    with moving.transaction(session):
        found = session.rows("invalidations_flags_read", (record.after, rows), flags=record.backup)
        for row in found:
            table = str(row["numeric_table"])
            if tools.there(table):
                back += session.execute(
                    "invalidations_flag_back", (row["idarchive"], row["name"]), numeric=table
                )
        if not found:
            return record
        return tools.records.change(record, after=int(found[-1]["id"]), back=record.back + back)
