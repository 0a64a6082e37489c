"""logs.gap and the files: any rotation, any compression, nothing twice, nothing missed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from matops.accesslog.blocks import Changed
from matops.errors import MatopsError, Refused
from matops.runbook import log_gap_judge as judge
from tests.unit.gap_kit import START, busy, cut, line, numbers, window

Pack = Callable[[bytes], bytes]
NUMBERS: list[tuple[str, Pack]] = [
    ("access.log.3.gz", gzip.compress), ("access.log.2.gz", gzip.compress),
    ("access.log.1", bytes), ("access.log", bytes),
]  # fmt: skip
DATES: list[tuple[str, Pack]] = [
    ("access.log-20261119.xz", lzma.compress), ("access.log-20261120.bz2", bz2.compress),
    ("access.log-20261121", gzip.compress), ("access.log", bytes),
]  # fmt: skip
EXTENSION: list[tuple[str, Pack]] = [
    ("access-20261119.log.gz", gzip.compress), ("access-20261120.log", bytes),
    ("access-20261121.log", bytes), ("access.log", bytes),
]  # fmt: skip


def spread(tmp_path: Path, names: list[tuple[str, Pack]]) -> Path:
    """Two hours of lines before START and one after, in four files."""
    for place, (name, pack) in enumerate(names):
        first = -3600 + place * 1300
        last = first + 1300 if place < 3 else 2400
        (tmp_path / name).write_bytes(pack(b"".join(text for _, text in busy(first, last))))
        os.utime(tmp_path / name, (START + last,) * 2)
    return tmp_path / "access.log"


@pytest.mark.parametrize("names", [NUMBERS, DATES, EXTENSION], ids=["numbers", "dates", "inside"])
def test_any_rotation_gives_the_same_gap(tmp_path: Path, names: list[tuple[str, Pack]]) -> None:
    hits, report = cut(tmp_path, [spread(tmp_path, names)], window(-2500, 900))
    assert numbers(hits) == list(range(-2500, 900))
    assert not report["holes"]
    assert (report["line_before"], report["line_after"]) == (START - 2501, START + 900)


def test_a_missing_file_is_a_hole(tmp_path: Path) -> None:
    log = spread(tmp_path, NUMBERS)
    (tmp_path / "access.log.1").unlink()
    _, report = cut(tmp_path, [log], window(-2500, 900))
    assert [(h["from"] - START, h["to"] - START) for h in report["holes"]] == [(-1001, 300)]
    with pytest.raises(Refused, match=r"HOLE: .* has no line from"):
        judge.refuse(report, window(-2500, 900), [], {}, "/")
    judge.refuse(report, window(-2500, 900), ["holes"], {}, "/")


def test_the_first_or_last_file_missing_is_said(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(text for _, text in busy(10, 700)))
    _, report = cut(tmp_path, [log])
    with pytest.raises(Refused, match=r"begins at .*, within the window"):
        judge.refuse(report, window(), [], {}, "/")
    log.write_bytes(b"".join(text for _, text in busy(-10, 590)))
    _, report = cut(tmp_path, [log])
    with pytest.raises(Refused, match=r"ends at .*, before the window does"):
        judge.refuse(report, window(), [], {}, "/")
    log.write_bytes(b"".join(text for _, text in busy(-900, -700)))
    _, report = cut(tmp_path, [log])
    with pytest.raises(Refused, match="no log has lines of"):
        judge.refuse(report, window(), ["holes"], {}, "/")


def test_copytruncate_leaves_lines_in_two_files(tmp_path: Path) -> None:
    """The copy's last lines are the cut file's first ones: read once."""
    lines = [text for _, text in busy(-60, 700)]
    (tmp_path / "access.log.1").write_bytes(b"".join(lines[:400]))
    (tmp_path / "access.log").write_bytes(b"".join(lines[390:]))
    hits, report = cut(tmp_path, [tmp_path / "access.log"])
    assert numbers(hits) == list(range(600))
    assert "are read once" in "".join(report["notes"])


def test_a_log_that_is_being_compressed_is_one(tmp_path: Path) -> None:
    lines = [text for _, text in busy(-60, 700)]
    (tmp_path / "access.log.1").write_bytes(b"".join(lines))
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(b"".join(lines))[:-400])
    (tmp_path / "access.log").write_bytes(line(START + 701, 701))
    hits, report = cut(tmp_path, [tmp_path / "access.log"])
    assert numbers(hits) == list(range(600))
    assert "not read twice" in "".join(report["notes"])


def test_equal_lines_are_both_real(tmp_path: Path) -> None:
    lines = [text for _, text in busy(-60, 700)]
    lines[100:100] = [lines[100]] * 2
    (tmp_path / "access.log").write_bytes(b"".join(lines))
    hits, _ = cut(tmp_path, [tmp_path / "access.log"])
    assert len(hits) == 602


def test_late_lines_are_found_beyond_both_ends(tmp_path: Path) -> None:
    """Stamped at their beginning, written at their end, minutes later."""
    lines = busy(-900, 1600)
    late = [line(START + 599, 9001), line(START - 1, 9002), line(START + 1, 9003)]
    text = b"".join(t for _, t in lines)
    (tmp_path / "access.log").write_bytes(text + late[0])
    early = b"".join(t for _, t in lines[:1400]) + late[1] + late[2]
    rest = b"".join(t for _, t in lines[1400:])
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(early))
    (tmp_path / "access.log").write_bytes(rest[:30_000] + late[0] + rest[30_000:])
    (tmp_path / "access.log").write_bytes(
        b"".join(t for _, t in lines[1400:1800]) + late[0] + b"".join(t for _, t in lines[1800:])
    )
    hits, _ = cut(tmp_path, [tmp_path / "access.log"])
    assert sorted(numbers(hits)) == [*range(600), 9001, 9003]
    assert [hit.epoch for hit in hits] == sorted(hit.epoch for hit in hits)


def test_a_cut_gzip_in_the_window_is_shouted(tmp_path: Path) -> None:
    (tmp_path / "access.log.1.gz").write_bytes(
        gzip.compress(b"".join(t for _, t in busy(-60, 300)))[:-200]
    )
    (tmp_path / "access.log").write_bytes(b"".join(t for _, t in busy(300, 700)))
    hits, report = cut(tmp_path, [tmp_path / "access.log"])
    assert 500 < len(hits) < 600
    with pytest.raises(Refused, match="cut off: its end is missing"):
        judge.refuse(report, window(), [], {}, "/")


def test_a_hole_of_zero_bytes_is_jumped_over(tmp_path: Path) -> None:
    """copytruncate under a writer that does not append."""
    with (tmp_path / "access.log").open("wb") as file:
        file.write(b"".join(t for _, t in busy(-60, 200)))
        file.seek(9 << 20, os.SEEK_CUR)
        file.write(b"".join(t for _, t in busy(200, 700)))
    hits, _ = cut(tmp_path, [tmp_path / "access.log"])
    assert numbers(hits) == list(range(600))


def test_a_file_that_shrinks_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(t for _, t in busy(-60, 700)))
    real = os.pread

    def shrink(fd: int, size: int, offset: int) -> bytes:
        os.truncate(log, log.stat().st_size - 1000)
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", shrink)
    with pytest.raises(Changed, match=r"was (cut|rotated) while it was read"):
        cut(tmp_path, [log])


def test_what_cannot_be_understood_is_named(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(b"no stamp at all /matomo.php?idsite=1\n" * 50)
    with pytest.raises(MatopsError, match="no line of it has a time stamp"):
        cut(tmp_path, [tmp_path / "access.log"])
    strange = b"".join(t[50:] + b" [" + t[16:42] + b"]\n" for _, t in busy(-60, 700))
    (tmp_path / "access.log").write_bytes(strange)
    with pytest.raises(MatopsError, match=r"format of .* is not understood"):
        cut(tmp_path, [tmp_path / "access.log"])
    (tmp_path / "access.log").unlink()
    with pytest.raises(MatopsError, match="no file matches access_logs"):
        cut(tmp_path, [tmp_path / "access.log"])
