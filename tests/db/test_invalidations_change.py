"""Truncate, carve, dedupe and the ways back, on real servers; and killed between any two
statements. What must hold: no committed row is in neither table, no id is given out twice, what
was to stay stays, and the next run ends what a killed one began."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Callable

import pymysql.connections
import pytest

from matops.errors import Locked, MatopsError, Refused, UsageError
from matops.mysql.invalidations import (
    backups,
    carve,
    clear_flags,
    dedupe,
    ending,
    moving,
    restore,
    swap,
)
from matops.mysql.invalidations import tools as tools_module
from matops.mysql.invalidations.keep import DUPLICATES, Rule
from matops.mysql.invalidations.record import DONE, Record
from matops.mysql.invalidations.tools import Tools
from tests.db.invalidations_kit import (
    NUMERIC,
    OPTION,
    TABLE,
    Clients,
    Dying,
    clean,
    dies,
    fill,
    insert,
    make,
    opened,
    rows,
    tables,
)
from tests.db.servers import Server

SCHEMA = "queue_change"
KEEP = Rule(since="2026-03-01", sites=(1, 2))


@pytest.fixture(scope="module")
def made(server: Server) -> Iterator[Server]:
    # Hundreds of connections through a unix socket: reading the machine's list of certificate
    # authorities for each would take half of the time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pymysql.connections, "SSL_ENABLED", False)
        make(server, SCHEMA)
        yield server


@pytest.fixture
def queue(made: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Sixty rows, and chunks of thirty."""
    small = functools.partial(moving.Pace, most=30)
    monkeypatch.setattr(swap, "Pace", lambda: small(rows=30))
    clean(made, SCHEMA)
    fill(made, SCHEMA)
    yield made


def kept_rows(server: Server, rule: Rule = KEEP) -> dict[int, tuple[object, ...]]:
    """Those that the rule keeps: asked of the server in other words than the rule's."""
    words = [f"idsite IN ({', '.join(map(str, rule.sites))})"] if rule.sites else []
    words += [f"date2 >= '{rule.since}'"] if rule.since else []
    return rows(server, SCHEMA, where=" AND ".join(words) or "FALSE")


def truncate(tools: Tools, rule: Rule = KEEP) -> Record:
    """What one run does: ends what an earlier one left, else begins."""
    left = [r for r in tools.records.all() if not r.finished]
    for record in left:
        if swap.settle(tools, record):
            return swap.finish(tools, record)
    return swap.finish(tools, swap.begin(tools, rule, "truncate"))


def carved(tools: Tools, rule: Rule) -> Record:
    """The same for the other method."""
    left = [r for r in tools.records.all() if not r.finished]
    find = (
        dedupe.finder(tools.session, TABLE, rule)
        if rule.only == DUPLICATES
        else carve.finder(tools, rule)
    )
    for record in left:
        if carve.settle(tools, record):
            return carve.finish(tools, record, find)
    return carve.finish(tools, carve.begin(tools, rule, "carve"), find)


def put_back(tools: Tools, name: str) -> None:
    """What restore does: ends what an earlier one left, else begins."""
    for record in restore.begun(tools):
        if not restore.settle(tools, record):
            continue
        if record.method == "replaced":
            restore.finish(tools, record)
            return
    found = tools.records.find(name)
    if found:
        restore.put_back(tools, found)


def killed_everywhere(server: Server, work: Callable[[Tools], object]) -> Iterator[int]:
    """Yields after each kill; ends once ``work`` came to its end before it was killed."""
    for before in itertools.count(1):

        def run() -> None:
            with opened(server, SCHEMA, make=Dying) as tools:
                work(tools)

        if not dies(run, before):
            assert before > 5
            return
        yield before


def test_swap_keeps_what_it_should(queue: Server) -> None:
    every, kept = rows(queue, SCHEMA), kept_rows(queue)
    with opened(queue, SCHEMA) as tools:
        record = truncate(tools)
        assert record.state == DONE and (record.rows, record.moved) == (len(every), len(kept))
        assert tools.next_id(TABLE) > max(every) + 900_000
        assert rows(queue, SCHEMA) == kept and 0 < len(kept) < len(every)
        assert rows(queue, SCHEMA, record.backup) == every
        (shown,) = backups.look(tools.session, "piwik_")
        assert shown.state == "complete" and shown.exact and shown.rows == len(every)
        assert "of site 1, 2" in shown.kept


def test_killed_between_any_two_statements_a_swap_goes_on(queue: Server) -> None:
    every, kept = rows(queue, SCHEMA), kept_rows(queue)
    for number in killed_everywhere(queue, truncate):
        there = set(rows(queue, SCHEMA))
        for name in tables(queue, SCHEMA):
            if "_bak_" in name:
                there |= set(rows(queue, SCHEMA, name))
        assert there >= set(every), number  # no row is in neither table
        # The archiver finishes a row that is back already: it must not come back again.
        done = sorted(rows(queue, SCHEMA))[:1] if len(rows(queue, SCHEMA)) < len(every) else []
        for row in done:
            queue.sql(f"DELETE FROM {TABLE} WHERE idinvalidation = {row}", SCHEMA)
        with opened(queue, SCHEMA) as tools:
            record = truncate(tools)
        assert rows(queue, SCHEMA) == {k: v for k, v in kept.items() if k not in done}, number
        assert rows(queue, SCHEMA, record.backup) == every
        assert [n for n in tables(queue, SCHEMA) if n.startswith(TABLE)] == [TABLE, record.backup]
        reset(queue)
        every, kept = rows(queue, SCHEMA), kept_rows(queue)


def reset(server: Server) -> None:
    clean(server, SCHEMA)
    fill(server, SCHEMA)


def test_killed_anywhere_a_carve_goes_on_and_can_be_put_back(queue: Server) -> None:
    rule = Rule(only="deleted-sites", gone_sites=(9,))
    every = rows(queue, SCHEMA)
    for number in killed_everywhere(queue, lambda tools: carved(tools, rule)):
        with opened(queue, SCHEMA) as tools:
            record = carved(tools, rule)
        gone = rows(queue, SCHEMA, record.backup)
        assert {**rows(queue, SCHEMA), **gone} == every, number
        assert gone == {k: v for k, v in every.items() if v[1] == 9}
        reset(queue)
        every = rows(queue, SCHEMA)
    with opened(queue, SCHEMA) as tools:
        (record,) = tools.records.all()
    taken = rows(queue, SCHEMA, record.backup)
    live = rows(queue, SCHEMA)
    for number in killed_everywhere(queue, lambda tools: put_back(tools, record.backup)):
        with opened(queue, SCHEMA) as tools:
            put_back(tools, record.backup)
            assert tools.records.find(record.backup).restored, number  # type: ignore[union-attr]
        assert rows(queue, SCHEMA) == {**live, **taken}
        queue.sql(f"DELETE FROM {TABLE} WHERE idsite = 9", SCHEMA)
        with opened(queue, SCHEMA) as tools:
            tools.records.change(tools.records.find(record.backup), restored=0.0)  # type: ignore[arg-type]


def test_killed_anywhere_a_restore_goes_on(queue: Server) -> None:
    def prepare() -> tuple[str, dict[int, tuple[object, ...]], dict[int, tuple[object, ...]]]:
        every = rows(queue, SCHEMA)
        with opened(queue, SCHEMA) as tools:
            record = truncate(tools)
        fill(queue, SCHEMA, 30)  # the rows created since
        since = {k: v for k, v in rows(queue, SCHEMA).items() if k > max(every)}
        return record.backup, every, since

    name, every, since = prepare()
    current = [name]
    for number in killed_everywhere(queue, lambda tools: put_back(tools, current[0])):
        with opened(queue, SCHEMA) as tools:
            put_back(tools, name)
            assert rows(queue, SCHEMA) == {**every, **since}, number
            (record,) = tools.records.all()
            assert tools.next_id(TABLE) > max(since)
        assert [n for n in tables(queue, SCHEMA) if n.startswith(TABLE)] == [TABLE, record.backup]
        reset(queue)
        name, every, since = prepare()
        current[0] = name


def test_an_unfinished_truncate_can_be_undone(queue: Server) -> None:
    every = rows(queue, SCHEMA)
    with opened(queue, SCHEMA) as tools:
        record = swap.begin(tools, KEEP, "truncate")
        assert "goes on" in backups.look(tools.session, "piwik_")[0].state
        with pytest.raises(Refused, match="was stopped before its end"):
            tools.none_unfinished()
        with pytest.raises(Refused, match="is needed"):
            backups.drop(tools, record.backup)
        restore.put_back(tools, record)
    assert rows(queue, SCHEMA) == every


def test_clients_lose_nothing(queue: Server) -> None:
    fill(queue, SCHEMA, 3000)
    before = set(rows(queue, SCHEMA))
    kept = set(kept_rows(queue))
    with Clients(queue, SCHEMA) as clients, opened(queue, SCHEMA) as tools:
        record = truncate(tools)
        second = restore.put_back(tools, record)
        third = truncate(tools, Rule())
    assert not clients.errors
    assert len(set(clients.written)) == len(clients.written) > 20  # no id was given out twice
    assert not set(clients.written) & before
    live = set(rows(queue, SCHEMA))
    everywhere = (
        live | set(rows(queue, SCHEMA, second.aside)) | set(rows(queue, SCHEMA, third.backup))
    )
    done = set(clients.finished)
    assert not (before | set(clients.written)) - everywhere - done
    assert kept <= everywhere | done and clients.stall < 1.0


def test_kept_rows_come_back_beside_an_archiver(queue: Server) -> None:
    fill(queue, SCHEMA, 2000)
    with Clients(queue, SCHEMA, writers=1, archivers=2) as clients, opened(queue, SCHEMA) as tools:
        record = truncate(tools)
        boundary = record.boundary
    backup, live = rows(queue, SCHEMA, record.backup), rows(queue, SCHEMA)
    wanted = {k for k, v in backup.items() if v[1] in (1, 2) and str(v[3]) >= "2026-03-01"}
    assert record.moved == len(wanted)
    back = {k for k in live if k <= boundary}
    assert back <= wanted
    # What is not there was finished by the archiver; what it finished after it was back is gone.
    assert wanted - back <= set(clients.finished) | set(clients.missed)
    assert not back & set(clients.finished)


def test_dedupe_keeps_the_row_that_matomo_takes(queue: Server) -> None:
    day = "'2026-05-01', '2026-05-01', 1, '2026-10-01 00:00:00'"
    queue.sql(f"DELETE FROM {TABLE}", SCHEMA)
    insert(queue, SCHEMA, [f"(NULL, 'done', 1, {day}, 0)"] * 50 + [
        f"(NULL, 'done.Goals', 1, {day}, 0)", f"(NULL, 'done', 2, {day}, 0)",
        f"(NULL, 'done', 3, {day}, 1)", *[f"(NULL, 'done', 3, {day}, 0)"] * 2,
    ])  # fmt: skip
    queue.sql(f"UPDATE {TABLE} SET report = '' WHERE idsite = 1 AND idinvalidation % 2", SCHEMA)
    rule, before = Rule(only=DUPLICATES), rows(queue, SCHEMA)
    highest = max(k for k, v in before.items() if v[1] == 1 and v[0] == "done")
    with opened(queue, SCHEMA) as tools:
        assert dedupe.surplus(tools.session, TABLE, rule) == 49
        record = carved(tools, rule)
        assert dedupe.surplus(tools.session, TABLE, rule) == 0
    after = rows(queue, SCHEMA)
    assert record.moved == 49 and len(after) == 6
    assert highest in after and len([v for v in after.values() if v[1] == 3]) == 3


def test_dedupe_leaves_a_key_alone_that_an_archiver_has_begun_on(queue: Server) -> None:
    queue.sql(f"DELETE FROM {TABLE}", SCHEMA)
    insert(queue, SCHEMA, ["(NULL, 'done', 1, '2026-05-01', '2026-05-01', 1, NULL, 0)"] * 3)
    rule, ids = Rule(only=DUPLICATES), sorted(rows(queue, SCHEMA))
    with opened(queue, SCHEMA) as tools:
        find = dedupe.finder(tools.session, TABLE, rule)
        found = list(find())
        queue.sql(f"UPDATE {TABLE} SET status = 1 WHERE idinvalidation = {ids[-1]}", SCHEMA)
        record = carve.finish(tools, carve.begin(tools, rule, "dedupe"), lambda: iter(found))
        assert record.moved == 0 and not tools.records.all()
    assert sorted(rows(queue, SCHEMA)) == ids and len(tables(queue, SCHEMA)) == 3


def test_rows_in_progress_come_back_queued(queue: Server) -> None:
    queue.sql(f"UPDATE {TABLE} SET status = 1, ts_started = NOW(), process_id = '7'", SCHEMA)
    with opened(queue, SCHEMA) as tools:
        truncate(tools)
    found = queue.sql(f"SELECT DISTINCT status, ts_started, process_id AS p FROM {TABLE}", SCHEMA)
    assert found == [{"status": 0, "ts_started": None, "p": None}]


def test_a_held_table_is_refused_and_nothing_is_changed(queue: Server) -> None:
    every = rows(queue, SCHEMA)
    idle = queue.connect(schema=SCHEMA, autocommit=False)
    idle.cursor().execute(f"SELECT 1 FROM {TABLE} LIMIT 1")
    try:
        with opened(queue, SCHEMA, patience=1.0) as tools:
            with pytest.raises(Refused, match="is held by") as caught:
                truncate(tools)
            assert caught.value.state == "Nothing was changed"
            assert not tools.records.all() and tools.switch.waited < 0.6
    finally:
        idle.close()
    assert rows(queue, SCHEMA) == every and len(tables(queue, SCHEMA)) == 3


def test_two_runs_and_strange_names(queue: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools_module, "_LINGERS", 0.2)
    with opened(queue, SCHEMA) as tools:
        with pytest.raises(Locked), opened(queue, SCHEMA):
            pass
        with pytest.raises(UsageError, match="no backup made by matops"):
            backups.drop(tools, "piwik_site")
        queue.sql(f"CREATE TABLE {TABLE}_bak_20200101000000 (a INT)", SCHEMA)
        (found,) = backups.look(tools.session, "piwik_")
        assert not found.ours and "left alone" in found.state
        with pytest.raises(UsageError):
            backups.drop(tools, found.name)


def test_drop_backup(queue: Server) -> None:
    with opened(queue, SCHEMA) as tools:
        with pytest.raises(Refused, match="the table prefix is too long"):
            dataclasses.replace(tools, table="p" * 46).free_name("bak")
        record = truncate(tools)
        assert backups.drop(tools, record.backup) == 60
        assert not tools.records.all() and len(tables(queue, SCHEMA)) == 3


def test_an_orphan_that_holds_rows_is_not_dropped(queue: Server) -> None:
    with opened(queue, SCHEMA) as tools:
        record = swap.begin(tools, KEEP, "truncate")
        queue.sql(f"RENAME TABLE {TABLE} TO {record.new}, {record.backup} TO {TABLE}", SCHEMA)
        queue.sql(f"INSERT INTO {record.new} SELECT * FROM {TABLE} LIMIT 1", SCHEMA)
        with pytest.raises(Refused, match="holds rows"):
            swap.settle(tools, record)
        queue.sql(f"DELETE FROM {record.new}", SCHEMA)
        assert not swap.settle(tools, record)
        assert len(tables(queue, SCHEMA)) == 3 and len(rows(queue, SCHEMA)) == 60


def test_ctrl_c_while_waiting_leaves_nothing(queue: Server) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with opened(queue, SCHEMA) as tools:
        tools.switch.pause = interrupted
        with pytest.raises(KeyboardInterrupt):
            swap.exchange(tools, "none", "none_bak", TABLE)
        real = swap.exchange
        try:
            swap.exchange = lambda *unused: interrupted(0)
            with pytest.raises(KeyboardInterrupt):
                tools.switch.pause = lambda seconds: None
                truncate(tools)
        finally:
            swap.exchange = real
        assert not tools.records.all()
    assert len(tables(queue, SCHEMA)) == 3


def test_killed_anywhere_clearing_flags_goes_on_and_back(
    queue: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clear_flags, "_BATCH", 1)
    month = "piwik_archive_numeric_2026_01"

    def prepare() -> None:
        clean(queue, SCHEMA)
        days = ", ".join(f"({n},'done',1,'2026-01-0{n}','2026-01-0{n}',1,'2026-02-01',4)"
                         for n in (1, 3, 5))  # fmt: skip
        queue.sql(f"{NUMERIC.format(table=month)}; INSERT INTO {month} VALUES {days}", SCHEMA)
        insert(queue, SCHEMA, ["(NULL, 'done', 1, '2026-01-03', '2026-01-03', 1, NULL, 0)"])

    def flags() -> list[int]:
        found = queue.sql(f"SELECT value AS v FROM {month} ORDER BY idarchive", SCHEMA)
        return [int(row["v"]) for row in found]

    def back(tools: Tools) -> None:
        (record,) = tools.records.all()
        restore.put_back(tools, record)

    prepare()
    for number in killed_everywhere(queue, lambda tools: clear_flags.clear(tools, "flags")):
        with opened(queue, SCHEMA) as tools:
            record = clear_flags.clear(tools, "flags")
            assert record and record.rows == 2 and flags() == [1, 4, 1], number
        prepare()
    for number in killed_everywhere(queue, back):
        with opened(queue, SCHEMA) as tools:
            back(tools)
            assert flags() == [4, 4, 4] and tools.records.all()[0].back == 2, number
        prepare()
        with opened(queue, SCHEMA) as tools:
            clear_flags.clear(tools, "flags")


def test_a_held_backup_is_not_restored_and_nothing_is_changed(queue: Server) -> None:
    with opened(queue, SCHEMA, patience=1.0) as tools:
        record = truncate(tools)
        after, names = rows(queue, SCHEMA), tables(queue, SCHEMA)
        with contextlib.closing(queue.connect(schema=SCHEMA, autocommit=False)) as dump:
            dump.cursor().execute(f"SELECT 1 FROM {record.backup} LIMIT 1")
            for work in (lambda: restore.put_back(tools, record),
                         lambda: backups.drop(tools, record.backup)):  # fmt: skip
                with pytest.raises(Refused, match="is held by"):
                    work()
        assert tools.records.all() == [record]
    assert rows(queue, SCHEMA) == after and tables(queue, SCHEMA) == names


ALL = f"SELECT *, mine FROM {TABLE} ORDER BY idinvalidation"


def test_a_table_that_others_alter(made: Server) -> None:
    """Columns of a plugin, computed and invisible; an upgrade between truncate and restore."""
    schema = "queue_altered"
    make(made, schema)
    fill(made, schema)
    computed = "twice INT GENERATED ALWAYS AS (idsite * 2) STORED"
    made.sql(f"ALTER TABLE {TABLE} ADD {computed}, ADD mine INT INVISIBLE DEFAULT 7", schema)
    made.sql(f"UPDATE {TABLE} SET mine = idinvalidation", schema)
    before = made.sql(ALL, schema)
    with opened(made, schema) as tools:
        part = carve.begin(tools, Rule(only="deleted-sites", gone_sites=(9,)), "carve")
        insert(made, schema, ["(NULL, 'done', 9, '2026-01-01', '2026-01-01', 1, NULL, 0)"])
        carve.finish(tools, part, ending.find(tools, part))
        made.sql(f"DELETE FROM {TABLE} WHERE idsite = 9", schema)  # it came later: it had stayed
        restore.put_back(tools, tools.records.all()[0])
        assert made.sql(ALL, schema) == before
        whole = truncate(tools, Rule())
        made.sql(f"ALTER TABLE {TABLE} DROP twice, ADD newer INT NULL", schema)
        fill(made, schema, 3)
        since = rows(made, schema)
        outcome = restore.put_back(tools, whole)
        assert outcome.merged == 60 and not outcome.aside and whole.backup in tables(made, schema)
        assert rows(made, schema) == {**rows(made, schema, whole.backup), **since}
        assert made.sql(f"SHOW COLUMNS FROM {TABLE} LIKE 'newer'", schema)
        assert restore.put_back(tools, tools.records.all()[1]).merged == 0  # once is enough


def test_a_live_table_that_was_dropped(queue: Server) -> None:
    with opened(queue, SCHEMA) as tools:
        truncate(tools, Rule())
        fill(queue, SCHEMA, 3)
        record = truncate(tools, Rule())
        fill(queue, SCHEMA, 3)
        given = max(rows(queue, SCHEMA))
        queue.sql(f"DROP TABLE {TABLE}", SCHEMA)
        first = tools.records.all()[0]
        assert first.backup != record.backup
        restore.put_back(tools, first)
        fill(queue, SCHEMA, 1)
        assert max(rows(queue, SCHEMA)) > given and len(rows(queue, SCHEMA)) == 61
        for wrong in ("5", '{"v": 1, "rule": null}'):
            queue.sql(f"REPLACE INTO {OPTION} VALUES ('matops.invalidations.x', '{wrong}', 0)",
                      SCHEMA)  # fmt: skip
            with pytest.raises(MatopsError, match="is not understood"):
                tools.records.all()
