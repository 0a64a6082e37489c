"""The scratch database on real servers: an empty copy that is provably ours, and goes away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from matops.errors import Refused
from matops.mysql.scratch import account, rows, shapes
from matops.mysql.scratch.database import EMPTY, FOREIGN, OURS, Scratch
from matops.mysql.scratch.names import grant_for, scratch_name
from matops.mysql.session import AccessDenied, Session
from tests.db.servers import Server

LIVE = "rehearse_live"
NAME = scratch_name(LIVE, "piwik_")
_TABLES = """
CREATE TABLE piwik_option (option_name VARCHAR(191) PRIMARY KEY, option_value LONGTEXT,
    autoload TINYINT NOT NULL DEFAULT 1);
CREATE TABLE piwik_log_visit (idvisit BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, idsite INT,
    KEY index_idsite (idsite));
CREATE TABLE piwik_site (idsite INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(90));
CREATE TABLE piwik_child (id INT PRIMARY KEY, idsite INT UNSIGNED,
    FOREIGN KEY (idsite) REFERENCES piwik_site (idsite));
CREATE TABLE other_thing (id INT PRIMARY KEY);
CREATE VIEW piwik_view AS SELECT 1;
INSERT INTO piwik_option VALUES ('version_core', '5.3.1', 1), ('matops.lock', '{}', 0),
    ('marketplace_license_key', 'secret', 0), ('cache', REPEAT('x', 100000), 0);
INSERT INTO piwik_log_visit (idsite) VALUES (1), (2);
INSERT INTO piwik_site (name) VALUES ('one'), ('two');
"""


@pytest.fixture
def live(server: Server) -> Iterator[Server]:
    clean = f"DROP DATABASE IF EXISTS {LIVE}; DROP DATABASE IF EXISTS {NAME}"
    server.sql(f"{clean}; CREATE DATABASE {LIVE} CHARACTER SET latin1 COLLATE latin1_german1_ci")
    server.sql(_TABLES, LIVE)
    yield server
    server.sql(f"{clean}; DROP USER IF EXISTS 'matomo'@'%'")


def opened(server: Server, kind: str = "root") -> Session:
    return Session(server.account(kind, LIVE))


def test_an_empty_copy_that_goes_away(live: Server) -> None:
    with opened(live) as session:
        before = shapes.look(session, LIVE, "piwik_")
        assert before.views == ("piwik_view",)
        assert before.tables["piwik_child"].foreign_keys
        with Scratch(session, LIVE, "piwik_") as scratch:
            assert scratch.state() == OURS
            scratch.copy_tables(before.tables)
            copied = rows.copy_rows(scratch, before.tables.values())
            rows.plant(scratch, "matops.sentinel")
            made = shapes.look(session, NAME, "piwik_")
            # An index that only a foreign key made stays; the key itself does not.
            assert shapes.different(before.tables, made.tables) == []
            assert copied.rows == {"piwik_option": 2, "piwik_site": 2, "piwik_child": 0}
            assert copied.left == ["piwik_option: 1 options larger than 64.0 KB"]
            rows_there = live.sql(f"SELECT * FROM {NAME}.piwik_option")
            found = {row["option_name"]: row["option_value"] for row in rows_there}
            assert found == {"version_core": "5.3.1", "matops.sentinel": scratch.token}
            live.sql(f"ALTER TABLE {NAME}.piwik_site ADD COLUMN more INT")
            scratch.renew(["piwik_site"])
            assert live.sql(f"SELECT COUNT(*) AS n FROM {NAME}.piwik_site")[0]["n"] == 0
            assert "more" not in shapes.look(session, NAME).tables["piwik_site"].columns
            defaults = live.sql(
                "SELECT DEFAULT_COLLATION_NAME AS c FROM information_schema.SCHEMATA "
                f"WHERE SCHEMA_NAME = '{NAME}'"
            )
            assert defaults[0]["c"] == "latin1_german1_ci"
        assert not live.sql(f"SHOW DATABASES LIKE '{NAME}'")
        assert shapes.different(before.tables, shapes.look(session, LIVE, "piwik_").tables) == []


def test_one_at_a_time_and_what_was_left_goes(live: Server) -> None:
    with opened(live) as first, opened(live) as second:
        cut, other = Scratch(first, LIVE, "piwik_"), Scratch(second, LIVE, "piwik_")
        with cut:
            second.kill_connection(first.connection_id)
            with other:
                cut.drop()  # its name and sentinel are right, but it is not this run's any more
                assert other.state() == OURS
            cut.create()
            second.kill_connection(first.connection_id)
        assert cut.state() == "absent"
        left = Scratch(first, LIVE, "piwik_")
        left.lock()
        left.create()
        first.close()  # killed: no clean-up
        with Scratch(second, LIVE, "piwik_") as scratch:
            assert scratch.left and NAME in scratch.left[0]


def test_what_is_not_ours_is_never_dropped(live: Server) -> None:
    live.sql(f"CREATE DATABASE {NAME}; CREATE TABLE {NAME}.precious (a INT)")
    with opened(live) as session:
        scratch = Scratch(session, LIVE, "piwik_")
        assert scratch.state() == FOREIGN
        with pytest.raises(Refused, match="matops did not make it"), scratch:
            pass
        scratch.drop()
        assert live.sql(f"SHOW TABLES IN {NAME}")
        # Another installation's: the sentinel names another live schema.
        live.sql(
            f"CREATE TABLE {NAME}.matops_sentinel (token INT, live TEXT, made_by TEXT); "
            f"INSERT INTO {NAME}.matops_sentinel VALUES (1, 'other', 'x')"
        )
        assert scratch.state() == FOREIGN
        live.sql(f"DROP TABLE {NAME}.precious; DROP TABLE {NAME}.matops_sentinel")
        assert scratch.state() == EMPTY


def test_without_the_privilege_the_grant_is_told_and_helps(live: Server) -> None:
    with opened(live, "matomo") as session:
        with pytest.raises(AccessDenied) as refused, Scratch(session, LIVE, "piwik_"):
            pass
        assert (
            f"GRANT ALL PRIVILEGES ON `{NAME.replace('_', chr(92) + '_')}`.*" in refused.value.next
        )
        live.sql(grant_for(NAME, "'matomo'@'%'"))
    with opened(live, "matomo") as session, Scratch(session, LIVE, "piwik_") as scratch:
        scratch.copy_tables(["piwik_option", "piwik_site"])
        assert account.make(scratch, session.address) is None
        assert account.may_read_live(session.address, LIVE, "piwik_option")


def test_the_throw_away_account_sees_nothing_else(live: Server) -> None:
    with opened(live) as session, Scratch(session, LIVE, "piwik_") as scratch:
        scratch.copy_tables(["piwik_option"])
        made = account.make(scratch, live.account("matomo", LIVE))
        assert made is not None and made.schema == NAME
        with Session(made) as theirs:
            theirs.run("ALTER TABLE piwik_option ADD COLUMN more INT")
            with pytest.raises(AccessDenied):
                theirs.run(f"SELECT * FROM {LIVE}.piwik_option")
            with pytest.raises(AccessDenied):
                theirs.run(f"DROP DATABASE {LIVE}")
        again = account.make(scratch, live.account("matomo", LIVE))  # of a killed run
        assert again and again.password != made.password
        assert account.remove(scratch)
        with pytest.raises(AccessDenied):
            Session(dataclasses.replace(again, schema=""))
