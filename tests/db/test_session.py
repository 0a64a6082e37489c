"""The connection: variables, cancelling, being cut."""

from __future__ import annotations

import threading
import time

import pytest

from matops.errors import OutcomeUnknown, PrivilegeMissing
from matops.mysql.session import ConnectionCut, DatabaseError, NotReachable, Session
from tests.db.servers import Server

_WAIT = "lock_wait_timeout"


def test_variables_survive_a_reconnect(server: Server) -> None:
    with Session(server.address(), variables={_WAIT: 7}) as session:
        before = session.connection_id
        session.reconnect()
        assert session.connection_id != before
        assert session.run(f"SELECT @@{_WAIT} AS v") == [{"v": 7}]


@pytest.mark.parametrize("tcp", [True, False])
def test_kill_query_cancels_within_a_second(server: Server, tcp: bool) -> None:
    with Session(server.address(tcp=tcp), timeout=None) as slow, Session(server.address()) as other:
        timer = threading.Timer(0.3, other.kill_query, (slow.connection_id,))
        began = time.monotonic()
        timer.start()
        with pytest.raises(DatabaseError) as caught:
            slow.run("SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns"
                     " b, information_schema.columns c")  # fmt: skip
        assert caught.value.number == 1317
        assert time.monotonic() - began < 3
        assert slow.run("SELECT 1 AS one") == [{"one": 1}]
        assert other.kill_query(2**31 - 7) is False


def test_transactions_can_be_read_beside_an_emoji(server: Server) -> None:
    """MySQL 9 refuses that (3854) while such a statement runs: the tracker has them all day."""
    server.sql("CREATE TABLE IF NOT EXISTS emoji (id INT PRIMARY KEY) ENGINE=InnoDB", "matomo")
    with server.connect(schema="matomo", autocommit=False) as tracker, tracker.cursor() as cursor:
        cursor.execute("INSERT INTO emoji VALUES (1)")
        statement = threading.Thread(
            target=cursor.execute, args=("SELECT SLEEP(0.6), '\U0001f600'",)
        )
        statement.start()
        time.sleep(0.2)
        with Session(server.address(schema="matomo")) as session:
            assert session.rows("transactions")
        statement.join()
        tracker.rollback()


def test_a_lost_connection_is_outcome_unknown_and_reused_never_a_traceback(server: Server) -> None:
    with Session(server.address()) as session, Session(server.address()) as other:
        other.kill_connection(session.connection_id)
        with pytest.raises(ConnectionCut) as caught:
            session.run("SELECT 1")
        assert isinstance(caught.value, OutcomeUnknown) and caught.value.code == 4
        with pytest.raises(ConnectionCut):
            session.run("SELECT 1")
        session.reconnect()
        assert session.run("SELECT 1 AS one") == [{"one": 1}]


def test_errors_carry_their_number(server: Server) -> None:
    with Session(server.account("reader")) as session:
        with pytest.raises(PrivilegeMissing) as denied:
            session.run("CREATE TABLE t (a INT)")
        assert denied.value.code == 1
        with pytest.raises(DatabaseError) as missing:
            session.run("SELECT * FROM nosuch")
        assert missing.value.number in (1146, 1142)
    with pytest.raises(NotReachable):
        Session(server.address().__class__(port=1))
