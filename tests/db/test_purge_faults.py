"""``logs.purge`` when things go wrong, and what it costs: plans, locks, links, kills, refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from matops import sqlfile
from matops.errors import Locked, PrivilegeMissing, Refused, UsageError
from matops.mysql import server as servers
from matops.mysql.attempt import Stop
from matops.mysql.purge import link as links
from matops.mysql.purge import preflight, tables
from matops.mysql.purge.chunk import how
from matops.mysql.purge.link import Link
from matops.mysql.purge.run import Purge
from matops.mysql.quote import fill
from matops.mysql.session import Session
from matops.mysql.throttle import Limits
from tests.db import purge_kit as kit
from tests.db.optimize_kit import Proxy, beside, wait_for
from tests.db.servers import Server

SCHEMA = "purging2"
START, END = "2026-01-03", "2026-01-15"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def full(server: Server) -> Iterator[Server]:
    """The schema with a copy of every table beside it, so that each test begins with the same."""
    kit.make(server, SCHEMA)
    kit.fill(server, SCHEMA)
    for name in kit.LOGS:
        server.sql(f"CREATE TABLE kept_{name} AS SELECT * FROM {kit.PREFIX}{name}", schema=SCHEMA)
    yield server
    server.sql(f"DROP DATABASE {SCHEMA}")


@pytest.fixture
def filled(full: Server) -> Server:
    text = "".join(
        f"DELETE FROM {kit.PREFIX}{n}; INSERT INTO {kit.PREFIX}{n} SELECT * FROM kept_{n};"
        for n in kit.LOGS
    )
    full.sql(text, schema=SCHEMA)
    return full


def tiny(run: Purge) -> None:
    """Chunks of a few visits."""
    run.work.steer.rows, run.work.steer.target = 60, 0.0001


def test_every_statement_goes_by_the_index_meant_for_it(filled: Server) -> None:
    ids = list(range(1, 60))
    with Link(filled.address(schema=SCHEMA), kit.PREFIX) as link:
        session, found = link.session, tables.look(link.session, kit.PREFIX)
        visit = {"log_visit": found.visit}
        pick: Any = (1, START, END, "2026-01-04 10:00:00", 77, 500)
        with_time = {**visit, "time_index": found.time_index, "weight": "idvisit"}
        plan = plans(session, "purge_pick", pick, with_time)[-1]
        assert (plan["key"], plan["type"]) == (found.time_index, "range")
        assert "filesort" not in (plan["Extra"] or "")
        (plan,) = plans(session, "purge_visits", (ids, 1, START, END), visit)
        assert (plan["key"], plan["type"]) == ("PRIMARY", "range")
        assert len(found.quick) == 5
        for table in found.quick:
            if table.by_key:
                keys = {"table": table.name, "pk": table.pk}
                (plan,) = plans(session, "purge_keys", (ids,), {**keys, "index": table.index})
                assert (plan["key"], plan["Extra"]) == (table.index, "Using where; Using index")
                (plan,) = plans(session, "purge_by_key", (ids[:9],), keys)
                assert (plan["key"], plan["type"]) == ("PRIMARY", "range")
                continue
            plan = plans(session, *_with(how(found, table), ids))
            assert (plan[0]["key"], plan[0]["type"]) == ("PRIMARY", "range")
            assert (plan[-1]["key"], plan[-1]["type"]) == (table.index, "ref"), table


def plans(session: Session, name: str, args: Any, names: dict[str, str]) -> list[Any]:
    """How the server means to run a statement."""
    text = fill(sqlfile.load(name, session.flavour), names, bound=True)
    return session.run(f"EXPLAIN FORMAT=TRADITIONAL {text}", args)


def _with(statement: tuple[str, dict[str, str]], ids: list[int]) -> tuple[str, Any, dict[str, str]]:
    return statement[0], (ids,), statement[1]


def test_it_reads_little_more_than_it_deletes(filled: Server) -> None:
    """Late visits lie everywhere in the order of idvisit; nothing else is gone through for them."""
    read: list[int] = []

    def handlers(run: Purge) -> None:
        rows = run.link.session.run("SHOW SESSION STATUS LIKE 'Handler_read%'")
        read.append(sum(int(row["Value"]) for row in rows))

    def watched(run: Purge) -> None:
        tiny(run)
        handlers(run)
        count = run._count_left
        # The counters end with the connection: read when the last chunk is done.
        run._count_left = lambda: (handlers(run), count())[1]  # type: ignore

    address = filled.address(schema=SCHEMA)
    done = kit.purge(address, "2026-01-05", "2026-01-07", before=watched)
    slow = filled.sql(f"SELECT COUNT(*) AS n FROM {kit.PREFIX}log_media", schema=SCHEMA)[0]["n"]
    assert done.visits > 20
    assert read[1] - read[0] < 6 * done.total + 12 * slow + 300, (read, done.total, slow)


def test_a_lock_somebody_holds_makes_it_smaller_not_fail(
    filled: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_LOCK_WAIT", 1)
    before = kit.picture(filled, SCHEMA)
    holder = filled.connect(schema=SCHEMA, autocommit=False)
    holder.cursor().execute(f"SELECT * FROM {kit.PREFIX}log_visit WHERE idvisit = 90 FOR UPDATE")

    def until_it_was_met(run: Purge) -> None:
        def watch() -> None:
            wait_for(lambda: run.summary.retries)
            holder.rollback()

        beside(watch)

    done = kit.purge(filled.address(schema=SCHEMA), START, END, before=until_it_was_met)
    holder.close()
    assert done.retries >= 1 and done.left == {}
    assert kit.picture(filled, SCHEMA) == kit.expected(before, START, END, (1, 2, 3))


def test_a_visit_that_moves_on_meanwhile_is_kept_with_all_its_rows(
    filled: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracker's request between the reading of a chunk and its deletion."""
    before = kit.picture(filled, SCHEMA)
    moved, whole = [0], Session.execute

    def execute(self: Session, name: str, *args: Any, **names: str) -> int:
        if name == "purge_begin" and not moved[0]:
            moved[0] = 90
            filled.sql(f"UPDATE {kit.PREFIX}log_visit SET visit_last_action_time = NOW()"
                       " WHERE idvisit = 90", schema=SCHEMA)  # fmt: skip
        return whole(self, name, *args, **names)

    assert any(row[0] == 90 and START < str(row[3]) < END for row in before["log_visit"])
    monkeypatch.setattr(Session, "execute", execute)
    site = next(row[1] for row in before["log_visit"] if row[0] == 90)
    done = kit.purge(filled.address(schema=SCHEMA), START, END, (site,))
    before = {name: before[name] if name != "log_visit" else
              {row for row in before[name] if row[0] != 90} for name in before}  # fmt: skip
    after = kit.picture(filled, SCHEMA)
    after["log_visit"] = {row for row in after["log_visit"] if row[0] != 90}
    assert done.retries == 1 and after == kit.expected(before, START, END, (site,))


def test_a_list_that_the_server_cuts_off_deletes_nothing_else(
    filled: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_TEXT", 200)
    before = kit.picture(filled, SCHEMA)
    done = kit.purge(filled.address(schema=SCHEMA), START, END)
    assert done.retries > 1
    assert kit.picture(filled, SCHEMA) == kit.expected(before, START, END, (1, 2, 3))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_link_lost_at_the_commit_is_looked_into(
    filled: Server, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kit.picture(filled, SCHEMA)
    proxy, whole, seen = Proxy(filled.port), Session.execute, [0]

    def execute(self: Session, name: str, *args: Any, **names: str) -> int:
        seen[0] += name == "purge_commit"
        if name == "purge_commit" and seen[0] in (2, 5):
            if when == "after":
                whole(self, name)
            proxy.cut()
        return whole(self, name, *args, **names)

    monkeypatch.setattr(Session, "execute", execute)
    address = dataclasses.replace(filled.address(schema=SCHEMA), port=proxy.port)
    done = kit.purge(address, START, END, before=tiny)
    proxy.close()
    after = kit.picture(filled, SCHEMA)
    assert seen[0] > 5 and after == kit.expected(before, START, END, (1, 2, 3))
    assert done.rows[f"{kit.PREFIX}log_visit"] == len(before["log_visit"]) - len(after["log_visit"])


def whole_visits(server: Server) -> tuple[int, int]:
    """(visits whose page views are not all there, page views without their visit), in one
    statement's snapshot."""
    p = kit.PREFIX
    row = server.sql(
        f"SELECT (SELECT COUNT(*) FROM {p}log_visit v WHERE v.visit_total_actions <> (SELECT"
        f" COUNT(*) FROM {p}log_link_visit_action a WHERE a.idvisit = v.idvisit)) AS broken,"
        f" (SELECT COUNT(*) FROM {p}log_link_visit_action a LEFT JOIN {p}log_visit v"
        " USING (idvisit) WHERE v.idvisit IS NULL AND a.idvisit < 999999) AS orphans",
        schema=SCHEMA,
    )[0]  # fmt: skip
    return int(row["broken"]), int(row["orphans"])


def test_killed_and_run_again_under_a_tracker_and_a_reader(filled: Server) -> None:
    before = kit.picture(filled, SCHEMA)
    over, tracked, seen = threading.Event(), [0], set()

    def track() -> None:
        with filled.connect(schema=SCHEMA) as connection:
            cursor = connection.cursor()
            while not over.is_set():
                cursor.execute(
                    f"INSERT INTO {kit.PREFIX}log_visit (idsite,idvisitor,visit_last_action_time,"
                    "config_id,visit_total_actions) VALUES (1,'new',NOW(),'c',0)"
                )
                tracked[0] += 1
                time.sleep(0.002)

    def read() -> None:
        while not over.is_set():
            seen.add(whole_visits(filled))

    threads = [threading.Thread(target=work) for work in (track, read)]
    for thread in threads:
        thread.start()
    words = [sys.executable, "-m", "tests.db.purge_kit", "127.0.0.1", str(filled.port), SCHEMA]
    process = subprocess.Popen([*words, START, END], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    while "begun" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.1)
    process.kill()
    process.wait()
    done = kit.purge(filled.address(schema=SCHEMA), START, END, before=tiny)
    over.set()
    for thread in threads:
        thread.join()
    assert seen == {(0, 0)} and done.left == {}
    after = kit.picture(filled, SCHEMA)
    new = {row for row in after["log_visit"] if row[2].startswith(b"new")}
    assert len(new) == tracked[0] > 10
    after["log_visit"] -= new
    assert after == kit.expected(before, START, END, (1, 2, 3))


def test_a_stop_ends_it_between_two_chunks(filled: Server) -> None:
    stop = Stop()

    def soon(run: Purge) -> None:
        tiny(run)
        run.work.add = lambda visits: stop.ask("Ctrl-C")

    done = kit.purge(filled.address(schema=SCHEMA), START, END, stop=stop, before=soon)
    assert done.chunks == 1 and done.visits > 0 and sum(done.left.values()) > 0
    assert whole_visits(filled) == (0, 0)


def test_load_pauses_it(filled: Server) -> None:
    stop = Stop()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "--max-load" in line:
            stop.ask("enough")

    def heard(run: Purge) -> None:
        run.work.say = say

    done = kit.purge(filled.address(schema=SCHEMA), START, END, stop=stop, before=heard,
                     limits=Limits(None, 0, None))  # fmt: skip
    assert done.visits == 0 and any("--max-load" in line for line in said)


def test_refusals_change_nothing(filled: Server) -> None:
    before = kit.picture(filled, SCHEMA)
    address = filled.address(schema=SCHEMA)
    with Session(address) as session:
        found = tables.look(session, kit.PREFIX)
        with pytest.raises(Refused, match="no table nosuch_log_visit"):
            tables.look(session, "nosuch_")
        with pytest.raises(UsageError, match="site 77 does not exist; there are: 1, 2, 3"):
            preflight.sites([1, 77], [1, 2, 3])
        with read_only(filled), pytest.raises(Refused, match="read-only"):
            preflight.check(session, servers.look(session), found)
        filled.sql(f"ALTER TABLE {kit.PREFIX}log_hsr ENGINE=MyISAM", schema=SCHEMA)
        try:
            with pytest.raises(Refused, match="not InnoDB"):
                tables.look(session, kit.PREFIX)
        finally:
            filled.sql(f"ALTER TABLE {kit.PREFIX}log_hsr ENGINE=InnoDB", schema=SCHEMA)
    with Session(filled.account("reader", SCHEMA)) as session:
        with pytest.raises(PrivilegeMissing) as missing:
            preflight.check(session, servers.look(session), found)
        assert f"GRANT SELECT, DELETE ON `{SCHEMA}`.* TO 'reader'@'%';" in missing.value.line()
    with Link(address, kit.PREFIX), pytest.raises(Locked), Link(address, kit.PREFIX):
        pass
    assert kit.picture(filled, SCHEMA) == before


@contextlib.contextmanager
def read_only(server: Server) -> Iterator[None]:
    """As on a replica."""
    server.sql("SET GLOBAL read_only = 1")
    try:
        yield
    finally:
        server.sql("SET GLOBAL read_only = 0")


def test_matomos_own_deletion_is_seen(filled: Server) -> None:
    holder = filled.connect(schema=SCHEMA, autocommit=False)
    holder.cursor().execute(f"SELECT * FROM {kit.PREFIX}log_visit WHERE idvisit = 90 FOR UPDATE")
    p = kit.PREFIX
    theirs = filled.connect(schema=SCHEMA)
    statement = (
        f"DELETE log_link_visit_action FROM {p}log_link_visit_action log_link_visit_action"
        f" LEFT JOIN {p}log_visit log_visit ON log_link_visit_action.idvisit = log_visit.idvisit"
        " WHERE log_visit.idvisit in (90)"
    )

    def delete() -> None:
        with contextlib.suppress(pymysql.Error):
            theirs.cursor().execute(statement)

    thread = threading.Thread(target=delete)
    thread.start()
    running = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'DELETE log%'"
    wait_for(lambda: filled.peek(running), 10, "the deletion")
    with Session(filled.address(schema=SCHEMA)) as session:
        found = tables.look(session, p)
        with pytest.raises(Refused, match="Matomo is deleting raw logs itself"):
            preflight.none_at_work(session, found)
    holder.rollback()
    thread.join()
    holder.close()
    theirs.close()
