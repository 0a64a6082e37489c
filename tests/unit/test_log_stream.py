"""Reading logs however they are compressed, whole, joined, cut and damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from matops.accesslog import stream

TEXT = b"".join(b"%d the same line, again and again\n" % i for i in range(60_000))  # 2.2 MB
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress
}  # fmt: skip


def content(path: Path) -> tuple[bytes, str]:
    found = stream.Stream(str(path), stream.kind_of(str(path)))
    return b"".join(found.chunks()), found.damage


@pytest.mark.parametrize("kind", list(PACKERS))
def test_joined_and_cut_files_give_every_byte(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "misnamed.log.1"
    half = len(TEXT) // 2
    packed = PACKERS[kind](TEXT[:half]) + PACKERS[kind](TEXT[half:])
    path.write_bytes(packed)
    assert stream.kind_of(str(path)) == kind
    assert content(path) == (TEXT, "")
    path.write_bytes(packed[:-20])
    text, damage = content(path)
    assert "cut off" in damage
    assert TEXT.startswith(text) and len(text) >= half


def test_a_cut_gzip_loses_nothing_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(TEXT)[:-9])  # its checksum and a byte more
    text, damage = content(path)
    assert damage and len(TEXT) - len(text) < 1000
    path.write_bytes(gzip.compress(TEXT) + b"\0" * 5000)
    assert content(path) == (TEXT, "")
    path.write_bytes(gzip.compress(TEXT) + b"rubbish")
    assert content(path)[0] == TEXT and content(path)[1]


@pytest.mark.parametrize("decoder", ["isal", "zlib"])
def test_one_chunk_stays_small_however_much_is_in_it(tmp_path: Path, decoder: str) -> None:
    if decoder == "isal":
        pytest.importorskip("isal")
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(b"x" * 30_000_000))
    made = stream.zlib_decoder if decoder == "zlib" else stream.gzip_decoder()
    found = stream.Stream(str(path), "gz")
    sizes = [len(chunk) for chunk in found._by(made)]
    assert sum(sizes) == 30_000_000 and max(sizes) <= stream.CHUNK


@pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd here")
def test_zstd_by_its_program(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "log"
    plain.write_bytes(TEXT)
    subprocess.run(["zstd", "-q", str(plain), "-o", str(path)], check=True)
    assert content(path) == (TEXT, "")
    path.write_bytes(path.read_bytes()[:-10])
    assert content(path)[1]


def test_a_program_that_gives_up_is_taken_over(tmp_path: Path, monkeypatch: object) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(TEXT)[:-9])
    found = stream.Stream(str(path), "gz")
    text = b"".join(found._by_tool(["gzip", "-dc"]))
    assert found.damage and len(TEXT) - len(text) < 1000 and TEXT.startswith(text)


@pytest.mark.parametrize("tool", ["igzip", "pigz"])
def test_programs_that_are_silent_about_rubbish_lose_nothing(tmp_path: Path, tool: str) -> None:
    """igzip and pigz end with 0 where something stands between two members, without the second."""
    if not shutil.which(tool):
        pytest.skip(f"no {tool} here")
    path, part = tmp_path / "log", len(TEXT) // 3
    one, two = gzip.compress(TEXT[:part]), gzip.compress(TEXT[part:])
    for between, damaged in ((b"", False), (b"\0" * 512, False), (b"rubbish", True)):
        path.write_bytes(one + between + two)
        found = stream.Stream(str(path), "gz")
        text = b"".join(found._by_tool([tool, "-dc"]))
        assert bool(found.damage) == damaged
        assert text == (TEXT[:part] if damaged else TEXT)
