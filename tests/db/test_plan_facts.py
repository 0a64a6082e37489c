"""What a plan asks of the database, on both servers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matops.errors import MatopsError
from matops.matomo.database import Database
from matops.runbook import plan_facts, plan_traffic
from tests.db import data, docroot
from tests.db.servers import Server

SCHEMA = "planned"
TABLES = (
    "CREATE TABLE piwik_option (option_name VARCHAR(191) PRIMARY KEY, option_value LONGTEXT,"
    " autoload TINYINT NOT NULL DEFAULT 1);"
    "CREATE TABLE piwik_plugin_setting (plugin_name VARCHAR(60), setting_name VARCHAR(255),"
    " setting_value LONGTEXT, json_encoded TINYINT NOT NULL DEFAULT 0, user_login VARCHAR(100)"
    " NOT NULL DEFAULT '', idplugin_setting BIGINT PRIMARY KEY AUTO_INCREMENT);"
    "CREATE TABLE piwik_archive_invalidations (idinvalidation BIGINT PRIMARY KEY, status TINYINT,"
    " ts_started DATETIME);"
    "INSERT INTO piwik_archive_invalidations VALUES (1, 0, NULL), (2, 0, NULL);"
    "INSERT INTO piwik_option VALUES ('LastFullArchivingStartTime', '1000', 0),"
    " ('LastCompletedFullArchiving', '1600', 0);"
)
V = "ALTER TABLE piwik_log_visit "
HOUR = 3600


@pytest.fixture(scope="module")
def place(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    server.sql(f"CREATE DATABASE {SCHEMA}")
    server.sql(TABLES, SCHEMA)
    data.make(server, "log_visit", "piwik_log_visit", 9, schema=SCHEMA)
    data.make(server, "log_link_visit_action", "piwik_log_link_visit_action", 1, schema=SCHEMA)
    server.sql("TRUNCATE piwik_log_link_visit_action", SCHEMA)
    server.sql("ANALYZE TABLE piwik_log_visit", SCHEMA)  # else counted some time later
    folder = tmp_path_factory.mktemp(server.flavour)
    docroot.make(folder, server.address(schema=SCHEMA))
    yield folder / "matomo"
    server.sql(f"DROP DATABASE {SCHEMA}")


def collect(place: Path, *statements: str, **asked: Any) -> dict[str, Any]:
    """The facts, as they come through the agent."""
    wanted = {
        "verdicts": [[]] * len(statements),
        "optimize_dir": str(place),
        "budget": 2.0,
        **asked,
    }
    found = plan_facts.collect(docroot=str(place), statements=statements, **wanted)
    again: dict[str, Any] = json.loads(json.dumps(found))
    return again


def test_facts(place: Path, server: Server) -> None:
    line = {"v": 1, "event": "done", "run": "r", "table": "x", "before": 40e6, "seconds": 2.0}
    (place / f"{SCHEMA}-0123456789.jsonl").write_text(json.dumps(line) + "\n")
    found = collect(
        place,
        V + "ADD COLUMN a INT NULL; " + V + "ADD INDEX i (a)",
        "./console config:set --section=x",
        V + "MODIFY visit_total_time BIGINT NOT NULL",
        budget=15.0,  # of which a loaded machine needs more than the usual two
    )
    migrations = found["migrations"]
    assert migrations["sampled"] and [len(each) for each in migrations["of"]] == [2, 1, 1]
    assert [one["way"] for one in migrations["of"][0]] == ["instant", "inplace"]
    last = migrations["of"][2][0]
    # On a machine that stands still for long the samples' time may be over: then that is said.
    assert "measured on" in last["time"]["basis"] or "no sample: " in str(last["notes"]), last
    assert found["rate"] == pytest.approx(20e6)
    assert found["archiving"] == {"seconds": 600.0, "queued": 2}
    assert found["optimize"]["tables"] == 0 and found["room"]["data"] > 1 << 30
    assert found["purge"]["of"] == 0 and found["traffic"] == []
    assert found["queue"]["after"] is None
    assert not server.sql("SHOW DATABASES LIKE 'matops%'")


def test_without_a_budget_and_without_the_right(place: Path, server: Server) -> None:
    none = collect(place, V + "ENGINE=InnoDB", budget=0.0)["migrations"]
    assert not none["sampled"] and "--budget" in none["why_not"]
    assert none["of"][0][0]["way"] == "inplace" and none["of"][0][0]["time"]["likely"] > 0
    poor = docroot.make(place.parent / "poor", server.account("matomo", SCHEMA))
    stored = [[{"statement": V + "FORCE", "algorithm": "copy", "lock": "shared"}]]
    found = collect(poor, V + "FORCE", verdicts=stored)["migrations"]
    assert "GRANT ALL PRIVILEGES ON" in found["why_not"]
    assert found["of"][0][0]["way"] == "copy" and found["of"][0][0]["rows"] > 10_000


def test_killed_in_the_middle_of_a_sample_the_next_run_clears_up(
    place: Path, server: Server
) -> None:
    if server.flavour == "mysql":
        return  # the scratch database is the same there
    asked = {"docroot": str(place), "statements": [V + "ENGINE=InnoDB"], "verdicts": [[]],
             "optimize_dir": str(place), "budget": 30.0}  # fmt: skip
    script = "import sys, json; from matops.runbook import plan_facts as p; "
    script += "p.collect(**json.loads(sys.argv[1]))"
    running = subprocess.Popen([sys.executable, "-c", script, json.dumps(asked)])
    samples = (
        "SELECT COUNT(*) AS n FROM information_schema.tables WHERE table_name = 'matops_sample_1'"
    )
    until = time.monotonic() + 20
    while not server.sql(samples)[0]["n"]:
        assert time.monotonic() < until and running.poll() is None
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert server.sql("SHOW DATABASES LIKE 'matops%'")
    assert collect(place, V + "ENGINE=InnoDB")["migrations"]["sampled"]
    assert not server.sql("SHOW DATABASES LIKE 'matops%'")


def test_actions_by_the_hour(place: Path, server: Server) -> None:
    now = time.time()
    newest = now - now % HOUR
    spread = {hour: 10 + hour % 7 * 40 for hour in range(0, 168, 5)}
    rows = []
    for hour, count in sorted(spread.items()):
        begin = newest - (168 - hour) * HOUR
        rows += [f"(1, 'x', 1, FROM_UNIXTIME({begin + i * HOUR / count}))" for i in range(count)]
    rows.append(f"(1, 'x', 1, FROM_UNIXTIME({newest + 1}))")
    server.sql(
        "TRUNCATE piwik_log_link_visit_action; SET time_zone = '+00:00';"
        "INSERT INTO piwik_log_link_visit_action (idsite, idvisitor, idvisit, server_time) VALUES "
        + ",".join(rows), SCHEMA,
    )  # fmt: skip
    with Database(str(place)) as db:
        found = plan_traffic.hourly(db, now)
    assert {hour: count for hour, count in enumerate(found) if count} == spread


def test_a_server_that_is_down_is_one_line(place: Path, tmp_path: Path) -> None:
    with Database(str(place)) as db:
        gone = docroot.make(tmp_path, db.address.__class__(**{**vars(db.address), "port": 1}))
    with pytest.raises(MatopsError, match="cannot be reached"):
        collect(gone)
