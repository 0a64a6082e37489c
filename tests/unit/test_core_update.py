"""core.update's decisions: what became of a run, whose connection, which tables, what migrated."""

from __future__ import annotations

from typing import Any

import pytest

from matops.matomo.core_update_judge import (
    CRASHED,
    DONE,
    FAILED,
    PLUGINS,
    STOPPED,
    UP_TO_DATE,
    Ending,
    judge,
)
from matops.matomo.core_update_look import behind
from matops.matomo.core_update_tables import created
from matops.matomo.migrated import BEGUN, HARMLESS, HISTORY, MIGRATED, NOTHING, compare
from matops.matomo.rehearsal import Migration, Rehearsal
from matops.matomo.update_output import UpdateOutput
from matops.mysql.update_eyes import Sight
from matops.mysql.update_watch import Connection, find, schema_changes
from matops.runbook.core_update_advice import advice
from matops.runbook.core_update_expected import Expected, of
from matops.runbook.core_update_others import changed, fitting
from matops.runbook.core_update_watch import ENDED, Care, Watch

WORDS = ("Everything is already up to date.",)
HEAD = "    *** Update ***\n\n"
ONE = "  Executing ALTER TABLE `m_user` ADD COLUMN x INT;... Done. [1 / 3]\n"
OPEN = "  Executing ALTER TABLE `m_segment` ADD COLUMN y INT;... "
CRITICAL = """
    [X] Critical Error during the update process:

    * /srv/core/Updates/5.7.0-b1.php:
    Error trying to execute the migration 'ALTER TABLE `m_segment` ADD COLUMN y INT;'.
    The error was: SQLSTATE[42S02]: Base table or view not found: 1146 Table 'm_segment' missing

    The above is the core error message.
"""
GONE = CRITICAL.replace(
    "SQLSTATE[42S02]: Base table or view not found: 1146 Table 'm_segment' missing",
    "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away",
)
PLUGIN = """
    [X] There were errors during the update of one or more plugins:

    * /srv/plugins/Broken/Updates/2.0.0.php:
Error trying to execute the migration 'ALTER TABLE m_no ADD x INT;'.
The error was: SQLSTATE[42S02]: no such table

    [!] The following plugins were deactivated: Broken

    If the error continues:

    * Check the FAQ

Matomo has been successfully updated!
"""


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (0, f"\n{WORDS[0]}\n", UP_TO_DATE),
        (0, f"{HEAD}{ONE}\nMatomo has been successfully updated!", DONE),
        (1, f"{HEAD}{ONE}{OPEN}{CRITICAL}", FAILED),
        (1, f"{HEAD}{ONE}{OPEN}{GONE}", CRASHED),
        (137, f"{HEAD}{ONE}{OPEN}", CRASHED),
        (139, f"{HEAD}{ONE}", CRASHED),
        (255, f"{HEAD}{ONE}{OPEN}", CRASHED),
        (None, f"{HEAD}{ONE}{OPEN}", CRASHED),
        (143, f"{HEAD}{ONE}{OPEN}", STOPPED),
        (255, "PHP Fatal error:  Allowed memory size of 5 bytes exhausted", FAILED),
        (255, "SQLSTATE[HY000] [2002] Connection refused", CRASHED),
        (1, "SQLSTATE[08004] [1040] Too many connections", CRASHED),
        (1, "SQLSTATE[08S01]: 1047 WSREP has not yet prepared node for application use", CRASHED),
        (1, "SQLSTATE[HY000] [1045] Access denied for user", FAILED),
        (1, 'The "--dry-run" option does not exist.', FAILED),
        (0, f"{HEAD}{ONE}{PLUGIN}", PLUGINS),
        (0, "", FAILED),
    ],
)
def test_what_became_of_it(code: int, text: str, kind: str) -> None:
    output = UpdateOutput()
    output.feed(text, 0.0)
    output.end()
    assert judge(code, output, WORDS).kind == kind


def test_why_it_failed_and_which_plugin() -> None:
    output = UpdateOutput()
    output.feed(f"{HEAD}{ONE}{OPEN}{CRITICAL}", 0.0)
    output.end()
    ending = judge(1, output, WORDS)
    assert ending.what.startswith("migration 2 of 3 (core 5.7.0-b1): ALTER TABLE `m_segment`")
    assert "1146" in ending.why
    output = UpdateOutput()
    output.feed(f"{HEAD}{ONE}{PLUGIN}", 0.0)
    output.end()
    ending = judge(0, output, WORDS)
    assert ending.deactivated == ("Broken",)
    assert "no such table" in ending.why and "FAQ" not in ending.why


def _busy(id: int, host: str, statement: str, user: str = "m", db: str = "m") -> Connection:
    return Connection(id, user, host, db, "Query", 1.0, "", statement)


def test_whose_connection_it_is() -> None:
    seen = [
        _busy(1, "web1:40000", "SELECT 1"),
        _busy(2, "web1:40001", "ALTER TABLE `a`  ADD x INT"),
        _busy(3, "web2:40001", "/* matops.optimize r 1 */ ALTER TABLE `a` FORCE"),
    ]
    assert find(seen, {40000}, "whatever", "m") == seen[0]
    assert find(seen, {40000}, "whatever", "other") is None
    assert find(seen, {40001}, "ALTER TABLE `a` ADD x INT", "m") == seen[1], "web2: another's port"
    assert find(seen, (), "ALTER TABLE `a` ADD x INT;", "m") == seen[1]
    assert find(seen, (), "ALTER TABLE `a` ADD x INT;", "other") is None
    assert find(seen, (), "", "m") is None
    assert schema_changes(seen, "m") == [seen[1]]


def test_tables_of_a_plugin() -> None:
    literal = "DbHelper::createTable('one', $x);"
    method = (
        "function getName(): string\n {\n return 'two';\n } function make() { $name = "
        "self::getName(); DbHelper::createTable($name, 'id INT'); }"
    )
    prefixed = (
        "private $raw = 'three'; function __construct() { $this->table = "
        "Common::prefixTable($this->raw); } function i() { DbHelper::createTable($this->raw, $d); }"
    )
    assert created(literal) == ["one"]
    assert created(method) == ["two"]
    assert created(prefixed) == ["three"]
    assert created("DbHelper::createTable($given, $x)") == []


def test_plugins_that_lag_behind() -> None:
    database = {"A": "5.3.1", "B": "5.8.0", "C": "9.0"}
    files = {"A": "5.8.0", "B": "5.8.0", "C": "5.8.0", "D": "1.0"}
    assert [line.partition(":")[0] for line in behind(database, files)] == ["A", "D"]


def _picture(**changes: dict[str, str]) -> dict[str, dict[str, str]]:
    base = {
        "options": {"version_core": "5.3.1", "version_A": "5.3.1"},
        "tables": {"table m_user": "1"},
        "config": {},
        "settings": {},
    }
    return {name: {**value, **changes.get(name, {})} for name, value in base.items()}


def test_has_a_migration_run() -> None:
    before = _picture()
    assert compare(before, _picture(), {}).verdict == NOTHING
    web = _picture(
        options={"version_A": "5.8.0", "version_New": "5.8.0"}, tables={"table m_x": "2"}
    )
    found = compare(before, web, {})
    assert found.verdict == HARMLESS and found.way_back
    assert found.put_back == {"version_A": ["5.3.1", "5.8.0"], "version_New": [None, "5.8.0"]}
    assert compare(before, web, {"A": ["5.4.0"]}).verdict == MIGRATED
    assert compare(before, _picture(tables={"table m_user": "2"}), {}).verdict == MIGRATED
    assert compare(before, _picture(options={"version_core": "5.4.0"}), {}).verdict == MIGRATED
    begun = compare(before, _picture(options={HISTORY: "5.3.1"}), {})
    assert begun.verdict == BEGUN and not begun.way_back


def test_times_of_the_plan() -> None:
    rehearsal = Rehearsal(
        "5.3.1", "5.8.0", "", 7.0, "", True,
        migrations=[Migration(1, 2, "ALTER TABLE a ADD x INT;"),
                    Migration(2, 2, "./console x --dates=2026-11-01,today", kind="console")],
    )  # fmt: skip
    lines = [{"number": n, "time": {"likely": 60.0 * n, "high": 90.0}} for n in (1, 2)]
    expected = of(
        rehearsal, {"rehearsed_at": 7.0, "phases": {"down": lines[:1]}, "quick": lines[1:]}
    )
    assert expected.left((), 0.0) == 180.0
    assert expected.left((), 10.0, "ALTER TABLE a ADD x INT") == 170.0
    assert expected.left((), 500.0, "ALTER TABLE a ADD x INT;") == 120.0, (
        "late: not the others' time"
    )
    assert expected.left((), 500.0, "ALTER TABLE a ADD x INT", eta=30.0) == 150.0
    assert expected.left(["./console x --dates=2026-11-02,today"], 0.0) == 60.0
    assert expected.words("ALTER TABLE a ADD x INT", 100.0)[0].endswith("longer than its longest")
    assert of(rehearsal, {"rehearsed_at": 8.0, "phases": {}}).left((), 0.0) is None


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("SQLSTATE[HY000]: General error: 1205 Lock wait timeout exceeded", "BLOCKED above"),
        ("SQLSTATE[HY000]: General error: 1114 The table 'x' is full", "make room"),
        ("SQLSTATE[HY000]: General error: 1290 running with the --read-only option", "read_only"),
        ("SQLSTATE[42000]: Syntax error or access violation: 1142 ALTER command denied", "GRANT"),
        ("Allowed memory size of 5 bytes exhausted", "memory_limit"),
        ("SQLSTATE[42S02]: Base table or view not found: 1146 Table 'm.x' missing", "repair"),
    ],
)
def test_what_to_do_about_a_failed_migration(why: str, words: str) -> None:
    assert words in advice(Ending(FAILED, why))


def test_what_the_update_wrote_is_brought_to_the_other_servers() -> None:
    before = "[General]\nmaintenance_mode = 1\nx = 1\ny[] = a\nz = 1\n[log]\nlevel = 1\n"
    now = "[General]\nx = 2\ny[] = a\ny[] = b\nz = 2\nnew = 1\n[log]\nlevel = 2\n"
    changes = changed(before, now)
    assert [name for _, name, *_ in changes] == ["x", "y", "z", "new"]
    there = {"General.x": {"value": "1"}, "General.y": {"value": ["a"]},
             "General.z": {"value": "9"}, "General.new": None}  # fmt: skip
    edits, kept = fitting(changes, there)
    assert edits == [["General", "x", "2"], ["General", "y", ["a", "b"]], ["General", "new", "1"]]
    assert kept == ["[General] z"]


def test_a_statement_that_ended_while_php_still_waits_is_told() -> None:
    said: list[str] = []
    site: Any = None
    watch = Watch(site, "console-core.update.x", lambda: None, Expected(), Care(), said.append)
    watch._statement = "ALTER TABLE `a` ADD x INT;"
    watch._about_gone(Sight(_busy(2, "web1:40001", "ALTER TABLE `a`  ADD x INT")), 100.0)
    watch._about_gone(Sight(), 100.0 + ENDED - 1)
    assert not said
    watch._about_gone(None, 100.0 + ENDED + 1)
    assert not said, "the database is away: nothing is known"
    for later in (1.0, 60.0):
        watch._about_gone(Sight(), 100.0 + ENDED + later)
    assert len(said) == 1 and "STUCK" in said[0] and "jobs.stop console-core.update.x" in said[0]
