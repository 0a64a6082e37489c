"""Asks the server how it would do each statement: on empty tables of the true shape.

For each table that is altered a probe table is made (``CREATE TABLE … LIKE``) in a scratch
schema, and the statements are applied to it in their order, each with the cheapest algorithm
that the server accepts. Nothing outside the scratch schema is changed: every ALTER is built anew
around the probe table's name from clauses that touch their own table only; any other is not run,
and its verdict is ``unknown``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional, Union

from matops.errors import MatopsError
from matops.mysql.ddl import clauses, live, reading
from matops.mysql.ddl.reading import Statement, with_algorithm
from matops.mysql.ddl.verdict import (
    EXCLUSIVE,
    FAILS,
    INPLACE,
    INSTANT,
    NEW,
    NO_LOCK,
    NOTHING,
    ROWS,
    UNKNOWN,
    Verdict,
)
from matops.mysql.session import AccessDenied, ConnectionCut, DatabaseError, Session

PROBE = "matops_probe_"
_ALREADY = {1050: "the table is there", 1060: "the column is there", 1061: "the index is there",
            1091: "it is gone", 1068: "it has a primary key"}  # fmt: skip
"""What Matomo's own migrations pass over (core/Updater/Migration/Db/*)."""
_BUSY = (1205, 1213, 1317, 1021, 1114, 3024, 1969)
_NO_TABLE = (1146, 1051, 1049)


def probe(
    session: Session,
    schema: str,
    statements: Sequence[Union[str, Statement]],
    *,
    source: str = "",
    live_schema: str = "",
) -> list[Verdict]:
    """A verdict for each statement (a text with several gives several), in their order.

    ``schema``: a scratch schema where tables may be made and dropped. ``source``: the schema
    whose tables are the models (default: ``schema`` itself). ``live_schema``: where the tables
    with the rows are, for what an empty copy cannot know (default: ``source``).
    Some ten small statements a migration. Raises AccessDenied, ConnectionCut, MatopsError.
    """
    found = [one for text in statements for one in _read(text)]
    with _Probes(session, schema, source or schema) as probes:
        verdicts = [probes.ask(one) for one in found]
    limits = live.Limits(session, live_schema or source or schema)
    return [_with_live(verdict, limits) for verdict in verdicts]


def _read(text: Union[str, Statement]) -> list[Statement]:
    if isinstance(text, Statement):
        return [text]
    return reading.read(text) or [Statement(text, reading.OTHER, known=not text.strip())]


def leftovers(session: Session, schema: str) -> list[str]:
    """Probe tables that a killed run left in a scratch schema; drop them with ``sql/ddl_drop``."""
    rows = session.rows("tables_all", (schema,))
    return [str(row["name"]) for row in rows if str(row["name"]).startswith(PROBE)]


@dataclass
class _Probes:
    """The probe tables of one run."""

    session: Session
    schema: str
    source: str
    made: dict[str, str] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    """Tables that the statements themselves make."""
    gone: set[str] = field(default_factory=set)
    forced: bool = False

    def __enter__(self) -> _Probes:
        self.session.set({"lock_wait_timeout": 5})
        for name in leftovers(self.session, self.schema):
            self.session.execute("ddl_drop", schema=self.schema, table=name)
        with contextlib.suppress(DatabaseError):
            forced = str(self.session.value("ddl_forced")).upper()
            self.forced = forced in ("1", "ON", "COPY")
        return self

    def __exit__(self, *unused: object) -> None:
        for name in self.made.values():
            with contextlib.suppress(DatabaseError):
                self.session.execute("ddl_drop", schema=self.schema, table=name)

    def ask(self, one: Statement) -> Verdict:
        """One statement, after all that came before it."""
        if one.schemas and any(name != self.source for name in one.schemas):
            return Verdict(one, UNKNOWN, EXCLUSIVE, None, "it names another database")
        if not one.known:
            return Verdict(one, UNKNOWN, EXCLUSIVE, None, "it is not understood")
        if one.kind == reading.ALTER:
            return self._alter(one)
        if one.kind in reading.ROWS:
            return Verdict(one, NEW if one.table in self.fresh else ROWS)
        if one.kind == reading.CONSOLE:
            return Verdict(one, UNKNOWN, NO_LOCK, False, "a console command: no statement to ask")
        return self._whole_table(one)

    def _whole_table(self, one: Statement) -> Verdict:
        if one.kind == reading.CREATE:
            if not self._exists(one.table):
                self.fresh.add(one.table)
                self.gone.discard(one.table)
                return Verdict(one, NEW)
            return Verdict(one, NOTHING, reason="the table is there already (1050)")
        if one.kind == reading.DROP:
            there = [name for name in one.tables if self._exists(name)]
            self.gone.update(one.tables)
            self.fresh.difference_update(one.tables)
            return Verdict(one, INSTANT if there else NOTHING, EXCLUSIVE)
        if one.kind in (reading.TRUNCATE, reading.RENAME):
            return Verdict(one, INSTANT, EXCLUSIVE)
        return Verdict(one, NOTHING if one.kind == reading.SELECT else UNKNOWN)

    def _exists(self, table: str) -> bool:
        if table in self.fresh or table in self.gone:
            return table in self.fresh
        return bool(self.session.rows("table_status", (self.source, table)))

    def _alter(self, one: Statement) -> Verdict:
        if any(clause.kind not in clauses.TRIED for clause in one.clauses):
            return Verdict(one, UNKNOWN, EXCLUSIVE, None, "it has a clause that is not tried")
        if not one.changes:
            return Verdict(one, NOTHING, reason="it changes nothing")
        if one.table in self.fresh:
            return Verdict(one, NEW)
        try:
            name = self._probe_table(one.table)
        except (AccessDenied, ConnectionCut):
            raise
        except DatabaseError as error:
            return _no_model(one, error)
        verdict = _Trial(self.session, self.schema, name, one).run()
        return replace(verdict, forced=self.forced)

    def _probe_table(self, table: str) -> str:
        if table not in self.made:
            name = f"{PROBE}{len(self.made)}"
            self.session.execute(
                "ddl_like", schema=self.schema, table=name, from_schema=self.source, model=table
            )
            self.made[table] = name
        return self.made[table]


def _no_model(one: Statement, error: DatabaseError) -> Verdict:
    if error.number in _NO_TABLE:
        return Verdict(one, FAILS, reason=f"the table {one.table} does not exist ({error.number})")
    return Verdict(one, UNKNOWN, EXCLUSIVE, None, reason(error))


@dataclass
class _Trial:
    """One ALTER on its probe table."""

    session: Session
    schema: str
    name: str
    one: Statement

    def run(self) -> Verdict:
        """From the cheapest way on. The first that is accepted has been applied."""
        target = replace(self.one, tables=(self.name,), schemas=(self.schema,))
        why = ""
        last: Optional[DatabaseError] = None
        for algorithm, lock, rebuild in self._ways():
            text = with_algorithm(target, algorithm, lock)
            before = self._space() if rebuild is None else None
            last = self._try(text)
            if last is None:
                if rebuild is None:
                    rebuild = self._rebuilt(before)
                way = INPLACE if algorithm == "NOCOPY" else algorithm.lower()
                return Verdict(self.one, way, lock.lower() or NO_LOCK, rebuild, why,
                               _notes(self.one))  # fmt: skip
            why = reason(last)
        assert last is not None
        return self._failed(last)

    def _ways(self) -> Iterator[tuple[str, str, Optional[bool]]]:
        """(algorithm, lock, whether the table is rebuilt; None = to be found out)."""
        yield "INSTANT", "", False
        if self.session.flavour == "mariadb":
            # NOCOPY is refused where the rows would be written anew: that is the answer.
            yield "NOCOPY", "NONE", False
            yield "NOCOPY", "SHARED", False
            yield "INPLACE", "NONE", True
            yield "INPLACE", "SHARED", True
        else:
            yield "INPLACE", "NONE", None
            yield "INPLACE", "SHARED", None
        yield "COPY", "SHARED", True

    def _try(self, text: str) -> Optional[DatabaseError]:
        try:
            self.session.run(text, doing="try it on an empty table")
        except ConnectionCut:
            raise
        except DatabaseError as error:
            return error
        return None

    def _failed(self, error: DatabaseError) -> Verdict:
        number = error.number
        if number in _ALREADY:
            why = f"{_ALREADY[number]} already ({number}): Matomo goes on"
            whole = len(self.one.changes) > 1
            if whole:
                why = f"{_ALREADY[number]} already ({number}): its other clauses are not done"
            return Verdict(self.one, FAILS if whole else NOTHING, reason=why)
        if number in _BUSY or isinstance(error, AccessDenied):
            return Verdict(self.one, UNKNOWN, EXCLUSIVE, None, reason(error))
        return Verdict(self.one, FAILS, reason=reason(error))

    def _space(self) -> Optional[int]:
        try:
            found = self.session.value("ddl_space", (f"{self.schema}/{self.name}",))
        except DatabaseError as error:
            if isinstance(error, ConnectionCut):
                raise
            return None  # without PROCESS
        return None if found is None else int(found)

    def _rebuilt(self, before: Optional[int]) -> bool:
        """Another tablespace: written anew. Where that cannot be seen, by the documented classes
        (dev.mysql.com/doc/refman/en/innodb-online-ddl-operations.html)."""
        after = self._space()
        if before is not None and after is not None:
            return before != after
        return not all(clause.index_only for clause in self.one.changes)


def reason(error: MatopsError) -> str:
    """The server's own words, without ours around them."""
    found = re.search(r"\(\d+\): (.*)", error.what)
    return found[1] if found else error.what


def _notes(one: Statement) -> tuple[str, ...]:
    """What rows, which the empty table does not have, may still say."""
    kinds = {clause.kind for clause in one.changes}
    notes = []
    if kinds & {clauses.ADD_UNIQUE, clauses.ADD_PRIMARY}:
        notes.append("fails if the live rows hold duplicates: not seen on an empty table")
    if kinds & {clauses.MODIFY, clauses.CHANGE, clauses.CONVERT}:
        notes.append("fails if a live value does not fit: not seen on an empty table")
    return tuple(notes)


def _with_live(verdict: Verdict, limits: live.Limits) -> Verdict:
    """Corrected by what only the live table knows."""
    if verdict.algorithm != INSTANT or verdict.statement.kind != reading.ALTER:
        return verdict
    reason, note = limits.no_instant(verdict.statement)
    if reason:
        return replace(verdict, algorithm=INPLACE, rebuild=True, reason=reason)
    return replace(verdict, notes=(*verdict.notes, note)) if note else verdict
