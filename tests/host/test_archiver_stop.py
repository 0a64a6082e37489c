"""``archiver.stop`` and ``archiver.start`` as typed, with a real archiver at work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from matops.errors import MatopsError, Refused
from matops.runbook.archiver_start import ArchiverStart
from matops.runbook.archiver_stop import ArchiverStop
from matops.runbook.outage import Outage
from matops.runbook.step import Step
from tests.conftest import Fab, SiteFactory, one_line
from tests.sandbox import Sandbox

QUEUE = "matomo.matomo_archive_invalidations"
QUICK = ("--settle", "0s")
SCRIPT = """#!/bin/sh
cd /var/www/html
for site in 1 2; do php console core:archive --force-idsites=$site; done
"""
CRON = "/etc/cron.d/matomo"


@pytest.fixture
def quiet(sandbox: Sandbox, site_factory: SiteFactory) -> Iterator[Sandbox]:
    """No row in progress and nothing held, before and after."""
    sandbox.sql(f"delete from {QUEUE}")
    before = table(sandbox)
    yield sandbox
    sandbox.exec("sh", "-c", "pkill -KILL -f 'night.sh|core:archive|CoreAdminHome.archiveReports';"
                 "rm -f /opt/night.sh", check=False)  # fmt: skip
    sandbox.sql(f"delete from {QUEUE}")
    site = site_factory()
    do(ArchiverStart(site, print))
    assert table(sandbox) == before
    assert Outage(site).found("schedules") is None


def table(sandbox: Sandbox) -> str:
    """The archiver's cron file: content, mode, owner, time."""
    return str(sandbox.exec("sh", "-c", f"stat -c '%a %U %y' {CRON}; cat {CRON}").stdout)


def do(step: Step) -> None:
    """As the engine would."""
    for action in step.look().actions:
        step.act(action)
    step.verify()


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


def test_a_running_archiver_is_waited_for_or_ended(
    fab: Fab, quiet: Sandbox, site_factory: SiteFactory
) -> None:
    pid = begin(quiet)
    in_progress(quiet, quiet.exec("hostname").stdout.strip(), pid)
    with pytest.raises(MatopsError, match="still runs: script around it: process") as error:
        do(ArchiverStop(site_factory(), print, wait=0.5))
    assert f"core:archive: process {pid} of www-data" in error.value.what
    assert "stay held" in error.value.state and "#matops-hold archiver" in table(quiet)
    asked = fab("archiver.stop", "--stop-running")
    assert asked.code == 3 and "was not confirmed" in one_line(asked)
    ended = fab("archiver.stop", "--stop-running", "--grace", "1s", *QUICK, "--yes")
    assert ended.code == 0, ended.all
    assert f"ended core:archive {pid} of www-data, started not known: KILL" in ended.out
    assert "ended script around it" in ended.out
    assert quiet.exec("pgrep", "-f", "core:archive", check=False).stdout == ""
    assert quiet.sql(f"select status, process_id from {QUEUE}") == [["0", "NULL"]]


def test_another_hosts_archiver_is_named(
    fab: Fab, quiet: Sandbox, site_factory: SiteFactory
) -> None:
    in_progress(quiet, "pod-7f", 12)
    with pytest.raises(Refused, match="process 12 on pod-7f, which is not listed"):
        do(ArchiverStop(site_factory(), print))
    assert "matops-hold" not in table(quiet)
    taken = fab("archiver.stop", "--settle", "1s", "--accept-unheld")
    assert taken.code == 0 and "accepted: 1 rows in progress" in taken.out, taken.all
    assert "nothing was started" in taken.out
    assert quiet.sql(f"select status from {QUEUE}") == [["1"]]  # nobody's to say that it is dead
    shown = fab("archiver.status")
    assert "held (archiver)" in shown.out and "not listed" in shown.out
    back = fab("archiver.start")
    assert back.code == 0 and "1 schedule put back, to the byte" in back.out, back.all
