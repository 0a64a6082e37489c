"""The folder of one installation of a release: the other tree, and what is known of it.

``<stage root>/install-<version>-<digest>[-n]/``: ``matomo`` is the new tree before the exchange
and the old one after it; ``install.json`` says what was built, ``seen.json`` what the docroot
looked like then, ``old.json`` which files were the old release's. Which tree is where is told by
inode, never by a note: a kill may come between a rename and the writing of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo.install import seen
from matops.matomo.release import tree
from matops.matomo.release.downloads import alone, sha256_of
from matops.matomo.release.faults import told
from matops.matomo.release.owner import save

BUILDING, BUILT, HALF, DONE, BACK = "building", "built", "half", "done", "back"
"""Of a folder's tree: being made; ready; partly in the docroot (copy only); the old one, the way
back; the new one again after going back."""


class Place:
    """One such folder. Nothing is read before it is asked for."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.tree = self.folder / tree.TREE

    @property
    def incoming(self) -> Path:
        """With ``copy``: the new files that are not in the docroot yet; ``tree`` keeps the old."""
        return self.folder / "incoming"

    def facts(self) -> dict[str, Any]:
        """install.json; {} where there is none (a build that was killed at its start)."""
        return dict(self.load("install.json") or {})

    def note(self, **more: Any) -> dict[str, Any]:
        """Adds to install.json, in one rename."""
        facts = {**self.facts(), **more}
        self.write("install.json", facts)
        return facts

    def load(self, name: str) -> Any:
        """A JSON file of the folder; None where it is not there or damaged."""
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return None

    def write(self, name: str, data: Any) -> None:
        """Writes a JSON file of the folder, on disk before it has its name."""
        fresh = self.folder / f"{name}.new"
        with fresh.open("w") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / name)

    def state(self, docroot: str) -> str:
        """One of the states above; '' where the docroot is neither of our two trees."""
        facts = self.facts()
        if not facts or facts.get("state") == BUILDING:
            return BUILDING
        if facts["how"] == "copy":
            return str(facts["state"]) if self.is_of(docroot) else ""
        if number(docroot) == facts["new"]:
            return DONE
        if number(docroot) != facts["old"]:
            return ""
        # A tree that was live once holds what was written then: never to be exchanged again.
        return BACK if facts["state"] in (BACK, DONE) else BUILT

    def gather(self) -> None:
        """Undoes half a switch of a link: the new tree had its new name, the link not yet."""
        placed = self.facts().get("placed", "")
        if placed and not self.tree.exists() and number(placed) == self.facts()["new"]:
            os.rename(placed, self.tree)

    def is_of(self, docroot: str) -> bool:
        """Was it made for this docroot? Several installations may share a stage root."""
        facts = self.facts()
        names = {facts.get(key) for key in ("docroot", "asked", "placed")}
        return not names - {None} or bool({docroot, os.path.realpath(docroot)} & names)

    def may_go(self, docroot: str) -> bool:
        """Spare, and this docroot's, or that of one which is no more."""
        theirs = [self.facts().get(key) or "" for key in ("docroot", "asked")]
        return self.is_spare and (self.is_of(docroot) or not any(map(os.path.isdir, theirs)))

    @property
    def is_spare(self) -> bool:
        """Nothing in it is needed: a broken build, one never exchanged, one that went back."""
        facts = self.facts()
        if not facts and (self.folder / tree.MANIFEST).exists():
            return False  # install.json is damaged, and the folder is a way back
        state = facts.get("state", BUILDING)
        if state in (BUILDING, BACK):
            return True
        never = facts.get("how") == "copy" or number(str(self.tree)) == facts.get("new")
        return bool(state == BUILT and never)

    def show_as_way_back(self, facts: dict[str, Any]) -> None:
        """From now on ``release.list`` shows it, and ``release.clean --all`` removes it."""
        manifest = {"v": 1, "version": facts["to"], "sha256": facts["sha256"],
                    "docroots": [facts.get(key, "") for key in ("docroot", "asked", "placed")],
                    "when": facts["when"], "trust": "", "source": "release.install"}  # fmt: skip
        save(self.folder, manifest)

    def hide(self) -> None:
        """It is no way back any more."""
        (self.folder / tree.MANIFEST).unlink(missing_ok=True)


def number(path: str) -> int:
    """The inode of a folder; 0 where it is not there."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def all_of(root: str) -> list[Place]:
    """Every such folder below the stage root, the oldest first."""
    found = [Place(str(each)) for each in Path(root).glob("install-*") if each.is_dir()]
    return sorted(found, key=lambda each: each.folder.stat().st_mtime)


def current(root: str, docroot: str, version: str, sha256: str) -> Optional[Place]:
    """The folder of this very release that belongs to this docroot; None: none yet.

    One that says it is installed does not count where the docroot holds another version: that was
    put there since, out of a backup."""
    for each in reversed(all_of(root)):
        facts = each.facts()
        if (facts.get("to"), facts.get("sha256")) != (version, sha256):
            continue
        state = each.state(docroot)
        if state and (state != DONE or tree.version_of(Path(docroot)) == version):
            return each
    return None


def mark_of(stage: str) -> str:
    """What tells one content of a stage from another: plugins may be staged later."""
    return sha256_of(Path(stage) / tree.FILES)


def ready(found: Optional[Place], docroot: str, how: str, stage: str) -> bool:
    """Is it built, to be installed in that way, of what is staged now?"""
    if not found or found.state(docroot) != BUILT:
        return False
    facts = found.facts()
    if facts["how"] != how or facts.get("mark") != mark_of(stage):
        return False
    # Updated by hand since: whose each file is was told by another list then.
    if facts.get("from") != tree.version_of(Path(docroot)):
        return False
    return how != "copy" or not _drifted(found, docroot)


def _drifted(found: Place, docroot: str) -> bool:
    """Were files written since that the copy replaces, removes, or makes anew?"""
    now = seen.take(Path(os.path.realpath(docroot)), str(found.folder.parent))
    fresh, gone = seen.changed(found.load("seen.json") or {}, now)
    known = {*(found.load("old.json") or {}), *(found.load("new.json") or {})}
    theirs = re.compile(r"(matomo|piwik)\.js|plugins/.*")
    return any(name in known or theirs.fullmatch(name) for name in [*fresh, *gone])


def fresh(root: str, docroot: str, version: str, sha256: str) -> Place:
    """A folder with a name that nothing holds which may still be needed."""
    base = f"{root}/install-{version}-{sha256[:8]}"
    for count in range(1, 100):
        place = Place(base if count == 1 else f"{base}-{count}")
        if not place.folder.exists() or place.may_go(docroot):
            return place
    raise MatopsError(f"{base}-99 is there already", next="release.clean --all removes old ones")


def spare(*, docroot: str, root: str, downloads: str, remove: bool) -> list[str]:
    """Folders that nothing needs: broken builds, and new trees that went back; removes them."""
    with alone(downloads), told("remove a built tree", root, "What was removed stays removed"):
        found = [
            each for each in all_of(root) if each.may_go(docroot) and not _is_live(each, docroot)
        ]
        for each in found if remove else []:
            shutil.rmtree(each.folder)
        return [str(each.folder) for each in found]


def _is_live(place: Place, docroot: str) -> bool:
    return f"{os.path.realpath(docroot)}/".startswith(f"{place.folder}/")
