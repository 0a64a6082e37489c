"""What the tests of release.stage share: a small release, a server for it, a key, a step."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import zipfile
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from matops.matomo.site import Site
from matops.runbook.stage import StageRelease
from matops.runbook.step import Evidence
from matops.settings import Settings
from tests.conftest import SiteFactory
from tests.host.release_server import ReleaseServer
from tests.sandbox import Sandbox

Asker = Callable[..., "Asked"]
STAGES = "/var/www/.matops-stage"


class Asked:
    """A step run to its end, as the engine runs it."""

    def __init__(self, site: Site, **asked: Any) -> None:
        self.said: list[str] = []
        self.step = StageRelease(site, self.said.append, **asked)
        self.look = self.step.look()
        self.evidence: Optional[Evidence] = None

    def run(self) -> Asked:
        """Acts and verifies."""
        for action in self.look.actions:
            self.step.act(action)
        self.evidence = self.step.verify()
        return self


def mini(version: str = "5.9.0", ballast: int = 0, **more: bytes) -> bytes:
    """A small tree that PHP can run, laid out like the official zip."""
    files = {
        "core/Version.php": f"<?php class Version {{ const VERSION = '{version}'; }}".encode(),
        "core/testMinimumPhpVersion.php": b"<?php $piwik_minimumPHPVersion = '7.2.5';",
        "config/global.ini.php": b"; <?php exit; ?>\n[Plugins]\nPlugins[] = CoreHome\n",
        "plugins/CoreHome/plugin.json": b'{"name": "CoreHome"}',
        "console": f"#!/usr/bin/env php\n<?php echo '{version}';".encode(),
        "index.php": b"<?php echo 'hello';",
        **more,
    }
    if ballast:
        files["js/ballast.js"] = random.Random(7).randbytes(ballast)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("How to install Matomo.html", "see matomo.org")
        for name, data in files.items():
            archive.writestr(f"matomo/{name}", data)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[ReleaseServer]:
    server = ReleaseServer(sandbox.gateway).start()
    yield server
    server.stop()


@pytest.fixture
def clean(sandbox: Sandbox) -> Iterator[None]:
    """No stage and no download before and after; nothing else is touched by these tests."""
    folders = "/var/lib/matops/*/downloads /var/lib/matops/*/jobs"
    script = f"rm -rf /var/www/.matops-stage /var/www/html/upgrade {folders}"
    sandbox.exec("sh", "-c", script)
    yield
    sandbox.exec("sh", "-c", script)


@pytest.fixture
def stage(site_factory: SiteFactory, server: ReleaseServer, clean: None) -> Callable[..., Asked]:
    """``stage(release=…, settings={…})`` looks; ``.run()`` goes on."""

    def make(user: str = "ops", settings: Optional[dict[str, Any]] = None, **asked: Any) -> Asked:
        usual = {
            "release_url": server.url("/matomo-{version}.zip"),
            "latest_url": server.url("/latest"),
        }
        site = site_factory(user, Settings(**{**usual, **(settings or {})}))
        return Asked(site, **asked)

    return make


@pytest.fixture(scope="module")
def signer(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[bytes], bytes]]:
    """Signs bytes, detached, with a key made for this run; ``signer.keyring`` is the public one."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ["gpg", "--batch", "--quiet", "--homedir", str(home), "--passphrase", ""]
    subprocess.run(
        [*gpg, "--quick-gen-key", "Test <test@example.org>", "ed25519", "sign"], check=True
    )
    keyring = home / "pinned.gpg"
    keyring.write_bytes(subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout)

    def sign(data: bytes) -> bytes:
        done = subprocess.run(
            [*gpg, "--armor", "--detach-sign"], input=data, check=True, capture_output=True
        )
        return done.stdout

    sign.keyring = str(keyring)  # type: ignore[attr-defined]
    yield sign
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
