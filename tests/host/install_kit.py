"""A small Matomo beside the real one, with a release staged for it: files come and go in no time.

It has the real one's configuration (so its database), a manifest, an alias in Apache, and a state
of its own. What is changed on the host is taken back by ``remove``.
"""

from __future__ import annotations

import hashlib
from typing import Any

from matops.host.shell import Host
from matops.matomo.site import Site, open_site
from matops.runbook.install_back import InstallBack
from matops.runbook.install_end import InstallSettled
from matops.runbook.install_release import BuildRelease, InstallRelease
from matops.runbook.stage import StageRelease
from matops.runbook.step import Evidence, Look, Step
from matops.settings import Settings
from tests.host.release_kit import mini
from tests.sandbox import Sandbox

TOP, DOCROOT, STATE = "/srv/small", "/srv/small/matomo", "/var/lib/matops-small"
ROOT = f"{TOP}/.matops-stage"
OLD, NEW = "5.3.1", "5.9.0"
HOOK = "/*!!! pluginTrackerHook */"
_CONF = "/etc/apache2/conf-enabled/matops-small.conf"


def version(text: str) -> bytes:
    """core/Version.php, as Matomo has it."""
    return f"<?php namespace Piwik; class Version {{ const VERSION = '{text}'; }}".encode()


def files(text: str) -> dict[str, bytes]:
    """The files of one release; each has some that the other has not."""
    found = {
        "core/Version.php": version(text),
        "core/Both.php": f"<?php // {text}".encode(),
        f"core/Only{text[:3]}.php": b"<?php",
        "config/global.ini.php": b"; <?php exit; ?>\n[Plugins]\nPlugins[] = CoreHome\n",
        "plugins/CoreHome/plugin.json": b'{"name": "CoreHome"}',
        "plugins/CoreHome/CoreHome.php": f"<?php // {text}".encode(),
        "index.php": f"<?php echo 'index {text}';".encode(),
        "console": f"#!/usr/bin/env php\n<?php echo '{text}';".encode(),
        "js/piwik.min.js": f"/*{text}*/{HOOK}".encode(),
        "matomo.js": f"/*{text}*/{HOOK}".encode(),
        "piwik.js": f"/*{text}*/{HOOK}".encode(),
        "robots.txt": b"User-agent: *\n",
    }
    if text == OLD:
        found["plugins/Retired/plugin.json"] = b'{"name": "Retired"}'
        found["core/Same.php"] = b"<?php // the same"
    else:
        found["core/Same.php"] = b"<?php // the same"
        found["vendor/autoload.php"] = b"<?php // new"
    return found


def manifest(found: dict[str, bytes]) -> bytes:
    """config/manifest.inc.php of such files."""
    rows = "".join(
        f'"{name}" => array("{len(data)}", "{hashlib.sha256(data).hexdigest()}"),\n'
        for name, data in found.items()
    )
    return f"<?php\nclass Manifest {{ static $files=array(\n{rows}); }}\n".encode()


def build(sandbox: Sandbox) -> None:
    """The small Matomo as the old release, as installed."""
    found = files(OLD)
    found["config/manifest.inc.php"] = manifest(found)
    found["vendor/autoload.php"] = b"<?php // old"  # a release's, and never in its list
    template = sandbox.root / f"{TOP[1:]}/template"
    for name, data in found.items():
        path = template / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    script = f"""
        cd {TOP}/template; mkdir -p tmp/sessions tmp/cache misc/user
        cp {sandbox.docroot}/config/config.ini.php config/
        chown -R www-data:www-data .; chmod 640 config/config.ini.php; chmod 755 console
        cp -a {TOP}/template {DOCROOT}
        {{ echo 'Alias /small {DOCROOT}'; echo '<Directory {TOP}>'
           echo 'Require all granted'; echo '</Directory>'; }} > {_CONF}
        apache2ctl graceful
    """
    sandbox.exec("sh", "-ec", script)


def renew(sandbox: Sandbox) -> None:
    """Back to the old release, nothing installed; the stage stays."""
    script = f"""
        for point in $(awk '$5 ~ "^{TOP}/" {{print $5}}' /proc/self/mountinfo | sort -r); do
            umount $point; done
        rm -rf {DOCROOT} {DOCROOT}-* {TOP}/releases {ROOT}/install-* {STATE}/*/outage.json
        cp -a {TOP}/template {DOCROOT}
    """
    sandbox.exec("sh", "-ec", script)


def remove(sandbox: Sandbox) -> None:
    """Nothing of it is left on the host."""
    renew(sandbox)
    sandbox.exec("sh", "-ec", f"rm -rf {TOP} {STATE} {_CONF}; apache2ctl graceful")


def stage(site: Site, folder: Any) -> None:
    """Release NEW staged for it."""
    found = files(NEW)
    found["config/manifest.inc.php"] = manifest(found)
    path = folder / "new.zip"
    path.write_bytes(mini(NEW, **found))  # type: ignore[arg-type]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    done(StageRelease(site, lambda line: None, release=str(path), sha256=digest))


class Small:
    """The small Matomo of one test."""

    def __init__(self, sandbox: Sandbox, host: Host, docroot: str = DOCROOT) -> None:
        self.sandbox, self.host, self.docroot = sandbox, host, docroot
        self.said: list[str] = []

    def site(self) -> Site:
        """As it is now."""
        return open_site(self.host, Settings(docroot=self.docroot, state_dir=STATE))

    def step(self, **asked: Any) -> InstallRelease:
        """release.install, not run yet."""
        return InstallRelease(self.site(), self.said.append, **asked)

    def build(self) -> Look:
        """What release.build would do."""
        return BuildRelease(self.site(), self.said.append).look()

    def look(self, **asked: Any) -> Look:
        """What release.install would do."""
        return InstallRelease(self.site(), self.said.append, **asked).look()

    def install(self, **asked: Any) -> Evidence:
        """release.install, as the engine runs it."""
        return done(InstallRelease(self.site(), self.said.append, **asked))

    def back(self) -> Evidence:
        """release.back."""
        return done(InstallBack(self.site(), self.said.append))

    def settle(self, dry: bool = False) -> str:
        """release.settle; with ``dry`` only what it would do."""
        step = InstallSettled(self.site(), self.said.append)
        return step.look().actions[0].what if dry else done(step).line

    def sh(self, script: str) -> str:
        """As root, in the docroot."""
        script = f"cd {self.docroot}; {script}"
        return self.sandbox.exec("sh", "-ec", script).stdout

    def fix(self, name: str, on: bool) -> None:
        """``chattr +i`` (or ``-i``), which Debian's smallest does not have: FS_IOC_SETFLAGS."""
        self.sh(f"""python3 -c "import fcntl
with open('{name}') as file:
    fcntl.ioctl(file, 0x40086602, ({0x10 if on else 0} | 0x80000).to_bytes(8, 'little'))" """)

    def listing(self, *but: str) -> list[str]:
        """Every entry with kind, owner, mode, size and content; not what is below ``but``."""
        skip = " ".join(f"-path ./{each} -prune -o" for each in but)
        every = f"find . {skip} -printf '%p %y %u %g %m %l\\n'"
        sums = f"find . {skip} -type f -exec sha256sum {{}} +"
        return sorted(self.sh(f"{every}; {sums}").splitlines())

    def version(self) -> str:
        """What the files say."""
        return self.sh("cat core/Version.php").partition("'")[2].partition("'")[0]


def done(step: Step) -> Evidence:
    """Look, act, verify."""
    look = step.look()
    for action in look.actions:
        step.act(action)
    return step.verify() if look.actions else Evidence(look.because)
