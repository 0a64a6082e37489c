"""Applies the chosen statements to the empty copy of the schema: the last word on how each goes.

What the server accepts here, with its algorithm said, is what is run on the live table, text for
text; what the copy looks like afterwards is what the live table must look like.
"""

from __future__ import annotations

from collections.abc import Sequence

from matops.errors import Refused
from matops.mysql.ahead import picture
from matops.mysql.ahead.choose import INPLACE, Choice, online
from matops.mysql.ahead.grammar import Additive
from matops.mysql.ahead.picture import Picture
from matops.mysql.ahead.run import SQL_MODE
from matops.mysql.ahead.summary import Task
from matops.mysql.running import NOT_ONLINE
from matops.mysql.session import DatabaseError, Session


def prepare(scratch: Session, choices: Sequence[Choice]) -> list[Task]:
    """A task for each choice, in order; the scratch schema has them all then.

    ``scratch``: a session in the schema with the empty copies. Raises Refused where the server
    does one in no online way (it said otherwise before: the schema or the server changed), or
    not at all; ConnectionCut, AccessDenied.
    """
    scratch.set({"sql_mode": SQL_MODE})
    return [_one(scratch, choice) for choice in choices]


def _one(scratch: Session, choice: Choice) -> Task:
    additive = choice.additive
    assert additive is not None, "only additive statements are chosen"
    before = _look(scratch, choice, additive)
    # As the rehearsal said; where an instant change was foreseen, nothing slower is slipped in.
    way = choice.offered.way
    text = online(additive.text, way)
    try:
        scratch.run(text, doing=f"#{choice.offered.number} on the empty copy")
    except DatabaseError as error:
        raise _refused(choice, way, error) from None
    after = _look(scratch, choice, additive)
    missing = [one.shown for one in additive.added if not after.of(one)]
    if missing:
        raise Refused(
            f"#{choice.offered.number}: on the empty copy of {additive.table}, {missing[0]} is "
            "not there although the server said OK",
            state="Nothing was changed",
        )
    return Task(choice.offered.number, text, way, additive, before, after)


def _look(scratch: Session, choice: Choice, additive: Additive) -> Picture:
    found = picture.look(scratch, additive.table)
    if found is None:
        raise Refused(
            f"#{choice.offered.number}: {additive.table} is not in the empty copy of the schema",
            state="Nothing was changed",
            next="run rehearse again",
        )
    return found


def _refused(choice: Choice, way: str, error: DatabaseError) -> DatabaseError | Refused:
    if error.number not in NOT_ONLINE and error.number == 0:
        return error
    how = "in place" if way == INPLACE else "instantly"
    if error.number not in NOT_ONLINE:
        how = "at all (core:update would fail with it, too)"
    return Refused(
        f"#{choice.offered.number}: the server does not do it {how} on the empty copy of "
        f"{choice.table}: {error.what}",
        state="Nothing was changed",
        next="run rehearse again",
    )
