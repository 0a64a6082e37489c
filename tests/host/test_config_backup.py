"""config.* on the real host, as an operator types it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from tests.conftest import Fab, one_line
from tests.sandbox import Sandbox


def _newest(fab: Fab) -> str:
    return str(json.loads(fab("config.list", "--json").out)[-1]["name"])


def test_backup_is_on_host_and_here_private_and_not_repeated(fab: Fab, sandbox: Sandbox) -> None:
    sandbox.exec("rm", "-rf", "/var/lib/matops")
    first = fab("config.backup")
    assert first.code == 0, first.all
    name = _newest(fab)
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
