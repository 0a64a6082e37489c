"""``invalidations.size`` as typed; what the table must be; archives that no row asks for."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from matops.errors import MatopsError, Refused
from matops.matomo import invalidations_size
from matops.mysql.invalidations import (
    shape,
    uncovered,
)
from matops.mysql.invalidations.uncovered import Rows
from matops.mysql.session import AccessDenied, Session
from tests.db import docroot
from tests.db import invalidations_size_kit as kit
from tests.db.invalidations_size_kit import MOBILE, PREFIX, RARE, SCHEMA, TABLE
from tests.db.servers import Server
from tests.db.test_tasks import SETTINGS, Desk

DAYS = ("2026-01-01", "2026-01-01", 1)


@pytest.fixture(scope="module")
def session(server: Server) -> Iterator[Session]:
    with kit.make(server) as made:
        yield made
    server.sql(f"DROP DATABASE {SCHEMA}")


@pytest.fixture(autouse=True)
def empty(server: Server, session: Session) -> None:
    server.sql(f"TRUNCATE {TABLE}; DELETE FROM {PREFIX}option", SCHEMA)


@pytest.fixture(scope="module")
def desk(server: Server, session: Session, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp(server.flavour)
    root = docroot.make(folder, server.account("reader", SCHEMA))
    settings = folder / "matops.yaml"
    settings.write_text(SETTINGS.format(docroot=root, state=folder / "state"))
    return Desk(server, settings)


def test_shape(server: Server, session: Session) -> None:
    found = shape.look(session, PREFIX).require()
    assert found.index and found.has_owner and not found.extra_columns and not found.triggers
    assert shape.sees_triggers(session) is True
    with Session(server.account("reader", SCHEMA)) as reader:
        assert shape.sees_triggers(reader) is False
        assert not shape.look(reader, PREFIX).why_not()
    with pytest.raises(MatopsError, match=r"no table other_archive_inv.* There is piwik_archive"):
        shape.look(session, "other_")
    server.sql(f"CREATE TABLE {TABLE}_x LIKE {TABLE}; ALTER TABLE {TABLE} ADD extra INT", SCHEMA)
    server.sql(f"CREATE TRIGGER tr BEFORE INSERT ON {TABLE} FOR EACH ROW SET @a = 1", SCHEMA)
    try:
        changed = shape.look(session, PREFIX)
        assert changed.extra_columns == ("extra",) and changed.triggers == ("tr (before insert)",)
        assert [one.name for one in changed.beside] == [f"{TABLE}_x"] and not changed.why_not()
    finally:
        server.sql(f"DROP TRIGGER tr; ALTER TABLE {TABLE} DROP extra; DROP TABLE {TABLE}_x", SCHEMA)


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ("(idinvalidation INT AUTO_INCREMENT PRIMARY KEY)", "has no column idarchive, name"),
        (f"LIKE {TABLE}; ALTER TABLE bad_archive_invalidations ENGINE=MyISAM", "kept by MyISAM"),
        (f"LIKE {TABLE}; ALTER TABLE bad_archive_invalidations MODIFY idinvalidation BIGINT",
         "is not AUTO_INCREMENT"),
        (f"LIKE {TABLE}; ALTER TABLE bad_archive_invalidations MODIFY date1 INT", "date1 int"),
        (f"LIKE {TABLE}; ALTER TABLE bad_archive_invalidations DROP PRIMARY KEY, "
         "ADD PRIMARY KEY (idinvalidation, idsite)", "primary key"),
    ],
)  # fmt: skip
def test_not_the_table_it_should_be(
    server: Server, session: Session, definition: str, why: str
) -> None:
    server.sql(f"CREATE TABLE bad_archive_invalidations {definition}", SCHEMA)
    try:
        with pytest.raises(Refused, match=why.replace("(", r"\(")):
            shape.look(session, "bad_").require()
    finally:
        server.sql("DROP TABLE bad_archive_invalidations", SCHEMA)


def test_uncovered(server: Server, session: Session) -> None:
    first, second = ("2026-01-02", "2026-01-02", 1), ("2026-01-03", "2026-01-03", 1)
    table = kit.archive(
        server, "2026_01",
        (1, "done", 1, *DAYS, "2026-01-02", 4),          # nobody asks for it
        (2, "done", 1, *first, "2026-01-03", 4),         # replaced by 3
        (3, "done", 1, *first, "2026-01-04", 1),
        (4, "done.Goals", 1, *first, "2026-01-03", 4),   # replaced by 3, which has all plugins
        (5, "done", 1, *second, "2026-01-03", 4),        # a row asks for it
        (6, "done.Goals", 1, *second, "2026-01-03", 4),  # the same row builds it, too
        (7, "done", 9, *second, "2026-01-03", 4),        # of a deleted site
        (8, "done", 2, "2026-01-03", "2026-01-05", 5, "2026-01-03", 4),  # a custom range
        (9, RARE, 2, *second, "2026-01-03", 6),          # a segment that is built when looked at
        (10, MOBILE, 2, *second, "2026-01-03", 6),       # nobody asks for it
        (11, MOBILE, 2, *second, "2026-01-04", 5),       # partial: replaces nothing
        (12, "nb_visits", 2, *second, "2026-01-04", 4),  # a metric
        (13, "done", 2, *second, "2026-01-05", 4),       # a row asks for one report only
        (14, "done", None, None, None, None, None, 4),   # of no site: Matomo never finds it
    )  # fmt: skip
    kit.add(server, (1, *second, "done"), (2, *second, RARE))
    kit.add(server, (2, *second, "done", "Goals_a"),
            columns="idsite, date1, date2, period, name, report")  # fmt: skip
    now, gone = uncovered.look(session, PREFIX, Rows(TABLE), Rows(TABLE, "idsite > %s", (1,)))
    assert (now.total, now.on_request, now.deleted_sites, now.complete) == (3, 1, 1, True)
    assert set(now.groups) == {(1, 1, "done"), (2, 1, MOBILE), (2, 1, "done")}
    assert now.sites()[2] == uncovered.Group(2, "2026-01-03", "2026-01-03")
    assert (gone.total, gone.on_request) == (5, 1)
    assert gone.sites()[1] == uncovered.Group(3, "2026-01-01", "2026-01-03")
    late = uncovered.look(session, PREFIX, max_seconds=-1)[0]
    assert (late.looked, late.of, late.left_out) == (0, 1, [table]) and not late.complete
    # A table that somebody holds, and one of somebody's own, are passed over and named.
    odd = f"{PREFIX}archive_numeric_2020_01"
    server.sql(f"CREATE TABLE {odd} (x INT)", SCHEMA)
    holder = server.connect(schema=SCHEMA)
    holder.cursor().execute(f"LOCK TABLES {table} WRITE")
    session.set({"lock_wait_timeout": 1})
    (held,) = uncovered.look(session, PREFIX)
    holder.close()
    assert set(held.failed) == {table, odd} == set(held.left_out) and not held.complete
    assert "locked" in held.failed[table] and held.looked == 0
    server.sql(f"DROP TABLE {table}, {odd}", SCHEMA)


def test_typed(server: Server, desk: Desk, session: Session) -> None:
    """With an account that may only read; nothing is left behind anywhere."""
    kit.add_many(server, 12_000)
    server.sql(f"UPDATE {TABLE} SET status = 1 WHERE idsite = 5 LIMIT 3", SCHEMA)
    item = '{"idSites":"all","pluginName":"Goals","report":null}'
    server.sql(
        f"""INSERT INTO {PREFIX}option VALUES
        ('ReArchiveList', 'a:1:{{i:0;s:{len(item)}:"{item}";}}', 0),
        ('Ab3d_report_to_invalidate_2_2026-01-05_77', '1', 0),
        ('reportXto_invalidate_2_2026-01-06', '1', 0),
        ('x_report_to_invalidate_2_2026-01-07_1', '1', 0)""", SCHEMA,
    )  # fmt: skip
    # Above a limit that cannot be told: 4, after the whole screen.
    text = desk.type("invalidations.size", "--sample", "0s", "--top", "3", "--fail-above",
                     "rows=20000,days=7", code=4)  # fmt: skip
    assert "days unknown" in text
    for part in ("12,000 rows", "verdict: stuck, then deleted sites, then unknown",
                 "inv invalidations.reset", "segment 'Mobile'", "2 days of 1 sites",
                 "2026-01-05 to 2026-01-07", "re-archive plugin Goals of sites all",
                 "rows of deleted sites: 11,"):  # fmt: skip
        assert part in text, text
    crossed = desk.type("invalidations.size", "--sample", "0s", "--json", "--fail-above",
                        "rows=100,stuck=3,duplicates=5%", code=3)  # fmt: skip
    body, last = crossed.rstrip().rsplit("\n", 1)
    assert last.endswith("above its limits: rows 12,000 > 100; duplicates 9.1 % > 5.0 %")
    found = json.loads(body)
    assert found["exact"] and found["status"]["no_start"] == 3
    assert [one["word"] for one in found["verdict"]] == ["stuck", "deleted sites", "unknown"]
    assert found["duplicates"]["rows"] == 1_089
    assert not server.sql(f"SELECT * FROM {PREFIX}option WHERE option_name LIKE 'matops%'", SCHEMA)


def test_without_the_privilege(server: Server, session: Session, tmp_path: Path) -> None:
    server.sql("DROP USER IF EXISTS thin; CREATE USER thin IDENTIFIED BY 'made-for-tests'; "
               f"GRANT SELECT ON {SCHEMA}.{TABLE} TO thin")  # fmt: skip
    root = docroot.make(tmp_path, server.address("thin", "made-for-tests", SCHEMA))
    with pytest.raises(
        AccessDenied, match=r"may not SELECT.*GRANT SELECT ON `queue`\.\* TO 'thin'"
    ):
        invalidations_size.look(str(root))


def test_prefix_that_is_not_there(server: Server, session: Session, tmp_path: Path) -> None:
    root = docroot.make(tmp_path, server.account("reader", SCHEMA), prefix="nobody_")
    with pytest.raises(MatopsError, match="no table nobody_archive_invalidations"):
        invalidations_size.look(str(root))


def test_the_whole_look(server: Server, session: Session, tmp_path: Path) -> None:
    """An archiver of another host, and a process of this host that is gone."""
    now = str(server.sql("SELECT NOW() AS t")[0]["t"])
    kit.add(
        server,
        *((1, *DAYS, "done", 1, now, host, "4999999")
          for host in ("elsewhere", socket.gethostname())),
        columns="idsite, date1, date2, period, name, status, ts_started, processing_host, "
        "process_id",
    )  # fmt: skip
    root = docroot.make(tmp_path, server.account("reader", SCHEMA))
    found = json.loads(json.dumps(invalidations_size.look(str(root), sample=0.2)))
    assert found["archiver"]["elsewhere"][0]["host"] == "elsewhere"
    assert found["archiver"]["gone"][0]["rows"] == 1 and found["archiver"]["running"] is None
    assert found["status"]["fresh"] == 2 and found["pace"]["left"] == 0
