"""Whose a built tree is, what a copy must not bring or let in, and what nobody may replace."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from matops.errors import MatopsError, Refused
from matops.matomo.install import (
    ahead,
    bell,
    build,
    busy,
    catch,
    clone,
    gate,
    place,
    seen,
    serve,
    switch,
    whose,
)
from matops.matomo.release import webconf

DEFAULT, ACCESS = "system.posix_acl_default", "system.posix_acl_access"


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as the kernel takes it (linux/posix_acl_xattr.h): (tag, rights, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)


NOBODY = 0xFFFFFFFF
LETS_IN = acl((1, 7, NOBODY), (2, 7, 12345), (4, 7, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY))


def test_a_copy_has_the_acl_of_its_original_and_no_other(tmp_path: Path) -> None:
    plain, shared, there = tmp_path / "config.ini.php", tmp_path / "shared", tmp_path / "there"
    plain.write_text("secret")
    plain.chmod(0o640)
    shared.write_text("x")
    there.mkdir()
    try:
        os.setxattr(shared, ACCESS, LETS_IN)
        os.setxattr(there, DEFAULT, LETS_IN)
    except OSError as error:
        pytest.skip(f"no ACLs here: {errno.errorcode.get(error.errno or 0)}")
    clone.copy(str(plain), str(there / "config.ini.php"))
    clone.copy(str(shared), str(there / "shared"))
    clone.folder(str(tmp_path), str(there / "folder"))
    assert not clone.attributes(str(there / "config.ini.php"))
    assert (there / "config.ini.php").stat().st_mode & 0o777 == 0o640
    assert os.getxattr(there / "shared", ACCESS) == LETS_IN
    assert not clone.attributes(str(there / "folder"))


def test_what_is_no_file_any_more_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("root's own")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError):
            clone._content(str(tmp_path / name), str(tmp_path / f"{name}.copy"))
    assert clone.beside("/x/config.ini.php").endswith(".php")
    assert not clone.fixed(str(tmp_path / "pipe")) and not clone.fixed(str(tmp_path / "none"))


def test_a_built_tree_belongs_to_one_docroot(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    root = str(tmp_path / "stage")
    for each in (one, other):
        (each / "core").mkdir(parents=True)
        (each / "core" / "Version.php").write_text("const VERSION = '5.3.1';")
    built = place.fresh(root, str(one), "5.9.0", "f" * 64)
    built.tree.mkdir(parents=True)
    facts = {"how": "copy", "state": place.DONE, "docroot": str(one), "to": "5.9.0",
             "sha256": "f" * 64, "new": 1, "old": 2, "when": ""}  # fmt: skip
    built.write("install.json", {**facts, "state": place.BUILT})
    assert built.state(str(one)) == place.BUILT and built.state(str(other)) == ""
    assert place.current(root, str(one), "5.9.0", "f" * 64) is not None
    assert place.current(root, str(other), "5.9.0", "f" * 64) is None
    assert built.may_go(str(one)) and not built.may_go(str(other))
    assert place.fresh(root, str(other), "5.9.0", "f" * 64).folder != built.folder
    # A docroot that was put back out of a backup is not the installed one.
    built.note(state=place.DONE)
    assert place.current(root, str(one), "5.9.0", "f" * 64) is None
    (one / "core" / "Version.php").write_text("const VERSION = '5.9.0';")
    assert place.current(root, str(one), "5.9.0", "f" * 64) is not None
    built.show_as_way_back(facts)
    (built.folder / "install.json").write_text("{")
    assert not built.is_spare and not built.may_go(str(one))


def test_names_that_lead_out_are_on_no_list(tmp_path: Path) -> None:
    listed = {"core/A.php": (1, ""), "../etc/passwd": (1, ""), "/etc/x": (1, ""), "a//b": (1, "")}
    assert list(whose._inside(listed) or {}) == ["core/A.php"]
    (tmp_path / "docroot/core").mkdir(parents=True)
    (tmp_path / "docroot/core/Version.php").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/Old.php").touch()
    (tmp_path / "docroot/libs").symlink_to("../elsewhere")
    old = {"libs/Old.php": (0, ""), "libs/Gone.php": (0, ""), "core/Version.php": (0, "")}
    assert whose.behind_links(tmp_path / "docroot", old, {}) == ["libs/Old.php"]


def test_what_cannot_be_replaced_is_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "fixed", lambda path: path.endswith("/.user.ini"))
    ahead.nothing_fixed(tmp_path, ["index.php", "core/A.php"])
    with pytest.raises(Refused, match=r"immutable, first .*/\.user\.ini.*chattr -i"):
        ahead.nothing_fixed(tmp_path, ["index.php", ".user.ini"])
    with pytest.raises(Refused, match=r"not enough room at .*inodes are needed.*; or copy"):
        ahead.has_room(str(tmp_path), 1 << 60, 1, tmp_path / "none", "; or copy")


def test_sessions_and_logs_never_keep_a_tree_from_being_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docroot, target = tmp_path / "docroot", place.Place(str(tmp_path / "stage/install-x"))
    for top in (docroot, target.tree):
        for name in ("tmp/logs", "tmp/sessions", "misc/user"):
            (top / name).mkdir(parents=True)
    for name in ("old.json", "new.json"):
        target.write(name, {})
    target.write("seen.json", seen.take(docroot))
    log, session = docroot / "tmp/logs/matomo.log", docroot / "tmp/sessions/sess_1"
    busily = catch.Follower(docroot, target)
    (docroot / "misc/user/logo.png").write_text("logo")
    (docroot / ("matops-" + "0" * 24 + ".php")).write_text("ours")
    session.write_text("s")
    look = seen.take

    def writing(docroot: Path, beside: str = "") -> seen.Seen:
        with log.open("a") as file:
            file.write("line\n")
        return look(docroot, beside)

    monkeypatch.setattr(seen, "take", writing)
    assert busily.settle() == 1
    assert (target.tree / "tmp/sessions/sess_1").exists()
    assert not list(target.tree.glob("matops-*"))
    session.unlink()
    busily.docroot = target.tree  # as after the exchange
    busily.after(docroot)
    assert not (target.tree / "tmp/sessions/sess_1").exists()
    serve.sweep(str(docroot))
    assert not list(docroot.glob("matops-*"))


def test_who_works_in_a_docroot(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "print(flush=True); input()", "core:archive", "--token=secret"]
    child = subprocess.Popen(
        words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout and child.stdout.readline()  # before exec has ended it has no words
        found = [line for line in busy.within(str(tmp_path)) if f"pid {child.pid}" in line]
        assert found and "core:archive" in found[0] and "secret" not in found[0]
    finally:
        child.communicate("\n")


def test_a_link_is_not_switched_where_something_names_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, link = tmp_path / "r/m1", tmp_path / "html"
    (real / "misc").mkdir(parents=True)
    link.symlink_to(real)
    served: list[tuple[str, str]] = [("/", str(link)), ("/m", f"{real}0")]
    monkeypatch.setattr(webconf, "read", lambda: webconf.WebConf(served))
    (real / "misc/user").symlink_to("../../shared")
    assert switch.links(str(link)) == [str(link)] and switch.links(str(real)) == []
    (real / "misc/geo").symlink_to(f"{real}/geo")
    assert switch.links(str(link)) == []
    (real / "misc/geo").unlink()
    served.append(("/", f"{real}/"))
    assert switch.links(str(link)) == []


def test_a_build_that_fills_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = "<?php const VERSION = '{}';"
    docroot, stage = tmp_path / "docroot", tmp_path / "root/5.9.0-x"
    for top, text in ((docroot, "5.3.1"), (stage / "matomo", "5.9.0")):
        (top / "core").mkdir(parents=True)
        (top / "core/Version.php").write_text(version.format(text))
    digests = {
        top: hashlib.sha256((top / "core/Version.php").read_bytes()).hexdigest()
        for top in (docroot, stage / "matomo")
    }
    size = len(version.format("5.3.1"))
    (docroot / "config").mkdir()
    (docroot / "config/manifest.inc.php").write_text(
        f'"core/Version.php" => array("{size}", "{digests[docroot]}"),'
    )
    (docroot / "mine.txt").write_text("x")
    (stage / "files.json").write_text(
        json.dumps({"core/Version.php": [size, digests[stage / "matomo"]]})
    )
    (stage / "stage.json").write_text(json.dumps({"version": "5.9.0", "sha256": "f" * 64}))

    def built() -> dict[str, object]:
        return build.build(
            docroot=str(docroot), root=str(tmp_path / "root"), stage=str(stage), how="exchange",
            downloads=str(tmp_path / "downloads"), installed="5.3.1", accept_unlisted=False,
        )  # fmt: skip

    def full(self: build.Work, top: Path) -> list[str]:
        (top / "big").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device", str(top))

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(whose, "GENERATED", ())
    with monkeypatch.context() as patched:
        patched.setattr(build.Work, "_carry", full)
        with pytest.raises(MatopsError, match=r"the disk of .* is full"):
            built()
    assert [each.name for each in (tmp_path / "root").iterdir()] == ["5.9.0-x"]
    folder = Path(str(built()["folder"]))
    assert (folder / "matomo/mine.txt").exists() and folder.stat().st_mode & 0o777 == 0o700
    # Updated by hand meanwhile: whose each file is was told by another list.
    found = place.current(str(tmp_path / "root"), str(docroot), "5.9.0", "f" * 64)
    assert found and place.ready(found, str(docroot), "exchange", str(stage))
    (docroot / "core/Version.php").write_text(version.format("5.4.0"))
    assert not place.ready(found, str(docroot), "exchange", str(stage))


def test_a_reset_under_way_is_no_refusal() -> None:
    yes, no, none = ({"cache": True, "reset": True}, {"cache": True, "reset": False},
                     {"cache": False, "reset": None})  # fmt: skip
    assert not bell.stubborn([yes, no]) and not bell.stubborn([no, yes, None])
    assert bell.stubborn([no, no]) and bell.stubborn([])
    assert not bell.stubborn([none]) and not bell.stubborn([None])


def test_the_gate_leaves_nothing_and_a_sites_own_bootstrap_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_GRACE", 0.0)
    trees = [tmp_path / "old", tmp_path / "new"]
    for tree in trees:
        for name in ("config/config.ini.php", "core/Version.php"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).touch()
    before = sorted(tmp_path.rglob("*"))
    with gate.Gate(trees, str(trees[0]), "nobody") as closed:
        assert gate.is_gate(str(trees[0] / gate.NAME))
        assert not [name for name in seen.take(trees[0]) if "gate" in name or "boot" in name]
        closed.close()
        assert len(list(tmp_path.glob("*/matops-*.closed"))) == 2
    assert sorted(tmp_path.rglob("*")) == before
    (trees[0] / gate.NAME).write_text("<?php // the site's own")
    with gate.Gate(trees, str(trees[0]), "nobody") as none:
        none.close()
        assert "the site's own" in none.note
    assert (trees[0] / gate.NAME).read_text() == "<?php // the site's own"
