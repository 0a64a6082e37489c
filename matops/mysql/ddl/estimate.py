"""How long each of an upgrade's statements takes on the live tables, and the disk it needs.

Asked of the server on empty tables (how), timed on samples of the real rows (how fast), and
carried over to the whole table (``forecast``). SELECT only on the live schema; everything else
happens in the scratch schema.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from matops.mysql import server as servers
from matops.mysql.ddl import asking, explain, forecast, reading, sample, shape
from matops.mysql.ddl.forecast import Machine, Range
from matops.mysql.ddl.reading import Statement
from matops.mysql.ddl.sample import Timed
from matops.mysql.ddl.shape import Shape
from matops.mysql.ddl.verdict import COPY, FAILS, INPLACE, ROWS, UNKNOWN, Verdict
from matops.mysql.session import Session
from matops.units import show_size

WORTH_A_SAMPLE = 8 << 20
"""Bytes: a smaller table is altered in seconds at any rate."""


@dataclass(frozen=True)
class Estimated:
    """One statement. ``time`` None = not known. Bytes; ``rows`` is the server's estimate."""

    verdict: Verdict
    time: Optional[Range] = None
    table: str = ""
    rows: int = 0
    bytes: int = 0
    disk: int = 0
    tmp: int = 0
    notes: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.verdict.data(), "kind": self.verdict.statement.kind,
            "way": self.verdict.plain, "online": self.verdict.online,
            "additive": self.verdict.statement.additive,
            "time": None if self.time is None else dataclasses.asdict(self.time),
            "table": self.table, "rows": self.rows, "bytes": self.bytes, "disk": self.disk,
            "tmp": self.tmp, "notes": [*self.verdict.notes, *self.notes],
        }  # fmt: skip


@dataclass
class Estimator:
    """``session``: rights on the live schema (SELECT) and on ``scratch`` (all).

    ``scratch`` '': no scratch schema may be had; then ``verdicts`` of an earlier probe are taken,
    and rates from elsewhere. ``rate``: bytes of table a second of earlier rebuilds on this
    server (0 = none known); ``budget``: seconds for all samples, 0 = take none;
    ``most``: bytes of the samples of one table.
    """

    session: Session
    live: str
    scratch: str = ""
    rate: float = 0.0
    budget: float = 60.0
    most: int = sample.MOST_BYTES
    say: Callable[[str], None] = lambda line: None
    _shapes: dict[str, Optional[Shape]] = field(default_factory=dict)
    _timed: dict[tuple[str, int], Timed] = field(default_factory=dict)
    _rows_a_second: float = 0.0
    _places: dict[int, int] = field(default_factory=dict)
    """Of each ALTER by its number: the how-many-th of its own table it is."""

    def estimate(
        self, statements: Sequence[Union[str, Statement]], verdicts: Sequence[Verdict] = ()
    ) -> list[Estimated]:
        """One for each statement, in order (a text with several gives several). DatabaseError."""
        if self.session.flavour == "mysql":
            servers.allowed(self.session, "statistics_fresh")  # else a day old
        if self.scratch:
            verdicts = asking.probe(
                self.session, self.scratch, statements, source=self.live, live_schema=self.live
            )
            if self.budget > 0:
                self._isolate()
                self._sample(verdicts)
        machine = self._machine()
        return [self._one(i, verdict, machine) for i, verdict in enumerate(verdicts)]

    def _isolate(self) -> None:
        # INSERT … SELECT must not lock the live rows it reads.
        self.session.set({"sql_mode": "NO_AUTO_VALUE_ON_ZERO"})
        self.session.execute("scratch_isolation")

    def _shape(self, table: str) -> Optional[Shape]:
        if table not in self._shapes:
            self._shapes[table] = shape.look(self.session, self.live, table)
        return self._shapes[table]

    def _sample(self, verdicts: Sequence[Verdict]) -> None:
        """Times the statements of one table of each family: the largest."""
        families: dict[str, dict[str, list[int]]] = {}
        for i, verdict in enumerate(verdicts):
            table = verdict.statement.table
            if verdict.statement.kind == reading.ALTER and verdict.algorithm not in (
                FAILS,
                UNKNOWN,
            ):
                mine = families.setdefault(_family(table), {}).setdefault(table, [])
                self._places[i] = len(mine)
                mine.append(i)
        work = []
        for family, tables in families.items():
            slow = [t for t, found in tables.items()
                    if any(verdicts[i].plain in (INPLACE, COPY) for i in found)]  # fmt: skip
            known = [s for s in map(self._shape, slow) if s and s.bytes >= WORTH_A_SAMPLE]
            if known:
                work.append((max(known, key=lambda s: s.bytes), family, tables))
        until = time.monotonic() + self.budget
        work.sort(key=lambda item: -item[0].bytes)
        for place, (largest, family, tables) in enumerate(work):
            left = until - time.monotonic()
            if left < 2 and place:
                break
            self._time(largest, family, tables[largest.table], verdicts,
                       max(left / (len(work) - place), 2.0))  # fmt: skip

    def _time(self, chosen: Shape, family: str, numbers: list[int], verdicts: Sequence[Verdict],
              budget: float) -> None:  # fmt: skip
        self.say(f"timing {len(numbers)} statements on a sample of {chosen.table} "
                 f"({show_size(chosen.bytes)})")  # fmt: skip
        sampler = sample.Sampler(self.session, self.scratch, chosen, budget, self.most)
        for place, timed in enumerate(sampler.time([verdicts[i] for i in numbers])):
            if timed is not None:
                self._timed[family, place] = timed
                self._rows_a_second = max(self._rows_a_second, timed.fill_rate)

    def _machine(self) -> Machine:
        rows = self.session.rows("ddl_pool")
        found = {str(r["Variable_name"]).lower(): str(r["Value"]) for r in rows}
        return Machine(
            int(found.get("innodb_buffer_pool_size") or 128 << 20),
            found.get("innodb_alter_copy_bulk", "").upper() == "ON",
            found.get("innodb_change_buffering", "none").lower() not in ("none", "deletes", ""),
        )

    def _one(self, number: int, verdict: Verdict, machine: Machine) -> Estimated:
        statement = verdict.statement
        there = self._shape(statement.table) if statement.table else None
        found = Estimated(verdict, None, statement.table, there.rows if there else 0,
                          there.bytes if there else 0)  # fmt: skip
        if verdict.algorithm == ROWS:
            return dataclasses.replace(found, time=self._rows(statement))
        if verdict.algorithm in (FAILS, UNKNOWN):
            return found
        if forecast.no_work(verdict) or there is None:
            return dataclasses.replace(found, time=forecast.instant())
        return self._alter(number, found, there, machine)

    def _rows(self, statement: Statement) -> Optional[Range]:
        touched = explain.rows(self.session, statement)
        if touched is not None:
            return explain.time(touched, self._rows_a_second)
        # It may name a column that an earlier migration adds: then the tables' sizes bound it.
        shapes = [self._shape(table) for table in statement.tables]
        if statement.kind == reading.INSERT and len(shapes) == 1:
            return explain.time(max(statement.text.count("("), 1), self._rows_a_second)
        known = [one.rows for one in shapes if one is not None]
        return explain.time(sum(known), self._rows_a_second, at_most=True) if known else None

    def _alter(self, number: int, found: Estimated, there: Shape, machine: Machine) -> Estimated:
        verdict = found.verdict
        timed = self._timed.get((_family(there.table), self._places.get(number, -1)), Timed(()))
        if timed.failed:
            why = f"failed on a sample of the rows: {timed.why_not}"
            broken = dataclasses.replace(verdict, algorithm=FAILS, reason=why)
            return dataclasses.replace(found, verdict=broken)
        notes: tuple[str, ...] = ()
        if timed.points:
            expected = forecast.forecast(verdict, there, timed, machine)
        else:
            basis = "by earlier rebuilds of db.optimize on this server" if self.rate else ""
            expected = forecast.by_rate(verdict, there, self.rate, basis)
            notes = (f"no sample: {timed.why_not}",) if timed.why_not else ()
        disk, tmp = forecast.disk(verdict, there, timed)
        return dataclasses.replace(found, time=expected, disk=disk, tmp=tmp, notes=notes)


def _family(table: str) -> str:
    """Archive tables of all months are of one shape."""
    return re.sub(r"_\d{4}_\d{2}$", "", table)
