"""The rules of the preflight table, on facts as a host gives them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from matops.errors import UsageError
from matops.matomo import ini
from matops.matomo.release.stages import Staged
from matops.runbook import check
from matops.runbook.checks import background, database, machine, matomo, php, queue
from matops.runbook.checks.result import CheckResult, worst
from matops.settings import Settings
from tests.unit.check_facts import DISK, GIB, NOW, facts


def all_of(changes: dict[str, Any] | None = None, **fields: Any) -> dict[str, CheckResult]:
    return {result.name: result for result in check.evaluate(facts(changes, **fields))}


def test_a_healthy_host_is_ok_but_for_what_it_lacks() -> None:
    line = "5 * * * * php console core:archive"
    cron = [{"where": "/etc/cron.d/m", "user": "www-data", "line": line}]
    plugins = {"QueuedTracking": {"version": "5.1.1"}}
    results = all_of({"site.plugins": plugins, "background.cron": cron})
    assert {r.name: r for r in results.values() if r.status != "ok"} == {}
    assert all(r.todo == "" for r in results.values())
    assert len(results) == 32


def test_whatever_is_missing_is_unknown_and_never_a_traceback() -> None:
    for lost in ("machine", "site", "web", "marker", "background", "console", "ownership"):
        for value in ({}, {"error": "OSError: broken", "seconds": 0.1}):
            results = all_of({lost: value})
            assert all(r.todo for r in results.values() if r.status != "ok"), lost
    results = all_of(preflight={}, preflight_error="no agent: disk full")
    assert results["grants"].found == "no agent: disk full"
    assert results["disk-database"].status == "unknown"
    assert results["database"].status == "fail"


@pytest.mark.parametrize("lost", ["account", "grants", "sizes", "invalidations", "version_core"])
def test_a_reading_that_was_refused(lost: str) -> None:
    results = all_of({f"database.{lost}": {"error": "refused"}})
    assert all(r.todo for r in results.values() if r.status != "ok")


@pytest.mark.parametrize(
    ("older", "newer"),
    [("5.3.1", "5.8.0"), ("5.8.0-b1", "5.8.0"), ("5.8.0-b9", "5.8.0-rc1"), ("5.9", "5.10.0")],
)
def test_versions_sort_as_php_sorts_them(older: str, newer: str) -> None:
    assert matomo.version_key(older) < matomo.version_key(newer)


def test_target_version() -> None:
    nothing = matomo.target(facts(target_version=""))
    assert (nothing.status, nothing.found) == ("unknown", "nothing is staged")
    assert nothing.todo == "release.stage --release VERSION"
    newest = matomo.target(facts(target_version="the newest release"))
    assert newest.status == "unknown"
    assert newest.found.startswith("the newest release: its version is not known")
    assert matomo.target(facts(target_version="5.3.1")).status == "warn"
    assert matomo.target(facts(target_version="4.16.1")).status == "fail"


def test_the_staged_release_of_the_version_asked_for() -> None:
    def staged(version: str) -> dict[str, object]:
        return {"version": version, "path": f"/{version}", "sha256": "", "when": ""}

    both = [staged("5.8.0"), staged("5.9.0")]
    newest, named = check.next_release(both), check.next_release(both, "5.8.0")
    assert newest and newest.version == "5.9.0"
    assert named and named.version == "5.8.0"
    assert check.next_release(both, "5.7.0") is None


def test_names_for_force_are_checked_before_any_host_is_asked() -> None:
    shown = {result.name for result in check.evaluate(facts(others={"arch1": {}}))}
    assert check.known(sorted(shown)) == sorted(shown), "a name is missing in CHECKS"
    assert set(check.NAMES) <= shown, "a name in CHECKS that no check has"
    assert check.known(["target: plugin Heatmap", "archivers@arch1"])
    with pytest.raises(UsageError, match="no check 'gants'") as caught:
        check.known(["grants", "gants"])
    assert "did you mean 'grants'?" in caught.value.line()


def test_an_update_that_was_not_finished() -> None:
    result = matomo.version(facts({"database.version_core": "5.2.0-b4"}))
    assert (result.status, result.found) == ("warn", "files 5.3.1, database 5.2.0-b4")


def test_console_that_lies() -> None:
    lies = {"console.works": False, "console.code": 0, "console.says": "nothing of use"}
    assert matomo.console(facts(lies)).status == "fail"
    assert matomo.console(facts({"console": {"ran": False, "reason": "x"}})).status == "unknown"


def test_config_writable_and_state() -> None:
    no = {"rights": {"config.ini.php": False, "config": True, "tmp": True}}
    assert matomo.config_writable(facts(no)).status == "fail"
    assert matomo.config_writable(facts(no, privileged=False)).status == "unknown"
    config = ini.parse("[General]\nmaintenance_mode = 1\n[Tracker]\nrecord_statistics = 0\n")
    result = matomo.config_state(facts(config=config))
    assert result.status == "warn"
    assert "hits are being lost now" in result.found


@pytest.mark.parametrize(
    ("text", "size"), [("-1", -1), ("128M", 128), ("1G", 1024), ("134217728", 128), ("", None)]
)
def test_php_sizes(text: str, size: float | None) -> None:
    assert php.megabytes(text) == size


def test_php() -> None:
    assert php.memory(facts({"site.php.memory_limit": "128M"})).status == "warn"
    assert php.program(facts({"site.php.version": "7.0.3"})).status == "fail"
    assert php.program(facts({"site.php.disabled": "exec,shell_exec"})).status == "warn"
    assert php.extensions(facts({"site.php.extensions": ["json"]})).status == "fail"


def test_disk_counts_one_filesystem_once() -> None:
    results = {r.name: r for r in machine.disks(facts())}
    # 1 GB for the release and 2 × 20 GB for the database; the tmpdir is within the factor.
    assert {r.figures["needed"] for r in results.values()} == {41 * GIB}
    assert "the database uses 20.0 GB" in results["disk-database"].found
    apart = {"database.machine.disks.tmpdir": {**DISK, "device": 2, "free": GIB}}
    results = {r.name: r for r in machine.disks(facts(apart))}
    assert results["disk-tmpdir"].status == "warn"
    assert results["disk-tmpdir"].figures["needed"] == 8 * GIB
    full = {"database.machine.disks.datadir": {**DISK, "device": 3, "free": 39 * GIB}}
    assert {r.name: r.status for r in machine.disks(facts(full))} == {
        "disk-docroot": "ok", "disk-database": "fail", "disk-tmpdir": "ok"}  # fmt: skip


def test_a_database_elsewhere_is_unknown_until_it_is_seen() -> None:
    away: dict[str, Any] = {"database.local": False}
    results = all_of(away, database_is_local=False)
    for name in ("disk-database", "disk-tmpdir", "buffer-pool"):
        assert results[name].status == "unknown"
    there = {"memory": {"MemTotal": 8 * GIB, "SwapTotal": 0},
             "disks": {"/var/lib/mysql/": DISK, "/tmp": DISK}}  # fmt: skip
    results = all_of(away, database_is_local=False, db_machine=there)
    assert results["disk-database"].status == "ok"
    assert results["disk-docroot"].figures["needed"] == GIB  # same device number, other machine
    assert results["buffer-pool"].status == "ok"
    assert results["swap"].status == "warn"
    results = all_of(away, database_is_local=False, db_machine={"error": "db9: no route"})
    assert results["disk-database"].found.startswith("db9: no route")


def test_clock_has_the_round_trip_as_its_error_bar() -> None:
    result = machine.clock(facts())
    assert result.figures == {"offset": 0.0, "error": 1.0}
    assert machine.clock(facts({"machine.clock": NOW + 31})).status == "warn"
    assert machine.clock(facts(after=NOW + 40)).status == "unknown"
    # What the host worked after reading its clock is no part of the doubt.
    assert machine.clock(facts({"web.seconds": 38.0}, after=NOW + 40)).status == "ok"
    late = facts({"database.clock_offset": 9.0}, database_is_local=False)
    assert machine.clock(late).status == "warn"


def test_logind_and_selinux() -> None:
    yes = {"machine.kill_user_processes": "yes"}
    assert machine.kill_user_processes(facts(yes)).status == "fail"
    assert machine.kill_user_processes(facts({**yes, "machine.login": "root"})).status == "ok"
    assert machine.kill_user_processes(facts({**yes, "machine.systemd": False})).status == "ok"
    assert machine.selinux(facts({"machine.selinux": "enforcing"})).status == "warn"


ALL = ", ".join(database.DOCUMENTED)


@pytest.mark.parametrize(
    ("row", "held"),
    [
        (f"GRANT {ALL} ON `matomo`.* TO `m`@`%`", True),
        ("GRANT ALL PRIVILEGES ON *.* TO `m`@`%` WITH GRANT OPTION", True),
        (f"GRANT {ALL} ON `mat%`.* TO `m`@`%`", True),
        (f"GRANT {ALL} ON `m_tomo`.* TO `m`@`%`", True),
        (f"GRANT {ALL} ON `m\\_tomo`.* TO `m`@`%`", False),
        (f"GRANT {ALL} ON `matomo`.`option` TO `m`@`%`", False),
        ("GRANT SELECT (a, b), INSERT ON `matomo`.* TO `m`@`%`", False),
        ("GRANT USAGE ON *.* TO `m`@`%`", False),
    ],
)
def test_grants(row: str, held: bool) -> None:
    result = database.grants(facts({"database.grants": ["GRANT USAGE ON *.* TO `m`@`%`", row]}))
    assert (result.status == "ok") == held


def test_the_grant_to_paste() -> None:
    row = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX ON `matomo`.* TO `m`@`%`"
    result = database.grants(facts({"database.grants": [row]}))
    assert result.status == "fail"
    assert result.todo == ("GRANT ALTER, CREATE TEMPORARY TABLES, LOCK TABLES ON `matomo`.* "
                           "TO 'matomo'@'localhost';")  # fmt: skip
    role = "GRANT `app`@`%` TO `m`@`%`"
    assert database.grants(facts({"database.grants": [row, role]})).status == "unknown"


@pytest.mark.parametrize(
    ("pool", "data", "status"),
    [(5, 20, "ok"), (1, 20, "warn"), (7, 20, "warn"), (1, 0.5, "ok")],
)
def test_buffer_pool(pool: float, data: float, status: str) -> None:
    seen = {"database.variables.innodb_buffer_pool_size": str(int(pool * GIB)),
            "database.sizes.total": int(data * GIB)}  # fmt: skip
    assert database.buffer_pool(facts(seen)).status == status


def test_server_and_archiving() -> None:
    assert database.server(facts({"database.variables.read_only": "ON"})).status == "fail"
    seen = {"queued": 2, "in_progress": 3, "first_started": NOW - 90, "last_started": NOW - 59}
    result = database.archiving(facts({"database.invalidations": seen}))
    assert result.status == "warn"
    assert "2 waiting, 3 in progress" in result.found
    assert database.file_per_table(
        facts({"database.variables.innodb_file_per_table": "OFF"})).status == "warn"  # fmt: skip


@pytest.mark.parametrize(
    ("line", "kind", "counts"),
    [
        ("/usr/bin/php8.2 /var/www/html/console core:archive", "archive", True),
        ("php /x/console climulti:request -q --matomo-domain= module=API", "archive", True),
        ("sudo -u www-data php console queuedtracking:process", "queue", False),
        ("/bin/sh -c php /x/console core:archive >/dev/null", "archive", False),
        ("vim /usr/local/bin/archive.sh", "archive", False),
        ("php-fpm: pool matomo", "", False),
        ("php console core:purge-old-archive-data all", "", False),
    ],
)
def test_what_kind_of_work_a_line_is(line: str, kind: str, counts: bool) -> None:
    assert background.kind(line) == kind
    seen = {"background.processes": [{"pid": 7, "user": "w", "seconds": 3, "line": line}]}
    assert bool(background.processes(facts(seen))) == counts


def test_archivers() -> None:
    assert background.archivers(facts()).status == "warn"  # none known at all
    elsewhere = Settings(archivers=("arch1",))
    assert background.archivers(facts(settings=elsewhere)).status == "ok"
    hidden = facts({"background.denied": ["the crontabs of other users"]})
    assert background.archivers(hidden).status == "unknown"


def test_queue_and_redis() -> None:
    off = {"queue.settings.queueEnabled": "0"}
    evicting = {"queue.redis.policy": "allkeys-lru"}
    assert queue.plugin(facts({"queue.active": False})).status == "warn"
    assert queue.plugin(facts(off)).status == "warn"
    assert queue.plugin(facts({"queue.settings.backend": "mysql"})).status == "warn"
    assert all_of(evicting)["redis-eviction"].status == "fail"
    assert all_of({**evicting, **off})["redis-eviction"].status == "warn"
    assert all_of({"queue.redis.policy": None})["redis-eviction"].status == "unknown"
    assert all_of({"queue.redis": {"error": "down"}})["redis"].status == "fail"
    assert all_of({"queue.redis": {"error": "down"}, **off})["redis"].status == "warn"
    assert all_of({"queue.redis.aof": False})["redis-persistence"].status == "warn"
    assert all_of({"queue.redis.maxmemory": 10**8})["redis-room"].status == "warn"
    assert all_of({"queue.redis.where": "cache1:6379"})["redis-room"].status == "unknown"
    assert queue.is_true("false"), "PHP takes the text 'false' for TRUE"


def test_a_staged_release_adds_its_requirements() -> None:
    target = {"version": "9.0.0", "php": "9.9", "extensions": [], "plugins": []}
    staged = Staged(version="9.0.0", path="/x", sha256="", when="", target=target)
    results = check.evaluate(replace(facts(), staged=staged))
    names = [r.name for r in results]
    assert names.index("target: PHP version") == names.index("target-version") + 1
    assert "target: PHP version" in [r.name for r in check.failures(results)]
    assert check.failures(results, forced=[r.name for r in check.failures(results)]) == []


def test_other_hosts_are_shown_by_name() -> None:
    others = {"arch1": {"error": "no answer"}}
    results = {r.name: r for r in check.evaluate(replace(facts(), others=others))}
    assert results["archivers@arch1"].status == "unknown"
    assert results["archivers@arch1"].found == "no answer"


def test_results_have_a_row_each() -> None:
    results = check.evaluate(facts())
    assert all(len(row) == len(check.HEADERS) for row in check.table_rows(results))
    assert worst(["ok", "unknown", "warn"]) == "warn"
