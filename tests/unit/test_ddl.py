"""Reading migrations' statements: kinds, tables, clauses, what is additive."""

from __future__ import annotations

import pytest

from matops.mysql.ddl import parse, read, with_algorithm
from matops.mysql.ddl.reading import ALTER, CONSOLE, DELETE, INSERT, OTHER, UPDATE

A = "ALTER TABLE `matomo_log_visit` "


@pytest.mark.parametrize(
    ("text", "kinds", "additive"),
    [
        ("ADD COLUMN `ai_agent_name` VARCHAR(40) DEFAULT NULL;", ["add column"], True),
        ("ADD COLUMN `a` TINYINT(1) NOT NULL DEFAULT 0, ADD COLUMN `b` INT NULL AFTER `a`",
         ["add column", "add column"], True),
        ("ADD (`a` INT NULL, b DECIMAL(10,2) NULL)", ["add column"], True),
        ("ADD COLUMN `a` INT NOT NULL", ["add column"], False),
        ("ADD COLUMN `a` INT NULL UNIQUE", ["add column"], False),
        ("ADD COLUMN c VARCHAR(9) DEFAULT 'it\\'s, NOT' COMMENT 'x, ADD UNIQUE y (z)'",
         ["add column"], True),
        ("ADD INDEX `index_x` (`idsite`, `name`(10))", ["add index"], True),
        ("ADD UNIQUE KEY u (a)", ["add unique"], False),
        ("ADD CONSTRAINT u UNIQUE (a)", ["add unique"], False),
        ("ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES x (b)", ["unknown"], False),
        ("ADD PRIMARY KEY (a, b)", ["add primary key"], False),
        ("ADD FULLTEXT INDEX f (a)", ["add fulltext"], False),
        ("DROP COLUMN a, DROP INDEX b, DROP PRIMARY KEY",
         ["drop column", "drop index", "drop primary key"], False),
        ("MODIFY COLUMN `idvisit` BIGINT UNSIGNED NOT NULL", ["modify"], False),
        ("CHANGE `a` `b` INT NOT NULL", ["change"], False),
        ("RENAME COLUMN a TO b, RENAME INDEX c TO d", ["rename column", "rename index"], False),
        ("RENAME TO other", ["rename"], False),
        ("CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", ["convert"], False),
        ("ENGINE=InnoDB ROW_FORMAT=DYNAMIC", ["engine"], False),
        ("ALTER COLUMN a SET DEFAULT 5", ["default"], False),
        ("EXCHANGE PARTITION p WITH TABLE x", ["unknown"], False),
        ("ADD COLUMN a INT NULL, ALGORITHM=INSTANT, LOCK=NONE", ["add column", "how", "how"],
         True),
        ("ADD COLUMN a INT NULL /*! , RENAME TO x */", ["unknown"], False),
        ("ADD COLUMN a INT NULL -- a comment\n, ADD COLUMN b INT NULL /* and one */",
         ["add column", "add column"], True),
        (";", [], True),
    ],
)  # fmt: skip
def test_alter(text: str, kinds: list[str], additive: bool) -> None:
    found = parse(A + text)
    assert found.kind == ALTER and found.table == "matomo_log_visit"
    assert [clause.kind for clause in found.clauses] == kinds
    assert found.additive is additive
    assert found.known is ("unknown" not in kinds)


def test_names_of_columns_and_indexes() -> None:
    found = parse(A + "ADD COLUMN `a b` INT, ADD INDEX `i``x` (a), RENAME COLUMN c TO d")
    assert [clause.names for clause in found.clauses] == [("a b",), ("i`x",), ("c", "d")]


@pytest.mark.parametrize(
    ("text", "kind", "tables"),
    [
        ("CREATE TABLE `m_x` (`id` INT) ENGINE=InnoDB", "create", ("m_x",)),
        ("CREATE TABLE IF NOT EXISTS m_x (id INT)", "create", ("m_x",)),
        ("DROP TABLE IF EXISTS a, `b`", "drop", ("a", "b")),
        ("RENAME TABLE a TO b", "rename", ("a", "b")),
        ("TRUNCATE TABLE a", "truncate", ("a",)),
        ("INSERT INTO `m_option` (a) VALUES ('DELETE FROM x')", INSERT, ("m_option",)),
        ("INSERT IGNORE INTO a SELECT * FROM b JOIN c ON b.x = c.x", INSERT, ("a", "b", "c")),
        ("REPLACE INTO a VALUES (1)", INSERT, ("a",)),
        ("INSERT INTO a VALUES (1) ON DUPLICATE KEY UPDATE b = 2", INSERT, ("a",)),
        ("UPDATE `a` SET b = 1 WHERE c IN (SELECT d FROM e)", UPDATE, ("a", "e")),
        ("UPDATE a x, b y SET x.c = y.d", UPDATE, ("a", "b")),
        ("DELETE FROM a WHERE b = 1", DELETE, ("a",)),
        ("CREATE UNIQUE INDEX u ON a (b, c)", ALTER, ("a",)),
        ("DROP INDEX u ON a", ALTER, ("a",)),
        ("SET NAMES utf8", OTHER, ()),
        ("<batch insert>", OTHER, ()),
        ("", OTHER, ()),
        ("/*! DELETE FROM t */", OTHER, ()),
        ("CALL p()", OTHER, ()),
    ],
)
def test_kinds_and_tables(text: str, kind: str, tables: tuple[str, ...]) -> None:
    found = parse(text)
    assert (found.kind, found.tables) == (kind, tables)
    assert found.known is (kind != OTHER)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("./console core:matomo550-migrate-annotations", "core:matomo550-migrate-annotations"),
        ('./console --matomo-domain="x.org" config:set --section="a"', "config:set"),
        ("./console core:invalidate-report-data --dates=2026-01-01 --plugin=X",
         "core:invalidate-report-data"),
    ],
)  # fmt: skip
def test_console(text: str, command: str) -> None:
    found = parse(text)
    assert (found.kind, found.command) == (CONSOLE, command)


def test_several_statements_are_taken_apart_but_not_parsed_as_one() -> None:
    text = "ALTER TABLE a ADD b VARCHAR(9) DEFAULT ';';ALTER TABLE a ADD c INT;"
    assert [one.table for one in read(text)] == ["a", "a"]
    assert parse(text).kind == OTHER and not parse(text).known


def test_another_schema_is_told() -> None:
    assert parse("ALTER TABLE `live`.`a` ADD b INT").schemas == ("live",)
    assert parse("INSERT INTO a SELECT * FROM live.b").schemas == ("live",)


def test_the_algorithm_takes_the_place_of_the_statements_own() -> None:
    one = parse("ALTER TABLE a ADD b INT, ALGORITHM = COPY, LOCK=EXCLUSIVE")
    assert with_algorithm(one, "INSTANT") == "ALTER TABLE `a` ADD b INT, ALGORITHM=INSTANT"
    empty = with_algorithm(parse("ALTER TABLE `a` ;"), "INPLACE", "NONE")
    assert empty == "ALTER TABLE `a` ALGORITHM=INPLACE, LOCK=NONE"
    index = parse("CREATE UNIQUE INDEX u USING BTREE ON a (b, c)")
    assert "ADD UNIQUE INDEX u USING BTREE (b, c)" in with_algorithm(index, "COPY")


def test_a_long_list_is_read_in_a_moment() -> None:
    values = ",".join(f"({i},'x')" for i in range(8000))
    assert parse(f"INSERT INTO a VALUES {values}").tables == ("a",)
