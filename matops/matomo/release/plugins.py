"""Plugin updates that are staged with a release: packed into one zip, judged like a release.

The pack is stored without compression, sorted and undated, so that its sha256 says what is in
it, wherever it was made.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matops.errors import Refused, UsageError
from matops.matomo.release import archive
from matops.matomo.release.downloads import sha256_of
from matops.matomo.release.faults import told

_LIMIT = 500 * 2**20
_MEMBER = 64 * 2**20  # one file of a plugin is held in memory while it is packed

Member = tuple[str, bytes]


def pack(*, source: str, out: str) -> dict[str, Any]:
    """Packs ``source`` into the zip ``out``: ``{sha256, plugins: {name: {version, require}}}``.

    ``source``: a plugin's folder, a folder of plugins and zips of plugins, or a zip. Refused:
    links, hostile names, a plugin.json that is missing or names another plugin. UsageError:
    nothing there.
    """
    found = dict(sorted(_members(Path(source)).items()))
    if not found:
        raise UsageError(f"--plugins: no plugin found in {source}: none has a plugin.json")
    with (
        told("pack the plugins", str(Path(out).parent), "Nothing was staged"),
        zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target,
    ):
        for members in found.values():
            for name, data in sorted(members):
                target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return {"sha256": sha256_of(Path(out)), "plugins": described(found)}


def described(found: dict[str, list[Member]]) -> dict[str, Any]:
    """``{name: {version, require}}`` of plugins at hand. Refused, see ``pack``."""
    result = {}
    for name, members in found.items():
        data = dict(members).get(f"{name}/plugin.json")
        if data is None:
            raise Refused(f"plugin {name} has no plugin.json in its folder")
        result[name] = _described(name, data)
    return result


def _described(name: str, data: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(data.decode("utf-8-sig"))
        said, require = str(facts.get("name", "")), facts.get("require") or {}
    except (ValueError, AttributeError):
        raise Refused(f"plugin {name}: its plugin.json is not readable JSON") from None
    if said != name:
        raise Refused(
            f"plugin {name}: its plugin.json names another plugin, '{said[:60]}'",
            next="the folder must bear the plugin's name",
        )
    return {"version": str(facts.get("version", "")), "require": require}


def _members(source: Path) -> dict[str, list[Member]]:
    if source.is_file():
        return _from_zip(source)
    if not source.is_dir():
        raise UsageError(f"--plugins: {source} is neither a folder nor a zip")
    if (source / "plugin.json").is_file():
        return {_name(source.resolve().name): list(_from_folder(source, source.resolve().name))}
    found: dict[str, list[Member]] = {}
    for path in sorted(source.iterdir()):
        if path.is_dir() and (path / "plugin.json").is_file():
            more = {_name(path.name): list(_from_folder(path, path.name))}
        elif path.suffix.lower() == ".zip":
            more = _from_zip(path)
        else:
            continue
        twice = set(more) & set(found)
        if twice:
            raise Refused(f"--plugins: {', '.join(twice)} is there twice in {source}")
        found.update(more)
    return found


def _from_folder(folder: Path, name: str) -> Iterator[Member]:
    for path in sorted(folder.rglob("*")):
        inside = f"{name}/{path.relative_to(folder).as_posix()}"
        trouble = archive.check_name(inside)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            trouble = "is a link or a special file"
        if trouble:
            raise Refused(f"plugin {name} is not to be trusted: {ascii(inside)[:120]} {trouble}")
        if path.is_file() and not inside.startswith(f"{name}/.git/"):
            yield inside, _sized(path.read_bytes(), inside)


def _from_zip(path: Path) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    with archive.opened(path) as opened:
        archive.examine(opened, None, _LIMIT, path.name)
        for entry in opened.infolist():
            if not entry.is_dir():
                name, _, rest = entry.filename.partition("/")
                if not rest:
                    raise Refused(f"{path.name}: {archive.show(entry)} is outside a plugin")
                data = _sized(opened.read(entry), entry.filename)
                found.setdefault(_name(name), []).append((entry.filename, data))
    return found


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,59}", name):
        raise Refused(f"'{ascii(name)[:60]}' cannot be the name of a plugin")
    return name


def _sized(data: bytes, name: str) -> bytes:
    if len(data) > _MEMBER:
        raise Refused(f"{ascii(name)[:120]} is too big for a file of a plugin")
    return data
