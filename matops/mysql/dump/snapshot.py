"""One short read view for the many small tables, and none for the rest.

A read view that stays open for the length of a dump makes purge keep every row version since
(the history list grows), and a transaction keeps the metadata lock of every table it has read:
an ALTER or OPTIMIZE then waits, and all clients behind it. So the read view is given up after
``LONGEST`` seconds, and a table's lock as soon as that table was read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from matops.mysql.dump.source import Source

LONGEST = 20.0
"""Seconds after which no further table is read in the same read view."""


class Snapshots:
    """Read views one after the other; ``number`` counts them, 0 before the first."""

    def __init__(self, source: Source, longest: float = LONGEST) -> None:
        self._source = source
        self._longest = longest
        self._began = 0.0
        self.number = 0
        self._open = False

    @contextlib.contextmanager
    def table(self) -> Iterator[int]:
        """A read view for reading one table; its number. The table's lock goes at the end."""
        if self._open and time.monotonic() - self._began > self._longest:
            self.end()
        if not self._open:
            self._source.execute("backup_snapshot")
            self._source.execute("backup_savepoint")
            self._began, self._open = time.monotonic(), True
            self.number += 1
        yield self.number
        self._source.execute("backup_release")

    def end(self) -> None:
        """Gives the read view up."""
        if self._open:
            self._source.execute("backup_snapshot_end")
            self._open = False
