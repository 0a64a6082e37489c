"""``invalidations.truncate`` and its kin as an operator meets them: plans, refusals, ways back."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import pymysql.connections
import pytest

from matops.errors import MatopsError, Refused, UsageError
from matops.host.local import LocalLink
from matops.host.shell import Host
from matops.matomo.probes import background
from matops.matomo.site import Site, open_site
from matops.mysql.invalidations import swap
from matops.mysql.invalidations.keep import Rule, parse_only, parse_periods, parse_sites
from matops.mysql.invalidations.plan import choose
from matops.mysql.session import AccessDenied, Address
from matops.report.progress import Progress
from matops.runbook import invalidations_step
from matops.runbook.invalidations_back import DropBackup, Restore
from matops.runbook.invalidations_rebuild import Call, ClearFlags, Reinvalidate, calls, parse_span
from matops.runbook.invalidations_reset import Reset
from matops.runbook.invalidations_step import QueueStep, Voices
from matops.runbook.invalidations_truncate import Dedupe, Truncate
from matops.runbook.step import Evidence, Look
from matops.settings import Settings
from tests.conftest import environment
from tests.db import docroot, template
from tests.db.accounts import PASSWORD
from tests.db.invalidations_kit import (
    NUMERIC,
    OPTION,
    PREFIX,
    TABLE,
    clean,
    fill,
    insert,
    make,
    opened,
    rows,
    tables,
)  # fmt: skip
from tests.db.servers import Server

SCHEMA = "queue_task"
ROOT = Path(__file__).parent.parent.parent
MONTH = f"{PREFIX}archive_numeric_2026_01"


# An archiver of another test's host would be taken for ours: see no process but our own.
_ALONE = ["unshare", "--pid", "--fork", "--mount-proc"] if os.geteuid() == 0 else []


class Place:
    """A machine with a Matomo on it: steps in this process, or tasks as typed."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.said: list[str] = []
        self.root = str(docroot.make(folder, server.account("matomo", SCHEMA)))
        settings = f"docroot: {self.root}\nphp: /bin/true\nstate_dir: {folder}/state\nsudo: false\n"
        (folder / "matops.yaml").write_text(settings)
        for path in [folder, *folder.rglob("*")]:
            template.give_to_nobody(path)

    def connect_as(self, address: Address) -> None:
        """Another account in config.ini.php."""
        path = Path(self.root) / "config" / "config.ini.php"
        text = "".join(
            f"{key} = \"{value}\"\n" for key, value in (
                ("host", address.host), ("port", address.port), ("username", address.user),
                ("password", address.password), ("dbname", SCHEMA), ("tables_prefix", PREFIX))
        )  # fmt: skip
        path.write_text(f"; <?php exit; ?>\n[database]\n{text}")

    @functools.cached_property
    def _site(self) -> Site:
        settings = Settings(docroot=self.root, state_dir=f"{self.folder}/state", php="/bin/true")
        return open_site(Host(LocalLink(), sudo=False), settings)

    def site(self) -> Site:
        """The installation, on this very machine. Looked at once."""
        return self._site

    def voices(self, yes: bool = True, wait: int = 0) -> Voices:
        """Says yes, or no."""

        def track(what: str, total: int, unit: str) -> Progress:
            return Progress(what, total, unit, self.said.append)

        return Voices(lambda question, word: yes, track, self.said.append, [], wait)

    def truncate(self, **asked: str) -> Truncate:
        """The step."""
        return Truncate(self.site(), self.said.append, self.voices(), asked)

    def type(self, *words: str, code: int = 0) -> str:
        """A task as typed, without a terminal; what it printed. No traceback, one line of error."""
        done = subprocess.run(
            [*_ALONE, *template.as_nobody(), sys.executable, "-m", "invoke", *words], cwd=ROOT,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
            env={**environment(self.folder / "matops.yaml"), "HOME": str(self.folder),
                 "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr and PASSWORD not in done.stdout + done.stderr
        assert len(done.stderr.strip().splitlines()) == (1 if code else 0), done.stderr
        return done.stdout + done.stderr


def go(step: QueueStep) -> tuple[Look, Optional[Evidence]]:
    """Looks, acts, verifies, as the engine does."""
    look = step.look()
    for action in look.actions:
        step.act(action)
    return look, step.verify() if look.actions else None


@pytest.fixture(scope="module")
def made(server: Server) -> Iterator[Place]:
    # Not pytest's folder, which nobody else may enter: tasks run as the web user here.
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(background, "processes", lambda: [])
        if server.flavour == "mariadb":  # MySQL's accounts need TLS
            patch.setattr(pymysql.connections, "SSL_ENABLED", False)
        make(server, SCHEMA)
        yield Place(server, Path(folder))


@pytest.fixture
def place(made: Place) -> Iterator[Place]:
    clean(made.server, SCHEMA)
    fill(made.server, SCHEMA)
    made.said.clear()
    made.connect_as(made.server.account("matomo", SCHEMA))
    yield made


def live(place: Place) -> dict[int, Any]:
    return rows(place.server, SCHEMA)


def test_typed(place: Place) -> None:
    if place.server.flavour == "mysql":
        pytest.skip("typed once: what follows is the same in this process, on both")
    every = live(place)
    plan = place.type("invalidations.truncate", "--keep-sites", "1")
    assert "45 go, 15 stay" in plan and "Nothing was changed" in plan and "swapped in" in plan
    assert live(place) == every
    done = place.type("invalidations.truncate", "--keep-sites", "1", "--yes")
    (name,) = [n for n in tables(place.server, SCHEMA) if "_bak_" in n]
    assert f"invalidations.restore {name}" in done
    assert live(place) == {k: v for k, v in every.items() if v[1] == 1}
    assert name in place.type("invalidations.backups")
    assert "'backup'" in place.type("invalidations.restore", code=2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nonsense"], "is not one of duplicates"),
        (["--keep-days", "-1"], "is not a number of days"),
        (["--keep-periods", "decade"], "is not one of day"),
        (["--reinvalidate", "2026-03-01,2026-01-01"], "is after"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from invoke import Context
    from invoke.exceptions import Exit

    from matops.tasks.invalidations_change import truncate

    flags = {words[0].strip("-").replace("-", "_"): words[1]}
    with pytest.raises(Exit) as caught:
        truncate.body(Context(), **flags)
    assert caught.value.code == 2 and message in caught.value.message


def test_rules() -> None:
    assert parse_only("plugin=Goals") == ("plugin", "Goals")
    assert parse_sites("2, 1") == (1, 2) and parse_periods("week,day") == (1, 2)
    for wrong in ("0", "x", ","):
        with pytest.raises(UsageError):
            parse_sites(wrong)
    rule = Rule(only="plugin", plugin="Goals", since="2026-01-01", sites=(1,))
    assert Rule.of(rule.data()) == rule and "but those" in rule.words
    assert choose(rule, 100, 60)[0] == "swap" and choose(rule, 100, 40)[0] == "carve"
    assert choose(rule, 100, 0)[0] == "" and choose(Rule(only="duplicates"), 9, 8)[0] == "carve"


def test_calls_name_only_what_is_concerned() -> None:
    sites = {"1": [3, "2026-01-05", "2026-02-28"], "2": [1, "2026-01-05", "2026-02-28"],
             "3": [1, "2025-01-01", "2025-01-01"]}  # fmt: skip
    assert calls(sites, ("2026-02-01", "2026-03-01")) == [Call((1, 2), "2026-02-01", "2026-02-28")]
    assert parse_span("2026-01-01,2026-01-31") == ("2026-01-01", "2026-01-31")
    first, last = parse_span("last1")
    assert first == last
    for wrong in ("last0", "last", "2099-01-01,2099-01-02", "2026-01-01"):
        with pytest.raises(UsageError):
            parse_span(wrong)


def test_only_takes_what_it_names_unless_it_is_kept(place: Place) -> None:
    every = live(place)
    goals = {k: v for k, v in every.items() if v[0] == "done.Goals" and v[1] != 2}
    look, evidence = go(place.truncate(only="plugin=Goals", keep_sites="2"))
    assert "in small batches" in look.actions[0].why and evidence
    assert live(place) == {k: v for k, v in every.items() if k not in goals}
    look, _ = go(place.truncate(only="plugin=Goals", keep_sites="2"))
    assert not look.actions and "none of" in look.because
    look, evidence = go(place.truncate(only="deleted-sites"))
    assert evidence and 9 not in {v[1] for v in live(place).values()}


def test_keep_days_keeps_the_periods_that_reach_into_them(place: Place) -> None:
    place.server.sql(f"DELETE FROM {TABLE}", SCHEMA)
    month = "DATE_FORMAT(UTC_DATE() - INTERVAL 10 DAY, '%Y-%m-01'), LAST_DAY(UTC_DATE()), 3"
    day = "UTC_DATE() - INTERVAL {0} DAY, UTC_DATE() - INTERVAL {0} DAY, 1"
    spans = [day.format(0), day.format(10), day.format(11), month]
    insert(place.server, SCHEMA, [f"(NULL, 'done', 1, {span}, NULL, 0)" for span in spans])
    before = sorted(live(place))
    go(place.truncate(keep_days="10"))
    assert sorted(live(place)) == [before[0], before[1], before[3]]


def test_a_killed_run_is_ended_by_its_own_rule(place: Place) -> None:
    every = live(place)
    with opened(place.server, SCHEMA) as tools:
        record = swap.begin(tools, Rule(sites=(1,)), "truncate")
    step = place.truncate(keep_sites="2")
    look, evidence = go(step)
    assert look.actions[0].what == "end what an earlier run began"
    assert evidence and evidence.facts["backup"] == record.backup
    assert live(place) == {k: v for k, v in every.items() if v[1] == 1}


def test_restore_and_drop(place: Place) -> None:
    every = live(place)
    _, evidence = go(place.truncate())
    assert evidence
    name = evidence.facts["backup"]
    fill(place.server, SCHEMA, 10)
    since = live(place)
    _, back = go(Restore(place.site(), place.said.append, place.voices(), name))
    assert back and "10 rows created since were merged" in back.line
    assert live(place) == {**every, **since}
    (aside,) = [n for n in tables(place.server, SCHEMA) if "_bak_" in n]
    with pytest.raises(Refused, match="not confirmed"):
        go(DropBackup(place.site(), place.said.append, place.voices(yes=False), aside))
    go(DropBackup(place.site(), place.said.append, place.voices(), aside))
    assert len(tables(place.server, SCHEMA)) == 3
    with pytest.raises(UsageError, match="site 7 does not exist"):
        go(place.truncate(keep_sites="7"))
    with pytest.raises(UsageError, match="no backup made by matops"):
        go(DropBackup(place.site(), place.said.append, place.voices(), TABLE))


def test_an_archiver_at_work_is_refused_or_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.server.sql(
        f"UPDATE {TABLE} SET status = 1, ts_started = NOW(), processing_host = 'web9',"
        " process_id = '5' LIMIT 2", SCHEMA,
    )  # fmt: skip
    before = live(place)
    with pytest.raises(Refused, match="an archiver is at work"):
        go(place.truncate())
    assert live(place) == before and len(tables(place.server, SCHEMA)) == 3
    with pytest.raises(Refused, match="none of them provably abandoned"):
        go(Reset(place.site(), place.said.append, place.voices()))
    ended = threading.Timer(0.5, place.server.sql, (f"UPDATE {TABLE} SET status = 0", SCHEMA))
    monkeypatch.setattr(invalidations_step, "_POLL", 0.1)
    ended.start()
    asked = {"only": "deleted-sites"}
    go(Truncate(place.site(), place.said.append, place.voices(wait=20), asked))
    ended.join()
    assert any("waiting for the archiver to end" in line for line in place.said)
    assert 9 not in {row[1] for row in live(place).values()}


def test_the_operator_may_answer_for_another_host(place: Place) -> None:
    place.server.sql(f"UPDATE {TABLE} SET status = 1, ts_started = NOW(), processing_host = 'web9'"
                     " LIMIT 2", SCHEMA)  # fmt: skip
    look, _ = go(Reset(place.site(), place.said.append, place.voices(), ["web9"]))
    assert "you say that nothing runs on web9" in look.actions[0].why
    assert go(place.truncate())[1] and not live(place)


def test_reset_does_as_matomo_does(place: Place) -> None:
    place.server.sql(f"DELETE FROM {TABLE}", SCHEMA)
    day = "'2026-05-01', '2026-05-01', 1, '2026-10-01 00:00:00'"
    insert(place.server, SCHEMA, [
        f"(NULL, 'done', 1, {day}, 1)", f"(NULL, 'done', 2, {day}, 1)",
        f"(NULL, 'done', 2, {day}, 0)", f"(NULL, 'done', 3, {day}, 1)",
    ])  # fmt: skip
    a, b, c, d = sorted(live(place))
    place.server.sql(f"UPDATE {TABLE} SET ts_started = NOW() - INTERVAL 3 DAY"
                     f" WHERE idinvalidation IN ({a}, {b})", SCHEMA)  # fmt: skip
    _, evidence = go(Reset(place.site(), place.said.append, place.voices()))
    assert evidence and evidence.facts == {"queued": 2, "dropped": 1}
    assert {k: v[-1] for k, v in live(place).items()} == {a: 0, c: 0, d: 0}
    assert not go(Reset(place.site(), place.said.append, place.voices()))[0].actions


def test_dedupe_beside_an_archiver(place: Place) -> None:
    fill(place.server, SCHEMA)
    place.server.sql(
        f"UPDATE {TABLE} SET status = 1, ts_started = NOW(), processing_host = 'web9' LIMIT 1",
        SCHEMA,
    )
    look, evidence = go(Dedupe(place.site(), place.said.append, place.voices()))
    assert evidence and evidence.facts["rows"] == 59 and len(live(place)) == 61
    assert "59 go" in look.notes[0]


@pytest.fixture
def flags(place: Place) -> Iterator[Place]:
    """Three invalid archives; one of them has a row that stays, one is being written."""
    place.server.sql(NUMERIC.format(table=MONTH), SCHEMA)
    place.server.sql(
        f"INSERT INTO {MONTH} VALUES (1,'done',1,'2026-01-04','2026-01-04',1,'2026-02-01',4),"
        "(2,'done',2,'2026-01-06','2026-01-06',1,'2026-02-01',4),"
        "(3,'done',2,'2026-01-08','2026-01-08',1,'2026-02-01',6),"
        "(4,'done',2,'2026-01-09','2026-01-09',1,'2026-02-01',1)", SCHEMA,
    )  # fmt: skip
    place.server.sql(f"DELETE FROM {TABLE}", SCHEMA)
    insert(place.server, SCHEMA, [
        f"(NULL, 'done', {site}, '2026-01-0{day}', '2026-01-0{day}', 1, NULL, 0)"
        for site, day in ((1, 4), (2, 6), (2, 8))
    ])  # fmt: skip
    yield place


def values(place: Place) -> list[int]:
    found = place.server.sql(f"SELECT value AS v FROM {MONTH} ORDER BY idarchive", SCHEMA)
    return [int(row["v"]) for row in found]


def test_invalid_archives_without_a_row_are_named_and_unmarked(flags: Place) -> None:
    step = Truncate(flags.site(), flags.said.append, flags.voices(), {"keep_sites": "1"},
                    ("2026-01-01", "2026-01-07"), True)  # fmt: skip
    look, _ = go(step)
    notes = "\n".join(look.notes)
    assert "site 2: 2 archives, 2026-01-06 to 2026-01-08" in notes and "site 1:" not in notes
    assert "--sites=2 --dates=2026-01-06,2026-01-07" in notes
    _, evidence = go(ClearFlags(flags.site(), flags.said.append, flags.voices()))
    assert evidence and values(flags) == [4, 1, 6, 1]
    (name,) = [n for n in tables(flags.server, SCHEMA) if "_flags_" in n]
    go(Restore(flags.site(), flags.said.append, flags.voices(), name))
    assert values(flags) == [4, 4, 6, 1]


def test_reinvalidate_reads_back_what_it_did(flags: Place) -> None:
    flags.server.sql(f"DELETE FROM {TABLE}", SCHEMA)
    step = Reinvalidate(flags.site(), flags.said.append, flags.voices(),
                        ("2026-01-01", "2026-01-31"))  # fmt: skip
    look = step.look()
    assert [a.what.partition(" --periods=day,")[0] for a in look.actions] == [
        "console core:invalidate-report-data --sites=1 --dates=2026-01-04,2026-01-04",
        "console core:invalidate-report-data --sites=2 --dates=2026-01-06,2026-01-08",
    ]
    with pytest.raises(MatopsError, match="queued nothing for site 1"):  # php is /bin/true here
        go(step)


def refused(place: Place, match: str, kind: type[MatopsError] = Refused) -> None:
    """One clear line, exit 3 (or 1 for a privilege), nothing changed."""
    before, names = live(place), tables(place.server, SCHEMA)
    with pytest.raises(kind, match=match) as caught:
        go(place.truncate())
    assert caught.value.state == "Nothing was changed" and caught.value.next
    assert live(place) == before and tables(place.server, SCHEMA) == names


@contextlib.contextmanager
def having(place: Place, do: str, undo: str) -> Iterator[None]:
    place.server.sql(do, SCHEMA)
    try:
        yield
    finally:
        place.server.sql(undo, SCHEMA)


def test_refusals(place: Place) -> None:
    place.connect_as(place.server.address(schema=SCHEMA))
    trigger = f"CREATE TRIGGER audit BEFORE INSERT ON {TABLE} FOR EACH ROW SET @a = 1"
    with having(place, trigger, "DROP TRIGGER audit"):
        refused(place, "has triggers .audit")
    child = (f"CREATE TABLE child (id BIGINT UNSIGNED, FOREIGN KEY (id) REFERENCES {TABLE}"
             " (idinvalidation))")  # fmt: skip
    with having(place, child, "DROP TABLE child"):
        refused(place, "has foreign keys")
    with having(
        place, f"ALTER TABLE {OPTION} ENGINE=MyISAM", f"ALTER TABLE {OPTION} ENGINE=InnoDB"
    ):
        refused(place, "not InnoDB")
    with having(
        place,
        f"ALTER TABLE {TABLE} DROP COLUMN ts_invalidated",
        f"ALTER TABLE {TABLE} ADD ts_invalidated DATETIME NULL AFTER period",
    ):
        refused(place, "not Matomo's archive_invalidations: .* has no column ts_invalidated")
    place.connect_as(place.server.account("matomo", SCHEMA))
    with having(place, "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"):
        refused(place, "is read-only")
    privileges: Sequence[str] = ("DROP", "CREATE, ALTER")
    for missing in privileges:
        with having(
            place,
            f"REVOKE {missing} ON {SCHEMA}.* FROM matomo",
            f"GRANT {missing} ON {SCHEMA}.* TO matomo",
        ):
            refused(place, f"may not {missing}", AccessDenied)
