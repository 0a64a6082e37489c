"""What the tests of a whole outage share: fab killed in mid-step, traffic, what is left behind."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Fab, Ran
from tests.e2e.traffic import Traffic
from tests.host import queue_kit
from tests.sandbox import Sandbox

HOST = "analytics.example.org"
STATE = "/var/lib/matops/*"
QUICK = ("--settle", "0s", "--yes")
"""For offline: cron's next minute is not waited for."""


def make_fab(sandbox: Sandbox, folder: Path, settings: str = "") -> Fab:
    """A ``fab`` for a whole module."""
    path = folder / "matops.yaml"
    path.write_text(f"backup_dir: {folder / 'backups'}\n{settings}\n")
    return Fab(sandbox, folder / "backups", path)


def stage(fab: Fab) -> None:
    """The newer release beside the docroot."""
    path = fab.sandbox.release_zip
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    good(fab("release.stage", "--release", str(path), "--sha256", digest))


def traffic(sandbox: Sandbox, folder: Path, rate: float = 14) -> Traffic:
    """By default twenty hits a second of every kind (three in each bulk request), and the UI."""
    log = folder / f"traffic-{time.time_ns()}.jsonl"
    return Traffic(sandbox.address, host=HOST, log=log, rate=rate, token=sandbox.token)


def good(ran: Ran) -> Ran:
    """It ended well."""
    assert ran.code == 0 and "Traceback" not in ran.all, ran.all
    return ran


def killed(fab: Fab, *words: str, when: Callable[[], bool]) -> None:
    """``fab … words``, killed with -9 as soon as ``when`` says so: it looks at the host."""
    process = subprocess.Popen(
        fab.command(*words), cwd=ROOT, env=fab.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while not when():
        if process.poll() is not None:
            assert process.stdout
            pytest.fail(f"it ended with {process.returncode}: {process.stdout.read()}")
        time.sleep(0.05)
    process.kill()
    process.communicate()


def config_says(sandbox: Sandbox, pattern: str) -> Callable[[], bool]:
    """For ``killed``: right after a switch was made in config.ini.php, before it was proven."""
    path = sandbox.root / sandbox.docroot.lstrip("/") / "config/config.ini.php"
    return lambda: re.search(pattern, resolved(sandbox, path).read_text(), re.MULTILINE) is not None


def resolved(sandbox: Sandbox, path: Path) -> Path:
    """The same file, seen from here; the docroot may be a link."""
    real = sandbox.exec("realpath", f"/{path.relative_to(sandbox.root)}").stdout.strip()
    return sandbox.root / real.lstrip("/")


def process_the_rest(sandbox: Sandbox) -> None:
    """What came after the outage waits, as ever, for a batch to be full."""
    words = ("queuedtracking:process", "--force-num-requests-process-at-once=1")
    queue_kit.until(lambda: queue_kit.console(sandbox, *words) and not queue_kit.depth(sandbox))


def record(sandbox: Sandbox) -> str:
    """The open record of the outage; '' where there is none."""
    return sandbox.exec("sh", "-c", f"cat {STATE}/outage.json", check=False).stdout


def everything(sandbox: Sandbox) -> str:
    """What an outage switches: the configuration, cron, and which release is served."""
    return sandbox.exec(
        "sh", "-c", f"cd {sandbox.docroot} && sha256sum config/config.ini.php core/Version.php "
        "matomo.js /etc/cron.d/* && stat -c '%U %G %a %n' . config/config.ini.php /etc/cron.d/*",
    ).stdout  # fmt: skip


def old_files(sandbox: Sandbox) -> set[str]:
    """The files that the release in the docroot brought, by its manifest."""
    text = (sandbox.root / sandbox.docroot.lstrip("/") / "config/manifest.inc.php").read_text()
    return set(re.findall(r'^\s*"([^"]+)"\s*=>', text, re.MULTILINE))


def left_over(sandbox: Sandbox, old: set[str]) -> list[str]:
    """Those of ``old`` that the release in the docroot now does not bring, and are still there."""
    docroot = sandbox.root / sandbox.docroot.lstrip("/")
    return sorted(name for name in old - old_files(sandbox) if (docroot / name).exists())
