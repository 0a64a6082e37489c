"""What the tests of core.update share: the newer files in place, a database that is put back in a
second, transactions that block, faults."""

from __future__ import annotations

import shlex
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Fab
from tests.host.rehearse_kit import in_background, slim
from tests.sandbox import Sandbox

DOCROOT = "/var/www/html"
KEPT = "/root/core_update"
JOBS = "/var/lib/matops/*/jobs"


@pytest.fixture(scope="module")
def newer(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The newer release's files beside the old database, maintenance mode on; all put back."""
    path = slim(sandbox.release_zip, tmp_path_factory.mktemp("release") / "slim.zip")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(sandbox.root / "var/www/new")
    sandbox.exec("sh", "-c", f"""
        set -e; mkdir -p {KEPT}; cd /var/www; mv new/matomo new/it; mkdir -p new/it/tmp
        cp -p html/config/config.ini.php new/it/config/
        sed -i 's/^.General.$/&\\nmaintenance_mode = 1/' new/it/config/config.ini.php
        cp -p new/it/config/config.ini.php {KEPT}/
        chown -R www-data:www-data new; mv html {KEPT}/old; mv new/it html; rm -rf new
        service apache2 reload; mariadb-dump matomo > {KEPT}/dump.sql""")  # fmt: skip
    yield sandbox
    _database(sandbox)
    sandbox.exec("sh", "-c", f"""
        set -e; cd /var/www; mv html {KEPT}/new; mv {KEPT}/old html; rm -rf html/tmp/cache {KEPT}
        rm -f /var/lib/matops/*/outage.json; service apache2 reload""")  # fmt: skip


def _database(sandbox: Sandbox) -> None:
    """The old database, as it was dumped."""
    sandbox.sql("drop database matomo; create database matomo")
    sandbox.exec("sh", "-c", f"mariadb matomo < {KEPT}/dump.sql")


@pytest.fixture
def migrating(newer: Sandbox) -> Sandbox:
    """The old database, and a configuration as before the update."""
    _database(newer)
    newer.exec("sh", "-c", f"""
        set -e; cp -p {KEPT}/config.ini.php {DOCROOT}/config/; rm -rf {DOCROOT}/tmp/*
        rm -f /var/lib/matops/*/outage.json""")  # fmt: skip
    return newer


@contextmanager
def holding(sandbox: Sandbox, table: str) -> Iterator[None]:
    """An open transaction of an idle connection that has read ``table``."""
    sql = f"use matomo; start transaction; select count(*) from {table};"
    script = f"(echo {shlex.quote(sql)}; exec sleep 600) | mariadb -N --unbuffered & echo $!; wait"
    process = subprocess.Popen(
        [*sandbox_exec(sandbox), script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout
    pid = int(process.stdout.readline())
    process.stdout.readline()  # the count: the transaction holds its lock
    try:
        yield
    finally:
        sandbox.exec("kill", "-9", str(pid), check=False)
        process.kill()
        process.wait()


def sandbox_exec(sandbox: Sandbox) -> list[str]:
    """Words that run a shell script in the host, for ``Popen``."""
    import sys

    return [sys.executable, "-m", "tests.sandbox", "exec", "--name", sandbox.name, "sh", "-c"]


class Running:
    """``fab core.update`` in the background."""

    def __init__(self, fab: Fab, log: Path, *flags: str) -> None:
        self.log = log
        words = fab.command("core.update", "--yes", *flags)
        self.process = in_background(words, log, env=fab.environment())

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    def until(self, words: str, seconds: float = 60) -> None:
        """Waits until it says so."""
        end = time.monotonic() + seconds
        while words not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.1)

    def code(self, seconds: float = 90) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(seconds)


def kill_php(sandbox: Sandbox) -> None:
    """kill -9 of php's core:update itself."""
    sandbox.exec("sh", "-c", "for p in $(pgrep -x php); do "
                 "tr '\\0' ' ' < /proc/$p/cmdline | grep -q 'core:update --yes' && kill -9 $p; "
                 "done; true")  # fmt: skip


def kill_agent(sandbox: Sandbox) -> None:
    """kill -9 of our own job on the host, its keeper too."""
    sandbox.exec("sh", "-c", f"for job in {JOBS}/core.update.*; do "
                 "[ -e $job/rc ] || pkill -KILL -s $(cat $job/pid); done; true")  # fmt: skip


def php_jobs(sandbox: Sandbox) -> int:
    """How many jobs of core:update were started."""
    out = sandbox.exec("sh", "-c", f"ls -d {JOBS}/console-core.update.* | wc -l", check=False)
    return int(out.stdout or 0)


def versions(sandbox: Sandbox) -> str:
    """version_core."""
    sql = "select option_value from matomo.matomo_option where option_name = 'version_core'"
    return sandbox.sql(sql)[0][0]
