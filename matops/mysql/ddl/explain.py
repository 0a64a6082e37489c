"""How many rows an INSERT, UPDATE or DELETE would touch: the optimizer's guess (EXPLAIN)."""

from __future__ import annotations

from typing import Optional

from matops.mysql.ddl.forecast import Range
from matops.mysql.ddl.reading import ROWS, Statement
from matops.mysql.session import ConnectionCut, DatabaseError, Session

DEFAULT_RATE = 10_000.0
"""Rows a second (facts: deletes of 9,000 to 50,000 rows a second, by server and disk)."""


def rows(session: Session, statement: Statement) -> Optional[int]:
    """Rows it reads and may change, by the optimizer; None where that cannot be asked.

    EXPLAIN runs nothing; only plain INSERT, UPDATE and DELETE are given to it.
    """
    if statement.kind not in ROWS or not statement.known or "/*!" in statement.text:
        return None
    # MySQL 9 answers in a tree unless told; MariaDB does not know FORMAT=TRADITIONAL.
    how = "EXPLAIN FORMAT=TRADITIONAL" if session.flavour == "mysql" else "EXPLAIN"
    text = statement.text.rstrip().rstrip(";")
    try:
        found = session.run(f"{how} {text}", doing="EXPLAIN")
    except ConnectionCut:
        raise
    except DatabaseError:
        return None
    by_id: dict[str, int] = {}
    for row in found:
        lower = {key.lower(): value for key, value in row.items()}
        part = str(lower.get("id"))
        by_id[part] = by_id.get(part, 1) * max(int(lower.get("rows") or 1), 1)
    return sum(by_id.values()) if by_id else 1


def time(touched: int, rate: float = 0.0, *, at_most: bool = False) -> Range:
    """Seconds for so many rows. ``rate``: rows a second that were measured here, 0 = none;
    ``at_most``: it is the number of all rows, for EXPLAIN could not be had."""
    used = rate or DEFAULT_RATE
    how = "at most all rows of the tables it names" if at_most else "EXPLAIN"
    pace = f"{'the measured' if rate else 'an assumed'} {used:.0f} rows a second"
    low = 0.0 if at_most else touched / used / 8
    basis = f"about {touched} rows ({how}), at {pace}"
    return Range(low, touched / used, 4 * touched / used + 0.1, basis)
