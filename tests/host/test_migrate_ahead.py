"""migrate.ahead on the real host, 5.3.1 → 5.8.0: proven, run under traffic, then upgraded."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matops.errors import MatopsError, Refused, UsageError
from matops.matomo.site import Site
from matops.mysql.ahead.picture import Picture, differences, parse
from matops.runbook.migrate_ahead import MigrateAhead
from matops.runbook.migrate_ahead_there import Wanted
from tests.conftest import Fab
from tests.host.rehearse_kit import STAGES, Ran, site, slim
from tests.host.release_kit import Asked
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

__all__ = ["site"]  # a fixture

REFERENCE = "matomo_ref"
CORE = "matomo_log_visit,matomo_segment,matomo_user,matomo_user_token_auth"


# A statement that does not cope with what is there, and one that does (it ignores 1061).
PATCH = """return [
    $this->migration->db->sql('ALTER TABLE `' . \\Piwik\\Common::prefixTable('goal')
        . '` ADD INDEX `index_own` (`idsite`)'),
    $this->migration->db->addIndex('log_visit', ['visit_total_time'], 'index_ahead'),"""
PATCHED = "matomo/core/Updates/5.8.0-b2.php"


def patched(source: Path, target: Path) -> Path:
    """The release with two more migrations in its last update file."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == PATCHED:
                assert data.count(b"return [") == 1
                data = data.replace(b"return [", PATCH.encode())
            new.writestr(name, data)
    return target


@pytest.fixture(scope="module")
def staged(site: Site, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The newer release with two more migrations; its folder."""
    folder = tmp_path_factory.mktemp("release")
    kept = " ".join(
        f"/var/lib/matops/*/{name}" for name in ("rehearsal.json", "ahead", "downloads")
    )
    sandbox.exec("sh", "-c", f"rm -rf {STAGES} {kept}")  # of other tests
    # Thousands of translations that nobody reads here would be copied and compared.
    sandbox.exec("find", "/var/www/html", "-path", "*/lang/*.json", "!", "-name", "en*", "-delete")
    whole = slim(sandbox.release_zip, folder / "slim.zip")
    path = patched(whole, folder / f"matomo-{sandbox.release_version}.zip")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = Asked(site, release=str(path), sha256=digest).run().evidence
    assert found
    yield found.facts["path"]
    sandbox.reset()


class Traffic:
    """Hits from outside, each with an address of its own; which of them were answered well."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._base = f"http://{sandbox.address}/matomo.php?"
        self._stop = threading.Event()
        self.sent = 0
        self.bad: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            url = f"http://example.org/matops-ahead-{self.sent}"
            query = {"idsite": 1, "rec": 1, "url": url, "action_name": url, "rand": self.sent}
            try:
                with urllib.request.urlopen(self._base + urllib.parse.urlencode(query)) as answer:
                    answer.read()
            except OSError as error:
                self.bad.append(f"{url}: {error}")
            self.sent += 1
            time.sleep(0.05)


def recorded(sandbox: Sandbox) -> int:
    """How many of the hits came in."""
    rows = sandbox.sql(
        "select count(*) from matomo.matomo_log_link_visit_action l join matomo.matomo_log_action a"
        " on a.idaction = l.idaction_url where a.name like '%/matops-ahead-%'"
    )
    return int(rows[0][0])


def pictures(sandbox: Sandbox, schema: str) -> dict[str, Picture]:
    """Every table as the server writes it."""
    tables = [row[0] for row in sandbox.sql(f"show tables in {schema}")]
    rows = sandbox.sql("; ".join(f"show create table {schema}.`{name}`" for name in tables))
    return {row[0]: parse(row[1]) for row in rows}


def plain_upgrade(sandbox: Sandbox, stage: str) -> None:
    """A copy of the whole database, upgraded by the staged release's own core:update."""
    tree = f"{STAGES}/reference"
    sandbox.exec(
        "sh", "-ec",
        f"mysql -e 'create database {REFERENCE}; grant all on {REFERENCE}.* to matomo@localhost'; "
        f"mysqldump matomo | mysql {REFERENCE}; cp -R {stage}/matomo {tree}; "
        f"cp /var/www/html/config/config.ini.php {tree}/config/; rm -rf {tree}/tmp/*; "
        f"sed -i 's/^dbname = .*/dbname = \"{REFERENCE}\"/' {tree}/config/config.ini.php; "
        f"chown -R www-data: {tree}; cd {tree}; "
        "su -s /bin/sh www-data -c 'php console core:update --yes'; rm -rf {tree}",
    )  # fmt: skip


def step(site: Site, confirmed: bool = True, login: str = "root", **wanted: Any) -> MigrateAhead:
    """As the task makes it, over the module's connection."""
    return MigrateAhead(
        site, lambda line: None, Wanted(**wanted), login=login, confirm=lambda *asked: confirmed
    )


def test_refused_without_a_rehearsal_then_what_would_be_done(
    fab: Fab, site: Site, sandbox: Sandbox, staged: str
) -> None:
    with pytest.raises(Refused, match="nothing was rehearsed yet"):
        step(site).look()
    assert Ran(site).go()
    with pytest.raises(MatopsError, match="may not have a scratch database"):
        step(site, login="", min_size=0).look()
    dry = fab("migrate.ahead", "--min-size", "0", "--login", "root", "--dry-run")
    assert dry.code == 0, dry.all
    assert "yes: column ai_agent_name on matomo_log_visit" in dry.out
    assert "matomo_archiving_metrics is not there yet" in dry.out
    asked = step(site, False, min_size=0)
    with pytest.raises(Refused, match="was not confirmed"):
        asked.act(asked.look().actions[0])
    with pytest.raises(UsageError, match="does nothing to matomo_nothing"):
        step(site, tables=("matomo_nothing",)).look()


def test_what_the_upgrade_does_not_cope_with_is_refused(
    site: Site, sandbox: Sandbox, staged: str
) -> None:
    """A statement that has no way round "duplicate key name": the proof finds that."""
    goal = step(site, tables=("matomo_goal",))
    with pytest.raises(Refused, match=r"core:update does not go through on the copy.*index_own"):
        goal.act(goal.look().actions[0])
    assert not sandbox.sql("show index from matomo.matomo_goal where key_name = 'index_own'")
    assert not sandbox.sql("show databases like 'matops%'")


def test_ahead_under_traffic_then_the_upgrade_ends_with_the_same_schema(
    fab: Fab, sandbox: Sandbox, staged: str
) -> None:
    plain_upgrade(sandbox, staged)
    words = ("migrate.ahead", "--tables", CORE, "--login", "root", "--yes")
    with Traffic(sandbox) as traffic:
        ran = fab(*words, "--json")
    assert ran.code == 0, ran.all
    result = json.loads(ran.out)["ahead"]
    assert {each["ended"] for each in result["results"]} == {"done"}
    assert [each["way"] for each in result["results"]].count("inplace") == 1
    assert len(result["results"]) == 7
    assert any("DROP COLUMN `ai_agent_name`;" in line for line in result["undo"])
    assert any("MODIFY COLUMN `ai_agent_name`" in x for x in result["left_for_the_outage"])
    assert traffic.bad == [] and recorded(sandbox) == traffic.sent > 20
    seen = sandbox.sql("show columns from matomo.matomo_log_visit like 'ai_agent_name'")
    assert seen and seen[0][1] == "varchar(40)"

    # A second time: it looks, and is content with what it did itself.
    again = fab(*words)
    assert again.code == 0 and "already done" in again.out, again.all
    # The live code goes on: tracks, and serves the UI.
    with Traffic(sandbox) as more:
        time.sleep(0.5)
        page = urllib.request.urlopen(f"http://{sandbox.address}/index.php").read()
    assert more.bad == [] and b"Matomo" in page

    upgraded = sandbox.exec(
        "sh", "-c",
        f"cp -R {staged}/matomo/. /var/www/html/ && chown -R www-data: /var/www/html && "
        "cd /var/www/html && su -s /bin/sh www-data -c 'php console core:update --yes && "
        "php console core:update --yes'",
    ).stdout  # fmt: skip
    assert "successfully updated" in upgraded and "already up to date" in upgraded, upgraded
    plain, ahead = pictures(sandbox, REFERENCE), pictures(sandbox, "matomo")
    assert "index_ahead" in plain["matomo_log_visit"].keys and "matomo_archiving_metrics" in plain
    # Those that the day's first scheduled tasks made for archives of months past: on live only.
    for table in {name for name in ahead if "_archive_" in name} - set(plain):
        del ahead[table]
    assert differences(plain, ahead) == []
