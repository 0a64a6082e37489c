"""The backups of the database's essentials that there are. On the host, as their keeper.

A backup is a folder ``<place>/<time>/`` with a manifest; see ``db_backup``. Whatever else lies
there is none: what is being made is called ``<time>.part``.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matops.errors import Locked, MatopsError, UsageError
from matops.matomo.probes import backups
from matops.mysql.dump import files

NAME = re.compile(r"\d{8}T\d{6}Z")


@contextlib.contextmanager
def alone(place: str) -> Iterator[None]:
    """Makes the folder (0700) and is its only writer. Locked, MatopsError."""
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        os.chmod(place, 0o700)
        lock = os.open(f"{place}/.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise MatopsError(
            f"{place} cannot be written: {error.strerror}",
            state="No backup was made",
            next="give this account sudo, or set db_backup_dir (or state_dir) to a folder of yours",
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Locked(
            f"another db.backup is at work in {place}",
            state="This one did nothing",
            next="jobs shows it; wait for it",
        ) from None
    finally:
        os.close(lock)


def sweep(place: str) -> None:
    """Removes what runs that were killed have left. Only under the lock."""
    for left in Path(place).glob("*.part"):
        shutil.rmtree(left, ignore_errors=True)


def listing(place: str) -> list[dict[str, Any]]:
    """The manifests of all whole backups in ``place``, the oldest first, without their lists.

    ``tables`` is their number, ``rows`` of all. A folder whose manifest is damaged is told with
    an ``error``.
    """
    found = []
    with contextlib.suppress(OSError):
        names = sorted(name for name in os.listdir(place) if NAME.fullmatch(name))
        found = [_entry(place, name) for name in names]
    return found


def _entry(place: str, name: str) -> dict[str, Any]:
    folder = f"{place}/{name}"
    try:
        manifest = load(place, name)
    except MatopsError as error:
        return {"name": name, "folder": folder, "tables": 0, "rows": 0, "size": 0,
                "data_bytes": 0, "error": error.what}  # fmt: skip
    tables = manifest.pop("tables")
    manifest.pop("files")
    rows = sum(table["rows"] or 0 for table in tables)
    return {**manifest, "name": name, "folder": folder, "tables": len(tables), "rows": rows,
            "error": ""}  # fmt: skip


def load(place: str, name: str) -> dict[str, Any]:
    """One manifest as it was written. UsageError: no such backup; Damaged."""
    path = Path(place, name, "manifest.json")
    if not NAME.fullmatch(name) or not path.exists():  # it becomes part of a path
        raise UsageError(f"no backup '{name}' here; db.backup.list shows them")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        _sound(manifest)
        return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise files.Damaged(f"backup {name} is damaged: its manifest ({error!r})") from None


def _sound(manifest: dict[str, Any]) -> None:
    """KeyError, TypeError, … where it does not hold what is read from it later."""
    for file, about in manifest["files"].items():
        plain(file)
        about["sha256"], about["last"], int(about["size"])
    for table in manifest["tables"]:
        if table.get("file"):
            manifest["files"][table["file"]]
        table["name"], table["rows"], table["bytes"]
    plain(manifest["name"])
    for key in ("started", "finished", "size", "data_bytes", "notes", "schema", "largest"):
        manifest[key]


def plain(file: str) -> str:
    """``file``; ValueError where it is more than a name: it becomes part of a path. Pure."""
    if "/" in file or file.startswith("."):
        raise ValueError(f"'{file}' is not the name of a file of a backup")
    return file


def verify(place: str, name: str) -> dict[str, Any]:
    """Reads a backup back: checksums, every byte unpacked, each file's last line. Its manifest.

    Raises UsageError (no such backup), Damaged.
    """
    manifest = load(place, name)
    _nothing_else(Path(place, name), name, manifest)
    for file, about in manifest["files"].items():
        path = Path(place, name, file)
        if files.sha256_of(path) != about["sha256"]:
            raise files.Damaged(
                f"backup {name} is damaged: {file} has another checksum than was written down",
                next="do not restore from it: db.backup.list shows the others",
            )
        if files.last_line(path) != about["last"]:
            raise files.Damaged(f"backup {name} is damaged: {file} ends too early")
    return {**manifest, "folder": f"{place}/{name}"}


def _nothing_else(folder: Path, name: str, manifest: dict[str, Any]) -> None:
    # The command that restores takes every file that is there.
    for path in sorted(folder.glob("*.sql.gz")):
        if path.name not in manifest["files"]:
            raise files.Damaged(
                f"backup {name} holds {path.name}, which was not written with it",
                next="do not restore from it before you know where that came from",
            )


def prune(place: str, keep: int, newest: str = "") -> list[str]:
    """Removes whole backups but the ``keep`` newest; their names. At least one always stays.

    Those with a damaged manifest neither count nor go. ``newest`` is taken for that, whatever the
    others are called: a clock that was ahead gave them later names.
    """
    with alone(place):
        good = [each["name"] for each in listing(place) if not each["error"]]
        good.sort(key=lambda name: (name == newest, name))
        old = good[: -max(keep, 1)]
        for name in old:
            # Renamed first: a half removed one must not look whole.
            os.rename(f"{place}/{name}", f"{place}/{name}.part")
            shutil.rmtree(f"{place}/{name}.part", ignore_errors=True)
    return old


def piece(place: str, name: str, file: str, offset: int, size: int) -> str:
    """``size`` bytes of one file of a backup, in base64, for the operator's machine."""
    if not NAME.fullmatch(name) or "/" in file:
        raise UsageError(f"no file '{file}' in a backup '{name}'")
    try:
        with open(f"{place}/{name}/{file}", "rb") as opened:
            opened.seek(offset)
            return base64.b64encode(opened.read(size)).decode()
    except OSError as error:
        raise MatopsError(f"{place}/{name}/{file} cannot be read: {error.strerror}") from None


def full(check: str, files: str) -> dict[str, Any]:
    """When the operator's own full backup was made last (``probes.backups.last_full``)."""
    found, error = backups.last_full(check, files)
    return {"now": time.time(), "time": found, "error": error}
