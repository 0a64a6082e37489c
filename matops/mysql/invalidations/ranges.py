"""Ranges of the primary key with about as many rows each, in an order that is fair when stopped.

The ids of the queue have holes as large as whole upgrades (and a gap of a million after each
truncate), so ranges of equal width would be empty here and huge there. They are halved until the
server's own estimate (two dives into the index) says that they are small enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from matops.mysql.invalidations.again import once_more
from matops.mysql.session import Session

Item = TypeVar("Item")
SMALL = 20_000
LARGE = 100_000
"""Rows of one range: a statement of 0.05–0.3 s, so no read view is old and purge never waits."""
_PIECES = 512


@dataclass(frozen=True)
class Range:
    """Ids from ``low`` up to below ``high``; ``rows``: the server's estimate."""

    low: int
    high: int
    rows: int

    def condition(self) -> tuple[str, tuple[int, int]]:
        """A condition on the queue's ids, and its values."""
        return "(idinvalidation >= %s AND idinvalidation < %s)", (self.low, self.high)


def plan(
    session: Session, table: str, key: str = "idinvalidation", *, until: float = math.inf
) -> list[Range]:
    """Ranges that hold every row there is now, by id; none for an empty table.

    ``key``: the (first) column of the primary key. About a thousand index dives (0.3 s) for 50
    million rows; and, up to ``until`` (monotonic seconds), the whole key is read once to see that
    the estimates are not far too small: 0.2 s per million rows. DatabaseError.
    """
    ends = once_more(lambda: session.rows("key_range", table=table, key=key))[0]
    if ends["low"] is None:
        return []
    whole = _measured(session, table, key, int(ends["low"]), int(ends["high"]) + 1)
    want = min(max(whole.rows // _PIECES, SMALL), LARGE)
    return _halved(session, table, key, whole, want, until)


def _halved(
    session: Session, table: str, key: str, whole: Range, want: int, until: float
) -> list[Range]:
    found, waiting = [], [whole]
    while waiting:
        one = waiting.pop()
        late = time.monotonic() > until
        if (
            one.high - one.low <= want
            or (late and one.rows <= LARGE)
            or (one.rows <= want and _is_small(session, table, key, one))
        ):
            found.append(one)
            continue
        middle = (one.low + one.high) // 2
        # The upper half goes on the stack first: ranges come out in the order of their ids.
        waiting.append(_measured(session, table, key, middle, one.high))
        waiting.append(_measured(session, table, key, one.low, middle))
    return found


def _measured(session: Session, table: str, key: str, low: int, high: int) -> Range:
    rows = once_more(
        lambda: session.rows("invalidations_range_rows", (low, high), table=table, key=key)
    )
    # 'Impossible WHERE' and the like have no figure: nothing to read there.
    return Range(low, high, int(rows[0]["rows"] or 0))


def _is_small(session: Session, table: str, key: str, one: Range) -> bool:
    """Statistics that are not up to date make estimates far too small: never trusted alone."""
    names = {"table": table, "key": key}
    args = (one.low, one.high, 2 * LARGE)
    return not once_more(lambda: session.rows("invalidations_range_more", args, **names))


def fair(items: Sequence[Item]) -> list[Item]:
    """The same items in bit-reversed order: whatever is looked at first is spread evenly.

    0 4 2 6 1 5 3 7. Pure.
    """
    bits = max(len(items) - 1, 0).bit_length()
    order = (int(format(i, f"0{bits}b")[::-1], 2) if bits else 0 for i in range(1 << bits))
    return [items[at] for at in order if at < len(items)]
