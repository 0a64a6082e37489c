"""What each account can do, and that pasting the GRANT gives the rest."""

from __future__ import annotations

from matops.mysql import privileges
from matops.mysql import server as servers
from matops.mysql.privileges import Finding
from matops.mysql.session import Session
from tests.db.servers import Server, start

_REBUILD = "db.optimize: rebuild tables"
_MDL = "db.locks, db.optimize: who holds a metadata lock"


def ask(server: Server, kind: str, schema: str = "matomo") -> dict[str, Finding]:
    with Session(server.account(kind, schema)) as session:
        facts = servers.look(session)
        return {f.feature: f for f in privileges.findings(session, facts, schema)}


def states(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.state for name, finding in found.items() if finding.state != "full"}


def test_root_can_all(server: Server) -> None:
    expected = {} if server.flavour == "mysql" else {_MDL: "degraded"}
    assert states(ask(server, "root")) == expected


def test_matomos_documented_grants(server: Server) -> None:
    found = ask(server, "matomo")
    assert found[_REBUILD].state == "full" and found["db.run"].state == "full"
    expected = {
        "db.sizes: file sizes": "degraded",
        "db.locks: who waits, what they run": "degraded",
        _MDL: "degraded",
        "db.locks: row locks": "no",
        "db.optimize: progress and ETA": "degraded",
        "db.optimize: wait for purge": "degraded",
        "db.optimize: replication state": "degraded",
        "db.optimize --on-block kill-idle": "degraded",
    }
    if server.flavour == "mariadb":
        del expected["db.optimize: progress and ETA"]
    assert states(found) == expected
    assert found["db.sizes: file sizes"].grant == "GRANT PROCESS ON *.* TO 'matomo'@'%';"


def test_a_managed_account(server: Server) -> None:
    found = states(ask(server, "managed"))
    assert _REBUILD not in found and "db.sizes: file sizes" not in found
    assert found["db.optimize --on-block kill-idle"] == "degraded"


def test_a_reader_is_refused_the_rebuild_and_told_what_to_paste(server: Server) -> None:
    server.sql("CREATE DATABASE IF NOT EXISTS a_b")
    found = ask(server, "reader", "a_b")
    assert found[_REBUILD].state == "no"
    grant = found[_REBUILD].grant
    assert grant == r"GRANT INSERT, ALTER, CREATE ON `a\_b`.* TO 'reader'@'%';"
    server.sql("DROP DATABASE a_b")


def test_pasting_the_grants_gives_all_of_it(server: Server) -> None:
    try:
        for finding in ask(server, "matomo").values():
            if finding.grant:
                server.sql(finding.grant)
        assert states(ask(server, "matomo")) == {}
    finally:
        server.sql("DROP USER matomo")
        if server.flavour == "mariadb":
            server.sql("UNINSTALL SONAME 'metadata_lock_info'")


def test_with_a_binary_log_and_without_performance_schema() -> None:
    options = {"log_bin": "binlog", "performance_schema": "OFF"}
    feature = "db.optimize: keep rebuilds from the replicas"
    with start("mysql", options=options) as server:
        found = ask(server, "managed")
        assert found[feature].state == "degraded" and "replicas rebuild" in found[feature].how
        assert "performance_schema = ON" in found[_MDL].grant
        assert found["db.locks: row locks"].state == "no"
        server.sql("GRANT OPTIMIZE_LOCAL_TABLE ON *.* TO managed")
        assert "NO_WRITE_TO_BINLOG" in ask(server, "managed")[feature].how
        server.sql(found[feature].grant)
        assert ask(server, "managed")[feature].state == "full"
        assert ask(server, "root")[feature].state == "full"


def test_asking_leaves_nothing_behind(server: Server) -> None:
    before = server.sql("SHOW TABLES", "matomo")
    ask(server, "root")
    assert server.sql("SHOW TABLES", "matomo") == before
