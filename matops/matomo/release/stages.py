"""The stages of an installation on one host, as other tasks use them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matops.errors import Refused
from matops.matomo.release import places, tree
from matops.matomo.release.downloads import alone
from matops.matomo.release.faults import told
from matops.matomo.release.versions import key
from matops.matomo.site import Site

PACKAGE = "matops.matomo.release"


@dataclass(frozen=True)
class Staged:
    """One stage. ``path`` holds ``matomo/``, the tree; ``when`` names its zone.

    ``holds``: the version in the tree now, another one after an exchange. ``target``: see
    ``requirements``.
    """

    version: str
    path: str
    sha256: str
    when: str
    source: str = ""
    trust: str = ""
    holds: str = ""
    in_use: bool = False
    plugins: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> str:
        """The Matomo tree itself."""
        return f"{self.path}/{tree.TREE}"

    @property
    def ready(self) -> bool:
        """True while it still holds the release that was staged."""
        return self.holds == self.version and not self.in_use


def root_of(site: Site) -> str:
    """The folder of this installation's stages on the host."""
    return places.stage_root(str(site.facts["real_docroot"]), site.settings.stage_dir)


def downloads_of(site: Site) -> str:
    """The folder of downloads on the host."""
    return f"{site.state_dir}/downloads"


def staged(site: Site) -> list[Staged]:
    """All stages of this host, the oldest first. One round trip."""
    found = site.agent.call(
        f"{PACKAGE}.places:stages",
        {"root": root_of(site), "docroot": site.docroot},
        user=site.keeper,
    )
    return [from_manifest(each) for each in found]


def removable(site: Site, *, everything: bool = False) -> list[Staged]:
    """What ``unstage`` would remove without being told; with ``everything`` all but that in use."""
    found = staged(site)
    if everything:
        return [each for each in found if not each.in_use]
    old = chosen([vars(each) for each in found], site.version, [], [])
    return [each for each in found if each.path in old]


def from_manifest(data: dict[str, Any]) -> Staged:
    """A stage from its manifest."""
    return Staged(**{key: data[key] for key in Staged.__dataclass_fields__ if key in data})


def unstage(site: Site, paths: Sequence[str] = (), keep: Sequence[str] = ()) -> list[str]:
    """Removes stages: those named, else all that are old; the paths removed.

    Old is what is not newer than the installed version, and what a newer stage replaces. Never
    removed: the one in use (the docroot lies in it), one that holds another version than was
    staged (the old release, kept for the way back) unless it is named, and those of ``keep``.
    Raises Refused where a named one is in use.
    """
    found = site.agent.call(
        f"{PACKAGE}.stages:remove",
        {
            "docroot": site.docroot,
            "root": root_of(site),
            "folder": downloads_of(site),
            "installed": site.version,
            "paths": list(paths),
            "keep": list(keep),
        },
        user=site.keeper,
        timeout=600,
    )
    return [str(path) for path in found]


def remove(
    *, docroot: str, root: str, folder: str, installed: str, paths: list[str], keep: list[str]
) -> list[str]:
    """The far end of ``unstage``: runs on the host."""
    with alone(folder):
        found = places.stages(root, docroot)
        going = chosen(found, installed, paths, keep)
        with told("remove a stage", root, "What was removed before stays removed"):
            for path in going:
                # First out of sight in one step: a broken removal leaves no half stage.
                gone = Path(f"{path}.partial")
                shutil.rmtree(gone, ignore_errors=True)
                Path(path).rename(gone)
                shutil.rmtree(gone)
        return going


def chosen(
    found: list[dict[str, Any]], installed: str, paths: list[str], keep: list[str]
) -> list[str]:
    """Which stages to remove. Refused: a named one is in use, or is none. Pure."""
    by_path = {each["path"]: each for each in found}
    if paths:
        for path in paths:
            if path not in by_path:
                raise Refused(f"{path} is not a stage", state="Nothing was removed")
            if by_path[path]["in_use"] or path in keep:
                raise Refused(f"{path} is in use", state="Nothing was removed")
        return list(paths)
    ready = [each for each in found if each["holds"] == each["version"] and not each["in_use"]]
    newer = [each for each in ready if key(each["version"]) > key(installed)]
    wanted = newer[-1]["path"] if newer else ""
    return [each["path"] for each in ready if each["path"] != wanted and each["path"] not in keep]
