"""``--actions``: orphaned actions go, and no tracker ever refers to one that is gone."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from matops.mysql.attempt import Stop
from matops.mysql.purge import references
from matops.mysql.purge.actions import Actions, Done
from matops.mysql.purge.link import Link
from matops.mysql.purge.summary import Options
from matops.mysql.purge.work import Enough, Work
from matops.runbook.purge_look import named_by_plugins
from tests.db import purge_kit as kit
from tests.db.servers import Server

SCHEMA, P = "purging3", kit.PREFIX
# A plugin's table whose columns are called otherwise than with idaction.
_PLUGIN = "CREATE TABLE {p}shop_seen (id INT NOT NULL PRIMARY KEY, thing INT UNSIGNED)"
_NAMES = 600


@pytest.fixture
def filled(server: Server) -> Iterator[Server]:
    """600 actions of which page views use some; a few odd ones; two set aside by a killed run."""
    kit.make(server, SCHEMA, extra=_PLUGIN)
    kit.fill(server, SCHEMA, days=8, a_day=10, late=10)
    rows = ",".join(f"({i},'url{i}/ä😀',CRC32('url{i}/ä😀'),1)" for i in range(1, _NAMES + 1))
    server.sql(
        f"INSERT INTO {P}log_action (idaction,name,hash,type) VALUES {rows};"
        f"UPDATE {P}log_action SET hash = 7 WHERE idaction = 500;"
        f"UPDATE {P}log_action SET hash = hash ^ 4294967295 WHERE idaction IN (1, 501);"
        f"INSERT INTO {P}shop_seen VALUES (1, 502)",
        schema=SCHEMA,
    )
    yield server
    server.sql(f"DROP DATABASE {SCHEMA}")


def run(server: Server, grace: float = 0.5, stop: Any = None,
        before: Callable[[Actions], Any] = lambda actions: None) -> Done:  # fmt: skip
    """One run, as the task does it."""
    with Link(server.address(schema=SCHEMA), P) as link:
        found = references.look(link.session, P, ["thing"])
        work = Work(link, Options("", "", ()), stop or Stop(), say=print)
        actions = Actions(work, f"{P}log_action", found, grace)
        before(actions)
        return actions.run()


def state(server: Server) -> tuple[set[int], set[int], set[int]]:
    """(all actions, those set aside, those that something refers to)."""
    ids = server.sql(f"SELECT idaction AS i, hash = (CRC32(name) ^ 4294967295) AS aside"
                     f" FROM {P}log_action", schema=SCHEMA)  # fmt: skip
    with Link(server.address(schema=SCHEMA), P) as link:
        found = references.look(link.session, P, ["thing"])
    text = " UNION ".join(
        f"SELECT {column} AS i FROM {ref.table} WHERE {column} > 0"
        for ref in found for column in ref.columns
    )  # fmt: skip
    used = {int(row["i"]) for row in server.sql(text, schema=SCHEMA)}
    return {r["i"] for r in ids}, {r["i"] for r in ids if r["aside"]}, used


def test_what_nothing_refers_to_goes_and_nothing_else(filled: Server) -> None:
    actions, aside, used = state(filled)
    assert aside == {1, 501} and 1 in used and 502 in used and len(used) > 100
    done = run(filled)
    left, aside, _ = state(filled)
    assert left == (actions & used) | {500} and aside == set()
    assert done.odd == 1 and done.back == 1 and done.deleted == len(actions) - len(left)
    again = run(filled, grace=0.1)
    assert again.deleted == 0 and again.aside == 0


class Tracker(threading.Thread):
    """Looks actions up as Matomo does (core/Tracker/Model.php), and refers to them a while later;
    one in four works in a transaction, with its snapshot."""

    def __init__(self, server: Server, over: threading.Event, number: int) -> None:
        super().__init__()
        self._server, self._over, self._dice = server, over, random.Random(number)
        self._bulk = number % 4 == 0
        self.tracked = 0
        self.lost = 0

    def run(self) -> None:
        with self._server.connect(schema=SCHEMA, autocommit=not self._bulk) as connection:
            cursor = connection.cursor()
            while not self._over.is_set():
                self._one(cursor)
                connection.commit()
                self.tracked += 1

    def _one(self, cursor: Any) -> None:
        name = f"url{self._dice.randrange(1, _NAMES + 200)}/ä😀"
        find = (f"SELECT idaction FROM {P}log_action WHERE (hash = CRC32(%s) AND name = %s"
                " AND type = 1) ORDER BY idaction LIMIT 1")  # fmt: skip
        cursor.execute(find, (name, name))
        row = cursor.fetchone()
        if row is None:
            cursor.execute(f"INSERT INTO {P}log_action (name,hash,type) VALUES (%s,CRC32(%s),1)",
                           (name, name))  # fmt: skip
            time.sleep(self._dice.random() * 0.05)
            cursor.execute(find, (name, name))
            row = cursor.fetchone()
        if row is None:
            self.lost += 1
            return
        time.sleep(self._dice.random() * 0.3)  # less than grace
        if self._dice.random() < 0.3:  # in place, in a row that was there before
            change = f"UPDATE {P}log_visit SET visit_exit_idaction_url = %s WHERE idvisit = %s"
            cursor.execute(change, (row["idaction"], self._dice.randrange(1, 100)))
        else:
            cursor.execute(f"INSERT INTO {P}log_link_visit_action (idsite,idvisitor,idvisit,"
                           "server_time,idaction_url) VALUES (1,'t',5,NOW(),%s)",
                           (row["idaction"],))  # fmt: skip


def test_trackers_at_work_never_refer_to_an_action_that_is_gone(filled: Server) -> None:
    _, _, dangling = state(filled)
    dangling -= state(filled)[0]  # the kit's products have no action
    over = threading.Event()
    trackers = [Tracker(filled, over, number) for number in range(12)]
    for tracker in trackers:
        tracker.start()
    try:
        total = run(filled, grace=0.5).deleted
    finally:
        over.set()
        for tracker in trackers:
            tracker.join()
    actions, aside, used = state(filled)
    assert used - actions <= dangling, "a reference to an action that is gone"
    assert not aside & used and sum(t.lost for t in trackers) == 0
    assert total > 100 and sum(t.tracked for t in trackers) > 50


def test_killed_after_setting_aside_the_next_run_goes_on(filled: Server) -> None:
    def die(actions: Actions) -> None:
        settle = actions._wait
        waits = [0]

        def wait(whom: str) -> None:
            waits[0] += 1
            if waits[0] == 2:
                raise Enough
            settle(whom)

        actions._wait = wait  # type: ignore[method-assign]

    with pytest.raises(Enough):
        run(filled, grace=0.1, before=die)
    actions, aside, used = state(filled)
    assert aside - {1} == actions - used - {500}
    filled.sql(f"UPDATE {P}shop_seen SET thing = 503", schema=SCHEMA)
    done = run(filled, grace=0.1)
    left, aside, used = state(filled)
    assert left == (actions & used) | {500} and aside == set() and 503 in left
    assert done.back == 1


def test_columns_that_a_plugin_names_are_found(tmp_path: Path) -> None:
    plugin = tmp_path / "plugins" / "Shop"
    plugin.mkdir(parents=True)
    (plugin / "Shop.php").write_text(
        "<?php public function registerEvents() { return ['Db.getActionReferenceColumnsByTable' =>"
        " 'addColumns']; } function addColumns(&$r) { $r['shop_seen'] = array('thing'); }"
    )
    (plugin / "Other.php").write_text("<?php $x = 'unrelated';")
    assert named_by_plugins(str(tmp_path)) == ["addColumns", "shop_seen", "thing"]
