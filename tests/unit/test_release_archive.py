"""Hostile and broken zips; plugins packed from what an operator has."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from matops.errors import Refused, UsageError
from matops.matomo.release import archive, plugins

GIB = 2**30


def zipped(path: Path, *names: str, mode: int = 0, data: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name  # as a hostile writer would
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            target.writestr(info, data)
    return path


def judge(path: Path, limit: int = GIB) -> archive.Contents:
    with archive.opened(path) as opened:
        return archive.examine(opened, ("matomo",), limit, "the zip")


def test_a_good_one_is_measured(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "How to install Matomo.html", "matomo/", "matomo/core/a.php")
    found = judge(path)
    assert (found.files, found.folders, found.size) == (2, 2, 3)
    assert found.disk == 2 * 4096 + 2 * 4096


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("matomo/../x", "leave the folder"),
        ("matomo/./x", "leave the folder"),
        ("matomo//x", "leave the folder"),
        ("matomo\\..\\x", "backslash"),
        ("C:/matomo/x", "drive"),
        ("matomo/a\nb", "control characters"),
        ("matomo/a\0b", "control characters"),
        ("matomo/a\x7fb", "control characters"),
        ("other/x", "is outside matomo/"),
        ("matomo", "is outside matomo/"),
        ("install.html", "is outside matomo/"),
        ("matomo/" + "x" * 256, "too long"),
    ],
)
def test_hostile_names(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        judge(zipped(tmp_path / "a.zip", "matomo/core/a.php", name))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("matomo/a", "matomo/a"), "there twice"),
        (("matomo/a", "matomo/A"), "case only"),
        (("matomo/stra\u00dfe", "matomo/STRASSE"), "case only"),
        (("matomo/a", "matomo/a/b"), "a file and a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_collide(tmp_path: Path, names: tuple[str, ...], why: str) -> None:
    with pytest.raises(Refused, match=why):
        judge(zipped(tmp_path / "a.zip", *names))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    with pytest.raises(Refused, match=r"symbolic link|special file"):
        judge(zipped(tmp_path / "a.zip", "matomo/a", mode=kind | 0o777))


def test_too_big_when_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", "matomo/a", data=bytes(5_000_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(Refused, match=r"unpacks to 4\.8 MB, more than 1\.0 MB"):
        judge(path, limit=2**20)


def test_damaged_and_cut_short(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "matomo/a", data=b"hello" * 100)
    whole = path.read_bytes()
    place = whole.index(b"matomo/a") + 12
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    with pytest.raises(Refused, match="damaged"):
        judge(path)
    path.write_bytes(whole[:-30])
    with pytest.raises(Refused, match="damaged, cut short, or not a zip"):
        judge(path)


def plugin(folder: Path, name: str = "Mine", says: str = "Mine") -> Path:
    top = folder / name
    top.mkdir(parents=True)
    (top / "plugin.json").write_text(f'{{"name": "{says}", "version": "1.2"}}')
    (top / "a.php").write_text("<?php")
    return top


def test_a_pack_is_the_same_from_a_folder_and_from_a_zip(tmp_path: Path) -> None:
    top = plugin(tmp_path / "from")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(top.iterdir()):
            target.write(path, f"Mine/{path.name}")
    (tmp_path / "mine.zip").write_bytes(buffer.getvalue())
    found = [
        plugins.pack(source=str(source), out=str(tmp_path / "out.zip"))
        for source in (top, top.parent, tmp_path / "mine.zip")
    ]
    assert found[0] == found[1] == found[2]
    assert found[0]["plugins"] == {"Mine": {"version": "1.2", "require": {}}}


def test_plugins_that_are_none(tmp_path: Path) -> None:
    out = str(tmp_path / "out.zip")
    with pytest.raises(Refused, match="names another plugin, 'Other'"):
        plugins.pack(source=str(plugin(tmp_path / "a", says="Other")), out=out)
    linked = plugin(tmp_path / "b")
    (linked / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match="is a link"):
        plugins.pack(source=str(linked), out=out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no plugin found"):
        plugins.pack(source=str(tmp_path / "empty"), out=out)
