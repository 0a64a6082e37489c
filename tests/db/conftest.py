"""Both servers, started once for all tests that use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.db import servers
from tests.db.servers import Server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """This machine's suite's MariaDB."""
    with servers.start("mariadb") as server:
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[Server]:
    """MySQL 9."""
    with servers.start("mysql") as server:
        yield server


@pytest.fixture(scope="session", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the two, one after the other."""
    found: Server = request.getfixturevalue(request.param)
    return found
