"""``archiver.stop`` and ``archiver.start`` as typed, with a real archiver at work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Fab, one_line
from tests.sandbox import Sandbox

QUEUE = "matomo.matomo_archive_invalidations"
QUICK = ("--settle", "0s")
SCRIPT = """#!/bin/sh
cd /var/www/html
for site in 1 2; do php console core:archive --force-idsites=$site; done
"""
CRON = "/etc/cron.d/matomo"


@pytest.fixture
def quiet(sandbox: Sandbox, fab: Fab) -> Iterator[Sandbox]:
    """No row in progress and nothing held, before and after."""
    sandbox.sql(f"delete from {QUEUE}")
    before = sandbox.exec("sh", "-c", f"stat -c '%a %U %y' {CRON}; cat {CRON}").stdout
    yield sandbox
    sandbox.exec("sh", "-c", "pkill -KILL -f 'night.sh|core:archive|CoreAdminHome.archiveReports';"
                 "rm -f /opt/night.sh", check=False)  # fmt: skip
    sandbox.sql(f"delete from {QUEUE}")
    assert fab("archiver.start").code == 0
    after = sandbox.exec("sh", "-c", f"stat -c '%a %U %y' {CRON}; cat {CRON}").stdout
    assert after == before
    assert sandbox.exec("sh", "-c", "cat /var/lib/matops/*/outage.json").stdout.count(
        "schedules") == 0  # fmt: skip


def begin(sandbox: Sandbox) -> int:
    """A script that archives, stopped in the middle of its work; the pid of its core:archive."""
    sandbox.exec("sh", "-c", "cat > /opt/night.sh; chmod 755 /opt/night.sh", input=SCRIPT.encode())
    found = "$(pgrep -f '^php console core:archive')"
    out = sandbox.exec("sh", "-c", "runuser -u www-data -- setsid -f /opt/night.sh >/dev/null 2>&1;"
                       f"for i in $(seq 300); do [ {found} ] && break; sleep 0.02; done;"
                       f"kill -STOP {found}; echo {found}")  # fmt: skip
    return int(out.stdout)


def in_progress(sandbox: Sandbox, host: str, pid: int) -> None:
    """A row as core:archive marks it."""
    sandbox.sql(
        f"insert into {QUEUE} (name, idsite, date1, date2, period, ts_invalidated, ts_started,"
        " status, processing_host, process_id) values ('done', 1, '2026-01-01', '2026-01-01', 1,"
        f" now(), now(), 1, '{host}', '{pid}')"
    )


def test_a_running_archiver_is_waited_for_or_ended(fab: Fab, quiet: Sandbox) -> None:
    pid = begin(quiet)
    in_progress(quiet, quiet.exec("hostname").stdout.strip(), pid)
    dry = fab("archiver.stop", "--stop-running", "--dry-run")
    assert dry.code == 0 and f"would end core:archive: process {pid} of www-data" in dry.out, (
        dry.all
    )
    waited = fab("archiver.stop", "--wait", "1s")
    assert waited.code == 1 and f"still runs: script around it: process {pid - 1}" in waited.err, (
        waited.all
    )
    assert "stay held" in waited.err
    assert "#matops-hold archiver" in quiet.exec("cat", CRON).stdout
    asked = fab("archiver.stop", "--stop-running")
    assert asked.code == 3 and "was not confirmed" in one_line(asked)
    ended = fab("archiver.stop", "--stop-running", "--grace", "1s", "--yes")
    assert ended.code == 0, ended.all
    assert f"core:archive {pid} of www-data, started not known: KILL" in ended.out
    assert "night.sh: TERM" in ended.out or "script around it" in ended.out
    assert quiet.exec("pgrep", "-f", "core:archive", check=False).stdout == ""
    assert quiet.sql(f"select status, process_id from {QUEUE}") == [["0", "NULL"]]
    again = fab("archiver.stop")
    assert again.code == 0 and "already done" in again.out, again.all


def test_another_hosts_archiver_is_named(fab: Fab, quiet: Sandbox) -> None:
    in_progress(quiet, "pod-7f", 12)
    ran = fab("archiver.stop", *QUICK)
    assert ran.code == 3 and "process 12 on pod-7f, which is not listed" in one_line(ran)
    assert "matops-hold" not in quiet.exec("cat", CRON).stdout
    taken = fab("archiver.stop", *QUICK, "--accept-unheld")
    assert taken.code == 0 and "accepted: 1 rows in progress" in taken.out, taken.all
    assert quiet.sql(f"select status from {QUEUE}") == [["1"]]  # nobody's to say that it is dead
    shown = fab("archiver.status")
    assert "held (archiver)" in shown.out and "not listed" in shown.out
