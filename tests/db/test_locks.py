"""Who holds and who waits: played with real clients on both servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Callable, TypeVar

import pymysql
import pytest

from matops.mysql import lockpicture, locks
from matops.mysql import server as servers
from matops.mysql.session import Session
from tests.db.servers import Server, start

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
        time.sleep(0.15)  # INNODB_TRX is renewed only when nobody read it for 0.1 s


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


def _chain(server: Server, idle: Any) -> lockpicture.Picture:
    """The picture while an ALTER waits for ``idle`` and a reader waits for the ALTER."""
    ddl, reader = server.connect(schema="matomo"), server.connect(schema="matomo")
    with Session(server.address(schema="matomo")) as session:
        facts = servers.look(session)
        ddl_id = ddl.thread_id()
        with running(ddl, f"ALTER TABLE {QUOTED} ENGINE=InnoDB"):
            until(lambda: lockpicture.look(session, facts).waits)
            with running(reader, f"SELECT * FROM {QUOTED}"):
                try:
                    until(lambda: len(lockpicture.look(session, facts).waits) == 2)
                    return lockpicture.look(session, facts)
                finally:
                    session.kill_query(ddl_id)


def test_the_chain_leads_from_the_reader_to_the_idle_transaction(held: tuple[Server, Any]) -> None:
    server, idle = held
    picture = _chain(server, idle)
    assert [who.id for who in picture.roots] == [idle.thread_id()]
    root = picture.roots[0]
    assert root.command == "Sleep" and root.rows_changed == 3 and root.trx_seconds is not None
    if server.flavour == "mysql":
        assert root.statement.startswith("UPDATE")
    alter, select = sorted(picture.waits, key=lambda wait: wait.who.statement)
    assert alter.object == select.object == f"matomo.{TABLE}"
    assert alter.blockers[0].who.id == idle.thread_id() and alter.blockers[0].sure
    assert [b.who.id for b in select.blockers] == [alter.who.id] and select.blockers[0].waits_too
    assert picture.notes == []


def test_row_locks_too(held: tuple[Server, Any]) -> None:
    server, idle = held
    other = server.connect(schema="matomo")
    with Session(server.address(schema="matomo")) as session:
        facts = servers.look(session)
        with running(other, f"UPDATE {QUOTED} SET v = 9 WHERE id = 2"):
            until(lambda: lockpicture.look(session, facts).waits)
            picture = lockpicture.look(session, facts)
            idle.rollback()
    (wait,) = picture.waits
    assert wait.kind == "row" and wait.object == f"matomo.{TABLE} index PRIMARY"
    assert [b.who.id for b in wait.blockers] == [idle.thread_id()]
    assert [who.id for who in picture.roots] == [idle.thread_id()]


def test_mariadb_without_the_plugin_shows_suspects_and_says_how(mariadb: Server) -> None:
    mariadb.sql(f"CREATE TABLE {QUOTED} (id INT PRIMARY KEY, v INT)", "matomo")
    idle = mariadb.connect(schema="matomo", autocommit=False)
    idle.cursor().execute(f"INSERT INTO {QUOTED} VALUES (1, 1)")
    picture = _chain(mariadb, idle)
    idle.close()
    mariadb.sql(f"DROP TABLE {QUOTED}", "matomo")
    assert picture.roots == []
    assert any(b.who.id == idle.thread_id() and not b.sure for b in picture.waits[0].blockers)
    assert locks.INSTALL_PLUGIN in picture.notes[0]


def test_a_flush_with_read_lock_is_seen(held: tuple[Server, Any]) -> None:
    """A backup that stops all writers is not 'nobody waits for a lock'."""
    server, idle = held
    idle.rollback()
    backup = server.connect()
    backup.cursor().execute("FLUSH TABLES WITH READ LOCK")
    write = f"UPDATE {QUOTED} SET v = 9"
    with running(server.connect(schema="matomo"), write), Session(server.address()) as session:
        facts = servers.look(session)
        picture = until(lambda: [p for p in [lockpicture.look(session, facts)] if p.roots])
        backup.close()
    assert picture and [who.id for who in picture[0].roots] == [backup.thread_id()]
    assert [wait.who.statement for wait in picture[0].waits] == [write]


def test_ages_do_not_depend_on_the_time_zone() -> None:
    with start("mariadb", options={"default_time_zone": "+09:00"}, zone="Asia/Tokyo") as server:
        server.sql(f"CREATE TABLE {QUOTED} (id INT PRIMARY KEY, v INT)", "matomo")
        idle = server.connect(schema="matomo", autocommit=False)
        idle.cursor().execute(f"INSERT INTO {QUOTED} VALUES (1, 1)")
        with Session(server.address(schema="matomo")) as session:
            rows = session.rows("transactions")
            oldest = session.rows("oldest_transaction")  # what purge is said to be held back by
        assert [0 <= row["trx_seconds"] < 60 for row in rows] == [True]
        assert [0 <= row["seconds"] < 60 for row in oldest] == [True]
        idle.close()
