"""``ddl.probe`` on both servers: what they answer for each class of change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from matops.errors import MatopsError
from matops.mysql.ddl import Verdict, from_data, live, probe
from matops.mysql.ddl.asking import PROBE
from matops.mysql.session import Session
from tests.db.servers import Server

T = "ALTER TABLE `m_log_visit` "
TABLES = (
    "CREATE TABLE m_log_visit (idvisit BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, idsite INT NOT"
    " NULL, name VARCHAR(40) NULL, user_id VARCHAR(200) NULL, small INT NULL,"
    " PRIMARY KEY (idvisit), KEY index_idsite (idsite)) ENGINE=InnoDB;"
    "CREATE TABLE m_option (option_name VARCHAR(191) PRIMARY KEY, option_value LONGTEXT);"
    "CREATE TABLE m_packed (id INT PRIMARY KEY, v TEXT) ROW_FORMAT=COMPRESSED;"
    "CREATE TABLE m_words (id INT PRIMARY KEY, v TEXT, w TEXT, FULLTEXT KEY f (v));"
    "CREATE TABLE m_old (id INT PRIMARY KEY, v INT) ENGINE=MyISAM;"
)


@pytest.fixture(scope="module")
def session(server: Server) -> Iterator[Session]:
    server.sql("CREATE DATABASE ddl_live; CREATE DATABASE ddl_scratch")
    server.sql(TABLES, "ddl_live")
    with Session(server.address(schema="ddl_scratch")) as made:
        yield made
    server.sql("DROP DATABASE ddl_live; DROP DATABASE ddl_scratch")


def ask(session: Session, *statements: str) -> list[Verdict]:
    found = probe(session, "ddl_scratch", statements, source="ddl_live")
    left = session.rows("tables_all", ("ddl_scratch",))
    assert not left
    return found


def test_each_class_of_change(session: Session) -> None:
    found = ask(
        session,
        T + "ADD COLUMN a VARCHAR(40) NULL",
        T + "ADD INDEX index_user (user_id, a);",  # the column of before is there
        T + "ADD COLUMN b INT NULL, ADD INDEX index_b (b)",
        T + "MODIFY COLUMN small BIGINT NULL",
        T + "MODIFY COLUMN name VARCHAR(60) NULL",
        T + "ENGINE=InnoDB",
        T + ";",
        T + "DROP INDEX index_user",
        T + "ADD UNIQUE KEY u (idsite, name)",
    )
    told = [(v.algorithm, v.lock, v.rebuild) for v in found]
    maria = session.flavour == "mariadb"
    assert told == [
        ("instant", "none", False),
        ("inplace", "none", False),
        ("inplace", "none", True),
        ("copy", "shared", True),
        ("instant" if maria else "inplace", "none", False),
        ("inplace", "none", True),
        ("nothing", "none", False),
        ("inplace", "none", False),
        ("inplace", "none", False),
    ]
    assert any("duplicates" in note for note in found[8].notes)
    assert any("does not fit" in note for note in found[3].notes)
    assert [from_data(v.data()) for v in found] == found


def test_special_tables(session: Session) -> None:
    packed, words, old = ask(
        session,
        "ALTER TABLE m_packed ADD COLUMN a INT NULL",
        "ALTER TABLE m_words ADD FULLTEXT KEY g (w)",
        "ALTER TABLE m_old ADD COLUMN a INT NULL",
    )
    assert packed.algorithm == "inplace" and packed.rebuild and packed.online
    assert words.algorithm in ("inplace", "copy") and not words.online
    assert old.algorithm == "copy"


def test_what_fails_is_told_with_the_servers_words(session: Session) -> None:
    found = ask(
        session,
        "ALTER TABLE m_gone ADD COLUMN a INT NULL",
        T + "DROP COLUMN nosuch",
        T + "ADD COLUMN idsite INT NULL",
        T + "ADD COLUMN new INT NULL, ADD COLUMN idsite INT NULL",
        T + "ADD COLUMN x VARCHAR(65000) CHARACTER SET latin1 NOT NULL",
        T + "ADD COLUMN y NOSUCHTYPE NULL",
    )
    assert [v.algorithm for v in found] == [
        "fails",
        "nothing",
        "nothing",
        "fails",
        "fails",
        "fails",
    ]
    assert "m_gone does not exist (1146)" in found[0].reason
    assert "1091" in found[1].reason and "1060" in found[2].reason
    assert "other clauses are not done" in found[3].reason
    assert "Row size too large" in found[4].reason


def test_other_kinds(session: Session) -> None:
    found = ask(
        session,
        "CREATE TABLE m_new (id INT PRIMARY KEY)",
        "ALTER TABLE m_new ADD COLUMN a INT NULL",
        "INSERT INTO m_new VALUES (1)",
        "CREATE TABLE IF NOT EXISTS m_option (id INT)",
        "UPDATE m_option SET option_value = 1",
        "./console core:invalidate-report-data --dates=x",
        "DROP TABLE m_old",
        "ALTER TABLE ddl_other.x ADD COLUMN a INT NULL",
        "ALTER TABLE m_option RENAME TO ddl_other.x",
        "<batch insert>",
        T + "ADD COLUMN p INT NULL; " + T + "ADD COLUMN q INT NULL",
    )
    assert [v.algorithm for v in found] == [
        "new", "new", "new", "nothing", "rows", "unknown", "instant", "unknown", "unknown",
        "unknown", "instant", "instant",
    ]  # fmt: skip


def test_a_killed_run_leaves_tables_that_the_next_one_drops(session: Session) -> None:
    session.execute("ddl_like", schema="ddl_scratch", table=f"{PROBE}7",
                    from_schema="ddl_live", model="m_option")  # fmt: skip
    ask(session, T + "ADD COLUMN a INT NULL")


def test_matomos_account(session: Session, server: Server) -> None:
    address = server.account("matomo", "ddl_live")
    with Session(address) as poor:
        with pytest.raises(MatopsError):
            probe(poor, "ddl_scratch", [T + "ADD COLUMN a INT NULL"], source="ddl_live")
        server.sql("GRANT ALL ON ddl_scratch.* TO matomo")
        (found,) = probe(poor, "ddl_scratch", [T + "ADD COLUMN a INT NULL"], source="ddl_live")
        assert found.algorithm == "instant"
        if server.flavour == "mysql":
            assert any("PROCESS" in note for note in found.notes)


def test_used_up_row_versions_are_a_rebuild(mysql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real limit, 255 in MySQL 9, takes 255 ALTERs to reach: tried once by hand.
    monkeypatch.setattr(live.Limits, "most", property(lambda self: 3))
    mysql.sql("CREATE DATABASE ddl_versions; CREATE DATABASE ddl_versions_scratch")
    mysql.sql("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "ddl_versions")
    try:
        with Session(mysql.address(schema="ddl_versions_scratch")) as session:
            for i in range(3):
                text = f"ALTER TABLE t ADD COLUMN x{i} INT NULL"
                (found,) = probe(session, "ddl_versions_scratch", [text], source="ddl_versions")
                assert found.algorithm == "instant"
                mysql.sql(f"{text}, ALGORITHM=INSTANT", "ddl_versions")
            text = "ALTER TABLE t ADD COLUMN y INT NULL"
            (found,) = probe(session, "ddl_versions_scratch", [text], source="ddl_versions")
            assert (found.algorithm, found.rebuild) == ("inplace", True)
            assert "3 row versions of 3" in found.reason
    finally:
        mysql.sql("DROP DATABASE ddl_versions; DROP DATABASE ddl_versions_scratch")
