"""Many lines of a log at once: what ``cut.Cutter`` does a million times, in as few steps as
Python allows: a pattern over a whole block, then columns instead of rows (``lots``).
"""

from __future__ import annotations

import bisect
import io
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress
from operator import itemgetter
from typing import Any, Optional

from matops.accesslog import stamps, verdict
from matops.accesslog.lineform import CONTROLS, Fields, Form
from matops.accesslog.lots import VALUES, Lot, Row, keys

_MARK = 0x80
# What no clean line holds becomes one byte, which is found at memchr's speed.
_MARKS = bytes(_MARK if c >= 0x80 or c in CONTROLS or c == 0x5C else c for c in range(256))
_MANY = 100_000
_SPECIAL = (b"token_auth=", b"matops_check=")
_special = re.compile(b"|".join(_SPECIAL)).search


@dataclass
class Lines:
    """Lines with their line feeds, and where each begins in its log; ``text``: all of them."""

    starts: Sequence[int]
    lines: list[bytes]
    text: bytes

    def at(self, start: int) -> bytes:
        """The line that begins there."""
        return self.lines[bisect.bisect_left(self.starts, start)]

    def some(self, chosen: Sequence[object]) -> Lines:
        """Those that are chosen, in a list as long as ``lines``."""
        lines = list(compress(self.lines, chosen))
        return Lines(list(compress(self.starts, chosen)), lines, b"".join(lines))


def parted(offset: int, block: bytes) -> tuple[Lines, list[tuple[int, bytes]]]:
    """The clean lines of a block that begins at ``offset``, and the others with their starts."""
    lines = io.BytesIO(block).readlines()
    starts = list(accumulate(map(len, lines), initial=offset))
    marked = block.translate(_MARKS)
    if marked.isascii():
        return Lines(starts, lines, block), []
    clean, unclean = bytearray(b"\1" * len(lines)), []
    at = marked.find(_MARK)
    while at >= 0:
        number = bisect.bisect_right(starts, offset + at) - 1
        clean[number] = 0
        unclean.append((starts[number], lines[number]))
        at = marked.find(_MARK, starts[number + 1] - offset)
    kept = list(compress(lines, clean))
    return Lines(list(compress(starts, clean)), kept, b"".join(kept)), unclean


class Prefixes(dict[bytes, Optional[bytes]]):
    """Stamp as logged => the first fields of the gap file's line, where nothing was recorded at
    that time; b'' outside of the window; None where a hit is to be looked at by itself."""

    def __init__(self, low: bytes, high: bytes, inner: tuple[bytes, bytes], place: bytes) -> None:
        super().__init__()
        self._low, self._high, self._inner, self._place = low, high, inner, place
        self.tidy()

    def __missing__(self, stamp: bytes) -> Optional[bytes]:
        minute = stamps.minute(stamp)
        if minute is not None:  # sixty at once cost little more than one
            for second in range(60):
                self[b"%b%02d%b" % (stamp[:18], second, stamp[20:])] = self._of(
                    b"%010d.000" % (minute + second)
                )
            if stamp in self:
                return self[stamp]
        key = stamps.key(stamp)
        found = self[stamp] = None if key is None else self._of(key)
        return found

    def _of(self, key: bytes) -> Optional[bytes]:
        if not self._low <= key < self._high:
            return b""
        return key + self._place if self._inner[0] <= key < self._inner[1] else None

    def tidy(self) -> None:
        """Forgets where it is too much: milliseconds are all different."""
        if not self or len(self) > _MANY:
            self.clear()
            self[b""] = b""  # of a line that is no hit


class Quick:
    """The quick way of one format. ``plain``: statuses of hits that were not recorded;
    ``address``: of a forwarded-for field, where it counts."""

    def __init__(self, form: Form, plain: Collection[bytes],
                 address: Optional[Callable[[bytes], bytes]] = None) -> None:  # fmt: skip
        assert form.bulk is not None
        self._pattern, self._plain = form.bulk, plain
        self._address = address if form.has_forwarded else None
        places = {name: group - 1 for name, group in zip(Fields._fields, form.order)}
        self._places = tuple(places[n] for n in ("stamp", "method", "query", "status", "host"))
        self._values = tuple(places[name] for name in VALUES)
        self._forwarded = places["forwarded"]
        self._fields = itemgetter(*(places[name] for name in Fields._fields))

    def findall(self, given: Lines) -> list[Row]:
        """One row for each line."""
        rows: list[Row] = self._pattern.findall(given.text)
        if len(rows) != len(given.lines):  # a broken line, taken together with the next one
            rows = [self._pattern.findall(line)[0] for line in given.lines]
        return rows

    def fields(self, row: Row) -> Fields:
        """The row in the order of all formats."""
        return Fields(*(b"" if value == b"-" else value for value in self._fields(row)))

    def choose(
        self, given: Lines, prefixes: Prefixes, others: Collection[bytes],
        search: Callable[[bytes], Any],
    ) -> tuple[Optional[Lot], list[tuple[int, Row]], Lines]:  # fmt: skip
        """Of some lines: the plain hits, the other hits (start, row), and what this format does
        not read although ``search`` finds the tracker in it.

        Plain: away from the edges, by status not recorded, nothing to be escaped or hidden, of
        no virtual host of ``others``.
        """
        rows = self.findall(given)
        columns = list(zip(*rows))
        when, method, query, status, host = (columns[place] for place in self._places)
        found = list(map(prefixes.__getitem__, when))
        plain, methods = self._plain, verdict.METHODS
        chosen: list[object] = [
            prefix and s in plain and b"idsite=" in q and m in methods
            for prefix, s, q, m in zip(found, status, query, method)
        ]
        if any(special in given.text for special in _SPECIAL):
            chosen = [c and not _special(q) for c, q in zip(chosen, query)]
        if others:
            chosen = [c and h not in others for c, h in zip(chosen, host)]
        odd = [
            (start, row) for start, row, prefix, c in zip(given.starts, rows, found, chosen)
            if not c and prefix != b""
        ]  # fmt: skip
        return self._lot(given, rows, found, chosen), odd, _unread(given, when, search)

    def _lot(self, given: Lines, rows: Sequence[Row], found: Sequence[Optional[bytes]],
             chosen: Sequence[object]) -> Optional[Lot]:  # fmt: skip
        kept = list(compress(rows, chosen))
        if not kept:
            return None
        made = keys(list(compress(found, chosen)), list(compress(given.starts, chosen)))
        return Lot(made, kept, self._values, self._forwarded, self._address)


def _unread(given: Lines, when: Sequence[bytes], search: Callable[[bytes], Any]) -> Lines:
    blank = [not stamp for stamp in when]
    left = given.some(blank)
    if search(left.text) is None:
        return Lines([], [], b"")
    return left.some([search(line) for line in left.lines])
