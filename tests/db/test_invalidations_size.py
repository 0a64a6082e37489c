"""``invalidations.size`` on both servers: exact, estimated, on a table that is being exchanged."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from matops import sqlfile
from matops.mysql.invalidations import (
    in_progress,
    index_ranges,
    pace,
    ranges,
    shape,
    survey,
)
from matops.mysql.invalidations.in_progress import Recovery
from matops.mysql.invalidations.index_ranges import Span
from matops.mysql.quote import fill
from matops.mysql.session import Session
from tests.db import invalidations_size_kit as kit
from tests.db.invalidations_size_kit import MOBILE, PREFIX, SCHEMA, TABLE
from tests.db.servers import Server

DAYS = ("2026-01-01", "2026-01-01", 1)


@pytest.fixture(scope="module")
def session(server: Server) -> Iterator[Session]:
    with kit.make(server) as made:
        yield made
    server.sql(f"DROP DATABASE {SCHEMA}")


@pytest.fixture(autouse=True)
def empty(server: Server, session: Session) -> None:
    server.sql(f"TRUNCATE {TABLE}; DELETE FROM {PREFIX}option", SCHEMA)


def look(session: Session, seconds: float = 60, recovery: Recovery = Recovery()) -> Any:  # noqa: B008
    now = float(session.value("server_time"))
    table = shape.look(session, PREFIX)
    return survey.look(session, table, now, recovery=recovery, max_seconds=seconds)


def test_empty(session: Session) -> None:
    found = look(session)
    assert (found.total, found.exact, found.rows.queued, found.in_progress.total) == (0, True, 0, 0)


def test_all_is_counted(server: Server, session: Session) -> None:
    today = str(server.sql("SELECT UTC_DATE() AS d")[0]["d"])
    kit.add(
        server,
        (1, *DAYS, "done"), (1, *DAYS, "done"), (1, *DAYS, "done"), (1, *DAYS, MOBILE),
        (2, "2026-01-01", "2026-01-31", 3, "done.Goals"), (9, *DAYS, "done"),
        (2, today, today, 1, "done"),
    )  # fmt: skip
    kit.add(
        server,
        # The same but for one thing each: no duplicate. '' and NULL are the same report.
        (3, *DAYS, "done", 0, None, "Goals_a", "2026-01-02"),
        (3, *DAYS, "done", 0, None, "Goals_b", "2026-01-02"),
        (3, *DAYS, "done", 0, None, "", "2026-01-02"),
        (3, *DAYS, "done", 0, None, None, None),
        (3, *DAYS, "done", 1, None, None, "2026-01-02"),
        (3, *DAYS, "done", 0, None, None, "2999-01-02"),
        columns="idsite, date1, date2, period, name, status, ts_started, report, ts_invalidated",
    )
    found = look(session)
    assert found.total == 13 and found.exact
    assert found.index.sites.counts == {1: 4, 2: 2, 9: 1, 3: 6}
    assert found.index.periods == {1: 12, 3: 1}
    assert found.index.kept(1) == 1 and found.index.kept(365) == 13
    assert (found.rows.queued, found.rows.in_progress, found.rows.no_start) == (12, 1, 1)
    assert found.rows.ages == {1: 7, 7: 3, 9: 1, 0: 1}
    assert found.rows.oldest == "2026-01-02 00:00:00"
    assert found.rows.names.counts == {"done": 11, MOBILE: 1, "done.Goals": 1}
    assert found.rows.reports.counts == {"Goals_a": 1, "Goals_b": 1}
    assert (found.duplicates.superfluous, found.duplicates.queued) == (4, 12)
    server.sql(f"ALTER TABLE {TABLE} DROP INDEX index_idsite_dates_period_name", SCHEMA)
    try:
        bare = look(session)
        assert bare.index.rows == 13 and bare.index.kept(1) == 1
        assert bare.index.sites.counts == found.index.sites.counts and bare.exact
        assert bare.duplicates.share == 0
    finally:
        server.sql(f"ALTER TABLE {TABLE} ADD INDEX index_idsite_dates_period_name "
                   "(idsite, date1, period)", SCHEMA)  # fmt: skip


def test_status_that_matomo_does_not_know_and_a_prefix_with_a_percent_sign(
    server: Server, session: Session
) -> None:
    odd = "p%_archive_invalidations"
    server.sql(
        f"CREATE TABLE `{odd}` LIKE {TABLE}; INSERT INTO `{odd}` (idsite, date1, date2, period, "
        "name, status, ts_invalidated) SELECT 1, '2026-01-01', '2026-01-01', 1, 'done', s, "
        "UTC_TIMESTAMP() + INTERVAL 5 MINUTE FROM (SELECT 0 AS s UNION SELECT 7 UNION SELECT NULL) "
        "AS states", SCHEMA,
    )  # fmt: skip
    try:
        now = float(session.value("server_time"))
        found = survey.look(session, shape.look(session, "p%_"), now, recovery=Recovery())
        assert (found.total, found.rows.queued, found.rows.strange) == (3, 1, 2)
        assert found.rows.ages == {1: 1}  # it came while we looked: not "in the future"
    finally:
        server.sql(f"DROP TABLE `{odd}`", SCHEMA)


def test_in_progress_by_age_in_the_servers_zone(server: Server, session: Session) -> None:
    """ts_started is NOW() of Matomo's sessions: in the server's zone, not in UTC."""
    server.sql("SET GLOBAL time_zone = '+05:00'")
    try:
        server.sql(
            f"INSERT INTO {TABLE} (idsite, date1, date2, period, name, status, ts_started, "
            "processing_host, process_id) SELECT 1 + n, '2026-01-01', '2026-01-01', 1, 'done', 1, "
            "NOW() - INTERVAL n * 2 HOUR, 'archiver1', 77 FROM (SELECT 0 n UNION SELECT 1 UNION "
            "SELECT 2) x", SCHEMA,
        )  # fmt: skip
        server.sql(f"UPDATE {TABLE} SET ts_started = NULL WHERE idsite = 2", SCHEMA)
        found = look(session, recovery=Recovery(3 * 3600, {3: 5 * 3600})).in_progress
        assert (found.fresh, found.stale, found.no_start) == (2, 0, 1)
        ages = sorted(row.age for row in found.rows if row.age is not None)
        assert ages[0] < 60 and abs(ages[1] - 4 * 3600) < 60
        alone = in_progress.look(session, TABLE, recovery=Recovery(3 * 3600))
        assert (alone.fresh, alone.stale, alone.no_start) == (1, 1, 1) and alone.complete
        assert alone.owners() == {("archiver1", "77"): 1}
    finally:
        server.sql("SET GLOBAL time_zone = 'SYSTEM'")


def test_estimates_are_fair(
    server: Server, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.add_many(server, 10_000)
    # A hole of ids, as truncate leaves it: ranges must not be empty or huge.
    server.sql(f"UPDATE {TABLE} SET idinvalidation = idinvalidation + 5000000 "
               "WHERE idinvalidation % 3 = 0 ORDER BY idinvalidation DESC", SCHEMA)  # fmt: skip
    monkeypatch.setattr(ranges, "SMALL", 100)
    monkeypatch.setattr(ranges, "LARGE", 100)
    monkeypatch.setattr(index_ranges, "ROWS", 150)
    monkeypatch.setattr(index_ranges, "_LEAST", 500)
    parts = ranges.plan(session, TABLE)
    assert len(parts) > 100
    whole = look(session)
    assert whole.exact and whole.total == whole.rows.rows == 10_000
    assert whole.duplicates.superfluous == 909
    short = look(session, seconds=0)
    assert not short.exact and max(short.index.share, short.rows.share) < 0.3
    assert 0.7 < short.total / 10_000 < 1.4
    assert 0.06 < short.duplicates.part < 0.12
    # Whose rows: from an even sample of single rows, not from spans, which are whole sites.
    assert len(short.index.sites.counts) > 50
    first = short.index.scaled(short.index.sites.top(1)[0][0][1])
    assert first < 3 * 10_000 / 60 and short.index.scaled(sum(short.index.periods.values())) > 7_000
    assert 0.7 < short.rows.scaled(short.rows.queued) / 10_000 < 1.4
    # However late it is (a cold disk): never 0 rows, which would look like an empty queue.
    late = look(session, seconds=-3600)
    assert 0.3 < late.total / 10_000 < 3 and not late.exact and late.index.kept(10**6) > 0


def plan(session: Session, name: str, values: tuple[Any, ...], **marks: str) -> str:
    """EXPLAIN FORMAT=JSON of a statement, on one line."""
    text = sqlfile.load(name, session.flavour)
    condition, bound = Span((1, "2023-02-01"), (4, "2023-03-01")).condition()
    text = text.replace("/*span*/", condition)
    text = fill(text, {"table": TABLE, "index": "index_idsite_dates_period_name", **marks},
                bound=True)  # fmt: skip
    if "/*span*/" in sqlfile.load(name, session.flavour):
        values = (*values, *bound)
    rows = session.run(f"EXPLAIN FORMAT=JSON {text}", values)
    return " ".join(str(next(iter(rows[0].values()))).split())


def _parts(plan: str) -> list[str]:
    found = re.search(r'"used_key_parts": \[([^\]]*)\]', plan)
    return re.findall(r'"(\w+)"', found[1]) if found else []


def test_plans(server: Server, session: Session) -> None:
    """Nothing reads more than it must: ranges of the right index, rows only where they count."""
    kit.add_many(server, 10_000)
    if server.flavour == "mysql":
        session.run("SET SESSION explain_json_format_version = 1")
    now = float(session.value("server_time"))
    wide = "index_idsite_dates_period_name"
    days, times = tuple(survey.reach_days(now)), tuple(survey.age_times(now))
    covered = plan(session, "invalidations_size_by_site", days)
    assert '"using_index": true' in covered and f'"key": "{wide}"' in covered
    assert '"range"' in covered and _parts(covered) == ["idsite", "date1"], covered
    rows = plan(session, "invalidations_size_rows", (*times, 10, 500))
    assert '"key": "PRIMARY"' in rows and '"range"' in rows and '"ALL"' not in rows.split("temp")[0]
    double = plan(session, "invalidations_size_duplicates", ())
    assert f'"key": "{wide}"' in double and '"range"' in double
    started = plan(session, "invalidations_in_progress", (10, 500),
                   host="processing_host", process="process_id")  # fmt: skip
    assert '"key": "PRIMARY"' in started and '"range"' in started
    total = plan(session, "invalidations_size_count", (10**9,))
    assert '"using_index": true' in total and f'"key": "{wide}"' in total
    assert "optimized away" in plan(session, "invalidations_size_newest", ())
    table = kit.archive(server, "2023_01", *(
        (n, f"{kind}", 1 + n % 50, "2023-01-01", "2023-01-01", 1, "2023-01-02", 1.0)
        for n in range(400) for kind in ("done", "nb_visits", "nb_actions")))  # fmt: skip
    # Before there are statistics of it, MariaDB would read it whole for each flag.
    flags = plan(session, "invalidations_uncovered_flags", (10, 50), numeric=table)
    assert flags.count('"key": "index_idsite_dates_period"') == 2 and '"key": "PRIMARY"' in flags
    server.sql(f"ANALYZE TABLE {table}", SCHEMA)
    lately = plan(session, "invalidations_size_archived", ("2026-01-02", "2026-01-01"),
                  numeric=table)  # fmt: skip
    assert '"key": "index_period_archived"' in lately and '"using_index": true' in lately
    server.sql(f"DROP TABLE {table}", SCHEMA)


def test_locks_of_others_do_not_hold_it_up(server: Server, session: Session) -> None:
    kit.add(server, (1, *DAYS, "done"), (2, *DAYS, "done"))
    holder = server.connect(schema=SCHEMA, autocommit=False)
    holder.cursor().execute(f"UPDATE {TABLE} SET status = 1 WHERE idsite > 0")
    try:
        began = time.monotonic()
        assert look(session).rows.queued == 2 and time.monotonic() - began < 3
    finally:
        holder.close()


def test_while_the_table_is_exchanged(server: Server, session: Session) -> None:
    """Two ALTER … RENAME leave a gap in which there is no table: asked once more."""
    kit.add_many(server, 3_000)
    stop, swaps = threading.Event(), [0]

    def swap() -> None:
        other = server.connect(schema=SCHEMA).cursor()
        other.execute(f"CREATE TABLE {TABLE}_new LIKE {TABLE}")
        while not stop.is_set():
            other.execute(f"RENAME TABLE {TABLE} TO {TABLE}_old")
            time.sleep(0.05)
            other.execute(f"RENAME TABLE {TABLE}_old TO {TABLE}")
            swaps.append(1)
            time.sleep(0.25)
        other.execute(f"DROP TABLE {TABLE}_new")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        while len(swaps) < 4:
            assert look(session).total == 3_000
    finally:
        stop.set()
        thread.join()


def test_pace_of_an_archiver_at_work(server: Server, session: Session) -> None:
    kit.add_many(server, 2_000)
    table = shape.look(session, PREFIX)
    began = pace.mark(session, table, count=True)
    ids = [row["id"] for row in server.sql(
        f"SELECT idinvalidation AS id FROM {TABLE} ORDER BY 1 LIMIT 40", SCHEMA)]  # fmt: skip
    kit.add(server, *((1, *DAYS, "done"),) * 7)
    # What came since the mark is not counted among what was there.
    assert pace._upto(session, table, began.newest) == began.rows == 2_000
    server.sql(f"DELETE FROM {TABLE} WHERE idinvalidation IN ({','.join(map(str, ids[:30]))})",
               SCHEMA)  # fmt: skip
    counted = pace.since(session, table, began, [], 0.0)
    assert (counted.left, counted.added, counted.how) == (30, 7, pace.COUNTED)
    bare = pace.Mark(began.at, began.newest, None)
    watched = pace.since(session, table, bare, ids, began.at)
    assert (watched.left, watched.added, watched.how) == (30, 7, pace.WATCHED)
    assert pace.since(session, table, bare, [], 0.0).left is None
    now = float(session.value("server_time"))
    stamps = [str(row["t"]) for row in server.sql(
        "SELECT UTC_TIMESTAMP() - INTERVAL 1 MINUTE AS t UNION ALL "
        "SELECT UTC_TIMESTAMP() - INTERVAL 3 HOUR UNION ALL "
        "SELECT UTC_TIMESTAMP() - INTERVAL 3 DAY")]  # fmt: skip
    made = kit.archive(server, "2022_01", *(
        (n, name, 1, "2022-01-01", "2022-01-01", 1, stamp, 1.0)
        for n, stamp in enumerate(stamps) for name in ("done", "nb_visits")))  # fmt: skip
    assert pace.archived(session, PREFIX, now) == (1, 2)
    assert pace.archived(session, PREFIX, now, max_seconds=-1) == (None, None)
    server.sql(f"DROP TABLE {made}", SCHEMA)
