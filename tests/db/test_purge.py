"""``logs.purge``'s core on both servers: the same rows by every way, whatever comes in between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from matops.mysql.purge import count, tables
from matops.mysql.session import Session
from tests.db import purge_kit as kit
from tests.db.servers import Server

SCHEMA = "purging"


@pytest.fixture
def filled(server: Server) -> Iterator[Server]:
    kit.make(server, SCHEMA)
    kit.fill(server, SCHEMA)
    yield server
    server.sql(f"DROP DATABASE {SCHEMA}")


def test_the_tables_are_found_with_their_order_and_ways(filled: Server) -> None:
    with Session(filled.address(schema=SCHEMA)) as session:
        found = tables.look(session, kit.PREFIX)
    names = [name[len(kit.PREFIX) :] for name in found.names]
    assert names[-2:] == ["log_link_visit_action", "log_visit"]
    assert set(names) == set(kit.LOGS) - {"log_action", "log_profiling"}
    assert names.index("log_hsr_event") < names.index("log_hsr")
    assert names.index("log_media_plays") < names.index("log_media")
    assert found.left == ("piwik_log_action", "piwik_log_profiling")
    assert [table.name for table in found.slow] == ["piwik_log_media_plays", "piwik_log_media"]


@pytest.mark.parametrize("sites", [(1, 2, 3), (2,)])
def test_exactly_what_belongs_to_the_visits_goes(filled: Server, sites: tuple[int, ...]) -> None:
    before = kit.picture(filled, SCHEMA)
    start, end = "2026-01-03", "2026-01-15"
    address = filled.account("matomo", SCHEMA)
    with Session(address) as session:
        found = tables.look(session, kit.PREFIX)
        counted = count.visits(session, found, sites, start, end, spans=True)
        count.children(session, found, counted, start, end)
    done = kit.purge(address, start, end, sites, workers=2 if len(sites) > 1 else 1)
    after = kit.picture(filled, SCHEMA)
    assert after == kit.expected(before, start, end, sites)
    gone = {f"piwik_{t}": len(before[t]) - len(after[t]) for t in kit.LOGS}
    assert {t: n for t, n in done.rows.items() if n} == {t: n for t, n in gone.items() if n}
    predicted = {table: sum(days.values()) for table, days in counted.rows.items()}
    assert {t: n for t, n in predicted.items() if n} == {t: n for t, n in gone.items() if n}
    assert done.left == {} and done.visits == counted.visits > 0
    again = kit.purge(address, start, end, sites)
    assert again.total == 0
