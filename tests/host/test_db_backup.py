"""db.backup as typed: over SSH, on the real host, as a job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Fab, one_line
from tests.sandbox import Sandbox


@pytest.fixture(autouse=True)
def clean(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.exec("sh", "-c", "rm -rf /var/lib/matops/*/db-backups /srv/full*")


def test_essentials_as_a_job_fetched_checked_and_read_back(
    fab: Fab, sandbox: Sandbox, tmp_path: Path
) -> None:
    dry = fab("db.backup", "--essentials", "--dry-run")
    assert dry.code == 0 and "tables of raw logs" in dry.out, dry.all
    assert sandbox.exec("sh", "-c", "ls -d /var/lib/matops/*/db-backups || true").stdout == ""
    done = fab("db.backup", "--essentials", "--fetch", str(tmp_path / "here"))
    assert done.code == 0, done.all
    assert "read back" in done.out and "gunzip" in done.out and "checksums compared" in done.out
    assert "essentials" in fab("check").out
    (copy,) = (tmp_path / "here").glob("*/2*Z")
    manifest = json.loads((copy / "manifest.json").read_text())
    for name, about in manifest["files"].items():
        assert hashlib.sha256((copy / name).read_bytes()).hexdigest() == about["sha256"]
    assert oct(copy.stat().st_mode & 0o777) == "0o700"
    folder = f"/var/lib/matops/{copy.parent.name}/db-backups/{copy.name}"
    sandbox.exec("sh", "-c", "mariadb -e 'drop database if exists again; create database again'")
    sandbox.exec("sh", "-c", f"cat {folder}/*.sql.gz | gunzip | mariadb again")
    for table in ("option", "user", "site", "archive_numeric_2026_01", "log_visit"):
        back, live = (
            sandbox.sql(f"select count(*) from {schema}.matomo_{table}")
            for schema in ("again", "matomo")
        )
        assert back == ([["0"]] if table == "log_visit" else live), table
    sandbox.exec("sh", "-c", "mariadb -e 'drop database again'")
    sandbox.exec("sh", "-c", f"printf x >> {folder}/10-matomo_option.sql.gz")
    damaged = fab("db.backup.verify", "last")
    assert damaged.code == 1 and "is damaged: 10-matomo_option" in one_line(damaged)


def test_full_is_believed_only_when_its_check_agrees(fab: Fab, sandbox: Sandbox) -> None:
    assert "set backup_command" in one_line(fab("db.backup", "--full"))
    fab.configure("backup_command: 'SECRET=s3cret; id -un; seq 99 > /srv/full-1'")
    fab.configure("backup_files: /srv/full-*")
    done = fab("db.backup", "--full")
    assert done.code == 0 and "root" in done.out and "a full backup of 20" in done.out, done.all
    assert "s3cret" not in done.all + fab("jobs").all
    fab.configure("hosts: {" + sandbox.name + ": {backup_command: 'true'}}")
    lies = fab("db.backup", "--full")
    assert lies.code == 1 and "before it began" in one_line(lies), lies.all
