"""``logs.purge`` on the real host: the very rows that Matomo's own command deletes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Fab, one_line
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

_LOGS = ("log_visit", "log_link_visit_action", "log_conversion", "log_conversion_item",
         "log_action", "log_profiling")  # fmt: skip

# On top of real visits: a third site in another zone, a deleted one (77); visits at the very edges
# of days; some tracked late (their numbers are out of the order of time); orders with items; rows
# whose visit is gone already.
_MORE = """
USE matomo;
INSERT INTO matomo_site SELECT 3,'third',main_url,ts_created,ecommerce,sitesearch,
 sitesearch_keyword_parameters,sitesearch_category_parameters,'America/Los_Angeles',currency,
 exclude_unknown_urls,excluded_ips,excluded_parameters,excluded_user_agents,excluded_referrers,
 `group`,type,keep_url_fragment,creator_login FROM matomo_site WHERE idsite = 1;
CREATE TEMPORARY TABLE v AS SELECT * FROM matomo_log_visit;
CREATE TEMPORARY TABLE a AS SELECT * FROM matomo_log_link_visit_action;
UPDATE v SET idvisit = idvisit + 10000, idsite = 3;
UPDATE a SET idvisit = idvisit + 10000, idsite = 3, idlink_va = idlink_va + 10000;
INSERT INTO matomo_log_visit SELECT * FROM v;
INSERT INTO matomo_log_link_visit_action SELECT * FROM a;
UPDATE v SET idvisit = idvisit + 10000, idsite = IF(idvisit % 3, 1, 77),
 visit_last_action_time = visit_last_action_time - INTERVAL 2 DAY;
UPDATE a SET idvisit = idvisit + 10000, idlink_va = idlink_va + 10000;
INSERT INTO matomo_log_visit SELECT * FROM v;
INSERT INTO matomo_log_link_visit_action SELECT * FROM a;
UPDATE matomo_log_visit SET visit_last_action_time = DATE(visit_last_action_time)
 WHERE idvisit % 40 = 1;
UPDATE matomo_log_visit SET visit_last_action_time = DATE(visit_last_action_time)
 + INTERVAL 86399 SECOND WHERE idvisit % 40 = 2;
INSERT INTO matomo_log_conversion (idvisit,idsite,idvisitor,server_time,idaction_url,idgoal,buster,
 idorder,url) SELECT idvisit,idsite,idvisitor,visit_last_action_time,visit_exit_idaction_url,0,0,
 CONCAT('o',idvisit),'http://x' FROM matomo_log_visit WHERE idvisit % 3 = 0;
INSERT INTO matomo_log_conversion_item SELECT idsite,idvisitor,server_time,idvisit,idorder,
 s.seq,2,3,0,0,0,0,1.5,1,0 FROM matomo_log_conversion CROSS JOIN seq_1_to_3 AS s;
DELETE FROM matomo_log_visit WHERE idvisit % 50 = 7;
CREATE DATABASE kept;
"""


@pytest.fixture(scope="module")
def days(sandbox: Sandbox) -> Iterator[list[str]]:
    """The days that have visits, with a copy of every log table beside them."""
    sandbox.sql(_MORE)
    for name in _LOGS:
        sandbox.sql(f"CREATE TABLE kept.{name} AS SELECT * FROM matomo.matomo_{name}")
    rows = sandbox.sql("SELECT DISTINCT DATE(visit_last_action_time) FROM matomo.matomo_log_visit"
                       " WHERE idsite <> 77 ORDER BY 1")  # fmt: skip
    yield [row[0] for row in rows]
    sandbox.reset()


def put_back(sandbox: Sandbox) -> None:
    """All log tables as they were."""
    for name in _LOGS:
        sandbox.sql(
            f"DELETE FROM matomo.matomo_{name};"
            f"INSERT INTO matomo.matomo_{name} SELECT * FROM kept.{name}"
        )


def picture(sandbox: Sandbox) -> dict[str, list[str]]:
    """Every row of every log table."""
    client = ("mariadb", "--batch", "--skip-column-names", "--binary-as-hex", "-e")
    found = {}
    for name in _LOGS:
        out = sandbox.exec(*client, f"SELECT * FROM matomo.matomo_{name}").stdout
        found[name] = sorted(out.rstrip("\n").split("\n"))
    return found


def others(sandbox: Sandbox) -> list[list[str]]:
    """Checksums of all the rest but what a run writes down (options), in one statement."""
    names = [row[0] for row in sandbox.sql("SHOW TABLES IN matomo")]
    wanted = [n for n in names if n[7:] not in (*_LOGS, "option", "session", "logger_message")]
    return sandbox.sql("CHECKSUM TABLE " + ",".join(f"matomo.{name}" for name in wanted))


@pytest.mark.parametrize("site", ["", "3"])
def test_the_same_rows_as_the_console_deletes(
    fab: Fab, sandbox: Sandbox, days: list[str], site: str
) -> None:
    dates, more = f"{days[1]},{days[4]}", ["--idsite", site] if site else []
    put_back(sandbox)
    before = picture(sandbox)
    words = f"cd /var/www/html && php console core:delete-logs-data --dates={dates} -n"
    sandbox.exec("sh", "-c", words + (f" --idsite={site}" if site else ""), user="www-data")
    theirs = picture(sandbox)
    put_back(sandbox)
    rest = others(sandbox)
    assert picture(sandbox) == before

    counts: dict[str, dict[str, int]] = {}
    if not site:
        dry = fab("logs.purge", "--dates", dates, *more, "--dry-run", "--json", "--force")
        assert dry.code == 0, dry.all
        counts = json.loads(dry.out)["counts"]["rows"]
        assert picture(sandbox) == before
    done = fab("logs.purge", "--dates", dates, *more, "--yes", "--force")
    assert done.code == 0, done.all
    ours = picture(sandbox)
    for name in _LOGS:
        assert ours[name] == theirs[name], name
        gone = len(before[name]) - len(ours[name])
        assert not counts or sum(counts.get(f"matomo_{name}", {}).values()) == gone, name
    assert len(before["log_visit"]) > len(ours["log_visit"])
    assert others(sandbox) == rest
    assert "did not shrink" in done.out and "db.optimize --tables" in done.out
    if not site:
        assert "visits of deleted sites stay" in done.out and "site 77" in done.out
        again = fab("logs.purge", "--dates", dates, *more, "--yes")
        assert again.code == 0 and "already done" in again.out


def test_refused_stopped_and_run_again(fab: Fab, sandbox: Sandbox, days: list[str]) -> None:
    """What waits to be archived, what is not confirmed, a stop in the middle (the job's end)."""
    put_back(sandbox)
    dates = f"{days[1]},{days[3]}"
    sandbox.sql(
        "INSERT INTO matomo.matomo_archive_invalidations (name,idsite,date1,date2,period,"
        f"ts_invalidated,status) VALUES ('done',1,'{days[2]}','{days[2]}',1,NOW(),0)"
    )
    before = picture(sandbox)
    pending = fab("logs.purge", "--dates", dates, "--yes")
    assert pending.code == 3 and f"site 1: {days[2]}" in one_line(pending)
    assert "not confirmed" in one_line(fab("logs.purge", "--dates", dates, "--force"))
    assert picture(sandbox) == before
    lock = (f"SET autocommit = 0; SELECT idvisit FROM matomo.matomo_log_visit WHERE idsite = 2 AND"
            f" visit_last_action_time >= '{days[1]}' FOR UPDATE; SELECT SLEEP(600)")  # fmt: skip
    with ThreadPoolExecutor() as pool:
        pool.submit(sandbox.exec, "mariadb", "-e", lock, check=False)
        running = pool.submit(fab, "logs.purge", "--dates", dates, "--yes", "--force")
        until = time.monotonic() + 30
        while len(picture(sandbox)["log_visit"]) == len(before["log_visit"]):
            assert time.monotonic() < until and not running.done()
            time.sleep(0.1)
        stopped = fab("jobs.stop", "last")
        assert stopped.code == 0, stopped.all
        ended = running.result()
        for row in sandbox.sql("SELECT id FROM information_schema.processlist"
                               " WHERE info = 'SELECT SLEEP(600)'"):  # fmt: skip
            sandbox.sql(f"KILL {row[0]}")
    assert ended.code == 4 and "none is half deleted" in ended.out, ended.all
    again = fab("logs.purge", "--dates", dates, "--yes", "--force")
    assert again.code == 0 and "no visits left" in again.out, again.all
