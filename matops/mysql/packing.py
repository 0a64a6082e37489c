"""How many pages a rebuild makes of so many records: InnoDB's sorted load, in numbers.

Measured on MySQL 9.7 and MariaDB 10.11 (tests/db/test_estimate.py rebuilds and compares).
"""

from __future__ import annotations

HEADERS = 128
"""Bytes of a page that hold no record: headers 94, infimum and supremum 26, trailer 8."""

RECORD_EXTRA = 18
"""A clustered record's header 5, transaction id 6, roll pointer 7."""

INDEX_EXTRA = 5
"""A secondary index record's header."""

SPREAD = 1 / 3
"""Squared coefficient of variation of row lengths where it is not known (evenly spread)."""

_TREE = 1.01  # the pages above the leaves


def leaf_pages(records: float, record_bytes: float, page_size: int, *, clustered: bool) -> float:
    """Leaf pages after the rebuild.

    The sorted load leaves 1/16 of a clustered page free (dict_index_get_space_reserve) and
    closes a page when the next record does not fit: on average 1/2 of a record and more, the
    more the lengths differ, stays empty.
    """
    if records <= 0 or record_bytes <= 0:
        return 0.0
    room = page_size - HEADERS - (page_size // 16 if clustered else 0)
    wide = record_bytes > page_size / 50  # narrow ones of one index hardly differ
    lost = record_bytes / 2 * (1 + (SPREAD if wide else 0))
    fit = (room - lost) / (record_bytes + 0.5)  # a directory slot of 2 bytes per 4 records
    # At least two records go into a page.
    return records / max(fit, 2.0) * _TREE


def file_bytes(pages: float, page_size: int, flavour: str) -> float:
    """Size of the file that holds so many used pages.

    A segment reserves free extents before it needs them: up to 1/8 of its pages. MySQL's
    parallel load keeps that at every size; MariaDB's stays below some MB.
    """
    if flavour == "mysql":
        spare = pages / 7 + min(500.0, pages / 2)
    else:
        spare = min(pages / 7, 600.0) + min(150.0, pages / 2)
    return (pages + spare) * page_size
