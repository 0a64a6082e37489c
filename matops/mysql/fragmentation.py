"""How much a rebuild of a table would give back, with the method used and its error.

DATA_FREE is blind to scattered deletes (5 MB shown where 868 MB were there). From best to worst:

1. ``pages``: the tablespace file itself, where this process may read it (``pages.py``).
2. ``rows``: rows counted and measured at random points of the primary key (``sampling.py``).
3. ``free extents``: DATA_FREE. Said to be blind; its error is the whole rest of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Optional

from matops.mysql import filenames, packing, pages, sampling
from matops.mysql.filenames import File
from matops.mysql.server import Server, dirty_bytes
from matops.mysql.session import DatabaseError, Row, Session

PAGES, ROWS, FREE_EXTENTS, NOTHING = "pages", "rows", "free extents", "none"

_MODEL_ERROR = 0.06  # of the predicted size: what ``packing`` was off at most, measured
# No SELECT; waited too long for a lock or altogether; cancelled; dropped meanwhile.
_NOT_NOW = (1142, 1143, 1205, 3024, 1969, 1317, 1146)
_GRAIN = 4 * 2**20  # files grow in steps of 4 MB


@dataclass(frozen=True)
class Estimate:
    """What rebuilding ``table`` would do. All in bytes; ``error_bytes`` is about two sigma.

    ``method``: pages, rows, free extents, or none (nothing to estimate: not InnoDB, no table).
    ``note``: what limits it, in words; may be empty.
    """

    table: str
    file_bytes: int
    predicted_bytes: int
    reclaim_bytes: int
    error_bytes: int
    method: str
    note: str = ""

    @property
    def share(self) -> float:
        """Reclaimable part of the file, 0 to 1."""
        return self.reclaim_bytes / self.file_bytes if self.file_bytes else 0.0


def estimate(
    session: Session,
    server: Server,
    table: str,
    *,
    schema: str = "",
    files: Optional[list[File]] = None,
    sample: int = 1000,
) -> Estimate:
    """Estimates one table; a tenth of a second to some seconds, whatever its size.

    ``files``: its tablespace files where they are known already; ``sample``: pages to look at.
    Needs SELECT on the table for ``rows``. Raises DatabaseError for a lost connection only:
    what cannot be estimated comes back with method ``none`` and a note.
    """
    schema = schema or session.address.schema
    found = session.rows("table_status", (schema, table))
    if not found:
        return _nothing(table, 0, "there is no such table")
    status = found[0]
    owned = sum(int(status[key] or 0) for key in ("data_bytes", "index_bytes", "free_bytes"))
    if str(status["engine"]).lower() != "innodb":
        what = status["engine"] or str(status["type"]).lower()
        return _nothing(table, owned, f"not InnoDB: {what}")
    if files is None:
        files = filenames.lookup(filenames.files_of(session, server, schema, table), table)
    size = sum(file.bytes for file in files)
    if server.process and not files:
        return _nothing(table, owned, "in a shared tablespace: a rebuild frees no disk space")
    note = ""
    if files and not server.is_here:
        note = "the database is on another machine"
    elif files:
        try:
            return _from_pages(session, server, table, files, sample)
        except OSError as problem:
            note = f"its file cannot be read here ({problem.strerror})"
        except (pages.Unreadable, _Stale) as reason:
            note = str(reason)
    measured = _from_rows(session, server, schema, table, status, size or owned)
    measured = measured or _from_free_extents(table, status, size or owned)
    return replace(measured, note="; ".join(part for part in (note, measured.note) if part))


class _Stale(Exception):
    """Too much of the table is changed in memory only."""


def _from_pages(
    session: Session, server: Server, table: str, files: list[File], sample: int
) -> Estimate:
    size = predicted = variance = 0.0
    for file in files:
        space = pages.read(file.path, server.page_size, sample)
        size += space.pages * space.page_size
        used, spread = _rebuilt(space)
        predicted += packing.file_bytes(used, space.page_size, server.flavour)
        variance += (spread * space.page_size) ** 2
        if space.stale > 0.2 * max(space.sampled, 1):
            raise _Stale("much of its file is not written yet")
    unwritten = min(dirty_bytes(session), size)
    if unwritten > max(0.15 * size, 2 * _GRAIN):
        raise _Stale("much of the buffer pool is not written yet")
    error = 2 * math.sqrt(variance) + _MODEL_ERROR * predicted + _GRAIN + unwritten / 2
    return _made(table, size, predicted, error, PAGES, "")


def _rebuilt(space: pages.Tablespace) -> tuple[float, float]:
    """(pages in use after a rebuild, standard error of that) from a sample."""
    if not space.sampled:
        return 0.0, 0.0
    scale = space.used / space.sampled
    total = scale * space.other
    variance = 0.0
    clustered = min(space.indexes, default=0)  # created first: it has the lowest number
    for number, index in space.indexes.items():
        if not index.records:
            continue
        mean = index.bytes / index.records
        leaves = packing.leaf_pages(
            index.records * scale, mean, space.page_size, clustered=number == clustered
        )
        total += leaves
        if index.leaves > 1 and index.bytes:
            average = index.bytes / index.leaves
            around = max(index.squares / index.leaves - average**2, 0.0)
            variance += (leaves / average) ** 2 * around / index.leaves
            # How many of the used pages are this index's is sampled, too.
            part = index.leaves / space.sampled
            if space.sampled < space.used:
                variance += (leaves / part) ** 2 * part * (1 - part) / space.sampled
    if space.stale:  # not yet written: taken to be like the others
        total *= space.sampled / max(space.sampled - space.stale, 1)
    return total, math.sqrt(variance)


def _from_rows(
    session: Session, server: Server, schema: str, table: str, status: Row, size: float
) -> Optional[Estimate]:
    try:
        found = sampling.measure(session, schema, table, status)
    except sampling.NotPossible:
        return None
    except DatabaseError as refusal:
        if refusal.number in _NOT_NOW:
            return None
        raise
    used = found.offpage_pages
    used += packing.leaf_pages(found.rows, found.row_bytes, server.page_size, clustered=True)
    for entry in found.index_bytes:
        used += packing.leaf_pages(found.rows, entry, server.page_size, clustered=False)
    predicted = packing.file_bytes(used, server.page_size, server.flavour)
    error = (2 * found.error + 1.5 * _MODEL_ERROR) * predicted + _GRAIN
    return _made(table, size, predicted, error, ROWS, found.note)


def _from_free_extents(table: str, status: Row, size: float) -> Estimate:
    free = int(status["free_bytes"] or 0)
    note = "DATA_FREE only: blind to scattered deletes"
    return _made(table, size, size - free, size - free, FREE_EXTENTS, note)


def _made(
    table: str, size: float, predicted: float, error: float, method: str, note: str
) -> Estimate:
    predicted = min(predicted, size)
    return Estimate(
        table=table,
        file_bytes=int(size),
        predicted_bytes=int(predicted),
        reclaim_bytes=int(size - predicted),
        error_bytes=int(min(error, size)),
        method=method,
        note=note,
    )


def _nothing(table: str, size: int, note: str) -> Estimate:
    return Estimate(table, size, size, 0, 0, NOTHING, note)
