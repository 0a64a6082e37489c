"""rehearse on the real host, with the real releases: what it finds, and that it leaves no trace."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matops.errors import MatopsError, Refused
from matops.matomo.site import Site
from tests.conftest import ROOT, Fab, one_line
from tests.host.rehearse_kit import (
    REDIRECT,
    STAGES,
    Ran,
    in_background,
    live_picture,
    plugin,
    site,
    stage_digest,
    staged,
)
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

__all__ = ["site", "staged"]  # fixtures


DAMAGED = ("matomo_user", "matomo_segment", "matomo_log_visit")


@pytest.fixture
def restored(sandbox: Sandbox) -> Iterator[None]:
    """The live configuration and plugins as they were, after a test that changed them."""
    config = "/var/www/html/config"
    sandbox.exec("cp", "-p", f"{config}/config.ini.php", "/root/config.kept")
    yield
    sandbox.exec(
        "sh", "-c", f"cp -p /root/config.kept {config}/config.ini.php; rm -f {config}/common*; "
        "cd /var/www/html/plugins && rm -rf Shop Broken Redirect; rm -rf ../tmp/cache/*",
    )  # fmt: skip
    sandbox.sql(
        "drop table if exists matomo.matomo_shop; delete from matomo.matomo_option "
        "where option_name in ('version_Shop', 'version_Broken', 'version_Redirect')"
    )


def test_without_the_right_then_with_it_and_no_trace(
    fab: Fab, sandbox: Sandbox, staged: str
) -> None:
    refused = fab("rehearse")
    assert refused.code == 1, refused.all
    grant = re.search(r"GRANT ALL PRIVILEGES ON \S+ TO \S+;", one_line(refused))
    assert grant and r"`matops\_rehearsal\_" in grant[0]
    sandbox.sql(grant[0])
    before, stage = live_picture(sandbox), stage_digest(sandbox)
    ran = fab("rehearse", "--json")
    assert ran.code == 0, ran.all
    after = live_picture(sandbox)
    sandbox.sql(grant[0].replace("GRANT", "REVOKE", 1).replace(" TO ", " FROM "))
    assert {name for name in before if before[name] != after[name]} == set()
    assert stage_digest(sandbox) == stage

    result = json.loads(ran.out)["rehearsal"]
    assert (result["from_version"], result["to_version"]) == (
        sandbox.installed_version,
        sandbox.release_version,
    )
    found = {(m["component"], m["file"], m["kind"]): m for m in result["migrations"]}
    assert len(result["migrations"]) == result["migrations"][0]["of"] >= 16
    assert all(m["ok"] and m["tables"] for m in result["migrations"] if m["kind"] == "sql")
    starred = found["core", "5.7.0-b1", "sql"]
    assert starred["tables"] == ["matomo_segment"]
    assert starred["verdict"]["algorithm"] == "instant"
    assert ("log_visit.ai_agent_name", "", "sql") in found
    assert "./console config:set" in found["core", "5.7.0-b3", "console"]["statement"]
    assert any("proxy_scheme_headers: +HTTP_X" in line for line in result["config_changes"])
    assert any("read the sentinel back" in line for line in result["proofs"])

    assert "it still holds" in fab("rehearse", "--last").out
    sandbox.sql("alter table matomo.matomo_goal add column more int")
    last = fab("rehearse", "--last")
    sandbox.sql("alter table matomo.matomo_goal drop column more")
    assert "OUT OF DATE: the shape of matomo_goal changed" in last.out


def test_what_fails_is_named_and_php_itself_does_not_lead_astray(
    site: Site, sandbox: Sandbox, staged: str
) -> None:
    """A column dropped, a table missing and a row too wide, all at once."""
    # Prepended by PHP's own settings, this leads any console to the live configuration.
    write(sandbox, "/var/astray/pre.php", "<?php define('PIWIK_USER_PATH', '/var/www/html');")
    ini = sandbox.exec("sh", "-c", "ls -d /etc/php/*/cli/conf.d").stdout.strip() + "/99-astray.ini"
    write(sandbox, ini, "auto_prepend_file=/var/astray/pre.php")
    sandbox.sql("create database kept")
    for name in DAMAGED:
        sandbox.sql(
            f"create table kept.fresh like matomo.{name}; rename table matomo.{name} to "
            f"kept.{name}, kept.fresh to matomo.{name}"
        )
    sandbox.sql("use matomo; alter table matomo_user drop primary key, drop column login; "
                "drop table matomo_segment")  # fmt: skip
    fill(sandbox, "matomo.matomo_log_visit")
    try:
        with pytest.raises(MatopsError) as caught:
            Ran(site).go()
    finally:
        for name in DAMAGED:
            sandbox.sql(f"drop table if exists matomo.{name}; "
                        f"rename table kept.{name} to matomo.{name}")  # fmt: skip
        sandbox.sql("drop database kept")
        sandbox.exec("rm", ini)
    line = caught.value.line()
    assert re.search(r"would fail at migration 5 of.* on matomo_user.*column 'u\.login'", line), (
        line
    )
    assert "2 more behind it" in line
    kept = json.loads(sandbox.exec("sh", "-c", "cat /var/lib/matops/*/rehearsal.json").stdout)
    failed = {tuple(m["tables"]): m["error"] for m in kept["migrations"] if not m["ok"]}
    assert failed["matomo_log_visit",].startswith("Row size too large"), failed
    assert "does not exist (1146)" in failed["matomo_segment",], failed
    live = "select option_name from matomo.matomo_option where option_value = '5.8.0'"
    assert sandbox.sql(live) == []  # the first thing that a misled console would write


def fill(sandbox: Sandbox, table: str) -> None:
    """Adds columns until a row is as wide as it may be."""
    for place, length in enumerate([8000, 4000, 2000, 1000, 500, 250, 120, 60, 30] * 2):
        sandbox.exec("mariadb", "-e", f"alter table {table} add wide{place} varchar({length}) "
                     "character set utf8mb4", check=False)  # fmt: skip


def test_killed_redirected_and_plugins(
    fab: Fab, site: Site, sandbox: Sandbox, staged: str, restored: None, tmp_path: Path
) -> None:
    live_plugins(sandbox, tmp_path, Shop="", Broken="", Redirect=REDIRECT)
    activate(sandbox, "Shop", "Broken", "Redirect")
    sandbox.sql("create table matomo.matomo_shop (id int primary key)")
    with pytest.raises(Refused, match=r"open another database.*another dbname"):
        Ran(site).go()
    assert leftovers(sandbox) == []
    activate(sandbox, "Shop", "Broken")
    sandbox.exec("rm", "-rf", "/var/www/html/plugins/Redirect")

    kill_in_the_middle(fab, sandbox, tmp_path / "log")
    assert len(leftovers(sandbox)) == 3
    write(sandbox, "/var/www/html/config/common.config.ini.php",
          '; <?php exit; ?>\n[database]\ndbname = "matomo"\n[database_reader]\nhost = "127.0.0.1"\n'
          '[Cache]\nbackend = "redis"\n')  # fmt: skip
    again = Ran(site)
    with pytest.raises(MatopsError, match=r"\(Broken 2\.0\.0\) on matomo_nowhere: .*1146"):
        again.go()
    said = "\n".join(again.said)
    for word in (
        "a console of it that still ran",
        "the private copy",
        "the database",
        "the account",
    ):
        assert re.search(f"left by a run that was killed: {word}", said), said
    assert leftovers(sandbox) == []
    result = again.step.result
    assert result and result.deactivated == ["Broken"] and "Shop" in result.plugins
    shop = next(m for m in result.migrations if m.component == "Shop")
    assert shop.ok and shop.tables == ["matomo_shop"] and shop.file == "2.0.0"
    assert any("[database_reader]" in note for note in result.notes)
    assert sandbox.sql("show columns in matomo.matomo_shop") and "Broken" in config(sandbox)


def live_plugins(sandbox: Sandbox, folder: Path, **bodies: str) -> None:
    """Version 1.0.0 of plugins in the live docroot."""
    for name, body in bodies.items():
        plugin(folder, name, "1.0.0", body=body)
        for path in (folder / name).rglob("*.*"):
            relative = path.relative_to(folder)
            write(sandbox, f"/var/www/html/plugins/{relative}", path.read_text())


def activate(sandbox: Sandbox, *names: str) -> None:
    """In the configuration and the database, as plugin:activate would; without a console run."""
    everything = [*re.findall(r'PluginsInstalled\[\] = "(\w+)"', kept(sandbox)), *names]
    lists = "[Plugins]\n" + "".join(f'Plugins[] = "{name}"\n' for name in everything)
    lists += "[PluginsInstalled]\n"
    lists += "".join(f'PluginsInstalled[] = "{name}"\n' for name in everything)
    head = kept(sandbox).partition("[PluginsInstalled]")[0]
    write(sandbox, "/var/www/html/config/config.ini.php", head + lists)
    for name in names:
        sandbox.sql(f"replace into matomo.matomo_option values ('version_{name}', '1.0.0', 1)")


def kept(sandbox: Sandbox) -> str:
    return sandbox.exec("cat", "/root/config.kept").stdout


def config(sandbox: Sandbox) -> str:
    return sandbox.exec("cat", "/var/www/html/config/config.ini.php").stdout


def write(sandbox: Sandbox, path: str, text: str) -> None:
    script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chown -R www-data "$(dirname "$1")"'
    sandbox.exec("sh", "-c", script, "sh", path, input=text.encode())


def leftovers(sandbox: Sandbox) -> list[str]:
    """Database, account and folder of a rehearsal that are there now."""
    found = sandbox.sql("show databases like 'matops%'")
    found += sandbox.sql("select user from mysql.user where user like 'matops%'")
    names = sandbox.exec("ls", "-A", STAGES).stdout.split()
    return [row[0] for row in found] + [name for name in names if name.startswith("matops")]


def kill_in_the_middle(fab: Fab, sandbox: Sandbox, log: Path) -> None:
    """kill -9 of all of the job once the private copy is there; one console is left running."""
    words = fab.command("rehearse", "--login", "root")
    process = in_background(words, log, cwd=ROOT, env=fab.environment())
    until = time.monotonic() + 60
    while not sandbox.exec("sh", "-c", f"ls {STAGES}/matops*/matomo/console", check=False).stdout:
        assert time.monotonic() < until and process.poll() is None, log.read_text()
        time.sleep(0.1)
    sandbox.exec("sh", "-c", "for p in /var/lib/matops/*/jobs/rehearse.*/pid; do "
                 "[ -e ${p%pid}rc ] || pkill -KILL -s $(cat $p); done")  # fmt: skip
    process.wait(60)
    orphan = "setsid -f runuser -u www-data -- sleep 300 >/dev/null 2>&1 </dev/null"
    sandbox.exec("sh", "-c", f"cd {STAGES}/matops*/matomo && {orphan}")
