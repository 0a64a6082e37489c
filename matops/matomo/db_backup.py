"""Backups of the database's essentials. Runs on the host, as the keeper of matops' folder (root).

A backup is a folder ``<place>/<time>/`` (0700): a ``.sql.gz`` for each table, ``manifest.json``
with a sha256 for each, ``README`` with the commands that restore. It is written as
``<time>.part`` and renamed when it is whole; what a killed run leaves, the next one removes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pwd
import shutil
import time
from pathlib import Path
from typing import Any

from matops.errors import MatopsError, Refused, UsageError
from matops.matomo import db_restore, ini
from matops.matomo.database import address as address_of
from matops.matomo.database import read_config
from matops.matomo.db_backup_kept import alone, listing, sweep
from matops.mysql import catalog, server
from matops.mysql.dump import choose, files
from matops.mysql.dump.essentials import Dump, Voices
from matops.mysql.dump.source import LOCK_WAIT, Source
from matops.mysql.session import Address, Session
from matops.units import compact_time, show_size, utc_now

RESERVE = 512 * 2**20
"""Bytes that stay free on the backups' disk: a server with a full disk stops."""

_SHRINKS = 0.5
"""Of a table's data, what its dump takes at most where no earlier backup says more. Measured:
0.1 to 0.25 for archive_numeric and Matomo's small tables."""


def survey(docroot: str, place: str, numeric: bool = True, source: str = "") -> dict[str, Any]:
    """What a backup would hold, its room on the disk, and the backups there are.

    ``parts``: what of each table; ``bytes``: of data to be read; ``needs`` and ``free``: bytes on
    the disk of ``place``; ``backups``: manifests without their tables. ``source``: HOST[:PORT] of
    a replica to read instead. DatabaseError, Refused.
    """
    _outside(docroot, place)
    address, prefix = _where(docroot, source)
    with _session(address) as session:
        found = server.look(session)
        parts = _parts(session, found, prefix, numeric)
        backups = listing(place)
        size = choose.total(parts)
        return {
            "server": found.shown,
            "database": address.shown,
            "read_only": found.read_only or bool(found.is_replica),
            "parts": [dataclasses.asdict(part) for part in parts],
            "bytes": size,
            "needs": int(size * _ratio(backups)) + 2**20,
            "free": _free(place),
            "backups": backups,
        }


def _where(docroot: str, source: str) -> tuple[Address, str]:
    """The database's address, or ``source`` with the same account; and the table prefix."""
    config = read_config(docroot)
    address, prefix = address_of(config), ini.text_of(config, "database", "tables_prefix")
    if not source:
        return address, prefix
    host, port = source_of(source)
    return dataclasses.replace(address, host=host, port=port or address.port, socket=""), prefix


def _session(address: Address) -> Session:
    return Session(address, timeout=300, variables={"lock_wait_timeout": LOCK_WAIT})


def source_of(text: str) -> tuple[str, int]:
    """``HOST[:PORT]`` as host and port (0: none given). UsageError. Pure."""
    host, _, port = text.partition(":")
    if not host or ":" in port or (port and not port.isdigit()):
        raise UsageError(f"--source: '{text}' is not HOST or HOST:PORT")
    return host, int(port or 0)


def _parts(session: Session, found: server.Server, prefix: str, numeric: bool) -> list[choose.Part]:
    schema = session.address.schema
    tables = catalog.tables(session, found, schema, prefix)
    parts = choose.essentials(tables, numeric=numeric)
    if not any(part.what == choose.ROWS for part in parts):
        raise MatopsError(
            f"there is no table {prefix}… to back up in {session.address.shown}",
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
    docroot: str, place: str, *, numeric: bool, about: dict[str, Any], voices: Voices,
    source: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Makes a backup in ``place``; its manifest. ``about``: host, Matomo's version; ``source``:
    see ``survey``.

    Raises Locked (another one is being made), Refused (no room), DatabaseError, MatopsError; then,
    and when it is interrupted, nothing of it is left.
    """
    _outside(docroot, place)
    os.umask(0o077)
    address, prefix = _where(docroot, source)
    home = _where(docroot, "")[0]  # where it would be read back, not the replica
    with alone(place), _session(address) as session:
        sweep(place)
        found = server.look(session)
        parts = _parts(session, found, prefix, numeric)
        need = int(choose.total(parts) * _ratio(listing(place))) + 2**20
        refuse_without_room(place, need, _free(place))
        name = _name(place)
        partial = Path(place) / f"{name}.part"
        manifest = {
            "v": 1, "what": "essentials", "name": name, "docroot": docroot, **about,
            "server": found.shown, "flavour": found.flavour, "schema": address.schema,
            "database": {"host": home.host, "port": home.port, "socket": home.socket},
            "owner": _owner(), "prefix": prefix, "numeric": numeric,
            "data_bytes": choose.total(parts),
            "started": utc_now().isoformat(timespec="seconds"),
            "from_replica": found.read_only or bool(found.is_replica),
            "not_ours": sorted(p.name for p in parts if p.what == choose.NOT_OURS),
        }  # fmt: skip
        try:
            partial.mkdir(mode=0o700)
            voices.room = functools.partial(_still_room, place)
            with Source(address) as reader:
                done = Dump(reader, address.schema, partial, parts, voices).run()
            manifest.update(
                dataclasses.asdict(done), finished=utc_now().isoformat(timespec="seconds")
            )
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


def _name(place: str) -> str:
    """The time as a name that is not taken: two backups may begin within a second."""
    while Path(place, found := compact_time(utc_now())).exists():
        time.sleep(0.1)
    return found


def _owner() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


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
