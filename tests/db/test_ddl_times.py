"""Estimates from samples of real rows, on both servers; nothing live is changed or locked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from matops.mysql.ddl.estimate import Estimated, Estimator
from matops.mysql.session import Session
from tests.db import data
from tests.db.servers import Server

T = "ALTER TABLE piwik_log_visit "
LIVE, SCRATCH = "times_live", "times_scratch"


@pytest.fixture(scope="module")
def session(server: Server) -> Iterator[Session]:
    server.sql(f"CREATE DATABASE {LIVE}; CREATE DATABASE {SCRATCH}")
    data.make(server, "log_visit", "piwik_log_visit", 10, schema=LIVE)
    server.sql(
        "CREATE TABLE piwik_option (option_name VARCHAR(191) PRIMARY KEY, option_value TEXT);"
        "INSERT INTO piwik_option VALUES ('a', 'b');"
        "CREATE TABLE piwik_words (w VARCHAR(40) PRIMARY KEY, v TEXT);"
        "INSERT INTO piwik_words SELECT CONCAT('w', idvisit), REPEAT('x', 120) FROM"
        " piwik_log_visit;", LIVE,
    )  # fmt: skip
    with Session(server.address(schema=LIVE), timeout=None) as made:
        yield made
    server.sql(f"DROP DATABASE {LIVE}; DROP DATABASE {SCRATCH}")


def ask(session: Session, *statements: str, budget: float = 1.5) -> list[Estimated]:
    found = Estimator(session, LIVE, SCRATCH, budget=budget).estimate(statements)
    assert session.rows("tables_all", (SCRATCH,)) == []
    json.dumps([one.data() for one in found])
    return found


def test_estimates_are_measured_and_hold_no_live_lock(session: Session, server: Server) -> None:
    before = server.sql(f"CHECKSUM TABLE {LIVE}.piwik_log_visit")
    writer = server.connect(schema=LIVE, autocommit=False)
    cursor = writer.cursor()  # holds every row of the table all the while
    cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    cursor.execute("UPDATE piwik_log_visit SET visit_total_time = visit_total_time + 1")
    try:
        column, index, changed, row = ask(
            session,
            T + "ADD COLUMN a VARCHAR(40) NULL",
            T + "ADD INDEX i (user_id, a)",
            T + "MODIFY visit_total_time BIGINT UNSIGNED NOT NULL",
            "UPDATE piwik_log_visit SET visit_total_time = 1",
        )
    finally:
        writer.rollback()
        writer.close()
    assert server.sql(f"CHECKSUM TABLE {LIVE}.piwik_log_visit") == before
    assert column.time and column.time.high <= 2 and column.disk == 0
    for one in (index, changed):
        assert one.time and "measured on" in one.time.basis, one
        assert 0 < one.time.low <= one.time.likely <= one.time.high < 120
        assert 20_000 < one.rows < 45_000
    assert changed.disk >= changed.bytes and 0 < index.disk < changed.disk
    assert row.time and "EXPLAIN" in row.time.basis and "measured" in row.time.basis


def test_rows_that_break_a_statement_are_found_on_the_sample(session: Session) -> None:
    double, long = ask(
        session,
        T + "ADD UNIQUE KEY u (idsite)",
        "ALTER TABLE piwik_words MODIFY v VARCHAR(10) NOT NULL",
    )
    assert double.verdict.algorithm == "fails" and "Duplicate entry" in double.verdict.reason
    assert long.verdict.algorithm in ("fails", "copy")  # a sample's session is not strict


def test_a_key_that_is_no_number_small_tables_and_no_scratch(session: Session) -> None:
    words, small, gone = ask(
        session,
        "ALTER TABLE piwik_words ADD INDEX i (v(10))",
        "ALTER TABLE piwik_option MODIFY option_value LONGTEXT",
        "UPDATE piwik_option SET nosuch = 1",
    )
    assert words.time and "measured" in words.time.basis
    assert small.time and "conservative" in small.time.basis and small.time.high < 5
    assert gone.time and "at most all rows" in gone.time.basis
    none = Estimator(session, LIVE, rate=50e6).estimate([], [words.verdict])
    assert none[0].time and "earlier rebuilds" in none[0].time.basis


def test_matomos_account_with_the_grant_is_enough(session: Session, server: Server) -> None:
    with Session(server.account("matomo", LIVE), timeout=60) as poor:
        server.sql(f"GRANT ALL ON {SCRATCH}.* TO matomo")
        (found,) = ask(poor, T + "ADD INDEX i (user_id)", budget=1.0)
        assert found.time and "measured" in found.time.basis
