"""The order of versions, and what plugins say they work with."""

from __future__ import annotations

import pytest

from matops.matomo.release.ranges import bounded, satisfied
from matops.matomo.release.versions import is_release, key


def test_order() -> None:
    stages = "5.8.0-dev 5.8.0-alpha 5.8.0-b1 5.8.0-b2 5.8.0-b10 5.8.0-rc1 5.8.0 5.8.0-pl1"
    versions = [*stages.split(), "5.8.1", "5.10.0"]
    keys = [key(version) for version in versions]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert key("5.8") == key("5.8.0") == key("v5.8.0")
    assert key("8.2.28-1~deb12u1") == key("8.2.28") > key("8.2.9")
    with pytest.raises(ValueError, match="not a version"):
        key("latest")


@pytest.mark.parametrize("text", ["5.8", "../5.8.0", "5.8.0/..", "5.8.0-b1;rm", "", "5.8.0\n"])
def test_what_is_no_release(text: str) -> None:
    assert not is_release(text)
    assert is_release("5.8.0") and is_release("5.9.0-b1") and is_release("5.9.0-rc2")


@pytest.mark.parametrize(
    ("constraint", "version", "fits"),
    [
        (">=5.0.0-b1,<6.0.0-b1", "5.8.0", True),
        (">=5.0.0-b1,<6.0.0-b1", "6.0.0-b1", False),
        (">=5.0.0-b1,<6.0.0-b1", "5.0.0-b1", True),
        (">=5.0.0-b1,<6.0.0-b1", "4.16.1", False),
        (">=5.0.0,<6.0.0", "6.0.0-b1", False),
        (">=5.0.0,<6.0.0", "5.0.0-rc1", True),
        (">=4.0.0 <6.0.0", "5.8.0", True),
        ("5.1.0", "5.8.0", True),
        ("5.9.0", "5.8.0", False),
        ("^5.1", "5.8.0", True),
        ("^5.1", "6.0.0", False),
        ("~5.1.2", "5.1.9", True),
        ("~5.1.2", "5.2.0", False),
        ("5.*", "5.8.0", True),
        ("4.* || 5.*", "5.8.0", True),
        ("4.*|6.*", "5.8.0", False),
        ("!=5.8.0", "5.8.0", False),
        ("<=5.8.0", "5.8.0", True),
        (">5.8.0", "5.8.0", False),
        ("*", "5.8.0", True),
    ],
)
def test_ranges(constraint: str, version: str, fits: bool) -> None:
    assert satisfied(constraint, version) is fits


def test_a_range_that_is_none() -> None:
    with pytest.raises(ValueError, match="not a range"):
        satisfied(">= five", "5.8.0")


def test_matomo_bounds_an_open_range() -> None:
    assert bounded(">=5.0.0-b1,<6.0.0-b1") == ">=5.0.0-b1,<6.0.0-b1"
    assert bounded(">=4.0.0") == ">=4.0.0,<5.0.0-b1"
    assert bounded("<5.9.0") == ">=5.0.0-b1,<5.9.0"
    assert not satisfied(bounded("*"), "5.8.0")
