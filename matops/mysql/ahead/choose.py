"""Which of an upgrade's statements are run ahead of the outage: for each a yes or no, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.mysql.ahead.grammar import Additive, NotTaken, read
from matops.mysql.ahead.picture import There
from matops.units import show_size

INSTANT, INPLACE = "instant", "inplace"
MIN_SIZE = 100 << 20
"""Bytes: a smaller table takes seconds in the outage, whatever is done to it."""
_CLAUSES = {INSTANT: "ALGORITHM=INSTANT", INPLACE: "ALGORITHM=INPLACE, LOCK=NONE"}


@dataclass(frozen=True)
class Offered:
    """One migration of the rehearsal. ``tables`` None = which it touches is not known.

    ``console``: a command, no statement. ``way``: what the server said on the empty copy:
    INSTANT, INPLACE (with LOCK=NONE), or in words why not; '' = it was not asked.
    """

    number: int
    statement: str
    tables: Optional[tuple[str, ...]]
    console: bool = False
    way: str = ""


@dataclass(frozen=True)
class Choice:
    """``chosen`` and ``why`` (not). ``size``: bytes of the table; ``additive`` where it is."""

    offered: Offered
    chosen: bool
    why: str
    additive: Optional[Additive] = None
    size: Optional[int] = None
    there: bool = False
    """It is on the live table already: nothing is left to do."""

    @property
    def table(self) -> str:
        """What it is about; '' where that is not one table."""
        if self.additive is not None:
            return self.additive.table
        return ", ".join(self.offered.tables or ())

    def data(self) -> dict[str, Any]:
        """For JSON; bytes."""
        return {
            "number": self.offered.number,
            "statement": self.offered.statement,
            "table": self.table,
            "table_bytes": self.size,
            "chosen": self.chosen,
            "there": self.there,
            "why": self.why,
        }


@dataclass(frozen=True)
class Live:
    """The live tables with the prefix: size in bytes (None = not known), and what they have."""

    prefix: str
    sizes: Mapping[str, Optional[int]]
    there: Mapping[int, There] = field(default_factory=dict)
    """By the migration's number: how much of it is there."""


def choose(
    offered: Sequence[Offered],
    live: Live,
    *,
    min_size: int = MIN_SIZE,
    tables: Sequence[str] = (),
) -> list[Choice]:
    """A choice for each, in order. ``tables``: those named by the operator, whatever size. Pure.

    A statement is taken only if every earlier one on its table is: so their order stays, and
    with it the order of columns.
    """
    chosen = []
    stays: dict[str, int] = {}
    nobody_knows = 0
    for one in offered:
        choice = _weigh(one, live, min_size, tables)
        if choice.chosen or choice.there:
            first = nobody_knows or stays.get(choice.table, 0)
            if first and choice.chosen:
                why = f"#{first} comes before it and stays for the outage"
                choice = Choice(one, False, why, choice.additive, choice.size)
        if not (choice.chosen or choice.there or one.console):
            if one.tables is None and choice.additive is None:
                nobody_knows = nobody_knows or one.number
            for table in (choice.additive.table,) if choice.additive else one.tables or ():
                stays.setdefault(table, one.number)
        chosen.append(choice)
    return chosen


def _weigh(one: Offered, live: Live, min_size: int, tables: Sequence[str]) -> Choice:
    if one.console:
        return Choice(one, False, "a command of console: it runs in the outage")
    try:
        additive = read(one.statement)
    except NotTaken as reason:
        return Choice(one, False, f"not purely additive: it {reason}")
    table = additive.table
    size = live.sizes.get(table)

    def no(why: str, *, there: bool = False) -> Choice:
        return Choice(one, False, why, additive, size, there)

    if not table.startswith(live.prefix):
        return no(f"{table} does not begin with this installation's prefix '{live.prefix}'")
    if table not in live.sizes:
        return no(f"{table} is not there yet: the upgrade makes it")
    state = live.there.get(one.number, There.NOT)
    if state is There.ALL:
        return no("is there already", there=True)
    if state is There.PARTLY:
        return no("is partly there: half a statement is not run, for the rest could be lost")
    if one.way not in _CLAUSES:
        return no(one.way or "how the server would do it was not asked")
    if tables and table not in tables:
        return no("not among --tables")
    if not tables and size is not None and size < min_size:
        return no(f"{show_size(size)}: less than {show_size(min_size)}, soon done in the outage")
    how = "instantly" if one.way == INSTANT else "in place, while it is read and written"
    return Choice(one, True, f"only adds; the server does it {how}", additive, size)


def online(text: str, way: str) -> str:
    """The statement with its way said explicitly: so the server can never fall back to a copy.

    MySQL refuses LOCK= beside INSTANT; it takes no lock beyond the moment of the commit anyway.
    """
    return f"{text}, {_CLAUSES[way]}"


def taken(choices: Iterable[Choice]) -> list[Choice]:
    """The chosen ones, in order."""
    return [choice for choice in choices if choice.chosen]
