"""Whose a file is, matomo.js made anew, mount points, an exchange, copies with all they have."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from matops.matomo.install import (
    clone,
    exchange,
    generated,
    mounts,
    overlay,
    place,
    seen,
    serve,
    switch,
    whose,
)


def listed(**files: str) -> dict[str, tuple[int, str]]:
    """A manifest of files by content; ``__`` stands for a slash, ``_dot_`` for a dot."""
    return {
        name.replace("__", "/").replace("_dot_", "."):
            (len(text), hashlib.sha256(text.encode()).hexdigest())
        for name, text in files.items()
    }  # fmt: skip


def tree(top: Path, **files: str) -> Path:
    for name, text in files.items():
        path = top / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top


def test_whose_each_file_is(tmp_path: Path) -> None:
    old = listed(
        core__A_dot_php="a", core__B_dot_php="b", robots_dot_txt="r", matomo_dot_js="m",
        plugins__Core__x="x", plugins__Gone__x="x", misc__cron___dot_htaccess="h",
    )  # fmt: skip
    new = listed(
        core__A_dot_php="a2", robots_dot_txt="r", matomo_dot_js="m2", plugins__Core__x="x",
        plugins__Pack__p="2", vendor__autoload_dot_php="new", favicon_dot_ico="f",
    )  # fmt: skip
    top = tree(
        tmp_path, core__A_dot_php="changed", core__B_dot_php="b", robots_dot_txt="mine",
        matomo_dot_js="generated", plugins__Core__x="x", plugins__Core__own="o",
        plugins__Gone__x="x", plugins__Gone__own="o", plugins__Pack__p="1",
        plugins__Pack__config="c", plugins__Mine__m="m", vendor__autoload_dot_php="old",
        vendor__composer__autoload_real_dot_php="old", favicon_dot_ico="my own",
        config__config_dot_ini_dot_php="c", config__manifest_dot_inc_dot_php="old",
        misc__cron___dot_htaccess="my rules", misc__user__logo="l", tmp__cache__c="c",
        tmp__sessions__s="s", **{"tmp___dot_htaccess": "h", "js__container_1_dot_js": "c"},
    )  # fmt: skip
    found = whose.divide(top, old, new, seen.files(seen.take(top)))
    assert found.carried == [
        "config/config.ini.php", "favicon.ico", "js/container_1.js", "misc/cron/.htaccess",
        "misc/user/logo", "plugins/Core/own", "plugins/Mine/m", "robots.txt", "tmp/.htaccess",
        "tmp/sessions/s",
    ]  # fmt: skip
    assert found.modified == ["core/A.php"]
    assert found.replaced == ["plugins/Pack/p"]
    assert found.left == ["plugins/Gone/own", "plugins/Pack/config"]
    assert found.strange == ["plugins/Core/own"]
    assert found.stale == [
        "config/manifest.inc.php", "core/B.php", "plugins/Gone/x",
        "vendor/composer/autoload_real.php",
    ]  # fmt: skip


def test_matomo_js_is_made_anew_only_where_the_old_one_is_understood() -> None:
    hook = generated.HOOK
    added = "plugins/P/tracker.min.js"
    old = {"js/piwik.min.js": f"old{hook}rest", added: "p()", "plugins/Q/tracker.js": "q()"}
    parts = [("tracker.js", "q()"), ("tracker.min.js", "p()")]
    old["matomo.js"] = generated.assembled(old["js/piwik.min.js"], parts)
    new = {**old, "js/piwik.min.js": f"new{hook}rest", "matomo.js": f"new{hook}rest", added: "p2()"}

    def remade(was: dict[str, str], now: dict[str, str]) -> generated.Made:
        def reader(files: dict[str, str]) -> generated.Reader:
            return lambda name: files[name].encode("latin-1") if name in files else None

        return generated.remade(
            "matomo.js", reader(was), reader(now), [added, "plugins/Q/tracker.js"]
        )

    wanted = generated.assembled(new["js/piwik.min.js"], [parts[0], ("tracker.min.js", "p2()")])
    assert remade(old, new).text == wanted.encode()
    assert remade({**old, "matomo.js": old["js/piwik.min.js"]}, new) == generated.Made(None)
    by_hand = remade({**old, "matomo.js": old["matomo.js"] + "// mine"}, new)
    assert by_hand.text and by_hand.text.endswith(b"// mine") and "kept as it was" in by_hand.line
    gone = remade(old, {name: text for name, text in new.items() if name != added})
    assert gone.text and b"p()" not in gone.text and f"new release: {added}" in gone.line


MOUNTS = """\
30 1 8:1 / / rw - ext4 /dev/sda1 rw
31 30 8:1 /srv/real /var/www/html rw shared:1 - ext4 /dev/sda1 rw
32 31 0:40 / /var/www/html/my\\040tmp rw - tmpfs none rw
"""


def test_mount_points() -> None:
    found = mounts.parse(MOUNTS)
    assert mounts.at("/var/www/html", found) == "ext4" and mounts.at("/", found) == ""
    assert [each.point for each in mounts.below("/var/www/html", found)] == ["/var/www/html/my tmp"]
    assert mounts.place_of("/var/www/html/js", found) == ("8:1", "/srv/real/js")
    assert mounts.place_of("/srv/x", found) == ("8:1", "/srv/x")


def test_two_folders_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tree(tmp_path / "one", a="1"), tree(tmp_path / "other", b="2")
    exchange.exchange(one, other)
    assert (one / "b").exists() and (other / "a").exists()
    monkeypatch.setattr(exchange, "_libc_call", lambda: None)  # a libc without the name
    exchange.exchange(one, other)
    assert (one / "a").exists() and exchange.tried(one, other) == ""
    monkeypatch.setattr(exchange, "_kernel_call", lambda: None)
    assert "cannot exchange" in exchange.tried(one, other)
    assert sorted(os.listdir(one)) == ["a"]


def test_links_are_switched_as_they_were_written(tmp_path: Path) -> None:
    for name in ("r/matomo-5.3.1", "r/matomo-5.9.0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "current").symlink_to("r/matomo-5.3.1")
    (tmp_path / "html").symlink_to(tmp_path / "current")
    links = exchange.links(str(tmp_path / "html"))
    assert links == [str(tmp_path / "html"), str(tmp_path / "current")]
    exchange.point(links[-1], str(tmp_path / "r/matomo-5.9.0"))
    assert os.readlink(tmp_path / "current") == "r/matomo-5.9.0"
    real = str(tmp_path / "r/matomo-5.9.0")
    assert switch.name_beside(real, "5.9.0", "6.0.0").endswith("/matomo-6.0.0")
    assert switch.name_beside(f"{tmp_path}/r/x", "5.3.1", "5.9.0").endswith("/r/x-5.9.0")
    assert switch.name_beside(f"{tmp_path}/r/matomo-5.3.1", "5.3.1", "5.9.0").endswith("5.9.0.2")


def test_a_copy_has_all_that_the_file_has(tmp_path: Path) -> None:
    source, target = tmp_path / "a", str(tmp_path / "b")
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(5 << 20)
        file.write(b"middle")
        file.truncate(9 << 20)
    os.chmod(source, 0o640)
    os.utime(source, ns=(10**18, 10**18 + 7))
    clone.copy(str(source), target)
    assert Path(target).read_bytes() == source.read_bytes()
    found, wanted = os.stat(target), os.stat(source)
    assert (found.st_mode, found.st_mtime_ns) == (wanted.st_mode, wanted.st_mtime_ns)
    assert found.st_blocks <= wanted.st_blocks + 16
    (tmp_path / "link").symlink_to("nowhere")
    clone.copy(str(tmp_path / "link"), target)
    assert os.readlink(target) == "nowhere"
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "link"]


def test_the_order_of_a_copy_and_what_changed() -> None:
    names = ["config/global.ini.php", "core/Version.php", "config/manifest.inc.php", "index.php",
             "js/x.js", "core/A.php", "vendor/v.php"]  # fmt: skip
    assert sorted(names, key=lambda name: (overlay.rank(name), name)) == [
        "core/A.php", "vendor/v.php", "js/x.js", "config/global.ini.php", "index.php",
        "config/manifest.inc.php", "core/Version.php",
    ]  # fmt: skip
    before: seen.Seen = {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4], "d": [1, 0, 0, 0, 0]}
    now: seen.Seen = {"a": [0, 1, 2, 3, 4], "c": [0, 9, 9, 9, 9], "d": [1, 5, 0, 0, 0]}
    assert seen.changed(before, now) == (["c"], ["b"])


def test_urls_of_a_docroot(tmp_path: Path) -> None:
    top = tmp_path / "www" / "stats"
    top.mkdir(parents=True)
    served = [("/", str(tmp_path / "www")), ("/other", "/nowhere")]
    assert serve.prefixes(str(top), "https://example.org/matomo/", served) == [
        "/matomo/",
        "/stats/",
        "/",
    ]
    assert serve.prefixes(str(top), "", [("/", str(top))]) == ["/"]


def test_a_tree_that_was_live_is_never_exchanged_again(tmp_path: Path) -> None:
    here = place.Place(str(tmp_path / "install-5.9.0-x"))
    here.tree.mkdir(parents=True)
    docroot = tmp_path / "html"
    docroot.mkdir()
    assert here.state(str(docroot)) == place.BUILDING and here.is_spare
    numbers = {"old": place.number(str(docroot)), "new": place.number(str(here.tree))}
    here.write("install.json", {"state": place.BUILT, "how": "exchange", **numbers})
    assert here.state(str(docroot)) == place.BUILT and here.is_spare
    exchange.exchange(docroot, here.tree)
    assert here.state(str(docroot)) == place.DONE and not here.is_spare
    here.note(state=place.DONE)
    exchange.exchange(docroot, here.tree)
    assert here.state(str(docroot)) == place.BACK
    docroot.rename(tmp_path / "gone")
    docroot.mkdir()
    assert here.state(str(docroot)) == ""
