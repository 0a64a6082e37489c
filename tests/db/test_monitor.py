"""The watching connection: slow answers, idle time-outs, a server that says nothing."""

from __future__ import annotations

import contextlib
import socket

import pytest

from matops.mysql import session as sessions
from matops.mysql import settle
from matops.mysql.monitor import Monitor
from matops.mysql.session import Address, ConnectionCut, DatabaseError, Session
from tests.db.optimize_kit import beside, wait_for
from tests.db.servers import Server


def test_an_answer_that_fails_twice_is_waited_for(server: Server) -> None:
    asked = []
    with Session(server.address()) as other, Monitor(server.address(schema="matomo")) as monitor:

        def question(session: Session) -> int:
            asked.append(session.connection_id)
            if len(asked) < 3:
                other.kill_connection(session.connection_id)
            return int(session.run("SELECT 1 AS one")[0]["one"])

        assert monitor.ask(question) is None
        assert monitor.must(question, 5) == 1 and len(set(asked)) == 3


def test_only_a_statement_with_our_tag_is_cancelled(server: Server) -> None:
    """After a restart, or behind a proxy, a connection's number is somebody else's."""
    tag = "matops.optimize r1 abc"
    with Monitor(server.address(schema="matomo")) as monitor, Session(server.address()) as ours:

        def work() -> None:
            with contextlib.suppress(DatabaseError):  # MariaDB raises, MySQL's SLEEP() returns
                ours.run(f"/* {tag} */ SELECT SLEEP(5)")

        thread = beside(work)
        wait_for(lambda: monitor.must(lambda s: settle.find(s.rows, tag)))
        assert monitor.kill("matops.optimize r1 abd") is False and thread.is_alive()
        assert monitor.kill(tag) is True
        thread.join(3)
        assert not thread.is_alive() and monitor.kill(tag) is False


def test_our_idle_connections_stay(mysql: Server) -> None:
    """A lost monitor would lose its GET_LOCK, and let a second run in."""
    old = mysql.sql("SELECT @@GLOBAL.wait_timeout AS v")[0]["v"]
    mysql.sql("SET GLOBAL wait_timeout = 5")
    try:
        with Session(mysql.address()) as session:
            assert session.run("SELECT @@wait_timeout AS v") == [{"v": 28800}]
        with Session(mysql.address(), variables={"wait_timeout": 30}) as session:
            assert session.run("SELECT @@wait_timeout AS v") == [{"v": 30}]
    finally:
        mysql.sql(f"SET GLOBAL wait_timeout = {old}")


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time-out for its answers, too (the connection of a rebuild)."""
    monkeypatch.setattr(sessions, "GREETING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as frozen, pytest.raises(ConnectionCut):
        Session(Address(port=frozen.getsockname()[1], user="x"), timeout=None)
