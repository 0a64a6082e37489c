"""Reading core:update's output, the private configuration, what is out of date."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matops.errors import UsageError
from matops.matomo import ini, staged_config
from matops.matomo.live_watch import Picture, compare
from matops.matomo.rehearsal import FOLLOWING, Migration, Rehearsal, from_data, outdated
from matops.matomo.staged_console import differences
from matops.matomo.update_output import UpdateOutput, component_of, version_of
from matops.mysql.scratch import login
from matops.mysql.scratch.names import check_name, grant_for, scratch_name
from matops.mysql.session import Address
from matops.runbook.rehearse import verdict
from matops.runbook.rehearse_update import following, matched, names_schema, warned, warnings

_HEAD = "\n    *** Update ***\n\n    Database Upgrade Required\n"
_GOOD = (
    "  Executing ALTER TABLE `m_user` ADD COLUMN a INT;... Done. [1 / 3]\n"
    "  Executing CREATE TABLE `m_new` (\n    id INT\n);... Done. [2 / 3]\n"
)
_BAD = """  Executing ALTER TABLE `m_x` ADD COLUMN b INT;... \

    [X] Critical Error during the update process:

    * /var/www/x/matomo/core/Updates/5.6.0-b1.php:
    Error trying to execute the migration 'ALTER TABLE `m_x` ADD COLUMN b INT;'.
    The error was: SQLSTATE[42S02]: Base table or view not found: 1146 Table 'r.m_x' doesn't exist

    The above is the core error message. It should help explain the cause
"""


def read(text: str, piece: int = 7) -> UpdateOutput:
    output = UpdateOutput()
    for at in range(0, len(text), piece):
        output.feed(text[at : at + piece], at / 100)
    output.end()
    return output


def test_output_read_in_pieces() -> None:
    for piece in (1, 7, 10_000):
        output = read(_HEAD + _GOOD + "\n    Matomo has been successfully updated!\n", piece)
        assert [(s.number, s.of, s.error) for s in output.steps] == [(1, 3, ""), (2, 3, "")]
        assert output.steps[1].statement == "CREATE TABLE `m_new` (\n    id INT\n);"
        assert not output.critical
    assert read(_HEAD + _GOOD).steps[0].seconds > 0


def test_the_one_that_fails_and_why() -> None:
    output = read(_HEAD + _GOOD + _BAD)
    last = output.steps[-1]
    assert (last.number, last.of) == (3, 3) and output.critical
    assert last.statement == "ALTER TABLE `m_x` ADD COLUMN b INT;"
    assert last.error.endswith("1146 Table 'r.m_x' doesn't exist")
    assert (component_of(last.file), version_of(last.file)) == ("core", "5.6.0-b1")
    killed = read(_HEAD + _GOOD + "  Executing DROP TABLE a;... ")
    assert killed.steps[-1].error == "it did not end"


def test_a_plugin_that_fails_and_is_switched_off() -> None:
    text = """  Executing ALTER TABLE a ADD x INT;... \
  Executing ALTER TABLE b ADD y INT;... Done. [2 / 2]

    [X] There were some errors during the plugins updates:

    * /srv/plugins/Shop/Updates/2.0.0.php:
    Error trying to execute the migration 'ALTER TABLE a ADD x INT;'.
    The error was: no such table

    [!] We have automatically deactivated the following plugins: Shop, Till
"""
    output = read(text)
    assert [(s.number, s.error) for s in output.steps] == [(1, "no such table"), (2, "")]
    assert component_of(output.steps[0].file) == "Shop"
    assert output.deactivated == ["Shop", "Till"]


def test_components_come_from_the_listing_and_the_rest_is_not_reached() -> None:
    listed = [
        {"statement": text, "component": "core", "file": "5.4.0", "kind": "sql", "ignores": [1060]}
        for text in ("ALTER TABLE `m_user` ADD COLUMN a INT", "ALTER TABLE late ADD z INT;")
    ]
    ran = matched(read(_HEAD + _GOOD + _BAD).steps, listed)
    assert (ran[0].component, ran[0].ignores, ran[1].component) == ("core", [1060], "")
    rest = following(ran, listed)
    assert [(m.number, m.of, m.ran_by) for m in rest] == [(4, 4, FOLLOWING)]
    assert rest[0].statement == "ALTER TABLE late ADD z INT;"


def test_a_log_line_is_no_failure() -> None:
    text = "WARNING [2026] Http: 503\nWARNING [2026] Http: 503\n" + (
        "Error: error or warning logs detected, exit 1\n"
    )
    assert warned(1, text) and not warned(255, text) and not warned(1, "WARNING")
    assert warnings(text) == ["core:update logs: WARNING [2026] Http: 503"]


_LOCAL = """; <?php exit; ?>
[database]
host = "db1"
username = "matomo"
password = "a&quot;b$;c\\"
dbname = "matomo"
tables_prefix = "m_"
ssl_key = "-----BEGIN
more = lines
END"
[database_reader]
host = "db2"
[General]
salt = "x"
maintenance_mode = 1
tmp_path = "/fast/tmp"
[QueuedTracking]
redisHost = "redis1"
[PluginsInstalled]
PluginsInstalled[] = "A"
PluginsInstalled[] = "B"
"""
_COMMON = (
    '[database]\nunix_socket = "/s"\ndbname = "elsewhere"\n[mail]\nhost = "m"\n[Tracker]\nx = 1\n'
)


def test_the_private_configuration_leads_nowhere_live() -> None:
    local, common = staged_config.private(_LOCAL, _COMMON, "Own", {"dbname": "scratch"})
    found, theirs = ini.parse(local), ini.parse(common)
    assert found["database"]["dbname"] == "scratch" and found["database"]["unix_socket"] == "/s"
    assert 'password = "a&quot;b$;c\\"' in local and "more = lines\nEND" in local
    assert "database_reader" not in found and found["QueuedTracking"]["redisHost"] == "127.0.0.1"
    assert found["General"]["tmp_path"] == "/tmp" and found["Cache"] == {"backend": "file"}
    assert found["General"]["salt"] == "x" and "maintenance_mode" not in found["General"]
    assert ini.list_of(found, "General", "always_load_commands_from_plugin") == [
        "Own,MatopsRehearsal"
    ]
    assert found["PluginsInstalled"]["PluginsInstalled"] == ["A", "B"]
    assert theirs == {"Tracker": {"x": "1"}}
    out = " ".join(staged_config.left_out(_LOCAL, _COMMON))
    assert "[database_reader]" in out and "[mail]" in out and "[QueuedTracking]" in out


def test_what_an_update_would_change_in_the_configuration() -> None:
    before = '[General]\nsalt = "a"\nlist[] = 1\n[Old]\nx = 1\n'
    after = '[General]\nsalt = "b"\nlist[] = 1\nlist[] = 2\n[New]\ny = 2\n'
    assert staged_config.changes(before, after) == [
        "[General] salt: changed", "[General] list: +2", "[New] y: set to 2", "[Old] x: removed",
    ]  # fmt: skip
    assert staged_config.changes(before, before) == []
    assert staged_config.changes(before, after, "[Old]\nx = 1\n")[-1] == "[New] y: set to 2"


def test_the_console_must_be_where_it_belongs() -> None:
    good = {
        "dbname": "s", "sentinel": "t", "option": "t", "prefix": "m_", "guard": True,
        "paths": {"local": "/p/config/config.ini.php", "tmp": "/p/tmp/"},
    }  # fmt: skip
    assert differences(good, "/p", "s", "t", "m_") == []
    for change, word in (
        ({"dbname": "live"}, "database live"), ({"sentinel": ""}, "sentinel"),
        ({"option": "old"}, "sentinel"), ({"prefix": ""}, "tables_prefix"),
        ({"guard": False}, "guard"), ({"reader": "set"}, "second"), ({"mail": "on"}, "mail"),
        ({"cache": "Matomo\\Cache\\Backend\\Redis"}, "Redis"),
        ({"paths": {"tmp": "/private/tmp"}}, "tmp is"), ({"paths": {}}, "nowhere"),
    ):  # fmt: skip
        wrong = differences({**good, **change}, "/p", "s", "t", "m_")
        assert len(wrong) == 1 and word in wrong[0]
    assert differences(good, "/p", "s", "", "m_")


def test_what_alarms_and_what_traffic_explains() -> None:
    before = Picture(
        tables={"m_site": "1", "m_archive_blob_2026_01": "1"},
        options={"version_core": "a", "TaskScheduler.timetable": "a", "matops.lock": "a"},
        config={"config/config.ini.php": "a"},
        files={"core/Db.php": "1", "misc/db.mmdb": "1", "index.php": "1"},
        caches={f"cache/{i}" for i in range(20)},
    )
    traffic = replace(
        before,
        tables={**before.tables, "m_archive_blob_2026_02": "1"},
        options={**before.options, "TaskScheduler.timetable": "b"},
        files={**before.files, "misc/db.mmdb": "2"},
        caches=set(),
    )
    found = compare(before, traffic, "m_")
    assert found.serious == () and len(found.others) == 3
    changes: list[dict[str, Any]] = [
        {"tables": {**before.tables, "m_site": "2"}}, {"options": {}}, {"config": {}},
        {"tables": {**before.tables, "m_new": "1"}}, {"files": {"index.php": "2"}},
    ]  # fmt: skip
    for change in changes:
        assert compare(before, replace(before, **change), "m_").serious


def test_names_and_grants() -> None:
    name = scratch_name("matomo", "m_")
    assert name == scratch_name("matomo", "m_") != scratch_name("matomo", "")
    assert check_name(name) == name
    for bad in ("matomo", "matops_rehearsal_", f"{name}x", f"x{name}"):
        with pytest.raises(UsageError):
            check_name(bad)
    assert grant_for("a_b", "'u'@'%'") == r"GRANT ALL PRIVILEGES ON `a\_b`.* TO 'u'@'%';"


def test_who_makes_it(tmp_path: Path) -> None:
    matomo = Address(host="db1", user="matomo", password="p", schema="m")
    assert login.address("", matomo, "") is matomo
    assert login.address("root", matomo, "/s").socket == "/s"
    with pytest.raises(UsageError, match="not on this host"):
        login.address("root", matomo, "")
    file = tmp_path / "my.cnf"
    file.write_text("[mysqld]\nuser=x\n[client]\nuser = \"adm\"\npassword='a#=b'\nskip-ssl\n")
    found = login.address(str(file), matomo, "")
    assert (found.user, found.password, found.host, found.schema) == ("adm", "a#=b", "db1", "")
    file.write_text("[client]\nsecret-without-meaning")
    with pytest.raises(UsageError) as caught:
        login.address(str(file), matomo, "")
    assert "secret" not in caught.value.line()


def test_kept_and_out_of_date() -> None:
    one = Migration(2, 3, "ALTER TABLE x", component="core", file="5.6.0", ok=False, error="1146",
                    tables=["x"])  # fmt: skip
    made = Rehearsal("5.3.1", "5.8.0", "/s", 1.0, "MySQL 9", ok=False, migrations=[one],
                     parts={"table a": "1", "the plugins": "2"})  # fmt: skip
    assert from_data({**made.data(), "of_a_later_matops": 1}) == made
    assert "migration 2 of 3 (core 5.6.0) on x: 1146" in verdict(made)
    assert outdated(made, dict(made.parts)) == ""
    assert "the shape of a changed" in outdated(made, {"table a": "9", "the plugins": "2"})
    assert outdated(made, {"table a": "1"}).startswith("the plugins changed")


def test_a_statement_that_names_the_live_database_is_seen() -> None:
    for text in (
        "ALTER TABLE matomo.matomo_shop ADD x INT",
        "alter table `matomo` . `matomo_shop` add x int",
        "UPDATE t SET a = 'it''s \\' x', b = (SELECT 1 FROM MATOMO.u)",
        "USE `matomo`; DROP TABLE t",
        "CREATE TABLE t LIKE/**/matomo.u",
        "/*!40000 ALTER TABLE matomo.u ADD x INT */",
    ):
        assert names_schema(text, "matomo"), text
    for text in (
        "ALTER TABLE `matomo_shop` ADD x INT COMMENT 'see matomo.org'",
        'UPDATE matomo m SET m.a = "matomo.js" WHERE my_matomo.b = 1',
        "ALTER TABLE x.matomo ADD y INT",
    ):
        assert not names_schema(text, "matomo"), text
    assert names_schema("DROP TABLE `a``b`.t", "a`b") and names_schema("DROP TABLE a-b.t", "a-b")
