"""config.* on the real host, as an operator types it."""

from __future__ import annotations

import json
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from matops.settings import Settings
from tests.conftest import Fab, SiteFactory, one_line
from tests.sandbox import Sandbox

CONFIG = "/var/www/html/config/config.ini.php"


@pytest.fixture
def config(sandbox: Sandbox) -> Iterator[str]:
    """config.ini.php, put back after the test; its text."""
    sandbox.exec("cp", "-a", CONFIG, "/root/config.kept")
    yield sandbox.exec("cat", CONFIG).stdout
    sandbox.exec("cp", "-a", "/root/config.kept", CONFIG)


def _listed(fab: Fab) -> str:
    return str(json.loads(fab("config.list", "--json").out)[-1]["name"])


def _newest(fab: Fab) -> str:
    """The same by the folders' names, which are times."""
    found = fab.sandbox.exec("sh", "-c", "ls -d /var/lib/matops/*/backups/2*").stdout.split()
    return max(path.rpartition("/")[2] for path in found)


def test_backup_is_on_host_and_here_private_and_not_repeated(fab: Fab, sandbox: Sandbox) -> None:
    sandbox.exec("rm", "-rf", "/var/lib/matops")
    first = fab("config.backup")
    assert first.code == 0, first.all
    name = _listed(fab)
    assert _newest(fab) == name
    folder = sandbox.exec("sh", "-c", f"ls -d /var/lib/matops/*/backups/{name}").stdout.strip()
    assert sandbox.exec("stat", "-c", "%U %a", folder).stdout == "root 700\n"
    original = sandbox.exec("sha256sum", "/var/www/html/config/config.ini.php").stdout.split()[0]
    copy = f"{folder}/files/var/www/html/config/config.ini.php"
    assert sandbox.exec("sha256sum", copy).stdout.split()[0] == original
    assert sandbox.exec("stat", "-c", "%a", copy).stdout == "600\n"
    [archive] = list(fab.backups.rglob("*.tar.gz"))
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert any(n.endswith("etc/cron.d/matomo") for n in names), names
    again = fab("config.backup")
    assert again.code == 0 and "already done" in again.out


def test_a_missing_copy_is_fetched_again(fab: Fab) -> None:
    fab("config.backup")
    for archive in fab.backups.rglob("*.tar.gz"):
        archive.unlink()
    assert "it is only on the host" in fab("config.backup").out
    assert list(fab.backups.rglob("*.tar.gz"))


def test_diff_hides_secrets_and_restore_puts_back(fab: Fab, sandbox: Sandbox) -> None:
    config = "/var/www/html/config/config.ini.php"
    assert fab("config.backup").code == 0
    name, before = _newest(fab), sandbox.exec("cat", config).stdout
    password = next(x.split('"')[1] for x in before.splitlines() if x.startswith("password"))
    sandbox.exec("sh", "-c", f"echo '[Tracker]\nrecord_statistics = 0' >> {config}")
    changed = fab("config.diff", name)
    assert "+record_statistics = 0" in changed.out
    assert password not in changed.all
    refused = fab("config.restore", name)
    assert refused.code == 3 and "not confirmed" in refused.err
    dry = fab("config.restore", name, "--dry-run")
    assert dry.code == 0 and "would put back" in dry.out
    assert "record_statistics" in sandbox.exec("cat", config).stdout
    done = fab("config.restore", name, "--yes")
    assert done.code == 0, done.all
    assert "way back" in done.out
    assert sandbox.exec("cat", config).stdout == before
    assert sandbox.exec("stat", "-c", "%U:%G %a", config).stdout == "www-data:www-data 640\n"
    assert "already done" in fab("config.restore", name, "--yes").out


def test_a_damaged_backup_and_a_wrong_name_are_refused(fab: Fab, sandbox: Sandbox) -> None:
    fab("config.backup")
    name = _newest(fab)
    folder = sandbox.exec("sh", "-c", f"ls -d /var/lib/matops/*/backups/{name}").stdout.strip()
    sandbox.exec("sh", "-c", f"echo x >> {folder}/files/var/www/html/config/config.ini.php")
    ran = fab("config.restore", name, "--yes")
    assert ran.code == 1 and "damaged" in one_line(ran)
    assert "no backup '../x'" in one_line(fab("config.restore", "../x", "--yes"))
    sandbox.exec("rm", "-r", folder)


def test_state_dir_inside_the_docroot_is_refused(fab: Fab) -> None:
    fab.configure("state_dir: /var/www/html/state")
    ran = fab("config.backup")
    assert ran.code == 3 and "inside the docroot" in one_line(ran)


def test_the_backup_dir_here_cannot_be_written(fab: Fab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fab.configure("hosts: {}")
    fab.settings.write_text(f"backup_dir: {tmp_path}/file/x\n")
    ran = fab("config.backup")
    assert ran.code == 1
    assert "could not be written" in ran.err and "Traceback" not in ran.all


@pytest.mark.parametrize("damage", ["gone", "password", "dbname"])
def test_restore_where_it_is_needed(fab: Fab, sandbox: Sandbox, config: str, damage: str) -> None:
    sandbox.exec("rm", "-rf", "/var/lib/matops")
    assert fab("config.backup").code == 0
    name = _newest(fab)
    script = {
        "gone": f"rm {CONFIG}",
        "password": f"sed -i 's/^password = .*/password = \"wrong\"/' {CONFIG}",
        "dbname": f"sed -i '/^dbname/d' {CONFIG}",
    }[damage]
    sandbox.exec("sh", "-c", script)
    assert _listed(fab) == name
    assert "config.ini.php" in fab("config.diff", "last").out
    done = fab("config.restore", "last", "--yes")
    assert done.code == 0, done.all
    if damage != "dbname":  # there the server's own default may do
        assert "going on without the lock" in done.out
    assert sandbox.exec("cat", CONFIG).stdout == config
    assert sandbox.exec("stat", "-c", "%U:%G %a", CONFIG).stdout == "www-data:www-data 640\n"
    # One folder, and `last` is still the backup that was wanted.
    assert len(sandbox.exec("sh", "-c", "ls -d /var/lib/matops/*/backups").stdout.split()) == 1
    assert "already done" in fab("config.restore", "last", "--yes").out


def test_restore_waits_for_the_lock_of_another_run(
    fab: Fab, sandbox: Sandbox, config: str, site_factory: SiteFactory
) -> None:
    fab("config.backup")
    sandbox.exec("sh", "-c", f"echo '; x' >> {CONFIG}")
    site = site_factory()
    owner = {"user": "eve", "machine": "other", "machine_id": "", "pid": 1, "started": "1",
             "task": "prep", "host": "web1"}  # fmt: skip
    lock = site.ask("matomo.lock:take", owner=owner)["lock"]
    try:
        ran = fab("config.restore", "last", "--yes")
        assert ran.code == 75 and "another run holds" in one_line(ran)
    finally:
        site.ask("matomo.lock:release", fence=lock["fence"])


def test_restore_puts_back_config_ini_php_alone(fab: Fab, sandbox: Sandbox, config: str) -> None:
    common = "/var/www/html/config/common.config.ini.php"
    sandbox.exec("sh", "-c", f"echo '; <?php exit; ?> 1' > {common}")
    try:
        fab("config.backup")
        name = _newest(fab)
        sandbox.exec("sh", "-c", f"echo '; 2' | tee -a {common} >> {CONFIG}")
        assert fab("config.restore", name, "--yes").code == 0
        assert sandbox.exec("cat", CONFIG).stdout == config
        assert "; 2" in sandbox.exec("cat", common).stdout
        assert fab("config.restore", name, "--yes", "--all").code == 0
        assert "; 2" not in sandbox.exec("cat", common).stdout
    finally:
        sandbox.exec("rm", "-f", common)


def test_a_damaged_backup_or_copy_is_not_already_done(fab: Fab, sandbox: Sandbox) -> None:
    fab("config.backup")
    name = _newest(fab)
    [archive] = list(fab.backups.rglob(f"{name}.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:-200])
    again = fab("config.backup")
    assert again.code == 0 and "the copy here is damaged" in again.out
    assert "already done" in fab("config.backup").out
    folder = sandbox.exec("sh", "-c", f"ls -d /var/lib/matops/*/backups/{name}").stdout.strip()
    sandbox.exec("sh", "-c", f"echo x >> {folder}/files{CONFIG}")
    again = fab("config.backup")
    assert again.code == 0 and f"backup {name} is damaged" in again.out
    assert _newest(fab) != name
    sandbox.exec("rm", "-r", folder)


def test_a_changed_plugin_is_worth_a_backup(fab: Fab, sandbox: Sandbox) -> None:
    plugin = "/var/www/html/plugins/MyOwn"
    fab("config.backup")
    script = f'mkdir {plugin}; echo \'{{"version": "1.1"}}\' > {plugin}/plugin.json'
    sandbox.exec("sh", "-c", script)
    try:
        assert "MyOwn none -> 1.1" in fab("config.backup").out
        assert "already done" in fab("config.backup").out
    finally:
        sandbox.exec("rm", "-r", plugin)


def test_no_secret_of_any_kind_leaves_the_host(
    fab: Fab, sandbox: Sandbox, config: str, site_factory: SiteFactory
) -> None:
    fab("config.backup")
    name, cron = _newest(fab), "/etc/cron.d/matomo-secrets"
    secrets = [f"s3cr3t{number}" for number in range(9)]
    lines = [
        "[LoginLdap]", f'admin_pass = "{secrets[0]}"', f'pwd = "{secrets[1]}"',
        f'licenseKey = "{secrets[2]}"', f'some_apikey[] = "{secrets[3]}"',
        f'private_key = "-----BEGIN\n{secrets[4]}\n-----END"', f'; old_password = {secrets[5]}',
        f'server = "redis://u:{secrets[6]}@r"', 'record_statistics = 0',
    ]  # fmt: skip
    text = "\n".join(lines)
    sandbox.exec("sh", "-c", f"cat >> {CONFIG} <<'EOF'\n{text}\nEOF")
    task = f"* * * * * root curl 'http://x/matomo?token_auth={secrets[7]}' --pass {secrets[8]}"
    sandbox.exec("sh", "-c", f'echo "{task}" > {cron}')
    try:
        ran = fab("config.diff", name)
        assert "admin_pass" in ran.out and cron in ran.out and "record_statistics = 0" in ran.out
        facts = repr(site_factory(settings=Settings()).probe)
        assert [each for each in secrets if each in ran.all] == []
        assert [each for each in secrets[:7] if each in facts] == []
        # Salted: no digest can be looked up, and the next call has others.
        assert ran.out != fab("config.diff", name).out
    finally:
        sandbox.exec("rm", cron)


def test_the_folder_does_not_depend_on_who_looks(site_factory: SiteFactory) -> None:
    site = site_factory()
    me = socket.gethostname()
    away = replace(site, config={**site.config, "database": {"host": me, "dbname": "matomo"}})
    assert site.database_is_local and not away.database_is_local
