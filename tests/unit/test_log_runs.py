"""Sorting what is nearly sorted: late lines, clocks that were set, a disk that is full."""

from __future__ import annotations

import random
import resource
from pathlib import Path

import pytest

from matops.accesslog import gapfile, runs
from matops.errors import MatopsError


def sorted_by(made: runs.Runs, tmp_path: Path) -> list[bytes]:
    paths = made.close()
    runs.join(paths, str(tmp_path / "all"))
    return (tmp_path / "all").read_bytes().removeprefix(gapfile.HEADER).splitlines(True)


@pytest.mark.parametrize("buffer", [2_000, 50_000, 1 << 20])
def test_late_lines_find_their_place(tmp_path: Path, buffer: int) -> None:
    """By pieces and by lines, as the cutter does it; each late by some or by many lines."""
    rng = random.Random(buffer)
    late = {n: n + rng.choice((3, 50, 900, 20_000)) for n in rng.sample(range(40_000), 900)}
    order = sorted(range(40_000), key=lambda n: late.get(n, n))
    lines = [b"%08d some text\n" % n for n in order]
    made = runs.Runs(str(tmp_path / "run"), buffer)
    for start in range(0, len(lines), 300):
        some = lines[start : start + 300]
        if start % 600:
            made.put(b"".join(sorted(some)), len(some))
        else:
            made.add(some)
    assert made.count == len(lines)
    assert sorted_by(made, tmp_path) == sorted(lines)


def test_a_clock_that_was_set_back_again_and_again(tmp_path: Path) -> None:
    """Each time a new run, which become one before they are too many to be open."""
    made = runs.Runs(str(tmp_path / "run"), 5_000)
    lines = [b"%06d %02d\n" % (n, turn) for turn in range(40) for n in range(400)]
    for start in range(0, len(lines), 200):
        made.add(lines[start : start + 200])
        assert len(made.paths) <= 40
    assert sorted_by(made, tmp_path) == sorted(lines)
    assert [path.name for path in tmp_path.iterdir()] == ["all"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = runs.Runs(str(tmp_path / "run"), 1_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(MatopsError, match="the gap file cannot be written: File too large"):
            for n in range(100):
                made.add([b"%06d %s\n" % (n, b"x" * 1_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        made.discard()
    assert not list(tmp_path.iterdir())
