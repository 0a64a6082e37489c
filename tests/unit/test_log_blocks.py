"""What a log may do to who reads it in blocks: long requests, long lines, holes, rotation."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from matops.accesslog.blocks import Blocks, Changed
from matops.accesslog.lineform import COMBINED, of_apache
from matops.accesslog.logfiles import LogFile, look
from tests.unit.gap_kit import START, busy, cut, line, numbers, window

FORMS = [of_apache(COMBINED, rb"/matomo\.php")]


def blocks(file: LogFile) -> Blocks:
    return Blocks(file, FORMS, b"%014.3f" % START, b"%014.3f" % (START + 600), lambda size: None)


def test_a_request_of_an_hour_hides_nothing(tmp_path: Path) -> None:
    """An archiver's, stamped long before the window, written as a chunk's last line within it:
    by its stamp alone the whole chunk would be passed over."""
    old, new = (b"".join(text for _, text in busy(first, first + 90)) for first in (-900, 100))
    long = line(START - 3600, 1, query="module=API")
    path = tmp_path / "access.log"
    path.write_bytes(old)
    found = blocks(look(str(path), FORMS))
    assert list(found._near(iter([(0, old), (9, new + long)]))) == [(9, new + long)]
    path.write_bytes(old + new[: len(new) // 2] + long + new[len(new) // 2 :])
    with path.open("rb") as file:
        place = len(old) + len(new) // 2 - 20
        assert (found._stamp_after(file.fileno(), place, 10**9)[1] or b"") > b"%d" % START


def test_one_line_of_the_future_ends_nothing(tmp_path: Path) -> None:
    """A clock that was set for a moment, at the beginning of a block."""
    lines = [text for _, text in busy(-60, 700)]
    ahead = line(START + 90_000, 1, query="module=API")
    (tmp_path / "access.log").write_bytes(b"".join([ahead, *lines]))
    hits, _ = cut(tmp_path, [tmp_path / "access.log"])
    assert numbers(hits) == list(range(600))


def test_a_line_of_50_mb_takes_no_memory(tmp_path: Path) -> None:
    one, two = line(START + 1, 1), line(START + 2, 2)
    long = line(START + 1, 3).rstrip() + b"x" * (50 << 20)
    path = tmp_path / "access.log"
    path.write_bytes(one + long + b' /matomo.php?idsite=1"\n' + two)
    found = blocks(look(str(path), FORMS))
    tracemalloc.start()
    lines = b"".join(block for _, block in found).splitlines(True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [one, two] and found.long == 1
    assert peak < 30 << 20


def test_the_hole_of_a_log_cut_under_its_writer(tmp_path: Path) -> None:
    """A writer that does not append goes on at its old place: NULs, then its line."""
    path = tmp_path / "access.log"
    lines = [text for _, text in busy(-60, 700)]
    path.write_bytes(b"\0" * (9 << 20) + b"".join(lines))
    hits, report = cut(tmp_path, [path])
    assert numbers(hits) == list(range(600)) and not report["notes"]
    path.write_bytes(b"".join(lines[:300]) + b"\0" * (9 << 20) + b"".join(lines[300:]))
    hits, _ = cut(tmp_path, [path])
    assert numbers(hits) == list(range(600))


@pytest.mark.parametrize("name", ["access.log.2.gz", "access.log.1"])
def test_names_that_moved_on_are_noticed(tmp_path: Path, name: str) -> None:
    """Rotation gives every file its elder brother's name; the content would be another."""
    pack = gzip.compress if name.endswith("gz") else bytes
    path = tmp_path / name
    path.write_bytes(pack(line(START + 1, 1)))
    file = look(str(path), FORMS)
    (tmp_path / "new").write_bytes(pack(line(START + 2, 2)))
    os.replace(tmp_path / "new", path)
    with pytest.raises(Changed, match="was rotated while it was read"):
        list(blocks(file))


def test_dos_lines_and_empty_files(tmp_path: Path) -> None:
    lines = [text.replace(b"\n", b"\r\n") for _, text in busy(-60, 700)]
    (tmp_path / "access.log").write_bytes(b"".join(lines))
    (tmp_path / "access.log.1").write_bytes(b"")
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "access.log.3").write_bytes(b"\n\n")
    hits, report = cut(tmp_path, [tmp_path / "access.log"], window())
    assert numbers(hits) == list(range(600)) and not report["notes"]
    assert all(b"\r" not in hit.agent.encode() for hit in hits)
