"""InnoDB's own book-keeping, read from a tablespace file: which pages are used, and how full.

DATA_FREE counts wholly free extents (1 MB) only. Scattered deletes leave free pages inside
extents and half-empty pages: the extent descriptors (XDES) know the first, the header of each
page the second. A few hundred sampled headers cost a tenth of a second, whatever the size.

Layout: storage/innobase/include/{fsp0fsp,fil0fil,page0page}.h of MySQL 8 and MariaDB 10.6; these
offsets have not changed since 5.1 for uncompressed, unencrypted tablespaces.
"""

from __future__ import annotations

import bisect
import itertools
import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

_FSP_SIZE = 38 + 8
_XDES_FIRST = 38 + 112
_XDES_STATE, _XDES_BITMAP = 20, 24
_STATE_FREE = 1
_PAGE_TYPE = 24
_INDEX = 17855
_ENCRYPTED = (15, 16, 17, 35631, 37401)
_COMPRESSED = (14, 16, 34354)
_STALE = 0  # allocated, never written since
_RECORDS_FROM = 120  # end of the supremum record in a compact page


class Unreadable(Exception):
    """The file is not one whose pages can be looked into (encrypted, compressed, not InnoDB)."""


@dataclass
class IndexPages:
    """The sampled leaf pages of one index: bytes in live records, and records."""

    leaves: int = 0
    records: int = 0
    bytes: int = 0
    squares: float = 0.0
    inner: int = 0


@dataclass
class Tablespace:
    """One file: ``pages`` it has, ``used`` of them by the bitmaps, and what a sample showed."""

    pages: int
    used: int
    page_size: int
    sampled: int = 0
    indexes: dict[int, IndexPages] = field(default_factory=dict)
    other: int = 0
    """Sampled pages that a rebuild keeps as they are: off-page values, book-keeping."""
    stale: int = 0
    """Sampled pages whose content has not been written yet."""


def read(path: str, page_size: int, sample: int = 1000) -> Tablespace:
    """Reads the bitmaps and ``sample`` random page headers. OSError; Unreadable."""
    with open(path, "rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        extents = list(_extents(file, page_size))
        space = Tablespace(
            pages=os.fstat(file.fileno()).st_size // page_size,
            used=sum(bin(bits).count("1") for _, bits in extents),
            page_size=page_size,
        )
        for number in _choose(extents, space.used, sample):
            file.seek(number * page_size)
            _note(space, file.read(128))
    return space


def _extents(file: BinaryIO, page_size: int) -> Iterator[tuple[int, int]]:
    """(first page, bits of used pages, two a page) of each extent that has used pages."""
    extent = max(2**20 // page_size, 64)
    entry = _XDES_BITMAP + extent // 4
    first = 0
    while True:
        file.seek(first * page_size)
        head = file.read(page_size)
        if len(head) < page_size:
            return
        if first == 0:
            _check(head)
            limit = struct.unpack_from(">I", head, _FSP_SIZE)[0]
        for i in range(page_size // extent):
            start = first + i * extent
            if start >= limit:
                return
            used = _used(head[_XDES_FIRST + i * entry :], extent)
            if used:
                yield start, used
        first += page_size


def _check(head: bytes) -> None:
    kind = struct.unpack_from(">H", head, _PAGE_TYPE)[0]
    if kind not in (0, 8):
        raise Unreadable(f"its first page has type {kind}")
    # space id in the FSP header must be that of the page's own header
    if head[34:38] != head[38:42]:
        raise Unreadable("its first page is not a tablespace header")


def _used(entry: bytes, extent: int) -> int:
    state = struct.unpack_from(">I", entry, _XDES_STATE)[0]
    if state <= _STATE_FREE:
        return 0
    bits = int.from_bytes(entry[_XDES_BITMAP : _XDES_BITMAP + extent // 4], "little")
    # Two bits a page, the lower one says free. They stay two apart: half a million extents of a
    # large file are gone through in a second.
    lower = ((1 << (2 * extent)) - 1) // 3
    return ~bits & lower


def _choose(extents: list[tuple[int, int]], used: int, sample: int) -> Iterator[int]:
    """Page numbers of a stratified random sample of the used pages, in file order."""
    if not used:
        return
    ends = list(itertools.accumulate(bin(bits).count("1") for _, bits in extents))
    count = min(sample, used)
    dice = random.Random(used)  # the same answer for the same file
    for i in range(count):
        rank = min(int((i + dice.random()) * used / count), used - 1)
        if count == used:
            rank = i
        at = bisect.bisect_right(ends, rank)
        first, bits = extents[at]
        skip = rank - (ends[at - 1] if at else 0)
        yield first + _nth_bit(bits, skip)


def _nth_bit(bits: int, n: int) -> int:
    for _ in range(n):
        bits &= bits - 1
    return ((bits & -bits).bit_length() - 1) // 2


def _note(space: Tablespace, head: bytes) -> None:
    if len(head) < 128:
        return
    space.sampled += 1
    kind = struct.unpack_from(">H", head, _PAGE_TYPE)[0]
    if kind in _ENCRYPTED or kind in _COMPRESSED or kind & 0x8000:
        raise Unreadable("its pages are encrypted or compressed")
    if kind == _STALE:
        space.stale += 1
        return
    if kind != _INDEX:
        space.other += 1
        return
    top, heap, _, garbage = struct.unpack_from(">HHHH", head, 40)
    records = struct.unpack_from(">H", head, 54)[0]
    level, index = struct.unpack_from(">HQ", head, 64)
    pages = space.indexes.setdefault(index, IndexPages())
    if level:
        pages.inner += 1
        return
    if not heap & 0x8000:
        raise Unreadable("it has the old row format (REDUNDANT)")
    size = max(top - _RECORDS_FROM - garbage, 0)
    pages.leaves += 1
    pages.records += records
    pages.bytes += size
    pages.squares += float(size) * size
