"""Signatures, sources, places, URLs to ask: the decisions, without a host."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from matops.errors import Refused, UsageError
from matops.matomo.release import exposure, places, signature, source, stages, webconf
from matops.matomo.release.unpack import fitting

PRINT = "F" * 40
VALID = f"[GNUPG:] VALIDSIG {'A' * 40} 2026-01-01 1 0 4 0 1 10 00 {PRINT}"
GOOD = "[GNUPG:] GOODSIG AAAA Matomo <hello@matomo.org>"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (f"{GOOD}\n{VALID}", signature.GOOD),
        (VALID, signature.BAD),
        (GOOD, signature.BAD),
        ("[GNUPG:] BADSIG AAAA x", signature.BAD),
        (f"{GOOD}\n{VALID}\n[GNUPG:] BADSIG BBBB x", signature.BAD),
        (f"[GNUPG:] EXPKEYSIG AAAA x\n{VALID}", signature.BAD),
        (f"[GNUPG:] REVKEYSIG AAAA x\n{VALID}", signature.BAD),
        ("[GNUPG:] ERRSIG AAAA 1 10 00 1 9\n[GNUPG:] NO_PUBKEY AAAA", signature.STRANGER),
        (f"[GNUPG:] NODATA 4\nGOODSIG\n{VALID[9:]}", signature.BAD),
        ("", signature.BAD),
    ],
)
def test_gpgv_is_believed_by_its_status_lines_only(status: str, answer: str) -> None:
    found = signature.read_status(status)
    assert found[0] == answer
    assert answer != signature.GOOD or found[2] == PRINT


@pytest.mark.parametrize(
    ("state", "given", "use", "ask"),
    [
        (signature.GOOD, "", True, False),
        (signature.GOOD, "d", True, False),
        (signature.GOOD, "e", False, False),
        (signature.BAD, "d", False, False),
        (signature.STRANGER, "", False, True),
        (signature.STRANGER, "d", True, False),
        (signature.NONE, "", False, True),
        (signature.NONE, "d", True, False),
        (signature.NONE, "e", False, False),
        (signature.UNCHECKED, "", False, True),
    ],
)
def test_verdicts(state: str, given: str, use: bool, ask: bool) -> None:
    found = {"sha256": "d", "signature": state, "detail": "so", "keys": ""}
    verdict = signature.verdict(found, given)
    assert (verdict.use, verdict.ask) == (use, ask)
    assert bool(verdict.trust) is use and bool(verdict.why) is not use


def test_sources(tmp_path: Path) -> None:
    assert source.parse("latest").kind == source.LATEST
    assert source.parse(" 5.8.0 ").version == "5.8.0"
    assert source.parse("https://x.example/m.zip").kind == source.URL
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("matomo/core/Version.php", "const VERSION = '5.8.0';")
    found = source.parse(str(path))
    assert (found.kind, found.version, found.size) == (
        source.FILE, "5.8.0", path.stat().st_size,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5.8", "not a whole version"),
        ("ftp://x.example/m.zip", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("https://me:secret@x.example/m.zip", "end up in logs"),
        ("./none.zip", "no version, URL or file"),
    ],
)
def test_what_is_no_source(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        source.parse(text)
    assert "secret" not in caught.value.line()


def test_a_local_file_that_is_no_release(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(Refused, match="not a zip"):
        source.parse(str(path))
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("other", "")
    with pytest.raises(Refused, match="no Matomo release"):
        source.parse(str(path))


def test_names_of_downloads() -> None:
    one = source.name_for("https://x.example/a/matomo-5.8.0.zip?t=secret")
    assert one.startswith("matomo-5.8.0-") and one.endswith(".zip") and "secret" not in one
    assert one != source.name_for("https://y.example/a/matomo-5.8.0.zip")
    assert source.name_for("https://x.example/").startswith("release-")
    assert "/" not in source.name_for("https://x.example/%2e%2e/..")


def test_which_versions_may_be_staged() -> None:
    assert fitting("5.8.0", "5.8.0", "5.3.1", False) == "5.8.0"
    assert fitting("5.8.0", "", "5.8.0-rc1", False) == "5.8.0"
    for version, asked, installed, why in (
        ("5.8.0", "5.8.1", "5.3.1", "and 5.8.1 was asked for"),
        ("5.8.0", "", "5.8.1", "older than the installed 5.8.1"),
        ("5.8.0", "", "5.8.0", "installed already"),
        ("../x", "", "5.3.1", "which cannot be"),
    ):
        with pytest.raises(Refused, match=why):
            fitting(version, asked, installed, False)
    assert fitting("5.8.0", "", "5.8.0", True) == "5.8.0"


def test_places() -> None:
    assert places.stage_root("/var/www/html", "") == "/var/www/.matops-stage"
    assert places.stage_root("/matomo", "") == "/.matops-stage"
    assert places.stage_root("/srv/m", "<docroot>/upgrade") == "/srv/m/upgrade"
    for wrong in ("upgrade", "/srv/../etc", "<docroot>"):
        with pytest.raises(UsageError, match="stage_dir"):
            places.stage_root("/srv/m", wrong)


def each(path: str, version: str, holds: str = "", in_use: bool = False) -> dict[str, Any]:
    return {"path": path, "version": version, "holds": holds or version, "in_use": in_use}


def test_which_stages_go() -> None:
    found = [each("/s/a", "5.8.0"), each("/s/b", "5.9.0"), each("/s/c", "5.9.0", holds="5.3.1")]
    assert stages.chosen(found, "5.3.1", [], []) == ["/s/a"]
    assert stages.chosen(found, "5.9.0", [], ["/s/a"]) == ["/s/b"]
    assert stages.chosen(found, "5.3.1", ["/s/c"], []) == ["/s/c"]
    with pytest.raises(Refused, match="in use"):
        stages.chosen([each("/s/a", "5.8.0", in_use=True)], "5.3.1", ["/s/a"], [])
    with pytest.raises(Refused, match="not a stage"):
        stages.chosen(found, "5.3.1", ["/etc"], [])


APACHE = """
Listen 80
Listen 10.1.1.1:8443 https
<VirtualHost *:80>
  ServerName stats.example.org
  ServerAlias a.example.org *.b.example.org
  DocumentRoot "/var/www/html"
  # DocumentRoot /old
  Alias /all/ "/var/www/"
</VirtualHost>
"""
NGINX = """
server { listen 80; listen [::]:443 ssl; server_name n.example.org _;
  root /srv/www; # root /other;
  location /files { alias /srv/files/; } }
"""


def test_web_servers_configurations() -> None:
    conf = webconf.WebConf()
    webconf.apache(APACHE, conf)
    webconf.nginx(NGINX, conf)
    assert conf.mappings == [
        ("/", "/var/www/html"),
        ("/all/", "/var/www/"),
        ("/", "/srv/www"),
        ("/files", "/srv/files/"),
    ]
    assert conf.listens == [("", 80, False), ("10.1.1.1", 8443, True), ("", 443, True)]
    assert conf.names == ["stats.example.org", "a.example.org", "n.example.org"]


def test_every_url_that_could_reach_the_stage_is_asked(tmp_path: Path) -> None:
    docroot = tmp_path / "html"
    folder = tmp_path / ".matops-stage" / "5.8.0-abc" / "matomo"
    for each_path in (docroot, folder):
        each_path.mkdir(parents=True)
    tail = ".matops-stage/5.8.0-abc/matomo"
    asked = exposure.paths(folder, str(docroot), "", [("/all/", str(tmp_path))])
    assert asked == [f"/all/{tail}", f"/{tail}", f"/%2e%2e/{tail}"]
    inside = docroot / "upgrade" / "5.8.0-abc" / "matomo"
    inside.mkdir(parents=True)
    asked = exposure.paths(inside, str(docroot), "https://x.example/stats/", [])
    assert asked[:2] == ["/stats/upgrade/5.8.0-abc/matomo", "/upgrade/5.8.0-abc/matomo"]


def test_every_server_is_asked_under_every_name() -> None:
    conf = webconf.WebConf(listens=[("", 80, False)], names=["a.example.org"])
    web = {"url": "https://s.example.org/m/", "hosts": ["t.example.org:8080"]}
    found = [base.url for base in exposure.bases(web, conf)]
    assert found[0] == "https://s.example.org:443"
    assert set(found[1:]) == {
        f"http://{name}:80"
        for name in ("s.example.org", "t.example.org", "a.example.org", "127.0.0.1")
    }
