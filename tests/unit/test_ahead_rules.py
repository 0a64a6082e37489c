"""migrate.ahead: what is read as purely additive, what is chosen, how schemas are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matops.errors import Refused
from matops.matomo.rehearsal import Migration
from matops.mysql.ahead import picture
from matops.mysql.ahead.choose import INPLACE, INSTANT, Live, Offered, choose, online, taken
from matops.mysql.ahead.grammar import NotTaken, read
from matops.mysql.ahead.picture import There
from matops.mysql.ahead.run import notes, refuse
from matops.mysql.ahead.summary import Result, Summary, Task
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.rebuild import Ended, Report
from matops.mysql.server import Server
from matops.runbook import migrate_ahead_there as there
from matops.runbook.migrate_ahead_offer import way
from matops.runbook.migrate_ahead_words import way_back

ADDED = "ALTER TABLE `m_log_visit` ADD COLUMN `ai_agent_name` VARCHAR(40) NULL;"


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        (ADDED, "column ai_agent_name on m_log_visit"),
        (
            "ALTER TABLE `m_segment` ADD COLUMN `starred` TINYINT(1) UNSIGNED NOT NULL DEFAULT '0',"
            " ADD COLUMN `starred_by` VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            " DEFAULT NULL COMMENT 'who, it''s' AFTER `starred`",
            "column starred, column starred_by on m_segment",
        ),
        (
            "alter table t add index index_a (`a`, b (10) DESC), add key (`c``d`)",
            "index index_a, index (c`d) on t",
        ),
        ("ALTER TABLE t ADD `index` INT NOT NULL DEFAULT -1 FIRST", "column index on t"),
        ("ALTER TABLE t ADD a ENUM('x','y,)') NULL, ADD b DECIMAL(10,2) NOT NULL DEFAULT 0.5",
         "column a, column b on t"),
        ("ALTER TABLE t ADD a TIMESTAMP null DEFAULT null", "column a on t"),
        ("ALTER TABLE t ADD a DOUBLE PRECISION NULL DEFAULT NULL", "column a on t"),
    ],
)  # fmt: skip
def test_what_is_additive(statement: str, shown: str) -> None:
    assert read(statement).shown == shown


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("ALTER TABLE t", "changes nothing"),
        ("ALTER TABLE t ;", "changes nothing"),
        ("UPDATE t SET a = 1", "no ALTER TABLE"),
        ("./console core:invalidate-report-data", "no ALTER TABLE"),
        ("ALTER TABLE t ADD a INT NOT NULL", "without a constant default"),
        ("ALTER TABLE t ADD a INT NOT NULL DEFAULT NULL", "without a constant default"),
        ("ALTER TABLE t ADD a INT NULL AUTO_INCREMENT", "AUTO_INCREMENT"),
        ("ALTER TABLE t ADD a INT NULL UNIQUE", "UNIQUE"),
        ("ALTER TABLE t ADD a INT PRIMARY KEY", "PRIMARY"),
        ("ALTER TABLE t ADD a INT NULL REFERENCES x (b)", "REFERENCES"),
        ("ALTER TABLE t ADD a INT GENERATED ALWAYS AS (b + 1)", "GENERATED"),
        ("ALTER TABLE t ADD a INT AS (b)", "'AS"),
        ("ALTER TABLE t ADD a TIMESTAMP", "TIMESTAMP without"),
        ("ALTER TABLE t ADD a DATETIME DEFAULT CURRENT_TIMESTAMP", "no constant"),
        ("ALTER TABLE t ADD a DATETIME NULL ON UPDATE CURRENT_TIMESTAMP", "not known to be safe"),
        ("ALTER TABLE t ADD a INT DEFAULT (1 + 1)", "no constant"),
        ("ALTER TABLE t ADD a GEOMETRY NULL", "GEOMETRY"),
        ("ALTER TABLE t ADD (a INT NULL, b INT NULL)", "'(' is not a column's name"),
        ("ALTER TABLE t ADD UNIQUE KEY u (a)", "UNIQUE"),
        ("ALTER TABLE t ADD FULLTEXT (a)", "FULLTEXT"),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "CONSTRAINT"),
        ("ALTER TABLE t ADD PRIMARY KEY (a)", "PRIMARY"),
        ("ALTER TABLE t ADD INDEX i ((a + 1))", "not a column"),
        ("ALTER TABLE t ADD INDEX i (a) USING HASH", "not known to be safe"),
        ("ALTER TABLE t ADD a INT NULL, DROP COLUMN b", "more than add"),
        ("ALTER TABLE t ADD a INT NULL, MODIFY b INT", "more than add"),
        ("ALTER TABLE t ADD a INT NULL, RENAME TO u", "more than add"),
        ("ALTER TABLE t ADD a INT NULL, ALGORITHM=COPY", "more than add"),
        ("ALTER TABLE t ADD IF NOT EXISTS a INT NULL", "IF NOT EXISTS"),
        ("ALTER TABLE t ADD a INT NULL, ADD A INT NULL", "twice"),
        ("ALTER TABLE other.t ADD a INT NULL", "another schema"),
        ("ALTER TABLE t ADD a INT NULL; DROP TABLE t", "safe"),
        ("ALTER TABLE t ADD a INT NULL /*! , DROP b */", "not known to be safe"),
        ("ALTER TABLE t ADD a INT NULL -- x", "not known to be safe"),
        ("ALTER TABLE t ADD a VARCHAR(10) DEFAULT 'x", "no constant"),
        ("ALTER TABLE t ADD a", "ends too early"),
        ("", "no ALTER TABLE"),
    ],
)
def test_what_is_not(statement: str, reason: str) -> None:
    with pytest.raises(NotTaken, match=reason.replace("(", r"\(")):
        read(statement)


def offered(*statements: str, way: str = INSTANT) -> list[Offered]:
    """Migrations, each said to be on the table it names."""
    made = []
    for number, text in enumerate(statements, 1):
        words = text.replace("`", "").split()
        tables = (words[2],) if words[0] == "ALTER" else (words[1],) if words[0] == "UPDATE" else ()
        made.append(Offered(number, text, tables or None, text.startswith("./"), way))
    return made


BIG = Live("m_", {"m_a": 1 << 40, "m_b": 1 << 40, "m_small": 1 << 20, "x_c": 1 << 40})


def why(choices: list[object], number: int) -> str:
    """The reason given for a migration."""
    return str(choices[number - 1].why)  # type: ignore[attr-defined]


def test_only_large_tables_of_the_installation_and_those_that_are_named() -> None:
    found = choose(
        offered(
            "ALTER TABLE m_a ADD x INT NULL",
            "ALTER TABLE m_small ADD x INT NULL",
            "ALTER TABLE x_c ADD x INT NULL",
            "ALTER TABLE m_new ADD x INT NULL",
        ),
        BIG,
    )
    assert [c.offered.number for c in taken(found)] == [1]
    words = [c.why for c in found]
    assert "less than 100 MB" in words[1] and "prefix" in words[2] and "makes it" in words[3]
    named = choose(offered("ALTER TABLE m_small ADD x INT NULL"), BIG, tables=["m_small"])
    assert taken(named)
    assert not taken(choose(offered("ALTER TABLE m_a ADD x INT NULL"), BIG, tables=["m_b"]))


def test_the_order_on_one_table_stays() -> None:
    found = choose(
        offered(
            "ALTER TABLE m_a ADD x INT NULL",
            "UPDATE m_a SET x = 1",
            "ALTER TABLE m_a ADD INDEX i (x)",
            "./console core:invalidate-report-data",
            "ALTER TABLE m_b ADD y INT NULL",
        ),
        BIG,
    )
    assert [c.offered.number for c in taken(found)] == [1, 5]
    assert "#2 comes before it" in found[2].why and "console" in found[3].why


def test_what_nobody_understands_stops_everything_behind_it() -> None:
    found = choose(offered("CALL something()", "ALTER TABLE m_b ADD y INT NULL"), BIG)
    assert not taken(found) and "#1 comes before it" in found[1].why


def test_the_server_must_do_it_online() -> None:
    refused = choose(offered("ALTER TABLE m_a ADD x INT NULL", way="only by copying"), BIG)
    assert not taken(refused) and refused[0].why == "only by copying"
    assert not taken(choose(offered("ALTER TABLE m_a ADD x INT NULL", way=""), BIG))


def test_what_is_there_is_not_done_again_and_half_is_not_touched() -> None:
    statements = offered("ALTER TABLE m_a ADD x INT NULL", "ALTER TABLE m_a ADD y INT NULL")
    live = Live("m_", {"m_a": 1 << 40}, {1: There.ALL})
    found = choose(statements, live)
    assert found[0].there and [c.offered.number for c in taken(found)] == [2]
    half = choose(statements, Live("m_", {"m_a": 1 << 40}, {1: There.PARTLY}))
    assert not taken(half) and "partly" in half[0].why and "#1 comes before it" in half[1].why


def test_the_way_is_said_explicitly() -> None:
    text = read(ADDED).text
    assert online(text, INSTANT) == f"{ADDED[:-1]}, ALGORITHM=INSTANT"
    assert online(text, INPLACE).endswith(", ALGORITHM=INPLACE, LOCK=NONE")


CREATE = """CREATE TABLE `t` (
  `a` int(10) unsigned NOT NULL AUTO_INCREMENT,
  `b` varchar(9) DEFAULT 'x,)',
  PRIMARY KEY (`a`),
  KEY `i` (`b`(4))
) ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"""


def test_pictures_of_tables() -> None:
    seen = picture.parse(CREATE)
    assert list(seen.columns) == ["a", "b"] and seen.columns["b"] == "varchar(9) DEFAULT 'x,)'"
    assert seen.keys == {"PRIMARY": "PRIMARY KEY (`a`)", "i": "KEY `i` (`b`(4))"}
    assert seen.options == ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    other = picture.parse(CREATE.replace("=77", "=99"))
    assert picture.differences({"t": seen}, {"t": other}) == []
    assert picture.there(seen, read("ALTER TABLE t ADD B INT NULL")) is There.ALL
    assert picture.there(seen, read("ALTER TABLE t ADD b INT NULL, ADD c INT NULL")) is (
        There.PARTLY
    )
    assert picture.there(seen, read("ALTER TABLE t ADD INDEX (b)")) is There.ALL


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("varchar(9)", "varchar(8)", "t: column b is 'varchar(8)"),
        ("unsigned ", "", "t: column a is"),
        ("  KEY `i` (`b`(4))", "  UNIQUE KEY `i` (`b`(4))", "t: key i is"),
        ("utf8mb4_bin", "utf8mb4_general_ci", "t: its options"),
    ],
)
def test_differences_are_named(before: str, after: str, words: str) -> None:
    plain, ahead = picture.parse(CREATE), picture.parse(CREATE.replace(before, after))
    assert words in picture.differences({"t": plain}, {"t": ahead})[0]


def test_order_and_tables_count_too() -> None:
    lines = CREATE.splitlines()
    turned = picture.parse("\n".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert "another order" in picture.differences({"t": picture.parse(CREATE)}, {"t": turned})[0]
    assert picture.differences({"t": turned}, {}) == ["table t is missing"]
    assert picture.differences({}, {"t": turned}) == ["table t is there besides"]


def migration(number: int, text: str, algorithm: str, lock: str = "none") -> Migration:
    """As the rehearsal keeps it."""
    verdict = {"statement": text, "algorithm": algorithm, "lock": lock}
    return Migration(number, 9, text, tables=["m_a"], verdict=verdict, verdicts=[verdict])


def test_what_the_rehearsal_offers() -> None:
    text = "ALTER TABLE m_a ADD x INT NULL"
    assert way(migration(1, text, "instant")) == INSTANT
    assert way(migration(1, text, "inplace")) == INPLACE
    assert "not do it online: inplace, lock shared" in way(migration(1, text, "inplace", "shared"))
    assert "online: copy" in way(migration(1, text, "copy"))
    assert "nothing is left" in way(migration(1, text, "nothing"))
    assert way(Migration(1, 9, text, verdict_error="no rights")).endswith("(no rights)")


def test_our_own_changes_do_not_make_the_rehearsal_stale(tmp_path: Path) -> None:
    before = picture.parse(CREATE)
    after = picture.parse(CREATE.replace("  PRIMARY", "  `x` int(11) DEFAULT NULL,\n  PRIMARY"))
    other = picture.parse(CREATE.replace("  PRIMARY", "  `y` int(11) DEFAULT NULL,\n  PRIMARY"))
    statement = read("ALTER TABLE t ADD x INT NULL")
    task = Task(1, statement.text, INSTANT, statement, before, after)
    folder = tmp_path / there.JOURNAL
    assert there._explained(tmp_path, {"t": after}) == {}
    with OptimizeJournal(str(folder), there.JOURNAL) as journal:
        journal.write("proven", "r", tables=there._chain([task], {"table t": "P0"}))
    for seen in (before, after):
        assert there._explained(tmp_path, {"t": seen}) == {"table t": "P0"}
    assert there._explained(tmp_path, {"t": other}) == {}
    with OptimizeJournal(str(folder), there.JOURNAL) as journal:  # gone on with
        journal.write("proven", "s", tables=there._chain([task], {"table t": "P1"}))
    assert there._explained(tmp_path, {"t": after}) == {"table t": "P0"}


def test_how_a_run_ends() -> None:
    statement = read("ALTER TABLE t ADD x INT NULL")
    task = Task(7, statement.text, INSTANT, statement, picture.Picture(), picture.Picture())
    done, left = Result(task, Report()), Result(task, Report(Ended.BLOCKED, "held by somebody"))
    assert Summary([done]).error() is None
    blocked = Summary([done, left]).error()
    assert blocked is not None and blocked.code == 1
    assert "#7 on t was not run: held by somebody" in blocked.line()
    unknown = Summary([Result(task, Report(Ended.UNKNOWN, "lost"))]).error("Ctrl-C")
    assert unknown is not None and unknown.code == 4
    assert Summary([done]).error("Ctrl-C") is None
    assert way_back(Summary([done]))[1:] == ["ALTER TABLE `t` DROP COLUMN `x`;"]


def server(**facts: Any) -> Server:
    """A server that everything may be asked of."""
    usual: dict[str, Any] = {
        "flavour": "mysql", "version": (9, 7), "version_text": "9.7", "variables": {},
        "process": True, "metadata_locks": "performance_schema", "replicas": 0,
        "is_replica": False, "galera": False, "managed": "",
    }  # fmt: skip
    return Server(**{**usual, **facts})


def test_servers_that_are_left_alone() -> None:
    refuse(server())
    for facts, words in (
        ({"galera": True}, "Galera"),
        ({"is_replica": True}, "is a replica"),
        ({"variables": {"read_only": "ON"}}, "is read-only"),
    ):
        with pytest.raises(Refused, match=words):
            refuse(server(**facts))
    binlog = {"log_bin": "ON"}
    assert notes(server(variables=binlog)) == [] == notes(server(replicas=2))
    assert "2 replicas read" in notes(server(variables=binlog, replicas=2))[0]
    assert "cannot be seen" in notes(server(variables=binlog, replicas=None))[0]
