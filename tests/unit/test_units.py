"""Sizes, durations, dates."""

import datetime as dt

import pytest

from matops import units
from matops.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512), ("1k", 1024), ("20MB", 20 << 20), ("1.5 GiB", 3 << 29), ("2t", 2 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "1.2.3k", "20 parsecs", "-1"])
def test_not_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("6h", 21600), ("3d", 259200), ("1h30m", 5400), ("2w", 1209600)],
)
def test_durations(text: str, seconds: int) -> None:
    assert units.parse_duration(text) == seconds


def test_a_duration_wants_a_unit_and_says_which() -> None:
    with pytest.raises(UsageError, match="write '3s' or '3d'"):
        units.parse_duration("3", "--window")
    with pytest.raises(UsageError, match="--window"):
        units.parse_duration("soon", "--window")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (4.25, "4.2 s"), (99, "99 s"), (600, "10 min"), (12000, "3 h 20 min"),
     (3 * 86400, "3 d"), (190000, "2 d 4 h"), (None, "?")],
)  # fmt: skip
def test_shown_durations(seconds: float, text: str) -> None:
    assert units.show_duration(seconds) == text


def test_shown_sizes_and_times_name_their_unit_and_zone() -> None:
    assert units.show_size(0) == "0 B"
    assert units.show_size(5 << 20) == "5.0 MB"
    assert units.show_size(3 << 40) == "3.0 TB"
    moment = dt.datetime(2026, 3, 1, 13, 0, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert units.show_time(moment) == "2026-03-01 11:00:00 UTC"
    assert units.compact_time(moment) == "20260301T110000Z"
