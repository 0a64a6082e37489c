"""Watching somebody else's ALTER, on both servers: found, named blockers, ended idle ones."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import pymysql

from matops.mysql.guard import Policy
from matops.mysql.monitor import Monitor
from matops.mysql.update_eyes import Eyes, server_of
from tests.db.servers import Server

ALTER = "ALTER TABLE watched ADD COLUMN more INT NULL"


def test_an_update_that_waits(server: Server) -> None:
    if server.flavour == "mariadb":
        server.sql("INSTALL SONAME 'metadata_lock_info'")
    server.sql(
        "CREATE TABLE watched (id INT PRIMARY KEY); INSERT INTO watched VALUES (1)", "matomo"
    )
    idle = server.connect(schema="matomo", autocommit=False)
    idle.cursor().execute("SELECT * FROM watched")
    update = server.connect(schema="matomo")
    own = int(update.thread_id())
    thread = threading.Thread(target=_run, args=(update,), daemon=True)
    thread.start()
    try:
        with Monitor(server.address(schema="matomo")) as monitor:
            eyes = Eyes(monitor, server_of(monitor), "matomo", str(server.address().user))
            assert eyes.why_blind() == ""
            sight = _until_blocked(eyes)
            assert sight.connection.id == own and sight.connection.waits
            assert sight.blocked.table == "watched" and sight.blocked.idle
            assert f"connection {idle.thread_id()} (" in sight.blocked.words
            assert [one.id for one in eyes.changes() or []] == [own]
            # Not old enough, then old enough: never our own statement.
            assert eyes.end_idle(own, "watched", Policy(idle=3600)) == []
            time.sleep(1.1)
            ended = eyes.end_idle(own, "watched", Policy(idle=1.0))
            assert len(ended) == 1 and f"connection {idle.thread_id()} (" in ended[0]
            thread.join(10)
            assert not thread.is_alive()
            assert eyes.look("", ()).connection is None  # type: ignore[union-attr]
    finally:
        update.close()
        server.sql("DROP TABLE watched", "matomo")
        if server.flavour == "mariadb":
            server.sql("UNINSTALL SONAME 'metadata_lock_info'")
    assert not thread.is_alive()


def _run(connection: Any) -> None:
    with suppress(pymysql.Error, OSError):
        connection.cursor().execute(ALTER)


def _until_blocked(eyes: Eyes) -> Any:
    end = time.monotonic() + 10
    while True:
        sight = eyes.look(f"{ALTER};", ())
        if sight and sight.blocked and sight.blocked.by:
            return sight
        assert time.monotonic() < end, sight
        time.sleep(0.2)
