"""db.backup: what is chosen, how keys and literals are written, what times are read."""

from __future__ import annotations

from typing import Any

import pytest

from matops.errors import Refused
from matops.matomo.db_backup import RESERVE, refuse_without_room
from matops.matomo.probes.backups import parse_time
from matops.mysql.catalog import Table
from matops.mysql.dump import choose
from matops.mysql.dump.columns import Column, after, quoted, shape
from matops.mysql.dump.files import name_of
from matops.mysql.dump.programs import _anybody
from matops.mysql.families import family
from matops.runbook.checks import backup
from matops.settings import Settings
from tests.unit.check_facts import NOW, PROBES, facts


def table(name: str, size: int = 1) -> Table:
    return Table(name, family(name, "p_"), "InnoDB", "", 1, size, 0, size, True, None)


def test_what_is_saved_of_which_table() -> None:
    big = choose.TOGETHER + 1
    found = choose.essentials(
        [table("p_log_visit"), table("p_archive_blob_2026_01"), table("p_big", big), table("x"),
         table("p_archive_numeric_2026_01"), table("p_option", 9), table("p_site")],
        numeric=True,
    )  # fmt: skip
    assert [(p.name, p.what, p.together) for p in found if p.what == choose.ROWS] == [
        ("p_site", choose.ROWS, True), ("p_option", choose.ROWS, True),
        ("p_archive_numeric_2026_01", choose.ROWS, False), ("p_big", choose.ROWS, False),
    ]  # fmt: skip
    assert {p.name for p in found if p.what == choose.NOT_OURS} == {"x"}
    assert choose.total(found) == 1 + 9 + 1 + big
    (numeric,) = choose.essentials([table("p_archive_numeric_2026_01")], numeric=False)
    assert (numeric.what, numeric.why) == (choose.SCHEMA_ONLY, "--no-numeric")


def test_the_rows_behind_a_key() -> None:
    key = (Column("a", "int"), Column("b`", "varchar"), Column("c", "date"))
    assert after(key[:1], ("5",)) == "(`a` > 5)"
    assert after(key, ("5", "'x'", "'2026-01-01'")) == (
        "(`a` > 5) OR (`a` = 5 AND `b``` > 'x') OR (`a` = 5 AND `b``` = 'x' AND `c` > '2026-01-01')"
    )


@pytest.mark.parametrize(
    ("key", "usable"),
    [("int", True), ("varchar", True), ("double", False), ("enum", False), ("text", False)],
)
def test_which_keys_are_read_along(key: str, usable: bool) -> None:
    columns: list[dict[str, Any]] = [{"name": "k", "type": key, "expression": None},
               {"name": "g", "type": "int", "expression": "`k` + 1"}]  # fmt: skip
    form = shape(columns, [{"name": "k", "prefix": None}])
    assert bool(form.key) == usable
    assert [c.name for c in form.columns] == ["k"]
    assert not shape(columns, [{"name": "k", "prefix": 10}]).key
    assert not shape(columns, []).key


def test_text_in_quotes() -> None:
    assert quoted("é🦊".encode()) == "é🦊".encode()
    assert quoted(b"it's \\ \0\r\n\x1a%") == b"it\\'s \\\\ \\0\\r\\n\\Z%"


def test_file_names_hold_no_slash() -> None:
    assert name_of(10, "a/b é") == "10-a%2Fb%20%C3%A9.sql.gz"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1600000000", 1600000000.0),
        ("1600000000.5", 1600000000.5),
        ("2020-09-13T12:26:40Z", 1600000000.0),
        ("2020-09-13 14:26:40+02:00", 1600000000.0),
        ("2020-09-13T12:26:40", None),  # of which zone?
        ("yesterday", None),
        ("", None),
        ("42", None),
    ],
)
def test_times_that_a_command_prints(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds


def test_room() -> None:
    refuse_without_room("/x", 10, RESERVE + 10)
    with pytest.raises(Refused, match="set db_backup_dir"):
        refuse_without_room("/x", 11, RESERVE + 10)


def test_definers_become_a_comment() -> None:
    text = "CREATE ALGORITHM=UNDEFINED DEFINER=`ro``ot`@`%` SQL SECURITY DEFINER VIEW `v` AS x"
    assert _anybody(text) == (
        "/* its definer was `ro``ot`@`%` */ "
        "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS x"
    )


@pytest.mark.parametrize(
    ("seen", "status", "words"),
    [
        ({}, "ok", "essentials 60 min old"),
        ({"essentials": None}, "warn", "no essentials backup"),
        ({"essentials": {"time": NOW - 90000, "size": 1}}, "warn", "essentials 25 h old"),
        ({"essentials": {"name": "x", "time": NOW + 9999, "size": 1}}, "warn", "in the future"),
        ({"essentials": None, "essentials_error": "/x cannot be read"}, "warn", "/x cannot"),
        ({"essentials": None, "full": NOW - 600}, "ok", "full backup 10 min old"),
        ({"full": NOW - 8 * 86400}, "ok", "full backup 8 d old"),
        (
            {"essentials": None, "full_error": "backup_check ended with exit code 3"},
            "warn",
            "code 3",
        ),
        ({"error": "no python3"}, "unknown", "no python3"),
    ],
)
def test_the_check(seen: dict[str, Any], status: str, words: str) -> None:
    known = {} if "error" in seen else PROBES["backups"]
    changes = {"backups": {**known, **seen}}
    result = backup.recent(facts(changes, settings=Settings(backup_check="x")))
    assert (result.status, words in result.found) == (status, True), result
    assert bool(result.todo) == (status != "ok")
    bare = facts({"backups.essentials": None})
    assert "name your full backup in backup_command" in backup.recent(bare).todo
