"""``db.*`` as typed: over SSH, on the real host's MariaDB, with Matomo's own account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Fab, one_line
from tests.sandbox import Sandbox

HOLLOW = "matomo_archive_blob_2020_01"


@pytest.fixture
def hollow(sandbox: Sandbox) -> Iterator[str]:
    """A table of some 150 MB of which 60 % of the rows were deleted here and there."""
    full = f"matomo.{HOLLOW}"
    sandbox.sql(f"create table if not exists {full} like matomo.matomo_archive_blob_2026_01")
    sandbox.sql(
        f"use matomo; insert into {full} (idarchive,name,idsite,date1,date2,period,ts_archived,"
        "value) select seq,'x',1,'2020-01-01','2020-01-01',1,'2020-01-02',repeat(md5(rand()),90) "
        "from seq_1_to_40000"
    )
    sandbox.sql(f"delete from {full} where crc32(idarchive) % 10 < 6")
    yield HOLLOW
    sandbox.sql(f"drop table if exists {full}")


def test_optimize_runs_as_a_job_on_the_host(fab: Fab, sandbox: Sandbox, hollow: str) -> None:
    dry = fab("db.optimize", "--tables", hollow, "--min-gain", "20%,20MB", "--dry-run")
    assert dry.code == 0 and hollow in dry.out and "1 of 1 tables are worth" in dry.out, dry.all
    done = fab("db.optimize", "--tables", hollow, "--min-gain", "20%,20MB")
    assert done.code == 0, done.all
    assert f"{hollow}: done" in done.out and "came free" in done.out
    assert "db.optimize." in fab("jobs").out
    events = sandbox.exec("sh", "-c", "cat /var/lib/matops/matomo-*/optimize/events-*.jsonl").stdout
    ended = [e for e in map(json.loads, events.splitlines()) if e["event"] == "ended"]
    assert ended[-1]["result"]["reclaimed_bytes"] > 20 << 20
    again = fab("db.optimize", "--tables", hollow, "--min-gain", "20%,20MB")
    assert again.code == 0 and "0 of 1 tables are worth" in again.out, again.all


def test_sizes_locks_privileges(fab: Fab) -> None:
    sizes = fab("db.sizes", "--json")
    assert sizes.code == 0, sizes.all
    assert "matomo_log_visit" in sizes.out and json.loads(sizes.out)
    assert "nobody waits" in fab("db.locks").out
    rights = fab("db.privileges")
    assert rights.code == 0 and "GRANT PROCESS ON *.* TO 'matomo'@'localhost'" in rights.out
    bad = fab("db.sizes", "--sort", "beauty")
    assert bad.code == 2 and "not one of" in one_line(bad)


def test_run_reads_and_refuses_to_write(fab: Fab, sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "q.sql"
    file.write_text("select count(*) as visits from matomo_log_visit;")
    ran = fab("db.run", str(file))
    assert ran.code == 0 and "visits" in ran.out, ran.all
    file.write_text("select 1; drop table matomo_log_visit;")
    assert fab("db.run", str(file)).code == 3
    assert sandbox.sql("show tables in matomo like 'matomo_log_visit'")


def test_database_down_is_one_line(fab: Fab, sandbox: Sandbox) -> None:
    sandbox.service("mariadb", "stop")
    try:
        ran = fab("db.sizes")
        assert ran.code == 1 and "cannot be reached" in one_line(ran)
    finally:
        sandbox.service("mariadb", "start")
