"""What the tests of rehearse share: a real stage with plugins, pictures of the live side."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matops.host.shell import Host
from matops.matomo.site import Site, open_site
from matops.runbook.rehearse import Rehearse
from matops.settings import Settings
from tests.conftest import connection
from tests.host.release_kit import Asked
from tests.sandbox import Sandbox

STAGES = "/var/www/.matops-stage"
_DEAD = r"\.(png|svg|gif|js|css|less|vue|ts|map)$|/lang/(?!en)[\w-]+\.json$|/tests/.|manifest\.inc"
_PLUGIN = """<?php
namespace Piwik\\Plugins\\@NAME@;
class @NAME@ extends \\Piwik\\Plugin {@BODY@}
"""
_UPDATE = """<?php
namespace Piwik\\Plugins\\@NAME@;
class Updates_2_0_0 extends \\Piwik\\Updates {
    private $factory;
    public function __construct(\\Piwik\\Updater\\Migration\\Factory $factory) {
        $this->factory = $factory;
    }
    public function getMigrations(\\Piwik\\Updater $updater) {
        return array($this->factory->db->sql('@SQL@'));
    }
    public function doUpdate(\\Piwik\\Updater $updater) {
        $updater->executeMigrations(__FILE__, $this->getMigrations($updater));
    }
}
"""
REDIRECT = """
    public function registerEvents() {
        return array('Db.getDatabaseConfig' => 'elsewhere');
    }
    public function elsewhere(&$database) {
        $database['dbname'] = 'matomo';
    }
"""


def plugin(folder: Path, name: str, version: str, sql: str = "", body: str = "") -> None:
    """A third-party plugin; with ``sql`` its version 2.0.0 has that migration."""
    top = folder / name
    (top / "Updates").mkdir(parents=True)
    facts = {"name": name, "version": version, "require": {"matomo": ">=5.0.0-b1,<6.0.0-b1"}}
    (top / "plugin.json").write_text(json.dumps(facts))
    (top / f"{name}.php").write_text(_PLUGIN.replace("@NAME@", name).replace("@BODY@", body))
    if sql:
        text = _UPDATE.replace("@NAME@", name).replace("@SQL@", sql)
        (top / "Updates" / "2.0.0.php").write_text(text)


@pytest.fixture(scope="module")
def site(sandbox: Sandbox) -> Iterator[Site]:
    """The installation over SSH; one connection for the module."""
    from matops.host.ssh import SshLink

    host = Host(SshLink(connection(sandbox)))
    yield open_site(host, Settings())
    host.close()


def slim(source: Path, target: Path) -> Path:
    """The release with all of its code, without pictures, scripts, translations and tests: a
    third of the files, so that copies of it are quick."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            if not re.search(_DEAD, name):
                new.writestr(name, old.read(name))
    return target


@pytest.fixture(scope="module")
def staged(site: Site, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real newer release, staged with two plugins; its folder."""
    folder = tmp_path_factory.mktemp("plugins")
    plugin(folder, "Shop", "2.0.0", "ALTER TABLE matomo_shop ADD COLUMN price INT NULL")
    plugin(folder, "Broken", "2.0.0", "ALTER TABLE matomo_nowhere ADD COLUMN x INT NULL")
    path = slim(sandbox.release_zip, folder.parent / f"matomo-{sandbox.release_version}.zip")
    asked = Asked(site, release=str(path), plugins=str(folder),
                  sha256=hashlib.sha256(path.read_bytes()).hexdigest())  # fmt: skip
    found = asked.run().evidence
    assert found
    yield found.facts["path"]
    sandbox.exec("sh", "-c", f"rm -rf {STAGES} /var/lib/matops/*/downloads")


class Ran:
    """A rehearsal as the engine runs it, to its end or its error."""

    def __init__(self, site: Site, **asked: Any) -> None:
        self.said: list[str] = []
        self.step = Rehearse(site, self.said.append, **{"login": "root", **asked})

    def go(self) -> Any:
        """The evidence. Raises what the step raises."""
        for action in self.step.look().actions:
            self.step.act(action)
        return self.step.verify()


def live_picture(sandbox: Sandbox) -> dict[str, Any]:
    """The whole live side: every table's rows and shape, every file with its inode and times."""
    tables = [row[0] for row in sandbox.sql("show tables in matomo")]
    named = ", ".join(f"matomo.`{name}`" for name in tables)
    shapes = "; ".join(f"show create table matomo.`{name}`" for name in tables)
    listing = "find /var/www/html -printf '%p %i %s %u %m %T@\\n' | sort"
    return {
        "rows": sandbox.sql(f"checksum table {named}"),
        "shapes": sandbox.sql(shapes),
        "schemas": sandbox.sql("show databases"),
        "accounts": sandbox.sql("select user, host from mysql.user order by 1, 2"),
        "files": sandbox.exec("sh", "-c", listing).stdout.splitlines(),
    }


def stage_digest(sandbox: Sandbox) -> str:
    """Names, contents and inodes of everything below the folder of the stages."""
    script = f"cd {STAGES}; find . -mindepth 1 -printf '%p %i %s %u %m %T@\\n' | sort | sha256sum"
    return sandbox.exec("sh", "-c", script).stdout


def in_background(words: list[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """The fab command in the background; what it says goes to ``log``."""
    with log.open("wb") as file:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options
        )
