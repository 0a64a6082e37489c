"""The live installation before and after a rehearsal: what must be the same, and what others did.

Schema, versions, configuration and code are compared exactly. Options, small tables and caches
change with ordinary traffic: those are told, not held against anybody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from matops.matomo.database import Database
from matops.mysql.scratch import rows, shapes
from matops.mysql.session import DatabaseError

CACHES = ("cache", "templates_c", "assets")
_CODE = ("core/", "plugins/", "libs/", "vendor/", "console")
"""Elsewhere files come and go: GeoIP data in misc, tag manager containers in js."""
_MOST_ROWS = 20_000
_MOST_FILES = 400_000
_SHOWN = 12


@dataclass
class Picture:
    """One look. Names with digests, sizes, times; never contents."""

    tables: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    small: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    caches: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Difference:
    """``serious``: nothing but an upgrade, or another operator, does that. ``others``: what
    traffic and scheduled tasks explain. A line each."""

    serious: tuple[str, ...]
    others: tuple[str, ...]


def look(db: Database, docroot: str, found: shapes.Schema) -> Picture:
    """Reads everything once: some seconds on a large schema. ``found``: its shapes now."""
    picture = Picture(tables={name: shape.digest for name, shape in found.tables.items()})
    option = db.table("option")
    picture.options = {
        str(row["name"]): str(row["digest"])
        for row in db.session.rows("watch_options", option=option)
    }
    for shape in found.tables.values():
        small = shape.rows <= _MOST_ROWS and shape.bytes <= rows.MOST_BYTES
        if small and shape.name != option and rows.wanted(shape.name, db.prefix):
            picture.small[shape.name] = _checksum(db, shape.name)
    real = os.path.realpath(docroot)
    picture.config = {name: _sha256(Path(real, name)) for name in _config_files(real)}
    picture.files = dict(_listing(real))
    picture.caches = {name for part in CACHES for name in _names(f"{real}/tmp/{part}")}
    return picture


def compare(before: Picture, after: Picture, prefix: str) -> Difference:
    """What is different, and whether that matters. Pure."""
    serious = [*_config_lines(before, after), *_table_lines(before, after, prefix)]
    names = _changed(before.options, after.options)
    versions = [name for name in names if name.startswith("version_")]
    if versions:
        serious.append(f"options of versions changed: {_some(versions)}")
    files = _changed(before.files, after.files)
    code = [name for name in files if name.endswith(".php") or name.startswith(_CODE)]
    if code:
        serious.append(f"code in the docroot changed: {_some(code)}")
    others = []
    rest = [name for name in files if name not in code]
    if rest:
        others.append(f"files of the docroot changed: {_some(rest)}")
    plain = [name for name in names if name not in versions]
    if plain:
        others.append(f"options changed: {_some(plain)}")
    small = _changed(before.small, after.small)
    if small:
        others.append(f"rows changed in {_some(small)}")
    gone = before.caches - after.caches
    if len(gone) > 5 and len(gone) >= 0.9 * len(before.caches):
        others.append(f"the caches in tmp were emptied ({len(gone)} files)")
    return Difference(tuple(serious), tuple(others))


def _config_lines(before: Picture, after: Picture) -> list[str]:
    changed = _changed(before.config, after.config)
    return [f"configuration changed: {_some(changed)}"] if changed else []


def _table_lines(before: Picture, after: Picture, prefix: str) -> list[str]:
    changed = _changed(before.tables, after.tables)
    # A new month's archive tables, and a queue's, are made by traffic.
    usual = (f"{prefix}archive_numeric_", f"{prefix}archive_blob_", f"{prefix}queuedtracking_")
    changed = [
        name
        for name in changed
        if not (name.startswith(usual) and (name in before.tables) != (name in after.tables))
    ]
    return [f"tables changed their shape: {_some(changed)}"] if changed else []


def _changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    names = sorted({*before, *after})
    return [name for name in names if before.get(name) != after.get(name)]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _checksum(db: Database, table: str) -> str:
    try:
        found = db.session.rows("watch_checksum", table=table)
    except DatabaseError as error:
        return f"error {error.number}"
    return str(found[0].get("Checksum")) if found else ""


def _config_files(docroot: str) -> list[str]:
    found = [f"config/{name}" for name in _names(f"{docroot}/config", depth=1)]
    return sorted([*found, *(name for name in (".htaccess", "bootstrap.php")
                             if os.path.exists(f"{docroot}/{name}"))])  # fmt: skip


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return str(error.strerror)


def _listing(docroot: str) -> Iterator[tuple[str, str]]:
    """Every file but those of tmp and config: size, time of change, inode."""
    seen = 0
    for folder, names, files in os.walk(docroot):
        base = os.path.relpath(folder, docroot)
        if base == ".":
            names[:] = [name for name in names if name not in ("tmp", "config")
                        and not name.startswith(".matops")]  # fmt: skip
        for name in files:
            seen += 1
            if seen > _MOST_FILES:
                return
            path = os.path.join(folder, name)
            try:
                data = os.lstat(path)
            except OSError:
                continue
            yield (
                os.path.normpath(f"{base}/{name}"),
                f"{data.st_size} {data.st_mtime_ns} {data.st_ino}",
            )


def _names(folder: str, depth: int = 9) -> list[str]:
    found = []
    for path, names, files in os.walk(folder):
        if path[len(folder) :].count(os.sep) >= depth - 1:
            names[:] = []
        found += [os.path.relpath(os.path.join(path, name), folder) for name in files]
    return found
