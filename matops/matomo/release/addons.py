"""Puts packed plugins into a staged tree. Runs on the host."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from matops.errors import MatopsError, Refused
from matops.matomo.release import archive, places, plugins, tree
from matops.matomo.release.downloads import alone, sha256_of
from matops.matomo.release.faults import told
from matops.matomo.release.owner import Owner, owner_of, save, settle
from matops.matomo.release.unpack import write_entry

_LIMIT = 500 * 2**20


def stage(
    *, docroot: str, path: str, folder: str, pack: str, sha256: str, web_user: str
) -> dict[str, Any]:
    """Unpacks the plugins of ``pack`` into the stage at ``path``; the new manifest.

    Judged again here, as whole as a release. A plugin that the stage has already is replaced.
    Each appears by one rename. Raises Refused, MatopsError; a broken run is redone by the next.
    """
    with alone(folder):
        if sha256_of(Path(pack)) != sha256:
            raise MatopsError(f"{pack} is not what was packed", next="run this again")
        places.demand(str(Path(path).parent), docroot)
        stage_folder = Path(path)
        manifest = tree.read_manifest(stage_folder)
        files = json.loads((stage_folder / tree.FILES).read_text())
        owner = owner_of(docroot, web_user)
        work = stage_folder / "plugins.partial"
        shutil.rmtree(work, ignore_errors=True)
        try:
            with told("stage plugins", path, "The staged release is as it was"):
                work.mkdir(mode=0o700)
                found = _unpack(Path(pack), work, owner)
                for name in found["plugins"]:
                    _place(name, work, stage_folder / tree.TREE / "plugins", owner)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        kept = {
            name: each
            for name, each in files.items()
            if not name.startswith(tuple(f"plugins/{plugin}/" for plugin in found["plugins"]))
        }
        manifest["plugins"] = {**manifest.get("plugins", {}), **found["plugins"]}
        manifest["pack"] = sha256
        manifest["target"]["added"] = manifest["plugins"]
        save(stage_folder, manifest, {**kept, **found["files"]})
        settle(stage_folder, owner)
        Path(pack).unlink(missing_ok=True)
        return manifest


def _unpack(pack: Path, work: Path, owner: Owner) -> dict[str, Any]:
    files: dict[str, list[Any]] = {}
    members: dict[str, list[plugins.Member]] = {}
    with archive.opened(pack, "the plugins") as opened:
        archive.examine(opened, None, _LIMIT, "the plugins")
        for entry in opened.infolist():
            path = work / entry.filename
            name = entry.filename.partition("/")[0]
            if entry.is_dir() or name == entry.filename:
                raise Refused("the plugins were not packed by matops")
            for parent in reversed(path.relative_to(work).parents[:-1]):
                made = work / parent
                if not made.exists():
                    made.mkdir()
                    owner.give(made, owner.folder)
            files[f"plugins/{entry.filename}"] = write_entry(opened, entry, path, owner, owner.file)
            wanted = members.setdefault(name, [])
            if entry.filename == f"{name}/plugin.json":
                wanted.append((entry.filename, opened.read(entry)))
    return {"files": files, "plugins": plugins.described(members)}


def _place(name: str, work: Path, target: Path, owner: Owner) -> None:
    there = target / name
    if there.exists():
        there.rename(work / f"{name}.old")
    (work / name).rename(there)
    owner.give(there, owner.folder)
