"""The new files over the old ones, one rename each, and all back. Runs on the host.

For docroots that cannot be exchanged. What ``cp -R`` does to a running Matomo is not done here:
each file is complete before it has its name, the window is that of some ten thousand renames
(a second or two, not ten), stale files go, and every file that is overwritten or removed is kept
first. A run that was killed goes on where it was.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from matops.errors import Refused
from matops.matomo.install import catch, clone, whose
from matops.matomo.install.bell import Bell
from matops.matomo.install.place import BACK, BUILT, DONE, HALF, Place
from matops.matomo.release.downloads import alone
from matops.matomo.release.faults import told

_LATE = (
    ("vendor/", "libs/", "core/", "plugins/"),
    ("",),
    ("index.php", "matomo.php", "piwik.php", "console", "config/"),
    ("config/manifest.inc.php",),
    ("core/Version.php",),
)
"""In this order: what lists new plugins and the doors come after the code they lead to, the
version last: a docroot that names the new version has all of it."""


def forth(
    *, docroot: str, folder: str, downloads: str, web: Optional[dict[str, Any]] = None,
    web_user: str = "", may_reload: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The files that are not in the docroot yet, and away with the stale ones:
    ``{written, facts}``. Refused where nothing was built for this docroot."""
    target = Place(folder)
    with alone(downloads), told("copy the release over the docroot", docroot, "Run this again"):
        state, facts = target.state(docroot), target.facts()
        if facts.get("how") != "copy" or state not in (BUILT, HALF, DONE):
            raise Refused(f"{folder} holds nothing to copy ({state})", state="Nothing was changed",
                          next="run release.install again: it builds anew")  # fmt: skip
        top = Path(os.path.realpath(docroot))
        if state == BUILT:
            added = [name for name in _waiting(target.incoming) if not os.path.lexists(top / name)]
            target.write("added.json", added)
            facts = target.note(state=HALF)
        names = _in_order(target)
        if state != DONE:
            with Bell(docroot, [top], web, web_user, may_reload=may_reload) as bell:
                for name in names:
                    _bring(name, top, target)
                removed = _remove_stale(top, target, facts)
                bell.ring()
            target.note(state=DONE, removed=removed)
        target.folder.chmod(0o700)
        target.show_as_way_back(facts)
        clone.flush(str(target.folder))
        return {"written": len(names), "facts": catch.shown(target.facts())}


def _in_order(target: Place) -> list[str]:
    """What has yet to come: files without an older namesake first, for nothing loads them yet."""
    added = set(target.load("added.json") or [])
    names = list(_waiting(target.incoming))
    early = [name for name in names if name in added and rank(name) == 0]
    return early + [name for name in names if name not in set(early)]


def _waiting(top: Path) -> Iterator[str]:
    """The new files, in their order."""
    found = [
        os.path.relpath(os.path.join(folder, name), top)
        for folder, _, files in os.walk(top)
        for name in files
    ]
    return iter(sorted(found, key=lambda name: (rank(name), name)))


def rank(name: str) -> int:
    """When a file comes: see ``_LATE``. Pure."""
    for number in range(len(_LATE) - 1, -1, -1):
        if number != 1 and name.startswith(_LATE[number]):
            return number
    return 1


def _bring(name: str, top: Path, target: Place) -> None:
    _keep(name, top, target)
    _folders(os.path.dirname(name), target.incoming, top)
    _move(target.incoming / name, top / name)


def _keep(name: str, top: Path, target: Place) -> None:
    """The docroot's file is in the kept tree, too. The first keeping counts."""
    kept = target.tree / name
    if os.path.lexists(kept) or not os.path.lexists(top / name):
        return
    _folders(os.path.dirname(name), top, target.tree)
    try:
        # The old file itself: its name in the docroot is given to another one in a moment.
        os.link(top / name, kept, follow_symlinks=False)
    except OSError:
        clone.copy(str(top / name), str(kept))


def _folders(name: str, model: Path, top: Path) -> None:
    if name and not (top / name).is_dir():
        _folders(os.path.dirname(name), model, top)
        clone.folder(str(model / name), str(top / name))


def _move(source: Path, goal: Path) -> None:
    try:
        os.rename(source, goal)
    except OSError as error:
        if error.errno != errno.EXDEV:  # a folder of the docroot that is a mount or a link
            raise
        clone.copy(str(source), str(goal))
        os.unlink(source)


def _remove_stale(top: Path, target: Place, facts: dict[str, Any]) -> int:
    count = 0
    parents = set()
    for name in [*facts["stale"], *facts["left"]]:
        if os.path.lexists(top / name):
            _keep(name, top, target)
            os.unlink(top / name)
            count += 1
        parents.add(os.path.dirname(name))
    _remove_empty(top, parents)
    return count


def _remove_empty(top: Path, names: set[str]) -> None:
    for name in sorted(names, key=len, reverse=True):
        while name:
            try:
                os.rmdir(top / name)
            except OSError:
                break  # not empty, or gone already
            name = os.path.dirname(name)


def back(
    *, docroot: str, folder: str, downloads: str, aside: str,
    web: Optional[dict[str, Any]] = None, web_user: str = "", may_reload: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Every kept file again, and away with those that were new: ``{late, kept}`` as of
    ``switch.back``. What was written over a new file since is kept in ``<folder>/since``."""
    target = Place(folder)
    with alone(downloads), told("copy the old files back", docroot, "Run this again"):
        state, facts = target.state(docroot), target.facts()
        if facts.get("how") != "copy" or state not in (BUILT, HALF, DONE, BACK):
            raise Refused(f"{folder} holds no way back", state="Nothing was changed")
        late: list[str] = []
        if state in (HALF, DONE):
            top = Path(os.path.realpath(docroot))
            with Bell(docroot, [top], web, web_user, may_reload=may_reload) as bell:
                late = _return(top, target)
                bell.ring()
            target.hide()
            target.note(state=BACK)
            clone.flush(str(target.folder))
        return {"late": late, "kept": ""}


def _return(top: Path, target: Place) -> list[str]:
    new = {
        name: (int(size), str(digest)) for name, (size, digest) in target.load("new.json").items()
    }
    late = []
    kept = list(_waiting(target.tree))
    for name in [*kept, *(target.load("added.json") or [])]:
        there = top / name
        if not os.path.lexists(there) or name in whose.GENERATED:
            continue
        if name in new and not whose.is_as_listed(str(there), new[name]):
            if os.path.lexists(target.tree / name) and _same(there, target.tree / name):
                continue  # back already
            _folders(os.path.dirname(name), top, target.folder / "since")
            clone.copy(str(there), str(target.folder / "since" / name))
            late.append(f"{name} was changed since: that is kept in {target.folder}/since")
    # Just the other way round: the docroot passes through the same states as it came by.
    stale = [name for name in kept if name not in new]
    for name in stale + [name for name in reversed(kept) if name in new]:
        _put_back(target.tree / name, top / name, name, target, top)
    added = [name for name in target.load("added.json") or [] if os.path.lexists(top / name)]
    for name in added:
        os.unlink(top / name)
    _remove_empty(top, {os.path.dirname(name) for name in added})
    return late


def _put_back(kept: Path, there: Path, name: str, target: Place, top: Path) -> None:
    """The kept file under its name again, as the same file: the kept tree stays whole."""
    if os.path.lexists(there) and os.path.samestat(kept.lstat(), there.lstat()):
        return  # never replaced, or back already: a rename of one file to itself does nothing
    _folders(os.path.dirname(name), target.tree, top)
    fresh = clone.beside(str(there))
    try:
        clone.remove(fresh)
        os.link(kept, fresh, follow_symlinks=False)
        os.replace(fresh, there)
    except OSError:
        clone.copy(str(kept), str(there))


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()
