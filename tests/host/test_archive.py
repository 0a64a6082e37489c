"""archive.invalidate, .run and .compare on the real Matomo."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import Fab, one_line
from tests.sandbox import Sandbox

WINDOW = ("--from", "2026-11-18T13:00:00Z", "--to", "2026-11-18T15:00:00Z")
CONFIG = "/var/www/html/config/config.ini.php"


@pytest.fixture(scope="module")
def changed(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Site 2 is in Auckland, 13 hours ahead; the host is pristine again afterwards."""
    sandbox.sql("UPDATE matomo.matomo_site SET timezone = 'Pacific/Auckland' WHERE idsite = 2")
    yield sandbox
    sandbox.reset()


def queue(sandbox: Sandbox) -> list[list[str]]:
    return sandbox.sql(
        "SELECT idsite, date1 FROM matomo.matomo_archive_invalidations "
        "WHERE period = 1 AND name = 'done' ORDER BY idsite, date1"
    )


def test_whole_days_in_each_sites_own_zone(changed: Sandbox, fab: Fab) -> None:
    planned = fab("archive.invalidate", *WINDOW, "--dry-run")
    assert "invalidate 2026-11-18 to 2026-11-18 of site 1" in planned.out
    assert "invalidate 2026-11-19 to 2026-11-19 of site 2" in planned.out
    assert queue(changed) == []

    done = fab("archive.invalidate", *WINDOW)
    assert done.code == 0, done.all
    assert queue(changed) == [["1", "2026-11-18"], ["2", "2026-11-19"]]
    again = fab("archive.invalidate", *WINDOW)
    assert "already done" in again.out, again.all


def test_a_report_that_lacks_a_visit_differs_and_is_built_anew(changed: Sandbox, fab: Fab) -> None:
    changed.sql(
        "UPDATE matomo.matomo_log_visit SET visit_last_action_time = '2026-11-18 14:00:00' "
        "WHERE idsite = 1 AND visit_last_action_time < '2026-11-18' LIMIT 3"
    )
    before = fab("archive.compare", *WINDOW, "--sites", "1", "--json")
    assert before.code == 1
    (day,) = json.loads(before.out)["days"]
    assert day["log"][0] == day["report"][0] + 3 and day["verdict"] == "differs"

    trial = fab("archive.run", "--sites", "1")
    assert trial.code == 0, trial.all
    after = fab("archive.compare", *WINDOW, "--sites", "1", "--json")
    assert after.code == 0, after.all
    assert [idsite for idsite, _ in queue(changed)] == ["2"]  # the trial left the others alone


def test_a_killed_run_is_gone_on_with(changed: Sandbox, fab: Fab) -> None:
    running = subprocess.Popen(
        fab.command("archive.run"), env=fab.environment(), stdout=subprocess.PIPE, text=True
    )
    assert running.stdout
    for line in running.stdout:
        if "it goes on without us" in line:
            break
    changed.exec("pkill", "-9", "-f", "pyz archive[.]run")
    running.wait()
    again = fab("archive.run")
    assert again.code == 0, again.all
    assert queue(changed) == []
    assert "nothing waits" in fab("archive.run").out


def test_what_core_archive_would_not_tell(changed: Sandbox, fab: Fab) -> None:
    table = "matomo.matomo_archive_invalidations"
    columns = "(name, idsite, date1, date2, period, ts_invalidated, status, processing_host)"
    values = "('done', 1, '2026-11-18', '2026-11-18', 1, NOW(), 1, 'elsewhere')"
    changed.sql(f"INSERT INTO {table} {columns} VALUES {values}")
    stuck = fab("archive.run")
    assert stuck.code == 3 and "invalidations.reset" in one_line(stuck)
    changed.sql(f"UPDATE {table} SET status = 0, processing_host = NULL")
    changed.exec("sed", "-i", r"/^\[General\]/a maintenance_mode = 1", CONFIG)
    closed = fab("archive.run")
    assert closed.code == 3 and "maintenance.off" in one_line(closed)
    changed.exec("sed", "-i", "/^maintenance_mode/d", CONFIG)
    changed.sql(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("archive.invalidate",), "no window: this outage has no mark"),
        (("archive.invalidate", "--from", "2026-11-18T00:00:00Z"), "give both"),
        (("archive.invalidate", *WINDOW, "--sites", "99"), "site 99 does not exist"),
        (("archive.run", "--archivers", "0"), "not a number from 1 to 64"),
    ],
)
def test_wrong_input_is_one_line(
    sandbox: Sandbox, fab: Fab, words: list[str], message: str
) -> None:
    ran = fab(*words)
    assert ran.code == 2 and message in one_line(ran)
