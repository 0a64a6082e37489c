"""A sample of a live table's rows, copied into a scratch schema, and altered there for the clock.

Two samples of different size, from all over the table: the time of the same statement on both
tells what it costs to begin, and what each row costs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from matops import sqlfile
from matops.mysql.ddl.asking import reason
from matops.mysql.ddl.reading import ALTER, Statement, with_algorithm
from matops.mysql.ddl.shape import Shape
from matops.mysql.ddl.verdict import COPY, INPLACE, INSTANT, Verdict
from matops.mysql.quote import fill, quote
from matops.mysql.session import AccessDenied, ConnectionCut, DatabaseError, Session

PREFIX = "matops_sample_"
WINDOWS = 24
MOST_BYTES = 384 << 20
"""Bytes of all samples of a table together, at the most."""
FEWEST = 2000
"""Rows: a smaller table is not worth a sample."""


@dataclass(frozen=True)
class Timed:
    """One statement on samples: (rows, seconds) for each, the smaller first.

    ``new_bytes``: by which the larger sample's indexes grew. ``scan``: seconds a byte of data that
    reading the live table takes longer than reading the sample, which is in memory.
    """

    points: tuple[tuple[int, float], ...]
    new_bytes: int = 0
    scan: float = 0.0
    fill_rate: float = 0.0
    """Rows a second at which the sample was filled: what INSERT … SELECT does here."""
    why_not: str = ""
    failed: bool = False
    """The statement failed on real rows; ``why_not`` has the server's words."""


@dataclass
class Sampler:
    """Samples one table. ``session``: READ COMMITTED, with rights on both schemas."""

    session: Session
    scratch: str
    shape: Shape
    budget: float
    """Seconds for the whole table."""
    most: int = MOST_BYTES
    """Bytes of all samples together."""

    def time(self, verdicts: Sequence[Verdict]) -> list[Optional[Timed]]:
        """Each verdict's statement, in order; None for those that are not timed (instant ones).

        The table's earlier statements must be among them: each builds upon the other.
        Raises ConnectionCut; other errors of the server become ``why_not``.
        """
        names = [f"{PREFIX}{i}" for i in (1, 2)]
        # Replicas need no samples; where this account may not leave them out, they get them.
        self._log(0)
        try:
            return self._time(names, verdicts)
        except ConnectionCut:
            raise
        except DatabaseError as error:
            return [Timed((), why_not=error.line()) if _wanted(v) else None for v in verdicts]
        finally:
            for name in names:
                with contextlib.suppress(DatabaseError):
                    self.session.execute("ddl_drop", schema=self.scratch, table=name)
            self._log(1)

    def _log(self, on: int) -> None:
        with contextlib.suppress(AccessDenied):
            self.session.set({"sql_log_bin": on})

    def _time(self, names: list[str], verdicts: Sequence[Verdict]) -> list[Optional[Timed]]:
        filled = [self._fill(names[0], 0.0, self.budget * 0.05, self.shape.rows // 5 or 1)]
        if filled[0][0] < self.shape.rows * 0.9:
            most = self._most(filled[0][0])
            filled.append(self._fill(names[1], 0.5, self.budget * 0.3, most))
        used = names[: len(filled)]
        if filled[-1][0] < FEWEST / 4:
            return [Timed((), why_not="too few rows were found for a sample") if _wanted(v)
                    else None for v in verdicts]  # fmt: skip
        scan = self._scan(used[-1], filled[-1][0])
        rate = sum(f[0] for f in filled) / max(sum(f[1] for f in filled), 1e-6)
        return [self._one(v, used, filled, scan, rate) for v in verdicts]

    def _most(self, first: int) -> int:
        """Rows for the second sample: twelve times the first, if bytes allow."""
        row_bytes = self.shape.bytes / max(self.shape.rows, 1)
        return max(min(12 * first, int(self.most / max(row_bytes, 1)), self.shape.rows), first)

    def _one(self, verdict: Verdict, names: list[str], filled: list[tuple[int, float]],
             scan: float, rate: float) -> Optional[Timed]:  # fmt: skip
        if verdict.plain not in (INSTANT, INPLACE, COPY) or verdict.statement.kind != ALTER:
            return None
        try:
            return self._timed(verdict, names, filled, scan, rate)
        except ConnectionCut:
            raise
        except DatabaseError as error:
            # With rows it may fail where an empty table did not: duplicates, a value too long.
            return Timed((), why_not=reason(error), failed=True)

    def _timed(self, verdict: Verdict, names: list[str], filled: list[tuple[int, float]],
               scan: float, rate: float) -> Optional[Timed]:  # fmt: skip
        points, grown = [], 0
        for name, (rows, _) in zip(names, filled):
            before = self._index_bytes(name) if _wanted(verdict) else 0
            began = time.monotonic()
            self.session.run(_text(verdict, self.scratch, name), doing="time it on a sample")
            points.append((rows, time.monotonic() - began))
            grown = self._index_bytes(name) - before if _wanted(verdict) else 0
        if not _wanted(verdict):
            return None
        return Timed(tuple(sorted(points)), max(grown, 0), scan, rate)

    def _fill(self, name: str, offset: float, seconds: float, rows: int) -> tuple[int, float]:
        """(rows, seconds): about ``rows`` from WINDOWS places, no longer than ``seconds``."""
        shape = self.shape
        self.session.execute("ddl_drop", schema=self.scratch, table=name)
        self.session.execute("ddl_like", schema=self.scratch, table=name,
                             from_schema=shape.schema, model=shape.table)  # fmt: skip
        began, got = time.monotonic(), 0
        if not shape.key:
            got = self._insert("ddl_sample_first", name, (rows,))
            return got, time.monotonic() - began
        width = (shape.high - shape.low) / WINDOWS
        each = max(rows // WINDOWS, 50)
        for i in _spread(WINDOWS):
            first = shape.low + int((i + offset * 0.999) * width)
            last = shape.low + int((i + (1.0 if offset else 0.5)) * width)
            got += self._insert("ddl_sample", name, (first, max(last, first + 1), each))
            # A first sample that is over in a moment is repeated larger, never cut short.
            if time.monotonic() - began > seconds:
                break
        return got, time.monotonic() - began

    def _insert(self, statement: str, name: str, args: tuple[int, ...]) -> int:
        shape = self.shape
        columns = ", ".join(map(quote, shape.columns)).replace("%", "%%")
        names = {"schema": self.scratch, "table": name, "from_schema": shape.schema,
                 "model": shape.table, **({"key": shape.key} if shape.key else {})}  # fmt: skip
        text = fill(sqlfile.load(statement), names, bound=True).replace("{{columns}}", columns)
        self.session.run(text, args, doing=statement)
        return max(int(self.session.value("ddl_row_count") or 0), 0)

    def _index_bytes(self, name: str) -> int:
        self.session.rows("ddl_analyze", schema=self.scratch, table=name)
        rows = self.session.rows("table_status", (self.scratch, name))
        return int(rows[0]["index_bytes"] or 0) if rows else 0

    def _scan(self, name: str, rows: int) -> float:
        """How many seconds longer a byte of the live table takes than one of the sample."""
        shape = self.shape
        if not shape.key or shape.data_bytes < 1 << 20:
            return 0.0
        span = (shape.high - shape.low) // (WINDOWS * 4)
        live_time = live_rows = 0.0
        for i in range(0, WINDOWS, 3):  # where no sample was taken
            at = shape.low + int((i + 0.45) * (shape.high - shape.low) / WINDOWS)
            seconds, got = self._read(shape.schema, shape.table, at, at + span, 4000)
            live_time, live_rows = live_time + seconds, live_rows + got
        warm, got = self._read(self.scratch, name, shape.low, shape.high, min(rows, 30000))
        if not live_rows or not got:
            return 0.0
        extra = live_time / live_rows - warm / got
        return max(extra, 0.0) / max(shape.data_bytes / max(shape.rows, 1), 1.0)

    def _read(self, schema: str, table: str, low: int, high: int, limit: int
              ) -> tuple[float, int]:  # fmt: skip
        column = next((c for c in reversed(self.shape.columns) if c != self.shape.key),
                      self.shape.key)  # fmt: skip
        names = {"schema": schema, "table": table, "key": self.shape.key, "column": column}
        text = fill(sqlfile.load("ddl_scan"), names, bound=True)
        began = time.monotonic()
        rows = self.session.run(text, (low, high, limit), doing="ddl_scan")
        return time.monotonic() - began, int(rows[0]["n"] or 0)


def leftovers(names: Sequence[str]) -> list[str]:
    """Those of a schema's tables that a killed run left."""
    return [name for name in names if name.startswith(PREFIX)]


def _wanted(verdict: Verdict) -> bool:
    return verdict.plain in (INPLACE, COPY)


def _text(verdict: Verdict, schema: str, name: str) -> str:
    """The statement on a sample, with the algorithm that the server takes on the live table."""
    target = Statement(
        verdict.statement.text, verdict.statement.kind, (name,), verdict.statement.clauses,
        (schema,),
    )  # fmt: skip
    lock = "SHARED" if verdict.plain == COPY else ("" if verdict.plain != INPLACE else
                                                   verdict.lock.upper())  # fmt: skip
    return with_algorithm(target, verdict.plain.upper(), lock)


def _spread(number: int) -> list[int]:
    """0 … number-1 in an order that visits all parts early, should time run out."""
    return sorted(range(number), key=lambda i: (i * 7) % number)
