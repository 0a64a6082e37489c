"""db.run: operators' files, honest and hostile, on both servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matops.errors import Refused, UsageError
from matops.mysql import readonly, statement
from matops.mysql.session import DatabaseError, Session
from tests.db.servers import Server

HOSTILE = [
    "DELETE FROM precious",
    "SELECT 1; DELETE FROM precious",
    "SELECT 1;\n\n-- harmless\nDROP TABLE precious;",
    "/*! DELETE FROM precious */",
    "SELECT 1 /*!50000 INTO OUTFILE '{file}' */",
    "/*M! DELETE FROM precious */",
    "/* SELECT */ TRUNCATE precious",
    "# SELECT 1\nTRUNCATE precious",
    "--\nTRUNCATE precious",
    "--1; SELECT 1",
    "SELECT * FROM precious INTO OUTFILE '{file}'",
    "SELECT * INTO OUTFILE '{file}' FROM precious",
    "SELECT 'x' INTO DUMPFILE '{file}'",
    "TABLE precious INTO OUTFILE '{file}'",
    "SELECT id INTO @x FROM precious",
    "SELECT * FROM precious FOR UPDATE",
    "SELECT * FROM precious FOR/**/SHARE",
    "SELECT * FROM precious LOCK IN SHARE MODE",
    "SELECT SLEEP(30)",
    "SELECT sleep/* */ (30)",
    "SELECT `sleep`(30)",
    "SELECT 1 FROM precious WHERE GET_LOCK('a', 30)",
    "SELECT BENCHMARK(1000000000, 1)",
    "SELECT LOAD_FILE('/etc/passwd')",
    "VALUES ROW(SLEEP(30))",
    "WITH x AS (SELECT 1) DELETE FROM precious",
    "EXPLAIN ANALYZE DELETE FROM precious",
    "SELECT /*+ SET_VAR(max_execution_time=0) */ 1",
    "SELECT /*+ MAX_EXECUTION_TIME(0) */ 1",
    "SET GLOBAL read_only = 0",
    "SET SESSION TRANSACTION READ WRITE",
    "SET STATEMENT max_statement_time=0 FOR SELECT 1",
    "COMMIT",
    "START TRANSACTION READ WRITE",
    "BEGIN NOT ATOMIC DELETE FROM precious; END",
    "CALL p()",
    "DO SLEEP(30)",
    "HANDLER precious OPEN",
    "ANALYZE TABLE precious",
    "ANALYZE DELETE FROM precious",
    "OPTIMIZE TABLE precious",
    "FLUSH TABLES WITH READ LOCK",
    "LOCK TABLES precious WRITE",
    "KILL 1",
    "SHUTDOWN",
    "PREPARE s FROM 'DELETE FROM precious'",
    "EXECUTE IMMEDIATE 'DELETE FROM precious'",
    "LOAD DATA INFILE '{file}' INTO TABLE precious",
    "DELIMITER //\nDELETE FROM precious//",
    "source /tmp/x.sql",
    "\\! rm -rf /",
    "SELECT 'open",
    "SELECT /* open",
    "SELECT '\\'; DELETE FROM precious; -- '; DROP TABLE precious",
    'SELECT "\\"; SELECT 1"; DELETE FROM precious; -- "',
    "SELECT `a``b;` FROM x; DELETE FROM precious",
    "(DELETE FROM precious)",
    "SELECT NEXT VALUE FOR s",
    "SELECT NEXTVAL(s)",
    "SELECT group_replication_switch_to_multi_primary_mode()",
    "SELECT keyring_key_remove('k')",
    "SELECT 1 WHERE 1 = (SELECT `service_get_write_locks`('a', 'b', 9))",
]
# What the narrow gate cannot know: a stored function that writes, named like any other.
BY_THE_SERVER = ["SELECT writes()", "SELECT * FROM writing_view"]


@pytest.fixture(scope="module")
def precious(server: Server) -> Iterator[Server]:
    server.sql(
        "SET GLOBAL log_bin_trust_function_creators = 1;"
        "CREATE TABLE precious (id INT PRIMARY KEY, v BLOB);"
        "INSERT INTO precious VALUES (1, 'a'), (2, NULL), (3, X'FF00');"
        "CREATE FUNCTION writes() RETURNS INT BEGIN DELETE FROM precious; RETURN 1; END;",
        "matomo",
    )
    server.sql("CREATE VIEW writing_view AS SELECT writes()", "matomo")
    yield server
    server.sql("DROP VIEW writing_view; DROP FUNCTION writes; DROP TABLE precious", "matomo")


def whole(server: Server) -> bool:
    return server.sql("SELECT COUNT(*) AS n FROM precious", "matomo") == [{"n": 3}]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_files_are_refused_before_anything_runs(text: str) -> None:
    with pytest.raises((Refused, UsageError)) as caught:
        statement.refuse_unless_reading(statement.split(text.format(file="/tmp/never")))
    assert caught.value.code in (2, 3)


@pytest.mark.parametrize("account", ["root", "matomo"])
def test_what_passes_the_gate_the_server_refuses(precious: Server, account: str) -> None:
    for text in BY_THE_SERVER if account == "root" else []:
        (result,) = readonly.run(precious.account(account), text, timeout=5)
        assert "1792" in result.error, result
    assert whole(precious)


def test_the_read_only_session_stops_hostile_files_even_without_the_gate(
    precious: Server, tmp_path: Path
) -> None:
    """Each hostile statement straight to the server: changes of data or schema are refused."""
    dangerous = ("DELETE", "DROP", "TRUNCATE", "OPTIMIZE", "CALL", "(DELETE", "WITH")
    with readonly._session(precious.address(schema="matomo"), 2, 10) as session:
        for text in HOSTILE:
            if text.startswith(dangerous):
                with pytest.raises(DatabaseError):
                    session.run(text)
    assert whole(precious)


def test_honest_files_give_their_tables(precious: Server) -> None:
    text = """
      -- how many; don't count on it
      SELECT COUNT(*) AS n, 'a;b' AS `semi;colon`, "it''s \\" INTO" AS s FROM precious;
      # into the void
      SHOW TABLES LIKE 'precious';
      (SELECT id, v FROM precious ORDER BY id) UNION ALL (SELECT 9, 'sleep(1)');
      EXPLAIN SELECT * FROM precious;
      DESC precious;
      WITH x AS (SELECT 1 AS update_time, 2 AS sleep) SELECT update_time, sleep FROM x;
      SELECT /* a remark */ 1"""
    results = readonly.run(precious.account("matomo"), text, timeout=5)
    assert [r.error for r in results] == [""] * 7
    assert results[0].columns == ["n", "semi;colon", "s"] and results[0].line == 3
    assert results[0].rows == [[3, "a;b", "it''s \" INTO"]] or results[0].rows[0][0] == 3
    assert results[2].rows[1] == [2, None] and results[2].rows[2][1] == "0xff00"
    assert all(0 <= r.seconds < 5 for r in results)


SLOW = "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b," \
       " information_schema.columns c"  # fmt: skip


def test_a_slow_statement_is_stopped_and_the_rest_not_run(precious: Server) -> None:
    began = time.monotonic()
    results = readonly.run(precious.address(schema="matomo"), f"{SLOW}; SELECT 1", timeout=1)
    assert time.monotonic() - began < 6
    assert len(results) == 1 and "stopped after" in results[0].error


def test_rows_beyond_the_limit_are_not_fetched(precious: Server) -> None:
    many = (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
        " SELECT a.i FROM n a, n b LIMIT 800000"
    )
    results = readonly.run(precious.address(), f"{many}; SELECT 7", timeout=20, limit=10)
    assert len(results[0].rows) == 10 and results[0].more
    assert results[1].rows == [[7]]


def test_errors_of_the_server_are_told_and_end_the_run(precious: Server) -> None:
    results = readonly.run(precious.address(), "SELECT 1; SELECT * FROM nosuch.x; SELECT 2")
    assert len(results) == 2 and ("1146" in results[1].error or "1049" in results[1].error)


def test_our_session_is_gone_afterwards(precious: Server) -> None:
    readonly.run(precious.address(schema="matomo"), "SELECT * FROM precious")
    with Session(precious.address()) as session:
        mine = [r for r in session.rows("transactions") if r["id"] != session.connection_id]
    assert mine == []
