"""Which visits of a chunk lie close together."""

from __future__ import annotations

import pytest

from matops.mysql.purge.chunk import spans

DENSE = list(range(1000, 1100))
THIN = list(range(5000, 5000 + 60 * 60, 60))


@pytest.mark.parametrize(
    ("ids", "close", "others"),
    [
        ([], [], []),
        ([7], [], [7]),
        (DENSE, [DENSE], []),
        (DENSE[::4], [], DENSE[::4]),  # too few
        ([*range(0, 400, 4)], [[*range(0, 400, 4)]], []),  # a quarter of the numbers
        ([*range(0, 500, 5)], [], [*range(0, 500, 5)]),  # less
        ([3, *DENSE, *THIN, 90_000], [DENSE], [3, *THIN, 90_000]),
    ],
)
def test_spans(ids: list[int], close: list[list[int]], others: list[int]) -> None:
    assert spans(ids) == (close, others)
