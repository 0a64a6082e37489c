"""release.stage and release.clean once a stage is there: served later, in use, told, removed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from matops.errors import Refused, UsageError
from matops.matomo.release.stages import staged
from tests.conftest import Fab
from tests.host.release_kit import STAGES, Asker, clean, mini, server, sha256, signer, stage
from tests.host.release_server import Item, ReleaseServer
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

__all__ = ["clean", "server", "signer", "stage"]  # fixtures


@pytest.fixture
def aliased(sandbox: Sandbox) -> Iterator[None]:
    """After the test: no Alias for the stages in Apache any more."""
    yield
    sandbox.exec("rm", "-f", "/etc/apache2/conf-enabled/stg.conf")
    sandbox.exec("apache2ctl", "graceful")
    time.sleep(0.5)


@pytest.mark.parametrize("override", ["None", "All"])
def test_a_stage_that_is_served_later_is_found_out(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, aliased: None, override: str
) -> None:
    data = mini()
    server.items = {"/m.zip": Item(data)}
    asked = {"release": server.url("/m.zip"), "sha256": sha256(data)}
    first = stage(**asked).run()
    assert not stage(**asked).look.actions
    conf = (
        "Alias /stg /var/www/.matops-stage\n<Directory /var/www/.matops-stage>\n"
        f"Require all granted\nAllowOverride {override}\n</Directory>"
    )
    sandbox.exec("sh", "-c", f"echo '{conf}' > /etc/apache2/conf-enabled/stg.conf")
    sandbox.exec("apache2ctl", "graceful")
    time.sleep(0.5)
    again = stage(**asked)
    [action] = again.look.actions
    assert action.what == "close it to the web, or remove it" and "/stg/" in action.why
    assert first.evidence
    if override == "All":
        done = again.run()
        assert done.evidence and "closed by .htaccess" in done.evidence.line
        assert not stage(**asked).look.actions
    else:
        with pytest.raises(Refused, match="served to the web"):
            again.run()
        path = first.evidence.facts["path"]
        assert not sandbox.exec("sh", "-c", f"ls -d {path} || :").stdout


def test_a_stage_in_use_is_never_touched(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    data = mini(sandbox.installed_version)
    server.items = {"/m.zip": Item(data)}
    asked: dict[str, Any] = {
        "release": server.url("/m.zip"), "sha256": sha256(data), "same_version": True,
    }  # fmt: skip
    done = stage(**asked).run()
    assert done.evidence
    path = done.evidence.facts["path"]
    config = "config/config.ini.php"
    script = (
        f"mv /var/www/html /var/www/html.kept; ln -s {path}/matomo /var/www/html; "
        f"cp -a /var/www/html.kept/{config} {path}/matomo/config/"
    )
    sandbox.exec("sh", "-c", script)
    try:
        with pytest.raises(Refused, match="is in use"):
            stage(settings={"docroot": "/var/www/html", "stage_dir": STAGES}, **asked)
        assert "index.php" in sandbox.exec("ls", f"{path}/matomo").stdout
    finally:
        sandbox.exec("sh", "-c", "rm /var/www/html; mv /var/www/html.kept /var/www/html")


def test_a_token_in_the_url_is_only_in_the_request(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, signer: Any
) -> None:
    data, query = mini(), "token=t0ps3cret"
    server.items = {f"/m.zip?{query}": Item(data), f"/m.zip.asc?{query}": Item(signer(data))}
    keyring = {"keyring": signer.keyring}
    asked = stage(release=server.url(f"/m.zip?{query}"), settings=keyring).run()
    assert asked.evidence and "signed by" in asked.evidence.line
    site = asked.step.site
    told = [*asked.said, *(each.what for each in asked.look.actions), repr(staged(site))]
    assert "m.zip" in repr(told) and "t0ps3cret" not in repr(told)
    grep = "grep -rl t0ps3cret /var/lib/matops /var/www/.matops-stage || :"
    assert sandbox.exec("sh", "-c", grep).stdout == ""
    assert not stage(release=server.url(f"/m.zip?{query}"), settings=keyring).look.actions
    # Another query may be another file.
    server.items[f"/m.zip?{query}2"] = Item(mini("5.9.1"))
    other = stage(release=server.url(f"/m.zip?{query}2"), settings=keyring)
    assert other.look.actions[0].payload == "fetch"
    with pytest.raises(UsageError, match="%-encoded"):
        stage(release=server.url("/m.zip?token=a b"))


def test_clean_shows_asks_and_removes(
    fab: Fab, stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    for version in ("5.9.0", "5.9.1"):
        data = mini(version)
        server.items = {"/m.zip": Item(data)}
        stage(release=server.url("/m.zip"), sha256=sha256(data)).run()
    dry = fab("release.clean", "--dry-run")
    assert dry.code == 0 and "would remove" in dry.out and "5.9.1-" not in dry.out
    refused = fab("release.clean")
    assert refused.code == 3 and "not confirmed" in refused.err
    assert len(sandbox.exec("ls", "/var/www/.matops-stage").stdout.split()) == 2
    done = fab("release.clean", "--yes", "--json")
    assert done.code == 0, done.all
    [gone] = json.loads(done.out)["removed"]
    assert "5.9.0-" in gone
    assert len(sandbox.exec("ls", "/var/www/.matops-stage").stdout.split()) == 1
    assert fab("release.clean").code == 0  # nothing to remove needs no word
