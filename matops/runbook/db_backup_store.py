"""Where the backups of the database are, and how they are asked about from anywhere."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matops.errors import MatopsError, UsageError
from matops.matomo import db_backup_kept
from matops.matomo.site import Site

_PIECE = 2 * 2**20  # bytes of one answer
_PATIENCE = 4 * 3600  # seconds for reading a large backup back


def place(site: Site) -> str:
    """The folder of this installation's backups, on the host."""
    if site.settings.db_backup_dir:
        return f"{site.settings.db_backup_dir.rstrip('/')}/{site.id}"
    return f"{site.state_dir}/db-backups"


def here(site: Site) -> bool:
    """True where this very process is on the host and may do everything itself."""
    return site.host.is_local and (site.keeper is None or os.geteuid() == 0)


def ask(site: Site, function: str, **payload: Any) -> Any:
    """Calls ``matomo.<function>`` on the host as the keeper of the backups."""
    user = None if here(site) else site.keeper
    return site.agent.call(f"matops.matomo.{function}", payload, user=user, timeout=_PATIENCE)


def listing(site: Site) -> list[dict[str, Any]]:
    """All backups, the oldest first (``matomo.db_backup_kept.listing``)."""
    found: list[dict[str, Any]] = ask(site, "db_backup_kept:listing", place=place(site))
    return found


def chosen(site: Site, name: str) -> str:
    """``name``, or with ``last`` that of the newest whole one. UsageError: there is none."""
    if name != "last":
        return name
    good = [each["name"] for each in listing(site) if not each["error"]]
    if not good:
        raise UsageError("there is no backup yet", host=site.host.name,
                         next="db.backup --essentials")  # fmt: skip
    return str(good[-1])


def last_full(site: Site) -> dict[str, Any]:
    """``{"now", "time", "error"}``: when the operator's own backup was made last, and why not."""
    settings = site.settings
    found: dict[str, Any] = ask(
        site, "db_backup_kept:full", check=settings.backup_check, files=settings.backup_files
    )
    return found


def fetch(site: Site, manifest: dict[str, Any], folder: Path, told: Callable[[int], Any]) -> Path:
    """Copies a whole backup below ``folder`` on this machine (0700), compared; its path there.

    MatopsError where it arrives damaged or cannot be written.
    """
    try:  # the host chose these names: they stay below ``folder``
        name = db_backup_kept.plain(str(manifest["name"]))
        for file in manifest["files"]:
            db_backup_kept.plain(file)
    except ValueError as error:
        raise MatopsError(f"nothing was copied: {error}", host=site.host.name) from None
    target = folder.expanduser() / site.id / name
    if target.exists():
        return target
    partial = target.with_name(f"{name}.part")
    try:
        partial.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in [*manifest["files"], "README", "manifest.json"]:
            digest = _fetch_file(site, name, file, partial / file, told)
            if digest != manifest["files"].get(file, {"sha256": digest})["sha256"]:
                raise MatopsError(f"{file} of backup {name} arrived damaged", next="fetch it again")
        partial.rename(target)
    except OSError as error:
        raise MatopsError(
            f"the copy could not be written to {target}: {error.strerror}",
            state=f"The backup itself is on {site.host.name}: {place(site)}/{name}",
            next="name another folder with --fetch",
        ) from None
    return target


def _fetch_file(site: Site, name: str, file: str, path: Path, told: Callable[[int], Any]) -> str:
    digest, offset = hashlib.sha256(), 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        while True:
            answer = ask(site, "db_backup_kept:piece", place=place(site), name=name, file=file,
                         offset=offset, size=_PIECE)  # fmt: skip
            data = base64.b64decode(answer)
            opened.write(data)
            digest.update(data)
            offset += len(data)
            told(len(data))
            if len(data) < _PIECE:
                return digest.hexdigest()
