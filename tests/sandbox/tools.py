"""The packages this machine needs to build and run a sandbox, and to test with it."""

import os
import shutil
from pathlib import Path
from typing import Optional

from .errors import SandboxError
from .home import Home
from .mirror import KEYRING
from .proc import PATH, build
from .say import stage

# command -> the Debian package that has it
COMMANDS = {
    "curl": "curl",
    "debootstrap": "debootstrap",
    "dpkg-deb": "dpkg",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "gpgv": "gpgv",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "pgrep": "procps",
    "pivot_root": "util-linux",
    "rsync": "rsync",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "unzip": "unzip",
    "zip": "zip",
}
_UPDATE = "apt-get update"


def require_root() -> None:
    """Namespaces, mounts and chroots: all of it needs root."""
    if os.geteuid() != 0:
        raise SandboxError("this needs root (namespaces, chroot): run it with sudo or as root")


def require_tools(home: Home) -> None:
    """Install what is missing, in one line of output."""
    missing = _missing()
    if not missing:
        return
    install(home, missing)
    if _missing():
        raise SandboxError(f"still missing after the installation: {' '.join(_missing())}")


def install(home: Home, packages: list[str]) -> None:
    """Install packages on this machine, which may have no package lists yet."""
    with stage(f"installing {' '.join(packages)} on this machine"):
        try:
            _install(home, packages)
        except SandboxError:
            # No package lists yet, or lists older than the mirror: refresh, then once more.
            refusal = _refresh(home)
            try:
                _install(home, packages)
            except SandboxError as error:
                raise refusal or error from None


def _missing() -> list[str]:
    packages = {pkg for cmd, pkg in COMMANDS.items() if not shutil.which(cmd, path=PATH)}
    if not Path(KEYRING).exists():
        packages.add("debian-archive-keyring")
    return sorted(packages)


def _refresh(home: Home) -> Optional[SandboxError]:
    # A third party's broken entry fails the refresh; what counts is the installation.
    try:
        build(["apt-get", "-o", "APT::Update::Error-Mode=any", "update"], home.log, title=_UPDATE)
    except SandboxError as error:
        return error
    return None


def _install(home: Home, packages: list[str]) -> None:
    build(["apt-get", "install", "-y", "--no-install-recommends", *packages], home.log)
