"""What the probes do with text before it leaves the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from matops.accesslog.probes import marker, web
from matops.matomo import ini, preflight, queue_settings
from matops.matomo.probes import background, console, ownership


@pytest.mark.parametrize(
    "line",
    [
        "php console core:archive --token-auth=SECRET",
        "curl 'https://x/?module=API&token_auth=SECRET&format=json'",
        "php x --db-password SECRET",
        'PASSWORD="SECRET" php console core:archive',
        "wget https://me:SECRET@stats.example.org/archive.php",
        "curl -u me:SECRET https://stats.example.org/piwik",
        "mysql -u me -pSECRET matomo",
    ],
)
def test_no_secret_of_a_crontab_leaves_the_host(line: str) -> None:
    assert "SECRET" not in background.hide(line)


def test_crontab_lines(tmp_path: Path) -> None:
    script = tmp_path / "nightly"
    script.write_text("#!/bin/sh\ncd /srv/matomo\nphp console core:archive\n")
    text = (
        "MAILTO=root\n# php console core:archive\n"
        "5 * * * * www-data php /x/console core:archive \\\n   --force-idsites=1\n"
        f"@daily root {script} >/dev/null\n* * * * * root true\n"
    )
    entries = background.crontab("/etc/cron.d/m", text, "", [])
    assert [entry["user"] for entry in entries] == ["www-data", "root"]
    assert "--force-idsites=1" in entries[0]["line"]
    assert "php console core:archive" in entries[1]["script"]


def test_console_says_the_cause() -> None:
    out = (
        "ERROR     [2026-11-22] 5  Uncaught exception: /x.php(1): SQLSTATE[HY000] [2002] "
        "Connection refused [Query: , CLI mode: 1]\n\nIn Abstract.php line 144:\n"
    )
    assert console.says(out) == "SQLSTATE[HY000] [2002] Connection refused"


def test_where_the_marker_is_sent() -> None:
    config = '[General]\nforce_ssl = 1\ntrusted_hosts[] = "a.example.org"\n'
    assert marker.targets("", config)[0] == ["https://a.example.org/", ""]
    assert marker.targets("", config)[-1] == ["http://127.0.0.1/", "a.example.org"]
    assert marker.targets("https://b/m/", config)[0] == ["https://b/m/", ""]
    assert marker.targets("", "")[0] == ["http://127.0.0.1/", "localhost"]


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ('1.2.3.4 "OPTIONS /matomo.php?matops_check=N1 HTTP/1.1" "N1"', "query"),
        ('1.2.3.4 "OPTIONS /matomo.php" "N1"', "agent"),
        ("1.2.3.4 OPTIONS /matomo.php 204", "method"),
        ('1.2.3.4 "OPTIONS /matomo.php?idsite=1 HTTP/1.1"', None),
        ('1.2.3.4 "GET /matomo.php?idsite=1 HTTP/1.1"', None),
    ],
)
def test_the_marker_in_a_log(tmp_path: Path, line: str, how: str | None) -> None:
    log = tmp_path / "access.log"
    log.write_text(f"old line\n{line}\n")
    found = marker.look(str(log), 9, "N1")
    assert (found["how"] if found else None) == how


def test_a_log_is_read_at_its_head_only(tmp_path: Path) -> None:
    import gzip

    line = b'1.2.3.4 - - [22/Nov/2026:12:45:42 +0000] "GET / HTTP/1.1" 200 5\n'
    plain, packed, cut = tmp_path / "a.log", tmp_path / "a.log.2.gz", tmp_path / "a.log.3.gz"
    plain.write_bytes(line * 3)
    packed.write_bytes(gzip.compress(line * 3))
    cut.write_bytes(gzip.compress(line * 30000)[:40])
    assert web.log_file(str(plain))["stamp"] == "22/Nov/2026:12:45:42 +0000"
    assert web.log_file(str(packed))["stamp"] == "22/Nov/2026:12:45:42 +0000"
    assert "error" in web.log_file(str(cut))
    assert web.log_file(str(tmp_path / "none")) == {"error": "not there"}


@pytest.mark.parametrize(
    "tail",
    ["IDENTIFIED BY PASSWORD '*0DFE'", "IDENTIFIED VIA mysql_native_password USING '*0DFE' OR x"],
)
def test_no_hash_of_a_password_leaves_the_host(tail: str) -> None:
    row = "GRANT USAGE ON *.* TO `m`@`%`"
    assert preflight.without_hash(f"{row} {tail}") == row
    assert preflight.without_hash(f"{row} {tail} WITH GRANT OPTION") == f"{row} WITH GRANT OPTION"


def test_queue_settings_precedence() -> None:
    config = ini.parse("[QueuedTracking]\nredisHost = cache1\nqueueEnabled = 0\n")
    settings = queue_settings.in_force(config, {"redisHost": "row", "redisPort": "6380"})
    assert (settings["redisHost"], settings["redisPort"]) == ("cache1", "6380")
    assert settings["backend"] == "redis"
    assert queue_settings.keys("3") == ["trackingQueueV1", "trackingQueueV1_1", "trackingQueueV1_2"]


def test_ownership_is_looked_at_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "FOLDER", 30)
    for top in ("core", "tmp/sessions", "tmp/cache", "elsewhere"):
        (tmp_path / top).mkdir(parents=True)
    for number in range(50):
        (tmp_path / "tmp/sessions" / f"sess_{number}").touch()
    (tmp_path / "tmp/cache/a.php").touch()
    (tmp_path / "core/to").symlink_to("/etc/passwd")
    mine = ownership.Owner(os.getuid(), [])
    seen = ownership.look(str(tmp_path), "tmp", 1000, float("inf"), mine)
    assert seen == {"looked": 33, "wrong": 0, "examples": [], "denied": 0, "all": False}
    assert ownership.look(str(tmp_path), "core", 1000, float("inf"), mine)["looked"] == 0
    assert ownership.look(str(tmp_path), ".", 1000, float("inf"), mine)["looked"] == 3
    assert ownership.look(str(tmp_path), "tmp", 5, float("inf"), mine)["looked"] == 5
    assert ownership.look(str(tmp_path), "tmp", 1000, 0.0, mine)["all"] is False
    other = ownership.Owner(os.getuid() + 1, [])
    seen = ownership.look(str(tmp_path), "tmp", 1000, float("inf"), other)
    assert seen["wrong"] == 33
    assert len(seen["examples"]) == ownership.EXAMPLES
    (tmp_path / "core/shared.php").touch()
    (tmp_path / "core/shared.php").chmod(0o664)
    ours = ownership.Owner(os.getuid() + 1, [(tmp_path / "core/shared.php").stat().st_gid])
    assert ownership.look(str(tmp_path), "core", 1000, float("inf"), ours)["wrong"] == 0
