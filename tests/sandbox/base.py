"""The base image: Debian with a flavour's packages, users and configuration."""

import shutil
from pathlib import Path

from .chroot import apart, in_chroot
from .flavour import Flavour
from .home import Home
from .mirror import KEYRING, find_mirror, proxy_env
from .say import stage
from .trees import put

FILES = Path(__file__).parent / "files"
# (name, password): every one gets the host's client key too
USERS = (("ops", ""), ("ops2", "ops2-pw"), ("nosudo", ""))
# Nothing may start while packages are being installed in a chroot.
_POLICY = "#!/bin/sh\nexit 101\n"
_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Use-Pty=0")


def build_base(home: Home, flavour: Flavour, folder: Path) -> None:
    """Fill the empty folder `folder`/root with the base system of `flavour`."""
    mirror, root = find_mirror(), folder / "root"
    with stage(f"debootstrap {flavour.suite}"):
        _debootstrap(home, flavour, mirror, root)
    with stage(f"installing {len(flavour.packages)} packages and what they need"):
        _install_packages(home, flavour, mirror, root)
    put(FILES / flavour.files, root)
    _configure(home, flavour, root)


def _debootstrap(home: Home, flavour: Flavour, mirror: str, root: Path) -> None:
    cache = home.downloads / "debootstrap"
    cache.mkdir(parents=True, exist_ok=True)
    options = ["--variant=minbase", f"--cache-dir={cache}", f"--keyring={KEYRING}"]
    apart(["debootstrap", *options, flavour.suite, str(root), mirror], home.log, proxy_env())


def _install_packages(home: Home, flavour: Flavour, mirror: str, root: Path) -> None:
    (root / "etc/apt/sources.list").write_text(f"deb {mirror} {flavour.suite} main\n")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(_POLICY)
    policy.chmod(0o755)
    # The archive of a copied or delayed mirror may be past its Valid-Until.
    quirks = root / "etc/apt/apt.conf.d/99sandbox"
    quirks.write_text('Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n')
    # The host has no way out of its own network once it is booted.
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    archives = home.downloads / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    binds = {archives: "/var/cache/apt/archives"}
    in_chroot(root, ["apt-get", "update"], home.log, env=proxy_env())
    in_chroot(root, [*_INSTALL, *flavour.packages], home.log, binds, proxy_env())
    policy.unlink()
    (root / "etc/resolv.conf").write_text("# this host resolves names from /etc/hosts only\n")


def _configure(home: Home, flavour: Flavour, root: Path) -> None:
    for path in (root / "etc/sudoers.d").iterdir():
        path.chmod(0o440)
    for name, password in USERS:
        _add_user(home, root, name, password)
    if flavour.apache_modules:
        in_chroot(root, ["a2enmod", *flavour.apache_modules], home.log)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # each host has its own


def _add_user(home: Home, root: Path, name: str, password: str) -> None:
    in_chroot(root, ["useradd", "--create-home", "--shell", "/bin/bash", name], home.log)
    # "*" is no password, but unlike "!" not a locked account, which sshd would refuse.
    script = 'if [ -n "$2" ]; then echo "$1:$2" | chpasswd; else usermod -p "*" "$1"; fi'
    in_chroot(root, ["/bin/sh", "-c", script, "sh", name, password], home.log)
