"""What a server is, for each account."""

from __future__ import annotations

import pytest

from matops.mysql import server as servers
from matops.mysql.session import Session
from tests.db.servers import Server
from tests.db.servers import start as start_server


@pytest.mark.parametrize("kind", ["root", "managed", "matomo"])
def test_capabilities_of_each_account(server: Server, kind: str) -> None:
    with Session(server.account(kind)) as session:
        facts = servers.look(session)
        assert facts.flavour == server.flavour
        assert facts.version >= ((10, 6) if server.flavour == "mariadb" else (8, 0))
        assert facts.process is (kind != "matomo")
        assert (servers.history_length(session) is None) is (kind == "matomo")
        assert facts.replicas == (None if kind == "matomo" else 0)
        assert facts.is_replica is (False if kind == "root" else None)
        seen = facts.metadata_locks
        expected = "performance_schema" if (server.flavour, kind) == ("mysql", "root") else ""
        assert seen == expected
        assert facts.page_size == 16384
        assert not facts.galera and not facts.managed and not facts.read_only and not facts.binlog
        assert facts.number("lock_wait_timeout") > 0
        assert servers.dirty_bytes(session) >= 0


def test_mariadb_shows_metadata_locks_once_the_plugin_is_there(mariadb: Server) -> None:
    mariadb.sql("INSTALL SONAME 'metadata_lock_info'")
    try:
        with Session(mariadb.account("matomo")) as session:
            assert servers.look(session).metadata_locks == "plugin"
    finally:
        mariadb.sql("UNINSTALL SONAME 'metadata_lock_info'")


def test_mysql_without_performance_schema_shows_none() -> None:
    options = {"performance_schema": "OFF"}
    with start_server("mysql", options=options) as server, Session(server.address()) as session:
        facts = servers.look(session)
        assert facts.metadata_locks == "" and not facts.performance_schema


def test_version_texts() -> None:
    assert servers.version_of("10.11.19-MariaDB-0+deb12u1") == (10, 11, 19)
    assert servers.version_of("5.5.5-10.6.12-MariaDB") == (10, 6, 12)
    assert servers.version_of("8.0.36-28") == (8, 0, 36)
    assert servers.version_of("9.7.4") == (9, 7, 4)
