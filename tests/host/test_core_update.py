"""core.update on the real host, 5.3.1 to the newer release: faults at every place, one good end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook.core_update import CoreUpdate
from tests.conftest import Fab, one_line
from tests.host.core_update_kit import (
    DOCROOT,
    Running,
    holding,
    kill_agent,
    kill_php,
    migrating,
    newer,
    php_jobs,
    versions,
)
from tests.host.rehearse_kit import plugin, site
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

__all__ = ["migrating", "newer", "site"]  # fixtures


def test_we_die_php_dies_and_the_same_command_ends_well(
    fab: Fab, migrating: Sandbox, tmp_path: Path
) -> None:
    sandbox, before = migrating, php_jobs(migrating)
    with holding(sandbox, "matomo_segment"):
        first = Running(fab, tmp_path / "first", "--login", "root")
        first.until("BLOCKED: ALTER TABLE `matomo_segment`")
        second = fab("core.update", "--yes")
        assert second.code == 75 and "(core.update on" in one_line(second), second.all
        assert "jobs.follow shows it" in one_line(second), second.all
        first.process.kill()
        first.process.wait()
        kill_agent(sandbox)
        assert php_jobs(sandbox) == before + 1
        again = Running(fab, tmp_path / "again", "--login", "root")
        again.until("attached to it")
        again.until("BLOCKED")
        assert php_jobs(sandbox) == before + 1, again.text  # the same php, not a second one
        kill_php(sandbox)
        again.until("CRASHED during ALTER TABLE `matomo_segment`")
        again.until("starting it again (1 of 3)")
    assert again.code() == 0, again.text
    assert versions(sandbox) == sandbox.release_version
    assert "killed (signal 9" in again.text
    assert "installed with their tables: AIAgents, BotTracking" in again.text
    assert "[General] proxy_scheme_headers: +HTTP_X" in again.text
    there = {row[0] for row in sandbox.sql("show tables in matomo")}
    assert {"matomo_annotations", "matomo_archiving_metrics", "matomo_log_bot_request"} <= there
    done = fab("core.update", "--yes", "--json")
    assert json.loads(done.out)["steps"][0]["status"] == "already done", done.all


def test_the_database_dies_and_the_link_is_lost(
    fab: Fab, migrating: Sandbox, tmp_path: Path
) -> None:
    sandbox = migrating
    with holding(sandbox, "matomo_segment"):
        run = Running(fab, tmp_path / "run")
        run.until("BLOCKED")
        sandbox.exec("pgrep", "-f", "^sshd-session: [^ ]*@")  # raises where there is none to cut
        sandbox.kill_ssh_sessions()
        # mariadbd-safe, too: two of them would kill each other's server half a minute later.
        sandbox.exec("sh", "-c", "kill -9 $(pgrep -x mariadbd-safe) $(pgrep -x mariadbd)")
        time.sleep(1)
        sandbox.service("mariadb", "start")
    assert run.code() == 0, run.text
    assert "CRASHED" in run.text and "starting it again (1 of 3)" in run.text
    assert versions(sandbox) == sandbox.release_version


def test_a_failing_migration_stops_and_after_the_repair_it_goes_on(
    fab: Fab, migrating: Sandbox, site: Site, tmp_path: Path
) -> None:
    sandbox = migrating
    before = site.ask("matomo.migrated:snapshot")
    sandbox.sql("rename table matomo.matomo_segment to matomo.kept_segment")
    plugin(tmp_path, "Broken", "2.0.0", "ALTER TABLE matomo_nowhere ADD COLUMN x INT NULL")
    file = tmp_path / "Broken/Updates/2.0.0.php"
    opens = "self::disableMaintenanceMode(); $updater->executeMigrations"
    text = file.read_text().replace("$updater->executeMigrations", opens)
    assert opens in text
    file.write_text(text)
    _add_plugin(sandbox, tmp_path / "Broken")
    with holding(sandbox, "matomo_log_visit"):  # idle for 10 s by the time it is met
        failed = fab("core.update", "--yes")
        assert failed.code == 1, failed.all
        assert "failed at migration 10 of" in failed.all and "matomo_segment" in failed.all
        assert "it was not started again" in failed.all
        sandbox.sql("rename table matomo.kept_segment to matomo.matomo_segment; "
                    "install soname 'metadata_lock_info'")  # fmt: skip
        found = site.ask("matomo.migrated:look", before=before)
        assert found["verdict"] == "migrated"
        assert "table matomo_user changed its shape" in found["migrated"]
        flags = ("--login", "root", "--end-idle-blockers", "--activate-new-plugins")
        run = Running(fab, tmp_path / "run", *flags)
        assert run.code() == 1, run.text  # of the plugin that failed
    sandbox.sql("uninstall soname 'metadata_lock_info'")
    assert "ended: connection" in run.text, run.text
    assert "deactivated: Broken" in run.text and "plugins failed in it" in run.text, run.text
    assert "activating AIAgents, BotTracking" in run.text, run.text
    assert "maintenance_mode was switched by the update itself; put back" in run.text, run.text
    config = sandbox.exec("cat", f"{DOCROOT}/config/config.ini.php").stdout
    assert "\nmaintenance_mode = 1\n" in config
    assert versions(sandbox) == sandbox.release_version
    look = CoreUpdate(site, print, print).look()
    assert not look.actions and "it deactivated Broken" in look.because


def test_it_is_refused_where_it_must_be(migrating: Sandbox, site: Site) -> None:
    sandbox, step = migrating, CoreUpdate(site, print, print)
    fake = f"cd {DOCROOT}; exec php -r 'sleep(60);' console core:update"
    sandbox.exec("sh", "-c", f"({fake}) >/dev/null 2>&1 & echo $! > /run/fake.pid")
    with pytest.raises(Refused, match="started by hand: process"):
        step.look()
    sandbox.exec("sh", "-c", "kill $(cat /run/fake.pid)")
    config = f"{DOCROOT}/config/config.ini.php"
    sandbox.exec("sh", "-c", f"chown root:www-data {config}; chmod 640 {config}")
    with pytest.raises(Refused, match="www-data may not write"):
        step.look()
    sandbox.exec("sed", "-i", "s/^maintenance_mode.*//", config)
    with pytest.raises(Refused, match="maintenance mode is off"):
        step.look()
    sandbox.sql("update matomo.matomo_option set option_value = '99.0.0' "
                "where option_name = 'version_core'")  # fmt: skip
    with pytest.raises(Refused, match="older than the database"):
        step.look()


def _add_plugin(sandbox: Sandbox, folder: Path) -> None:
    """A third-party plugin, activated and installed at 1.0.0; [Plugins] is an explicit list."""
    import shutil

    name = folder.name
    shutil.copytree(folder, sandbox.root / f"var/www/html/plugins/{name}")
    sandbox.exec("sh", "-c", f"""
        cd {DOCROOT}; chown -R www-data: plugins/{name}
        list=$(sed -n 's/^PluginsInstalled.. = //p' config/config.ini.php | tr -d '"')
        {{ echo; echo '[Plugins]'; for p in $list {name}; do echo "Plugins[] = $p"; done; }} \\
            >> config/config.ini.php
        sed -i 's/^.PluginsInstalled.$/&\\nPluginsInstalled[] = {name}/' config/config.ini.php
        """)  # fmt: skip
    sandbox.sql(f"insert into matomo.matomo_option values ('version_{name}', '1.0.0', 1)")
