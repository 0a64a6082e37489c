"""Unpacks a database server from Debian packages into a folder, with all its libraries.

Nothing is installed: apt resolves against an empty package status in a private configuration, so
that the whole closure (libc too) is downloaded and verified, and dpkg-deb unpacks it. Programs
run through the unpacked dynamic loader: no chroot, and no library of this machine.

* MariaDB comes from the suite of this very machine (10.11 on Debian 12, 11.8 on Debian 13).
* MySQL comes from Debian's newest suite, sid, which is the one that has it.

Kept in ``$MATOPS_SANDBOX_HOME/mysql`` (default /var/cache/matops-sandbox/mysql).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What to unpack: with everything it depends on, and (alone) for a few plug-ins and clients.
WANTED = {
    "mariadb": (
        ("mariadb-server-core", "mariadb-client-core"),
        ("mariadb-server", "mariadb-client"),
    ),
    "mysql": (("mysql-server-core", "mysql-client-core"), ("mysql-client",)),
}
SERVERS = {"mariadb": "usr/sbin/mariadbd", "mysql": "usr/sbin/mysqld"}
_KEYRINGS = ("gpg", "pgp")


class InstallError(Exception):
    """The server's packages could not be had. The tests that need it must fail, not pass."""


def home() -> Path:
    """The folder of unpacked servers and prepared data directories."""
    return Path(os.environ.get("MATOPS_SANDBOX_HOME", "/var/cache/matops-sandbox")) / "mysql"


def root(flavour: str) -> Path:
    """The unpacked server's root folder, made on first use (a minute, about 60 MB download)."""
    folder = home() / f"{flavour}.root"
    with locked(flavour):
        if not (folder / SERVERS[flavour]).exists():
            _install(flavour, folder)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Keeps two test runs from building the same thing."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def command(flavour: str, program: str, *words: str) -> list[str]:
    """The command line that runs ``program`` (path below the root) with its own libraries."""
    base = root(flavour)
    loader = (
        next(base.glob("usr/lib*/ld-linux*.so.*"), None)
        or next(base.glob("lib*/ld-linux*.so.*"), None)
        or next(base.glob("usr/lib/*/ld-linux*.so.*"), None)
    )
    if loader is None:
        raise InstallError(f"no dynamic loader in {base}")
    folders = [p for pattern in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu", "usr/lib/mysql/private")
               for p in base.glob(pattern)]  # fmt: skip
    return [str(loader), "--library-path", ":".join(map(str, folders)), str(base / program), *words]


def _install(flavour: str, folder: Path) -> None:
    apt = home() / f"{flavour}.apt"
    for sub in ("lists/partial", "cache/archives/partial", "alone"):
        (apt / sub).mkdir(parents=True, exist_ok=True)
    _write_sources(flavour, apt / "sources.list")
    options = _options(apt)
    with_all, alone = WANTED[flavour]
    _run(["apt-get", *options, "update", "--error-on=any"], flavour)
    quiet = ["install", "-y", "--no-install-recommends", "--download-only", *with_all]
    _run(["apt-get", *options, *quiet], flavour)
    _run(["apt-get", *options, "download", *alone], flavour, cwd=apt / "alone")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    # Merged /usr: else packages put files into both /lib and /usr/lib.
    for name in ("lib", "lib64", "bin", "sbin"):
        (partial / "usr" / name).mkdir(parents=True)
        (partial / name).symlink_to(f"usr/{name}")
    for deb in sorted([*(apt / "cache/archives").glob("*.deb"), *(apt / "alone").glob("*.deb")]):
        # Not dpkg-deb -x: it would replace the links of the merged /usr.
        _unpack(deb, partial, flavour)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    shutil.rmtree(apt)


def _unpack(deb: Path, into: Path, flavour: str) -> None:
    words = f'dpkg-deb --fsys-tarfile "{deb}" | tar -x --keep-directory-symlink -C "{into}"'
    _run(["sh", "-c", words], flavour)


def _write_sources(flavour: str, path: Path) -> None:
    keyring = next(
        (p for s in _KEYRINGS if (p := f"/usr/share/keyrings/debian-archive-keyring.{s}")
         and Path(p).exists()), "",
    )  # fmt: skip
    signed = f"[signed-by={keyring}] " if keyring else ""
    lines = []
    for uri, suite in _archives():
        if flavour == "mariadb":
            lines.append(f"deb {signed}{uri} {suite} main\n")
        elif "security" not in uri:
            lines.append(f"deb {signed}{uri} sid main\n")
    if not lines:
        raise InstallError("this machine's apt names no Debian archive; run apt-get update first")
    path.write_text("".join(sorted(set(lines))))


def _archives() -> list[tuple[str, str]]:
    """The Debian archives (URI, suite) that apt on this machine is set up with."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    asked = ["apt-get", "indextargets", "Created-By: Packages", "--format", form]
    out = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    words = [line.split() for line in out.splitlines()]
    suites = ("bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable")
    return [
        (w[0], w[1])
        for w in words
        if len(w) == 3 and w[2] == "main" and w[1].split("-")[0] in suites and "/debian" in w[0]
    ]


def _options(apt: Path) -> list[str]:
    # On top of this machine's own configuration, so that its proxy is used as well.
    settings = {
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Check-Date": "false",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _run(words: list[str], flavour: str, cwd: Path | None = None) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        tail = " ".join((done.stderr or done.stdout).split()[-40:])
        raise InstallError(f"{flavour} cannot be had: {words[0]} failed: {tail}")
