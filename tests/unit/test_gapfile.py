"""The gap file's lines: what is written is read back, and is pure ASCII."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from matops.accesslog import gapfile
from matops.errors import MatopsError


def made(agent: bytes, query: bytes, epoch: float = 1763800000.25, offset: int = 7) -> bytes:
    key = gapfile.sort_key(gapfile.stamp(epoch), b"web1", 3, offset)
    return gapfile.line(
        key, b"E", b"GET", b"/matomo.php", gapfile.escape_query(query), b"2001:db8::1",
        gapfile.escape(agent), b"", b"204", b"0", b"",
    )  # fmt: skip


@pytest.mark.parametrize(
    "agent", [b"plain", b"\x80\xff raw", b"tab\there", b'a\\x41 "q"', b"\xc3\xa9"]
)
def test_a_hit_comes_back_as_it_was(agent: bytes) -> None:
    hit = gapfile.parse(made(agent, b"idsite=1&x=\xe9 y\t"))
    assert gapfile.unescape(hit.agent) == agent
    assert hit.query == "idsite=1&x=%E9%20y%09"
    assert (hit.epoch, hit.id, hit.status) == (1763800000.25, ("web1", 3, 7), 204)


def test_the_order_of_bytes_is_the_order_of_time_and_place() -> None:
    places = [(9.0, 1), (9.0, 12), (10.5, 2), (1763800000.0, 0)]
    assert [made(b"", b"", *p) for p in places] == sorted(made(b"", b"", *p) for p in places)


def test_a_file_is_read_from_any_line_on_and_refused_when_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.gap"
    path.write_bytes(gapfile.HEADER + made(b"1", b"") + made(b"2", b""))
    (_, one), (second, two) = gapfile.read(path)
    assert (one.agent, two.agent) == ("1", "2")
    assert [hit.agent for _, hit in gapfile.read(path, second)] == ["2"]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(MatopsError, match="not whole"):
        list(gapfile.read(path))


def test_export_is_one_plain_format(tmp_path: Path) -> None:
    path, out = tmp_path / "a.gap", io.BytesIO()
    path.write_bytes(gapfile.HEADER + made(b'q" \x80', b"idsite=1"))
    assert gapfile.export(path, out) == 1
    assert out.getvalue() == (
        b'2001:db8::1 - - [22/Nov/2025:08:26:40 +0000] "GET /matomo.php?idsite=1 HTTP/1.1" '
        b'204 0 "-" "q\' \\x80"\n'
    )
