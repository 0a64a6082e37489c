"""Where the backups of the configuration are: on the host, and their copies on this machine."""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
import zlib
from pathlib import Path
from typing import Any

from matops.errors import MatopsError, Refused, UsageError
from matops.matomo.site import Site

RESTORING = "config.restore"
"""``by`` of a backup that a restore made of what it replaced."""


def folder(site: Site) -> str:
    """Where the backups lie on the host. Refused where a web server could serve them."""
    if f"{site.state_dir}/".startswith(f"{site.docroot.rstrip('/')}/"):
        raise Refused(
            f"state_dir {site.settings.state_dir} lies inside the docroot: backups hold passwords",
            host=site.host.name,
            state="Nothing was written",
            next="set state_dir to a folder that no web server serves",
        )
    return f"{site.state_dir}/backups"


def ask(site: Site, function: str, **payload: Any) -> Any:
    """Calls ``matomo.config_backup:<function>`` on the host as the keeper of the backups."""
    return site.agent.call(f"matops.matomo.config_backup:{function}", payload, user=site.keeper)


def found(site: Site) -> list[dict[str, Any]]:
    """All backups of this docroot, the oldest first, under whatever name it was known.

    Manifests with ``folder`` (theirs, on the host) and ``id`` (the installation's then).
    """
    listing = ask(site, "listing", root=site.state_root, docroot=site.docroot)
    return [{**each, "id": each["folder"].split("/")[-2]} for each in listing]


def chosen(site: Site, name: str) -> dict[str, Any]:
    """The backup ``name``, or with ``last`` the newest that no restore made. UsageError."""
    backups = found(site)
    usual = [each for each in backups if each.get("by") != RESTORING] or backups
    if name == "last" and usual:
        return usual[-1]
    if name == "last":
        raise UsageError(
            f"there is no backup of {site.docroot} yet", host=site.host.name, next="config.backup"
        )
    fitting = [each for each in backups if each["name"] == name]
    if not fitting:
        raise UsageError(f"no backup '{name}' here; config.list shows them", host=site.host.name)
    return fitting[-1]


def local_copy(site: Site, name: str, known_as: str = "") -> Path:
    """Where the operator's copy of backup ``name`` lies; ``known_as``: its ``id``, if another."""
    root = Path(site.settings.backup_dir).expanduser()
    return root / (known_as or site.id) / site.host.name.replace("/", "_") / f"{name}.tar.gz"


def copy_problem(path: Path, manifest: dict[str, Any]) -> str:
    """What is wrong with a local copy; '' if it holds every file with its checksum.

    The contents are compared: a tar.gz made again has other bytes.
    """
    wanted = {
        f"{manifest['name']}/files{name}": facts["sha256"]
        for name, facts in manifest["files"].items()
    }
    try:
        with tarfile.open(path) as tar:
            found = {each.name: _sum(tar, each) for each in tar if each.isfile()}
    except FileNotFoundError:
        return "it is only on the host"
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        return f"the copy here is damaged: {error}"
    found.pop(f"{manifest['name']}/manifest.json", None)
    wrong = sorted(each for each in {*wanted, *found} if wanted.get(each) != found.get(each))
    return f"the copy here is damaged: {wrong[0]} differs" if wrong else ""


def _sum(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return hashlib.sha256(file.read() if file else b"").hexdigest()


def fetch(site: Site, name: str) -> Path:
    """Copies a backup to the operator's machine (0600), whole or not at all; its path."""
    answer = ask(site, "archive", folder=folder(site), name=name)
    data = base64.b64decode(answer["data"])
    if hashlib.sha256(data).hexdigest() != answer["sha256"]:
        raise MatopsError(f"backup {name} arrived damaged", next="run config.backup again")
    target = local_copy(site, name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = target.with_suffix(".partial")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(target)
    except OSError as error:
        raise MatopsError(
            f"the backup's copy could not be written to {target}: {error.strerror}",
            state=f"The backup itself is on {site.host.name}: {folder(site)}/{name}",
            next="set backup_dir to a folder of yours",
        ) from None
    return target
