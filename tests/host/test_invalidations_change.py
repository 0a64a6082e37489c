"""``invalidations.truncate`` and its kin over SSH, on a real Matomo: its archiver builds what was
queued anew, its own reset does the same as ours."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.conftest import Fab
from tests.sandbox import Sandbox

QUEUE = "matomo.matomo_archive_invalidations"


@pytest.fixture(scope="module")
def clean(sandbox: Sandbox) -> Sandbox:
    """Nothing that another module's tests left: archives marked invalid, for one."""
    sandbox.reset()
    return sandbox


def days(sandbox: Sandbox) -> str:
    """Three days that have visits: those of the image, whenever it was made."""
    query = "select min(date(visit_last_action_time)) from matomo.matomo_log_visit"
    first = dt.date.fromisoformat(sandbox.sql(query)[0][0])
    return f"{first},{first + dt.timedelta(days=2)}"


@pytest.fixture
def flooded(clean: Sandbox) -> Sandbox:
    """Both sites archived, then flagged for three days, and nothing of an earlier test left."""
    sandbox = clean
    for (name,) in sandbox.sql("show tables in matomo like 'matomo\\_archive\\_invalidations\\_%'"):
        sandbox.sql(f"drop table matomo.{name}")
    sandbox.sql(
        f"delete from matomo.matomo_option where option_name like 'matops.%'; delete from {QUEUE}"
    )
    console(sandbox, "core:archive --force-idsites=1,2")
    console(sandbox, f"core:invalidate-report-data --sites=1,2 --dates={days(sandbox)}")
    assert count(sandbox) > 10
    return sandbox


def console(sandbox: Sandbox, command: str) -> str:
    """As the web user; its output."""
    script = f"cd {sandbox.docroot} && php console {command} 2>&1"
    return str(sandbox.exec("runuser", "-u", "www-data", "--", "sh", "-c", script).stdout)


def count(sandbox: Sandbox, where: str = "1") -> int:
    """Rows of the queue."""
    return int(sandbox.sql(f"select count(*) from {QUEUE} where {where}")[0][0])


def invalid(sandbox: Sandbox, site: int) -> int:
    """Archives that are marked invalid, in the months of these days."""
    months = {day[:7].replace("-", "_") for day in days(sandbox).split(",")}
    return sum(
        int(sandbox.sql(
            f"select count(*) from matomo.matomo_archive_numeric_{month} where name like 'done%'"
            f" and value = 4 and idsite = {site}"
        )[0][0])
        for month in months
    )  # fmt: skip


def test_truncate_queue_anew_and_the_archiver_builds_it(fab: Fab, flooded: Sandbox) -> None:
    before, marked = count(flooded), invalid(flooded, 1)
    assert marked and invalid(flooded, 2)
    done = fab("invalidations.truncate", "--keep-sites", "2", "--reinvalidate", days(flooded),
               "--yes")  # fmt: skip
    assert done.code == 0, done.all
    assert "afterwards: console core:invalidate-report-data --sites=1 " in done.out
    assert (
        count(flooded) <= before and count(flooded, "idsite = 1") and invalid(flooded, 1) == marked
    )
    console(flooded, "core:archive --force-idsites=1,2")
    assert not invalid(flooded, 1) and not invalid(flooded, 2) and not count(flooded)


def test_truncate_and_back(fab: Fab, flooded: Sandbox) -> None:
    before = flooded.sql(f"select * from {QUEUE} order by 1")
    done = fab("invalidations.truncate", "--clear-flags", "--yes")
    assert done.code == 0 and "archives are marked invalid that nothing will rebuild" in done.out
    assert "archives are unmarked" in done.out and not count(flooded)
    assert not invalid(flooded, 1) and not invalid(flooded, 2)
    (name,) = [n for (n,) in flooded.sql("show tables in matomo like '%\\_bak\\_%'")]
    back = fab("invalidations.restore", name, "--yes")
    assert back.code == 0, back.all
    assert flooded.sql(f"select * from {QUEUE} order by 1") == before


def test_reset_does_what_matomos_own_does(fab: Fab, flooded: Sandbox) -> None:
    site = "idinvalidation, name, date1, date2, period, status, ts_started, report"
    begun = f"update {QUEUE} set status = 1, ts_started = now() - interval 3 day, process_id = '1'"
    flooded.sql(f"delete from {QUEUE} where idsite = 2")
    flooded.sql(
        f"insert into {QUEUE} (name, idsite, date1, date2, period, ts_invalidated) select name, 1,"
        f" date1, date2, period, ts_invalidated from {QUEUE} limit 2; {begun}"
        " order by idinvalidation limit 4"
    )
    flooded.sql(f"create table matomo.before_reset select * from {QUEUE}")
    try:
        assert fab("invalidations.reset", "--yes").code == 0
        ours = flooded.sql(f"select {site} from {QUEUE} order by 1")
        flooded.sql(f"delete from {QUEUE}; insert into {QUEUE} select * from matomo.before_reset")
        said = console(flooded, "core:reset-invalidations --idsite=1")
        assert "were reset: 4" in said
        assert flooded.sql(f"select {site} from {QUEUE} order by 1") == ours
    finally:
        flooded.sql("drop table matomo.before_reset")


def test_a_real_archiver_at_work_is_refused(fab: Fab, flooded: Sandbox) -> None:
    # Stopped in the middle of its work, as a long archive looks from outside.
    running = "$(pgrep -f '^php console core:archive')"
    script = (
        f"cd {flooded.docroot}; (runuser -u www-data -- php console core:archive >/dev/null 2>&1 &)"
        ";"
        f" for i in $(seq 300); do [ {running} ] && break; sleep 0.02; done; kill -STOP {running}"
    )
    flooded.exec("sh", "-c", script)
    try:
        before = count(flooded)
        ran = fab("invalidations.truncate", "--yes")
        assert ran.code == 3 and "an archiver is at work: core:archive: process" in ran.all
        assert count(flooded) == before
    finally:
        ending = f"kill -9 {running}; kill -CONT {running}"
        flooded.exec("sh", "-c", ending, check=False)
