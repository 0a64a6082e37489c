"""console, archive.purge, logs.delete, jobs, status on the real host, as typed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ROOT, Fab, one_line
from tests.sandbox import Sandbox

_ARCHIVES = (
    "insert into matomo.matomo_archive_numeric_2026_10 "
    "(idarchive,name,idsite,date1,date2,period,ts_archived,value) values "
    "(900001,'done',1,'2026-10-05','2026-10-05',1,'2026-10-06',2),"
    "(900002,'done',1,'2026-10-05','2026-10-05',1,'2026-10-07',1),"
    "(900003,'done',1,'2026-10-05','2026-10-05',1,'2026-10-08',1),"
    "(900004,'done',1,'2026-10-05','2026-10-08',5,'2026-10-08',1)"
)


def visits(sandbox: Sandbox) -> dict[str, int]:
    """Visits per day."""
    rows = sandbox.sql(
        "select date(visit_last_action_time), count(*) from matomo.matomo_log_visit group by 1"
    )
    return {day: int(count) for day, count in rows}


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("core:version", 0, "5."),
        ("plugin:activate Nope", 1, "no such plugin"),
        ("nope:nope", 1, "no such console command"),
        ("config:get General.nope", 0, "absent, or 0"),
        ("core:update", 0, ""),
        ("core:delete-logs-data --dates=2020-01-01,2020-01-02 -n", 3, "use logs.delete"),
        ("core:delete-logs-data --dates=2020-01-01,2020-01-02", 1, ""),
        ('unbalanced "', 2, "No closing quotation"),
    ],
)
def test_console_tells_the_truth(fab: Fab, command: str, code: int, words: str) -> None:
    ran = fab("console", command)
    assert ran.code == code, ran.all
    assert words in ran.all


def test_console_runs_as_the_web_user_and_leaves_nothing_of_root(
    fab: Fab, sandbox: Sandbox
) -> None:
    assert fab("console", "core:clear-caches").code == 0
    found = sandbox.exec("find", "/var/www/html", "-user", "root", "-newermt", "-1 minute").stdout
    assert found == ""


def test_purge_deletes_what_it_counted_and_then_has_nothing_to_do(
    fab: Fab, sandbox: Sandbox
) -> None:
    sandbox.sql(_ARCHIVES.replace("2026_10", _month(sandbox)))
    dry = fab("archive.purge", "--dry-run")
    assert "1 failed or temporary, 1 superseded, 1 custom-range archives" in dry.out, dry.all
    done = fab("archive.purge", "--json")
    assert done.code == 0, done.all
    assert json.loads(done.out)["steps"][0]["status"] == "done"
    assert "already done" in fab("archive.purge").out
    assert "3 outdated archives purged" in fab("status").out
    assert "archive.purge." in fab("jobs").out


def _month(sandbox: Sandbox) -> str:
    rows = sandbox.sql("show tables in matomo like 'matomo\\_archive\\_numeric\\_%'")
    return str(rows[-1][0][-7:])


def test_delete_logs_counts_asks_deletes_and_goes_on(fab: Fab, sandbox: Sandbox) -> None:
    one_visit = "ORDER BY visit_last_action_time LIMIT 1"
    sandbox.sql(f"UPDATE matomo.matomo_log_visit SET idsite = 77 {one_visit}")
    before = visits(sandbox)
    first, second, third, *_ = sorted(before)
    asked = fab("logs.delete", "--dates", f"{first},{third}")
    assert asked.code == 3 and "not confirmed" in asked.err
    assert f"{third} itself is kept" in asked.out
    assert visits(sandbox) == before
    one = fab("logs.delete", "--dates", f"{first},{second}", "--yes")
    assert one.code == 0, one.all
    both = fab("logs.delete", "--dates", f"{first},{third}", "--yes")
    assert f"delete {before[second]} visits on 1 day" in both.out, both.all
    assert visits(sandbox) == {**dict(sorted(before.items())[2:]), first: 1}  # of a deleted site
    assert "already done" in fab("logs.delete", "--dates", f"{first},{third}").out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--dates FROM,TO is missing"),
        (["--dates", "2024-01-01"], "is not FROM,TO"),
        (["--dates", "2024-02-30,2024-03-01"], "not a date"),
        (["--dates", "2024-03-01,2024-01-01"], "is not before"),
        (["--dates", "2024-03-01,2099-01-01"], "in the future"),
        (["--dates", "2024-03-01,2024-04-01", "--idsite", "77"], "site 77 does not exist"),
        (["--dates", "2024-03-01,2024-04-01", "--idsite", "x"], "not a whole number"),
    ],
)
def test_delete_logs_bad_input(fab: Fab, flags: list[str], words: str) -> None:
    ran = fab("logs.delete", *flags)
    assert ran.code == 2
    assert words in one_line(ran)


def test_killed_fab_leaves_the_job_running_and_the_next_one_ends_well(
    fab: Fab, sandbox: Sandbox
) -> None:
    words = fab.command("console", "core:archive --force-idsites=1,2", "--job")
    process = subprocess.Popen(words, cwd=ROOT, env=fab.environment(), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout and "started on" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    followed = fab("jobs.follow", "last")
    assert followed.code == 0, followed.all
    assert "core:archive" in fab("jobs").out


def test_stop_a_job(fab: Fab, sandbox: Sandbox) -> None:
    lock = "lock tables matomo.matomo_option write; select sleep(60)"
    held = "select id from information_schema.processlist where info = 'select sleep(60)'"
    with ThreadPoolExecutor() as pool:
        holder = pool.submit(sandbox.exec, "mariadb", "-e", lock, check=False)
        _wait_for(lambda: bool(sandbox.sql(held)))
        running = pool.submit(fab, "console", "core:archive", "--job")
        _wait_for(lambda: "running" in fab("jobs").out)
        stopped = fab("jobs.stop", "last", "--grace", "5")
        assert stopped.code == 0, stopped.all
        assert "exit code 143" in stopped.out
        ended = running.result()
        sandbox.sql(f"kill {sandbox.sql(held)[0][0]}")
        holder.result()
    assert ended.code == 4, ended.all  # killed: how far it came is not known
    assert "is not running" in one_line(fab("jobs.stop", "last"))


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_a_lock_of_another_run_is_75(fab: Fab, sandbox: Sandbox) -> None:
    now = time.time()
    value = json.dumps({"v": 1, "fence": 5, "taken": now, "beat": now, "owner": {
        "user": "ann", "machine": "laptop", "machine_id": "", "pid": 1, "started": "1",
        "task": "prep", "host": "web9"}}, sort_keys=True)  # fmt: skip
    sandbox.sql(f"replace into matomo.matomo_option values ('matops.lock', '{value}', 0)")
    try:
        ran = fab("logs.delete", "--dates", "2020-01-01,2020-02-01", "--yes")
        assert ran.code == 75 and "ann@laptop (prep on web9" in one_line(ran)
        assert "held by ann@laptop" in fab("status").out
    finally:
        sandbox.sql("delete from matomo.matomo_option where option_name = 'matops.lock'")


def test_status_with_the_database_down(fab: Fab, sandbox: Sandbox) -> None:
    sandbox.service("mariadb", "stop")
    try:
        ran = fab("status")
        assert ran.code == 0 and "cannot be reached" in ran.out
        purge = fab("archive.purge")
        assert purge.code == 1 and "cannot be reached" in one_line(purge)
    finally:
        sandbox.service("mariadb", "start")


def test_a_laptop_is_not_a_matomo_host(fab: Fab) -> None:
    words = fab.command("archive.purge")
    words = [w for w in words if w not in ("-H", fab.sandbox.name)]
    done = subprocess.run(words, cwd=ROOT, env=fab.environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "no Matomo host" in done.stderr and "Traceback" not in done.stderr


def test_settings_mistakes_are_one_line(fab: Fab) -> None:
    fab.configure("docrot: /srv")
    ran = fab("status")
    assert ran.code == 2 and "did you mean 'docroot'" in one_line(ran)
