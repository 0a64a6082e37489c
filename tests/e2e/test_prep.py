"""``fab -H host prep`` on the real Matomo, as an operator types it."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT, Fab, one_line
from tests.sandbox import Sandbox


@pytest.fixture(scope="module")
def digest(sandbox: Sandbox) -> str:
    """The release zip's sha256."""
    return hashlib.sha256(sandbox.release_zip.read_bytes()).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def clean(sandbox: Sandbox) -> Iterator[None]:
    """This module starts from a host that no matops has seen."""
    sandbox.reset()
    yield


def prep(fab: Fab, digest: str, *more: str, user: str = "ops") -> list[str]:
    """The words of the main job."""
    release = str(fab.sandbox.release_zip)
    return ["prep", "--release", release, "--sha256", digest, "--window", "10s", *more]


def snapshot(sandbox: Sandbox) -> str:
    """Everything that prep may have changed: names, sizes, times (to the second)."""
    return sandbox.exec(
        "sh", "-c",
        "find /var/www /etc/cron.d /var/spool/cron -not -path '*/tmp/*' "
        "-printf '%p %s %Ts %U %m\n' "
        "| sort; find /var/lib/matops -printf '%p %s\n' | sort",
    ).stdout  # fmt: skip


def test_a_dry_run_says_the_plan_and_changes_nothing(
    fab: Fab, sandbox: Sandbox, digest: str
) -> None:
    before = _files(sandbox)
    ran = fab(*prep(fab, digest, "--dry-run"))
    assert ran.code == 0, ran.all
    assert "release.stage: would " in ran.out and "config.backup: would " in ran.out
    assert _files(sandbox) == before
    # The checks judge the release that was named, although nothing is staged yet.
    version = re.escape(sandbox.release_version)
    assert re.search(rf"^target-version +ok +{version}$", ran.out, re.MULTILINE), ran.out


def _files(sandbox: Sandbox) -> str:
    """Matomo's tree, and what is in matops' own folder but for the agent itself."""
    return sandbox.exec(
        "sh", "-c",
        "find /var/www -not -path '*/tmp/*' -printf '%p %s %T@ %U %m\n' | sort | sha256sum; "
        "find /var/lib/matops -mindepth 1 -not -path '*/agent*' || true",
        check=False,
    ).stdout  # fmt: skip


_STAGE, _STATE = "/var/www/.matops-stage", "/var/lib/matops"


@pytest.mark.parametrize(
    ("anew", "said", "step"),
    [
        (f"rm -rf {_STAGE} {_STATE}/*/downloads", "release.stage: upload", "release.stage"),
        (f"rm -rf {_STAGE}", "unpacking", "release.stage"),
        (f"rm -rf {_STATE}/*/backups", "config.backup: back up", "config.backup"),
        # The last words of the step before: the checks say nothing until they are through.
        ("true", r"config.backup: (already done|\d+ files)", "check"),
        ("true", "archive.purge: run console", "archive.purge"),
    ],
    ids=["upload", "unpack", "backup", "check", "purge"],
)
def test_cut_in_the_middle_of_each_step_and_run_again(
    fab: Fab, sandbox: Sandbox, digest: str, anew: str, said: str, step: str
) -> None:
    sandbox.exec("sh", "-c", anew)
    if step == "archive.purge":
        _add_purgeable(sandbox)
    code, seen = _cut(fab, sandbox, prep(fab, digest), said)
    assert "Traceback" not in seen, seen
    # It came back by itself, could not say how it ended, or had only read so far.
    assert code in (0, 4, *((1,) if step == "check" else ())), seen
    if code:
        trouble = re.search(rf"^{re.escape(step)} +(outcome unknown|failed) ", seen, re.MULTILINE)
        assert trouble, f"another step than {step} was cut: {seen}"
    again = fab(*prep(fab, digest))
    assert again.code == 0, again.all
    assert _purgeable(sandbox) == 0


def _cut(fab: Fab, sandbox: Sandbox, words: list[str], said: str) -> tuple[int, str]:
    """Kills its SSH session on the host when it says this (a pattern): exit code, output."""
    process = subprocess.Popen(
        fab.command(*words), cwd=ROOT, env=fab.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if re.search(said, line):
            break
    else:
        pytest.fail(f"'{said}' was never said: {seen}")
    # pkill ends with 1, and exec raises, where there is no session to kill.
    sandbox.exec("pkill", "-KILL", "-x", "sshd-session|sshd-auth")
    seen += process.communicate(timeout=180)[0]
    return process.returncode, seen


def _archives(sandbox: Sandbox) -> str:
    rows = sandbox.sql("show tables in matomo like 'matomo\\_archive\\_numeric\\_%'")
    return f"matomo.{rows[-1][0]}"


def _add_purgeable(sandbox: Sandbox) -> None:
    """An archive that ended with an error, as a killed archiver leaves it."""
    sandbox.sql(
        f"insert into {_archives(sandbox)} "
        "(idarchive,name,idsite,date1,date2,period,ts_archived,value) values "
        "(900001,'done',1,'2026-10-05','2026-10-05',1,'2026-10-06',2)"
    )


def _purgeable(sandbox: Sandbox) -> int:
    table = _archives(sandbox)
    return int(sandbox.sql(f"select count(*) from {table} where idarchive = 900001")[0][0])


def test_killed_and_run_again_ends_well(fab: Fab, digest: str) -> None:
    process = subprocess.Popen(
        fab.command(*prep(fab, digest)), cwd=ROOT, env=fab.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ran = fab(*prep(fab, digest))
    assert ran.code == 0, ran.all


def test_it_really_staged_backed_up_checked_and_purged(
    fab: Fab, sandbox: Sandbox, digest: str
) -> None:
    ran = fab(*prep(fab, digest, "--json"))
    assert ran.code == 0, ran.all
    answer = json.loads(ran.out)
    status = {step["step"]: step["status"] for step in answer["steps"]}
    assert set(status) == {"release.stage", "config.backup", "check", "archive.purge",
                           "logs.delete"}  # fmt: skip
    assert len(answer["checks"]) > 25
    staged = sandbox.exec("sh", "-c", "ls -d /var/www/.matops-stage/*/matomo").stdout.split()
    assert len(staged) == 1, staged
    version = sandbox.exec("php", f"{staged[0]}/console", "core:version", user="www-data").stdout
    assert version.split()[-1] == sandbox.release_version
    assert sandbox.exec("stat", "-c", "%U", staged[0]).stdout.strip() == "www-data"
    assert list(fab.backups.rglob("*.tar.gz"))


def test_the_second_run_changes_nothing(fab: Fab, sandbox: Sandbox, digest: str) -> None:
    fab(*prep(fab, digest))
    before = snapshot(sandbox)
    ran = fab(*prep(fab, digest))
    assert ran.code == 0, ran.all
    assert ran.out.count("already done") >= 3
    assert snapshot(sandbox) == before


def test_fails_when_a_check_fails_and_force_overrides_it_by_name(
    fab: Fab, sandbox: Sandbox, digest: str
) -> None:
    fab.configure("disk_factor: 1000000")
    ran = fab(*prep(fab, digest))
    assert ran.code == 3, ran.all
    assert "the preflight says no: disk-" in ran.err
    assert "archive.purge  not reached" in ran.out
    forced = fab(*prep(fab, digest, "--force", "disk-docroot,disk-database,disk-tmpdir"))
    assert forced.code == 0, forced.all
    assert "overridden: disk-docroot" in forced.out
    typo = fab(*prep(fab, digest, "--force", "disk-docrot"))
    assert typo.code == 2
    assert "no check 'disk-docrot'. Next: did you mean 'disk-docroot'?" in one_line(typo)
    assert typo.out == "", "no host is asked for a name that cannot be a check's"


def test_two_names_of_one_installation_stage_each_and_purge_once(
    fab: Fab, sandbox: Sandbox, digest: str
) -> None:
    words = fab.command(*prep(fab, digest))
    at = words.index("-H") + 1
    words[at] = f"{sandbox.name},{sandbox.name}-root"
    done = subprocess.run(words, cwd=ROOT, env=fab.environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("archive.purge: already done") == 2


def test_a_failure_names_the_hosts_that_were_not_reached(fab: Fab, sandbox: Sandbox) -> None:
    words = fab.command("status")
    at = words.index("-H") + 1
    words[at] = f"no-such-host.invalid,{sandbox.name}"
    done = subprocess.run(words, cwd=ROOT, env=fab.environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=100)  # fmt: skip
    assert done.returncode == 1
    assert f"Not run on: {sandbox.name}" in done.stderr
    assert "no such host name" in done.stderr and "Traceback" not in done.stderr


def test_list_and_help_read_like_a_manual(fab: Fab) -> None:
    listing = subprocess.run([*fab.command()[:1], "--list"], cwd=ROOT, env=fab.environment(),
                             capture_output=True, text=True)  # fmt: skip
    names = ["prep", "release.stage", "config.backup", "config.list", "config.diff",
             "config.restore", "check", "archive.purge", "logs.delete", "console", "jobs",
             "jobs.follow", "jobs.stop", "status"]  # fmt: skip
    for name in names:
        assert name in listing.stdout, name
        shown = subprocess.run([*fab.command()[:1], "--help", name], cwd=ROOT,
                               env=fab.environment(), capture_output=True, text=True)  # fmt: skip
        assert shown.returncode == 0 and "Example: fab" in shown.stdout, shown.stdout + shown.stderr


def test_inv_on_the_machine_itself(fab: Fab, sandbox: Sandbox, digest: str) -> None:
    agent = sandbox.exec("sh", "-c", "ls -t /var/lib/matops/agent/*.pyz | head -1").stdout.strip()
    ran = sandbox.exec("python3", agent, "status")
    assert "free" in ran.stdout
    again = sandbox.exec("python3", agent, "archive.purge")
    assert "already done" in again.stdout


def test_database_down(fab: Fab, sandbox: Sandbox, digest: str) -> None:
    sandbox.service("mariadb", "stop")
    try:
        ran = fab(*prep(fab, digest))
        assert ran.code == 1
        assert "cannot be reached" in one_line(ran)
    finally:
        sandbox.service("mariadb", "start")


def test_no_sudo_rights_and_unreadable_config(fab: Fab, digest: str) -> None:
    ran = fab(*prep(fab, digest), user="nosudo")
    assert ran.code == 1
    assert "config.ini.php cannot be read" in one_line(ran)
    assert "sudo" in ran.err


def test_broken_config(fab: Fab, sandbox: Sandbox, digest: str) -> None:
    config = "/var/www/html/config/config.ini.php"
    sandbox.exec("mv", config, config + ".away.php")
    try:
        ran = fab(*prep(fab, digest))
        assert ran.code == 1 and "does not exist" in one_line(ran)
    finally:
        sandbox.exec("mv", config + ".away.php", config)
    sandbox.exec(
        "sh", "-c", f"cp -a {config} {config}.away.php; sed -i '/^\\[database\\]/,/^$/d' {config}"
    )
    try:
        ran = fab(*prep(fab, digest))
        assert ran.code == 1 and "[database]" in one_line(ran)
    finally:
        sandbox.exec("mv", config + ".away.php", config)


def test_wrong_checksum(fab: Fab) -> None:
    ran = fab(*prep(fab, "0" * 64))
    assert ran.code == 3
    assert "0" * 64 in ran.err and "Traceback" not in ran.all


def test_redis_down_is_in_the_table(fab: Fab, sandbox: Sandbox) -> None:
    sandbox.service("redis", "stop")
    try:
        ran = fab("check", "--window", "10s")
        assert "redis" in ran.out and "Traceback" not in ran.all
    finally:
        sandbox.service("redis", "start")
