"""Who holds and who waits: played with real clients on both servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Callable, TypeVar

import pymysql
import pytest

from matops.mysql import locks
from matops.mysql import server as servers
from matops.mysql.session import Session
from tests.db.servers import Server

T = TypeVar("T")
TABLE = "held 100% `x"
QUOTED = "`held 100% ``x`"


def until(question: Callable[[], T], patience: float = 5) -> T:
    """The first true answer."""
    end = time.monotonic() + patience
    while True:
        answer = question()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.05)


@contextmanager
def running(connection: Any, statement: str) -> Iterator[None]:
    """Runs a statement in another thread; whatever becomes of it."""

    def work() -> None:
        with suppress(pymysql.Error, OSError):
            connection.cursor().execute(statement)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(5)
        connection.close()


@pytest.fixture
def held(server: Server) -> Iterator[tuple[Server, Any]]:
    """A table, and a connection with an open transaction that changed three of its rows."""
    if server.flavour == "mariadb":
        server.sql("INSTALL SONAME 'metadata_lock_info'")
    server.sql(f"CREATE TABLE {QUOTED} (id INT PRIMARY KEY, v INT);"
               f"INSERT INTO {QUOTED} VALUES (1, 1), (2, 2), (3, 3)", "matomo")  # fmt: skip
    idle = server.connect(schema="matomo", autocommit=False)
    idle.cursor().execute(f"UPDATE {QUOTED} SET v = v + 1")
    yield server, idle
    idle.close()
    time.sleep(0.1)
    server.sql(f"DROP TABLE {QUOTED}", "matomo")
    if server.flavour == "mariadb":
        server.sql("UNINSTALL SONAME 'metadata_lock_info'")


def test_holders_and_waiters_of_one_table(held: tuple[Server, Any]) -> None:
    server, idle = held
    with Session(server.address(schema="matomo")) as session:
        facts = servers.look(session)
        assert locks.visible(facts)
        found = locks.holders(session, facts, "matomo", TABLE)
        assert [h.id for h in found] == [idle.thread_id()]
        holder = found[0]
        assert holder.idle and not holder.lock_tables and not holder.replication
        assert holder.rows_changed == 3 and holder.user == "root"
        assert holder.trx_seconds is not None and 0 <= holder.trx_seconds < 30
        assert "SHARED_WRITE" in holder.modes
        assert locks.holders(session, facts, "matomo", TABLE, idle.thread_id()) == []
        assert locks.waiters(session, facts, "matomo", TABLE) == []

        ddl, reader = server.connect(schema="matomo"), server.connect(schema="matomo")
        ddl_id, reader_id = ddl.thread_id(), reader.thread_id()
        with running(ddl, f"ALTER TABLE {QUOTED} ENGINE=InnoDB, ALGORITHM=INPLACE, LOCK=NONE"):
            first = until(lambda: locks.waiters(session, facts, "matomo", TABLE))
            assert [w.id for w in first] == [ddl_id]
            with running(reader, f"SELECT * FROM {QUOTED}"):
                both = until(
                    lambda: (w := locks.waiters(session, facts, "matomo", TABLE))[1:] and w
                )
                assert {w.id for w in both} == {ddl_id, reader_id}
                assert all(w.state.startswith(locks.WAITING) for w in both)
                assert locks.waiters(session, facts, "matomo", "held 100") == []
                began = time.monotonic()
                for _ in range(10):
                    locks.holders(session, facts, "matomo", TABLE)
                    locks.waiters(session, facts, "matomo", TABLE)
                assert time.monotonic() - began < 2  # several times a second, cheaply
                session.kill_query(ddl_id)
    idle.rollback()


@pytest.mark.parametrize("mode", ["READ", "WRITE"])
def test_lock_tables_is_told_from_a_transaction(held: tuple[Server, Any], mode: str) -> None:
    server, idle = held
    idle.rollback()
    owner = server.connect(schema="matomo")
    owner.cursor().execute(f"LOCK TABLES {QUOTED} {mode}")
    with Session(server.address(schema="matomo")) as session:
        found = locks.holders(session, servers.look(session), "matomo", TABLE)
    print(server.flavour, mode, [h.modes for h in found])
    owner.close()
    assert [h.lock_tables for h in found] == [True]


def test_without_the_means_nothing_is_claimed(mariadb: Server) -> None:
    with Session(mariadb.account("matomo")) as session:
        facts = servers.look(session)
        assert not locks.visible(facts)
        assert locks.holders(session, facts, "matomo", "t") == []
        assert locks.waiters(session, facts, "matomo", "t") == []


def test_a_name_is_found_in_a_statement() -> None:
    assert locks.mentions("UPDATE `a`.`log_visit` SET x = 1", "log_visit")
    assert not locks.mentions("UPDATE log_visit_2 SET x = 1", "log_visit")
    assert locks.mentions("OPTIMIZE TABLE `a``b`", "a`b")
