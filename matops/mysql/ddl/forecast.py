"""From two timed samples to the whole table: low, likely, high. Pure.

What grows faster than the rows is said here: sorting goes over the data once more whenever there
is twice as much of it, and a copy row by row keeps every index in order while it grows: as soon as
the scattered ones do not fit into the buffer pool, each row costs reads and writes of pages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from matops.mysql.ddl.sample import Timed
from matops.mysql.ddl.shape import Shape
from matops.mysql.ddl.verdict import COPY, INPLACE, INSTANT, NEW, NOTHING, Verdict

INSTANT_TIME = (0.01, 0.1, 2.0)
"""Seconds: milliseconds of work, and the wait for the metadata lock."""

DEFAULT_RATE = {INPLACE: (10e6, 25e6, 120e6), "index": (25e6, 60e6, 300e6),
                COPY: (2e6, 8e6, 40e6)}  # fmt: skip
"""Bytes of table a second, (slow, likely, fast), where nothing was measured: conservative ends of
what disks of the last ten years did (facts: rebuilds of 1–2 GB tables at 80–140 MB/s on a VM)."""

_DOUBLING = {INPLACE: 0.08, COPY: 0.03}
MERGED = 0.1
"""Of a page's cost, with a change buffer. Measured: 48 µs for each entry that missed (5 M rows,
three indexes, 256 MB of buffer pool), where a read took 0.4 ms."""

POOL_SHARE = (0.6, 0.3, 0.2)
"""Of the buffer pool: what the index pages get beside the old and the new rows passing through."""

PAGE_COST = (0.00005, 0.0002, 0.003)
"""Seconds for a random page where it was not measured: SSD … disk."""


@dataclass(frozen=True)
class Range:
    """Seconds: ``low`` and ``high`` are what it may take, ``likely`` what we would bet on."""

    low: float
    likely: float
    high: float
    basis: str = ""

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)


@dataclass(frozen=True)
class Machine:
    """What of the server matters. ``pool``: innodb_buffer_pool_size; ``bulk``: a copy builds its
    indexes in bulk (MariaDB with innodb_alter_copy_bulk)."""

    pool: int
    bulk: bool = False
    change_buffer: bool = False
    """innodb_change_buffering is on: entries for pages that are not in memory are put aside, and
    merged many at a time (MariaDB has none since 11, MySQL's is off by default since 8.4)."""


def no_work(verdict: Verdict) -> bool:
    """Nothing that depends on the table's size."""
    return verdict.plain in (INSTANT, NEW, NOTHING)


def forecast(verdict: Verdict, shape: Shape, timed: Timed, machine: Machine) -> Range:
    """For one ALTER, from samples of its table."""
    n, seconds = timed.points[-1]
    rows = max(shape.rows, n)
    begin, per_row = fit(timed.points)
    doublings = math.log2(max(rows / n, 1.0))
    grow = 1 + _DOUBLING[COPY if verdict.plain == COPY else INPLACE] * doublings
    cold = timed.scan * shape.data_bytes
    likely = begin + per_row * rows * grow
    low = min(likely, seconds * rows / n)
    high = max(likely * (1 + 0.06 * doublings), seconds * rows / n)
    pages: tuple[float, ...] = (0.0, 0.0, 0.0)
    if verdict.plain == COPY and not machine.bulk:
        pages = page_work(shape, rows, n, machine)
    return Range(
        0.6 * low + pages[0] + 0.3 * cold,
        likely + pages[1] + 0.8 * cold,
        1.5 * high + pages[2] + 1.5 * cold,
        f"measured on {n} of its rows",
    )


def fit(points: tuple[tuple[int, float], ...]) -> tuple[float, float]:
    """(seconds to begin, seconds a row) of a straight line through one or two points; neither
    is below 0, and a row costs at least half of the larger sample's mean."""
    n, seconds = points[-1]
    if len(points) < 2 or points[0][0] >= n:
        return 0.0, seconds / max(n, 1)
    n1, t1 = points[0]
    per_row = max((seconds - t1) / (n - n1), 0.5 * seconds / n)
    per_row = min(per_row, seconds / n)
    return max(seconds - per_row * n, 0.0), per_row


def page_work(shape: Shape, rows: int, sampled: int, machine: Machine) -> tuple[float, ...]:
    """Seconds for index pages that are read and written again, (low, likely, high), beyond what
    the sample itself had of it."""
    read = shape.dives.latency
    cost = (0.3 * read, read, 3.0 * read) if read else PAGE_COST
    if machine.change_buffer:
        cost = (MERGED * cost[0], MERGED * cost[1], MERGED * cost[2])
    found = []
    for seconds, share in zip(cost, POOL_SHARE):
        pool = machine.pool * share
        misses = sum(
            sign * many * missed(shape.working_set(many), pool)
            for sign, many in ((1, rows), (-1, sampled))
        )
        found.append(max(misses, 0.0) * shape.scattered * seconds)
    return tuple(found)


def missed(size: float, pool: float) -> float:
    """Mean share of random accesses that miss, while a structure grows from 0 to ``size`` bytes
    with ``pool`` bytes of memory: the mean of max(0, 1 - pool/s) over s."""
    if size <= pool or size <= 0:
        return 0.0
    return 1 - pool / size - pool / size * math.log(size / pool)


def by_rate(verdict: Verdict, shape: Shape, bytes_a_second: float = 0.0, basis: str = "") -> Range:
    """Without samples: by a rate known from elsewhere, else by the conservative default."""
    kind = verdict.plain if verdict.plain in (COPY, INPLACE) else COPY
    if kind == INPLACE and verdict.rebuild is False:
        kind = "index"
    slow, likely, fast = DEFAULT_RATE[kind]
    if bytes_a_second > 0:
        # A rate of rebuilds: an index alone takes less, a copy more.
        factor = {"index": 2.5, INPLACE: 1.0, COPY: 0.35}[kind]
        slow, likely, fast = (bytes_a_second * factor * f for f in (0.4, 1.0, 2.5))
    size = max(shape.bytes, 1)
    why = basis or "not measured: a conservative rate"
    return Range(size / fast, size / likely + 0.05, size / slow + 1.0, why)


def instant(basis: str = "") -> Range:
    """An instant change, or one of an empty table."""
    return Range(*INSTANT_TIME, basis=basis or "instant")


def disk(verdict: Verdict, shape: Shape, timed: Timed) -> tuple[int, int]:
    """(bytes on the data directory, bytes in tmpdir) that the statement needs at its peak.

    A rebuild or copy stands beside the old table until it is done; in place, indexes are sorted in
    tmpdir, and what is written meanwhile goes to the row log.
    """
    if no_work(verdict) or verdict.plain not in (COPY, INPLACE):
        return 0, 0
    row_log = 128 << 20 if verdict.plain == INPLACE and shape.bytes > 128 << 20 else 0
    if verdict.plain == COPY:
        return int(shape.bytes * 1.1), 0
    if verdict.rebuild is False:
        new = timed.new_bytes * shape.rows / timed.points[-1][0] if timed.points else (
            shape.index_bytes / max(len(shape.places), 1) or shape.data_bytes / 5)  # fmt: skip
        return int(new * 1.2) + row_log, int(new * 1.2)
    return int(shape.bytes * 1.1) + row_log, shape.index_bytes
