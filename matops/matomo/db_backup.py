"""Backups of the database's essentials. Runs on the host, as the keeper of matops' folder (root).

A backup is a folder ``<place>/<time>/`` (0700): a ``.sql.gz`` for each table, ``manifest.json``
with a sha256 for each, ``README`` with the commands that restore. It is written as
``<time>.part`` and renamed when it is whole; what a killed run leaves, the next one removes.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matops.errors import Locked, MatopsError, Refused, UsageError
from matops.matomo import db_restore
from matops.matomo.database import Database
from matops.mysql import catalog, server
from matops.mysql.dump import choose, files
from matops.mysql.dump.essentials import Dump, Voices
from matops.mysql.dump.source import Source
from matops.units import compact_time, show_size, utc_now

NAME = re.compile(r"\d{8}T\d{6}Z")
RESERVE = 512 * 2**20
"""Bytes that stay free on the backups' disk: a server with a full disk stops."""

_SHRINKS = 0.5
"""Of a table's data, what its dump takes at most where no earlier backup says more. Measured:
0.1 to 0.25 for archive_numeric and Matomo's small tables."""


def survey(docroot: str, place: str, numeric: bool = True) -> dict[str, Any]:
    """What a backup would hold, its room on the disk, and the backups there are.

    ``parts``: what of each table; ``bytes``: of data to be read; ``needs`` and ``free``: bytes on
    the disk of ``place``; ``backups``: manifests without their tables. DatabaseError, Refused.
    """
    _outside(docroot, place)
    with Database(docroot) as db:
        found = server.look(db.session)
        parts = _parts(db, found, numeric)
        backups = listing(place)
        size = choose.total(parts)
        return {
            "server": found.shown,
            "database": db.address.shown,
            "read_only": found.read_only or bool(found.is_replica),
            "parts": [asdict(part) for part in parts],
            "bytes": size,
            "needs": int(size * _ratio(backups)) + 2**20,
            "free": _free(place),
            "backups": backups,
        }


def _parts(db: Database, found: server.Server, numeric: bool) -> list[choose.Part]:
    tables = catalog.tables(db.session, found, db.address.schema, db.prefix)
    parts = choose.essentials(tables, numeric=numeric)
    if not any(part.what == choose.ROWS for part in parts):
        raise MatopsError(
            f"there is no table {db.prefix}… to back up in {db.address.shown}",
            next="see [database] dbname and tables_prefix in config.ini.php",
        )
    return parts


def _ratio(backups: list[dict[str, Any]]) -> float:
    for backup in reversed(backups):
        if backup["data_bytes"] > 2**20:
            return min(1.3 * float(backup["size"]) / float(backup["data_bytes"]), 1.0)
    return _SHRINKS


def _free(place: str) -> int:
    """Bytes free where ``place`` is, or will be made."""
    path = Path(place)
    while not path.exists() and path != path.parent:
        path = path.parent
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def _outside(docroot: str, place: str) -> None:
    inside, root = os.path.realpath(place), os.path.realpath(docroot)
    if f"{inside}/".startswith(f"{root}/"):
        raise Refused(
            f"{place} lies inside the docroot: a web server may serve it",
            state="Nothing was written",
            next="set db_backup_dir to another folder",
        )


def make(
    docroot: str, place: str, *, numeric: bool, about: dict[str, Any], voices: Voices
) -> dict[str, Any]:
    """Makes a backup in ``place``; its manifest. ``about``: host, Matomo's version.

    Raises Locked (another one is being made), Refused (no room), DatabaseError, MatopsError; then,
    and when it is interrupted, nothing of it is left.
    """
    _outside(docroot, place)
    os.umask(0o077)
    with _alone(place), Database(docroot) as db:
        _sweep(place)
        found = server.look(db.session)
        parts = _parts(db, found, numeric)
        need = int(choose.total(parts) * _ratio(listing(place))) + 2**20
        refuse_without_room(place, need, _free(place))
        name = compact_time(utc_now())
        partial = Path(place) / f"{name}.part"
        manifest = {
            "v": 1, "what": "essentials", "name": name, "docroot": docroot, **about,
            "server": found.shown, "flavour": found.flavour, "schema": db.address.schema,
            "prefix": db.prefix, "numeric": numeric, "data_bytes": choose.total(parts),
            "started": utc_now().isoformat(timespec="seconds"),
            "from_replica": found.read_only or bool(found.is_replica),
            "not_ours": sorted(p.name for p in parts if p.what == choose.NOT_OURS),
        }  # fmt: skip
        try:
            partial.mkdir(mode=0o700)
            voices.room = functools.partial(_still_room, place)
            with Source(db.address) as source:
                done = Dump(source, db.address.schema, partial, parts, voices).run()
            manifest.update(asdict(done), finished=utc_now().isoformat(timespec="seconds"))
            manifest["size"] = sum(int(about["size"]) for about in done.files.values())
            _put(partial / "README", db_restore.readme(f"{place}/{name}", manifest).encode())
            _put(partial / "manifest.json", json.dumps(manifest, indent=1).encode())
            _sync(partial)
            partial.rename(Path(place) / name)
            _sync(Path(place))
        except OSError as error:
            raise files.unwritten(partial, error) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def refuse_without_room(place: str, needs: int, free: int) -> None:
    """Refused where ``needs`` bytes do not leave RESERVE of ``free``. Pure."""
    if free - needs < RESERVE:
        raise Refused(
            f"{place}: {show_size(free)} are free; the backup may take {show_size(needs)}, and "
            f"{show_size(RESERVE)} are to stay",
            state="Nothing was written",
            next="free some space, set db_backup_dir to another disk, or leave the archives' "
            "numbers out (--no-numeric)",
        )


def _still_room(place: str) -> None:
    free = _free(place)
    if free < RESERVE // 2:
        raise MatopsError(
            f"{place}: only {show_size(free)} are left",
            state="The backup was stopped and what was written of it removed; older ones stay",
            next="free some space there, or set db_backup_dir to another disk",
        )


@contextlib.contextmanager
def _alone(place: str) -> Iterator[None]:
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


def _sweep(place: str) -> None:
    """Removes what runs that were killed have left. Only under the lock."""
    for left in Path(place).glob("*.part"):
        shutil.rmtree(left, ignore_errors=True)


def _put(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


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
    try:
        manifest = json.loads(Path(place, name, "manifest.json").read_text())
        tables = manifest.pop("tables")
        manifest.pop("files")
        rows = sum(table["rows"] or 0 for table in tables)
        return {**manifest, "name": name, "folder": f"{place}/{name}", "tables": len(tables),
                "rows": rows, "error": ""}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"name": name, "folder": f"{place}/{name}", "tables": 0, "rows": 0, "size": 0,
                "data_bytes": 0, "error": f"its manifest is damaged: {error}"}  # fmt: skip


def load(place: str, name: str) -> dict[str, Any]:
    """One manifest as it was written. UsageError: no such backup; Damaged."""
    path = Path(place, name, "manifest.json")
    if not NAME.fullmatch(name) or not path.exists():  # it becomes part of a path
        raise UsageError(f"no backup '{name}' here; db.backup.list shows them")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest
    except (OSError, ValueError) as error:
        raise files.Damaged(f"backup {name} is damaged: its manifest: {error}") from None


def verify(place: str, name: str) -> dict[str, Any]:
    """Reads a backup back: checksums, every byte unpacked, each file's last line. Its manifest.

    Raises UsageError (no such backup), Damaged.
    """
    manifest = load(place, name)
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


def prune(place: str, keep: int) -> list[str]:
    """Removes whole backups but the ``keep`` newest; their names. At least one always stays.

    Those with a damaged manifest neither count nor go.
    """
    with _alone(place):
        good = [each["name"] for each in listing(place) if not each["error"]]
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
