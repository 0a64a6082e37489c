"""A new, empty table in the place of the old one, in one atomic RENAME; what stays is copied back.

For when most rows go: it takes milliseconds however large the table, and the old table stays as
the backup, complete. No committed row is ever in neither table: RENAME has its exclusive metadata
lock only once no transaction with rows in the table is open. No id is given out twice: the new
table's counter begins ``GAP`` above every id that there ever was, because an archiver that is at
work holds ids in memory and updates and deletes by them.

The record's states, and what the next run does in each: see ``record``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from matops.errors import MatopsError
from matops.mysql.invalidations import moving
from matops.mysql.invalidations.keep import Rule
from matops.mysql.invalidations.moving import Pace
from matops.mysql.invalidations.record import BEGUN, COPYING, DONE, SWAP, Record
from matops.mysql.invalidations.tools import GAP, Tools
from matops.mysql.session import Session


def begin(tools: Tools, rule: Rule, why: str) -> Record:
    """Makes the new table and exchanges the two; the record. ``finish`` does the rest.

    Refused (nothing was changed) where somebody holds the table and does not let go.
    """
    backup = tools.free_name("bak")
    new = backup.replace(f"{tools.table}_bak_", f"{tools.table}_new_")
    record = tools.records.create(
        Record(backup, tools.table, SWAP, why, tools.now(), new=new, rule=rule)
    )
    try:
        tools.session.execute("invalidations_like", new=new, table=tools.table)
        set_first(tools, new, tools.highest(tools.table) + GAP)
        exchange(tools, new, backup, tools.table)
    except BaseException as error:
        if _took_back(tools, record) and isinstance(error, MatopsError):
            error.state = "Nothing was changed"
        raise
    return record


def _took_back(tools: Tools, record: Record) -> bool:
    """After an error, or Ctrl-C: False where it has happened, or cannot be told (the next run
    can)."""
    with contextlib.suppress(MatopsError):
        if not tools.there(record.backup):
            undo(tools, record)
            return True
    return False


def set_first(tools: Tools, name: str, first: int) -> None:
    """Sets the next id of that table, and reads it back. MatopsError where it did not take."""
    tools.switch.do(
        name,
        lambda: tools.session.execute("invalidations_first", (first,), table=name),
        lambda: tools.next_id(name) >= first,
    )
    if tools.next_id(name) < first:
        raise MatopsError(
            f"the next id of {name} is {tools.next_id(name)}, although it was set to {first}",
            state="Nothing was changed but that table, which is not in use",
        )


def exchange(tools: Tools, new: str, aside: str, live: str) -> None:
    """``live`` becomes ``aside``, ``new`` becomes ``live``: both or neither, under guard."""

    def before() -> None:
        # Between attempts others go on: the gap must still be wide when it happens.
        if tools.next_id(new) - moving.max_id(tools.session, live) < GAP // 2:
            tools.session.execute(
                "invalidations_first", (tools.highest(live, new) + GAP,), table=new
            )

    def work() -> None:
        tools.session.execute("invalidations_exchange", live=live, aside=aside, new=new)

    tools.switch.do(live, work, lambda: tools.there(aside), before)


def undo(tools: Tools, record: Record) -> None:
    """Takes back what ``begin`` did before the exchange: the empty new table, the record."""
    tools.drop_empty(record.new, "the new table")
    tools.records.drop(record)


def settle(tools: Tools, record: Record) -> bool:
    """After a killed run: True where the exchange is done, so that ``finish`` goes on.

    Where it is not, nothing has happened: the leftovers go. Refused where tables are missing.
    """
    if not tools.there(record.backup):
        if record.state != BEGUN:
            raise lost(record)
        undo(tools, record)
        return False
    if not tools.there(record.table):
        raise gone(record)
    return True


def finish(tools: Tools, record: Record) -> Record:
    """Verifies the exchange, copies what stays back from the frozen backup, compares counts.

    Goes on where a killed run was. MatopsError where a count does not agree.
    """
    if record.state == BEGUN:
        boundary = verified(tools, record.table, record.backup)
        record = tools.records.change(record, state=COPYING, boundary=boundary)
    stays = record.rule.stays()
    if not record.rule.takes_all:
        record = copy_back(tools, record, record.backup, stays)
    rows, kept = moving.count(tools.session, record.backup, stays)
    if kept != record.moved:
        raise MatopsError(
            f"{kept} rows of {record.backup} were to be kept, {record.moved} were copied back",
            state=f"The backup is complete; {record.table} is in use",
            next=f"invalidations.restore {record.backup} puts everything back",
        )
    return tools.records.change(record, state=DONE, rows=rows)


def verified(tools: Tools, live: str, backup: str) -> int:
    """Reads the exchange back: the highest id of the backup. MatopsError for other columns."""
    boundary = above(tools, live, backup)
    if not alike(tools.session, tools.schema, live, backup):
        raise MatopsError(
            f"the columns of {live} and {backup} differ: somebody altered one of them",
            state=f"{live} is in use; nothing was copied back",
            next=f"make them alike, or invalidations.restore {backup}",
        )
    return boundary


def above(tools: Tools, live: str, backup: str) -> int:
    """The highest id of the backup; the next one of the live table is above it then."""
    boundary = moving.max_id(tools.session, backup)
    if tools.next_id(live) <= boundary:
        tools.tell(f"  the next id of {live} was not above {boundary}: it is set again")
        set_first(tools, live, tools.highest(live, backup) + GAP)
    return boundary


def alike(session: Session, schema: str, one: str, other: str) -> bool:
    """Both tables have the same columns, of the same declared types, in the same order."""
    first, second = (
        [(row["name"], row["declared"]) for row in session.rows("table_columns", (schema, name))]
        for name in (one, other)
    )
    return first == second


def copy_back(
    tools: Tools, record: Record, source: str, condition: tuple[str, Sequence[object]],
    missing: bool = False, counter: str = "moved",
) -> Record:  # fmt: skip
    """Copies the rows of the frozen ``source`` for which ``condition`` holds, chunk by chunk.

    ``counter``: the field of the record that counts them. ``missing``: see ``moving.copy``.
    """
    session = tools.session
    there = moving.names(session, tools.schema, record.table)
    names = [name for name in moving.names(session, tools.schema, source) if name in there]
    last, pace = moving.max_id(session, source), Pace()

    def chunk(end: int) -> Record:
        with moving.transaction(session):
            done = moving.copy(session, source, record.table, names, record.after, end,
                               (condition[0], tuple(condition[1])), missing=missing)  # fmt: skip
            counted = {counter: getattr(record, counter) + done}
            return tools.records.change(record, after=end, **counted)

    for end in moving.ends(session, source, record.after, last, pace):
        tools.check()
        began, rows = time.monotonic(), pace.rows
        record = moving.again(lambda end=end: chunk(end))  # type: ignore[misc]
        pace.took(time.monotonic() - began)
        tools.moved(rows)
    return record


def lost(record: Record) -> MatopsError:
    """The backup that a record tells of is gone."""
    return MatopsError(
        f"the backup {record.backup} of an unfinished run is gone: somebody dropped or renamed it",
        state=f"{record.moved} of its rows had been moved",
        next=f"rename it back; or invalidations.drop-backup {record.backup} to forget it",
    )


def gone(record: Record) -> MatopsError:
    """The live table is gone."""
    return MatopsError(
        f"{record.table} is gone: somebody dropped or renamed it",
        state=f"Its rows of {record.why} are in {record.backup}",
        next=f"invalidations.restore {record.backup}",
    )
