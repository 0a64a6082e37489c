"""A rebuild stays out of the binary log where the account may leave it out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matops.mysql.rebuild import Ended
from tests.db import servers
from tests.db.optimize_kit import SCHEMA, Run
from tests.db.servers import Server


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def logging(request: pytest.FixtureRequest) -> Iterator[Server]:
    options = {"log_bin": "binlog", "server_id": "1"}
    with servers.start(request.param, options=options) as server:
        server.sql("CREATE TABLE t (a INT PRIMARY KEY)", SCHEMA)
        yield server


def position(server: Server) -> Any:
    what = "BINARY LOG" if server.flavour == "mysql" else "MASTER"
    row = server.sql(f"SHOW {what} STATUS")[0]
    return row["File"], row["Position"]


def test_root_leaves_it_out(logging: Server, tmp_path: Path) -> None:
    run = Run(logging.address(schema=SCHEMA), tmp_path)
    before = position(logging)
    run.go("t")
    assert run.result("t").report.ended is Ended.DONE and not run.result("t").notes
    assert position(logging) == before
    stated = next(facts["binlog"] for event, facts in run.events if event == "choices")
    assert "sql_log_bin = 0" in stated


def test_matomos_account(logging: Server, tmp_path: Path) -> None:
    """It can neither set sql_log_bin nor see replicas. MariaDB has a form for that; MySQL asks a
    privilege for it, too, so that the rebuild is written, and that is said."""
    run = Run(logging.account("matomo"), tmp_path)
    before = position(logging)
    run.go("t")
    assert run.result("t").report.ended is Ended.DONE
    stated = next(facts["binlog"] for event, facts in run.events if event == "choices")
    if logging.flavour == "mariadb":
        assert position(logging) == before and "NO_WRITE_TO_BINLOG" in stated
    else:
        assert position(logging) != before and "cannot see replicas" in stated


def test_written_when_told(logging: Server, tmp_path: Path) -> None:
    run = Run(logging.address(schema=SCHEMA), tmp_path)
    before = position(logging)
    run.go("t", binlog="write")
    assert run.result("t").report.ended is Ended.DONE
    assert position(logging) != before
