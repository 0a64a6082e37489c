"""release.stage on the real host: fetched, trusted, unpacked, proven, told apart."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from matops.errors import OutcomeUnknown, Refused, UsageError
from matops.matomo.release.stages import staged, unstage
from tests.host.release_kit import Asker, clean, mini, server, sha256, signer, stage
from tests.host.release_server import Item, ReleaseServer
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

__all__ = ["clean", "server", "signer", "stage"]  # fixtures


def docroot_state(sandbox: Sandbox) -> str:
    """Names, sizes, owners and times of everything in the live docroot."""
    script = "find /var/www/html -printf '%p %s %u %m %T@\\n' | sort | sha256sum"
    return sandbox.exec("sh", "-c", script).stdout


def test_the_real_release_is_fetched_over_a_broken_line_and_staged(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, signer: Any
) -> None:
    data, version = sandbox.release_zip.read_bytes(), sandbox.release_version
    path = f"/matomo-{version}.zip"
    server.items = {
        path: Item(data, etag='"1"', cut_at=9_000_000, cuts=2),
        f"{path}.asc": Item(signer(data)),
        "/latest": Item(f"{version}\n".encode()),
    }
    before = docroot_state(sandbox)
    keyring = {"keyring": signer.keyring}
    done = stage(release="latest", settings=keyring).run()

    assert server.asked(path) == ["", "bytes=9000000-", "bytes=18000000-"]
    assert done.evidence and done.evidence.facts["version"] == version
    assert "signed by" in done.evidence.line and "not served" in done.evidence.line
    assert docroot_state(sandbox) == before
    tree = f"{done.evidence.facts['path']}/matomo"
    stat = sandbox.exec("stat", "-c", "%U %a %d", f"{tree}/core/Version.php", "/var/www/html")
    owner, mode, device = stat.stdout.split()[:3]
    assert (owner, mode, device) == ("www-data", "644", stat.stdout.split()[-1])
    assert sandbox.exec("stat", "-c", "%U %a", f"{tree}/..").stdout == "root 750\n"

    asked = len(server.log)
    again = stage(release=version, settings=keyring)
    assert not again.look.actions and tree.rpartition("/")[0] in again.look.because
    assert len(server.log) == asked  # nothing was asked of the network

    sandbox.exec("sh", "-c", f"echo '<?php evil();' >> {tree}/index.php")
    repaired = stage(release=version, settings=keyring)
    assert any("index.php has another size" in line for line in repaired.said)
    assert [each.payload for each in repaired.look.actions] == ["stage", "prove"]


def test_a_release_that_nothing_vouches_for_is_asked_about(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    data = mini()
    server.items = {"/m.zip": Item(data)}
    with pytest.raises(Refused, match=f"no signature.*--sha256 {sha256(data)}"):
        stage(release=server.url("/m.zip")).run()
    said_no = stage(release=server.url("/m.zip"), confirm=lambda digest: False)
    with pytest.raises(Refused):
        said_no.run()
    assert len(server.asked("/m.zip")) == 1
    shown: list[str] = []

    def yes(digest: str) -> bool:
        shown.append(digest)
        return True

    done = stage(release=server.url("/m.zip"), confirm=yes).run()
    assert shown == [sha256(data)] and done.evidence
    assert "confirmed by the operator" in done.evidence.line
    assert len(server.asked("/m.zip")) == 1


def test_a_local_file_with_its_signature_is_uploaded(
    stage: Asker, tmp_path: Path, signer: Any
) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(mini())
    (tmp_path / "m.zip.asc").write_bytes(signer(path.read_bytes()))
    done = stage(release=str(path), settings={"keyring": signer.keyring}).run()
    assert done.evidence and "signed by" in done.evidence.line
    assert not stage(release=str(path), settings={"keyring": signer.keyring}).look.actions


def test_older_and_equal_versions(stage: Asker, tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(Refused, match="older than the installed"):
        stage(release="5.0.0")
    installed = sandbox.installed_version
    assert "is installed already" in stage(release=installed).look.because
    with pytest.raises(UsageError, match="not a whole version"):
        stage(release="5.8")
    path = tmp_path / "same.zip"
    path.write_bytes(mini(installed))
    asked = stage(release=str(path), sha256=sha256(path.read_bytes()), same_version=True)
    assert [each.payload for each in asked.look.actions][:2] == ["upload", "verify"]


def test_a_stage_in_the_docroot_is_closed_by_htaccess(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    data = mini()
    server.items = {"/m.zip": Item(data)}
    settings = {"stage_dir": "<docroot>/upgrade"}
    done = stage(release=server.url("/m.zip"), sha256=sha256(data), settings=settings).run()
    assert done.evidence and "closed by .htaccess" in done.evidence.line
    name = Path(done.evidence.facts["path"]).name
    url = f"http://{sandbox.address}/upgrade/{name}/matomo/index.php"
    curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url]
    assert subprocess.run(curl, capture_output=True, text=True, check=True).stdout == "403"


def test_a_stage_that_cannot_be_closed_is_refused_and_removed(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    site = "/etc/apache2/sites-available/000-default.conf"
    sandbox.exec("sed", "-i.kept", "s/AllowOverride All/AllowOverride None/", site)
    sandbox.exec("apache2ctl", "graceful")
    time.sleep(0.5)
    try:
        data = mini()
        server.items = {"/m.zip": Item(data)}
        settings = {"stage_dir": "<docroot>/upgrade"}
        with pytest.raises(Refused, match=r"upgrade is served to the web.*stage_dir"):
            stage(release=server.url("/m.zip"), sha256=sha256(data), settings=settings).run()
        assert "upgrade" not in sandbox.exec("ls", "-A", "/var/www/html").stdout.split()
    finally:
        sandbox.exec("mv", f"{site}.kept", site)
        sandbox.exec("apache2ctl", "graceful")


def test_where_no_web_server_answers_nothing_is_proven(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    data = mini()
    server.items = {"/m.zip": Item(data)}
    sandbox.service("apache2", "stop")
    try:
        with pytest.raises(OutcomeUnknown, match="not proven"):
            stage(release=server.url("/m.zip"), sha256=sha256(data)).run()
    finally:
        sandbox.service("apache2", "start")
    again = stage(release=server.url("/m.zip"), sha256=sha256(data))
    assert [each.payload for each in again.look.actions] == ["prove"]
    assert again.run().evidence


def test_plugins_are_staged_with_it(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, tmp_path: Path
) -> None:
    data = mini()
    server.items = {"/m.zip": Item(data)}
    plugin = tmp_path / "plugins" / "MyPlugin"
    plugin.mkdir(parents=True)
    (plugin / "MyPlugin.php").write_text("<?php // 1.0")
    require = '"require": {"matomo": ">=5.0.0-b1,<6.0.0-b1"}'
    (plugin / "plugin.json").write_text(f'{{"name": "MyPlugin", "version": "1.0", {require}}}')
    asked = {"release": server.url("/m.zip"), "sha256": sha256(data)}
    done = stage(plugins=str(plugin.parent), **asked).run()
    assert done.evidence and done.evidence.facts["plugins"] == {"MyPlugin": "1.0"}
    assert not stage(plugins=str(plugin), **asked).look.actions
    assert not stage(**asked).look.actions

    (plugin / "MyPlugin.php").write_text("<?php // 1.1")
    again = stage(plugins=str(plugin), **asked)
    assert [each.payload for each in again.look.actions] == ["plugins"]
    path = again.run().evidence.facts["path"]  # type: ignore[union-attr]
    text = sandbox.exec("cat", f"{path}/matomo/plugins/MyPlugin/MyPlugin.php").stdout
    assert text.endswith("1.1")

    (plugin / "plugin.json").write_text('{"name": "Other"}')
    with pytest.raises(Refused, match="names another plugin, 'Other'"):
        stage(plugins=str(plugin), **asked)


def test_old_stages_are_removed_and_the_one_in_use_never(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    for version in ("5.9.0", "5.9.1"):
        data = mini(version)
        server.items = {"/m.zip": Item(data)}
        last = stage(release=server.url("/m.zip"), sha256=sha256(data)).run()
    site = last.step.site
    first, second = staged(site)
    assert (first.version, second.version, second.ready) == ("5.9.0", "5.9.1", True)
    assert unstage(site) == [first.path]
    with pytest.raises(Refused, match="is in use"):
        unstage(site, [second.path], keep=[second.path])
    # The trees were exchanged: what lies there now is the old release, the way back.
    old = "<?php const VERSION = '5.3.1';"
    sandbox.exec("sh", "-c", f'echo "{old}" > {second.path}/matomo/core/Version.php')
    again = stage(release=server.url("/m.zip"), sha256=sha256(data))
    with pytest.raises(Refused, match=r"is in use: it holds Matomo 5\.3\.1"):
        again.run()
    assert unstage(site) == []
    assert unstage(site, [second.path]) == [second.path]
