"""Builds the complete new tree beside the docroot, or what is to be copied over it.

Runs on the host, as a job. Nothing in the docroot is changed. The release's files are dressed as
their namesakes in the docroot (owner, mode, ACL, SELinux context), and what the operator added
comes along with all that belongs to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from matops.errors import Refused
from matops.matomo.install import ahead, catch, clone, generated, place, seen, whose
from matops.matomo.install.counter import Counter
from matops.matomo.install.place import Place
from matops.matomo.release import tree
from matops.matomo.release.downloads import alone
from matops.matomo.release.faults import told
from matops.units import show_time, utc_now


def build(
    *, docroot: str, root: str, stage: str, downloads: str, how: str, installed: str,
    accept_unlisted: bool,
) -> dict[str, Any]:  # fmt: skip
    """Builds for the release staged in ``stage``; the facts of the folder, see ``place``.

    One that is built already is brought up to date. Raises Refused (no room, no list of the
    old files, a link where the release has a folder), MatopsError; a broken build is begun anew.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # jobs.stop: nothing is left running
    with alone(downloads):
        manifest = tree.read_manifest(Path(stage))
        found = place.current(root, docroot, manifest["version"], manifest["sha256"])
        if found and place.ready(found, docroot, how, stage):
            doing = "bring the new tree up to date"
            with told(doing, str(found.folder), "The docroot is as it was"):
                new = catch.up(docroot, found) if how == "exchange" else found.facts()
                return catch.shown(new)
        work = Work(docroot, root, Path(stage), manifest, how)
        work.know(Path(downloads), installed, accept_unlisted)
        target = work.target()
        try:
            with told("build the new tree", root, "The docroot is as it was"):
                return catch.shown(work.build(target))
        except BaseException:
            # Half a tree may have filled the disk that Matomo itself lives on.
            if target.state(docroot) == place.BUILDING:
                shutil.rmtree(target.folder, ignore_errors=True)
            raise


class Work:
    """One build. ``old`` and ``new``: the files of both releases; ``division``: whose is what."""

    def __init__(
        self, docroot: str, root: str, stage: Path, manifest: dict[str, Any], how: str
    ) -> None:
        self.asked, self.docroot = docroot, Path(os.path.realpath(docroot))
        self.root, self.stage, self.how = root, stage, how
        self.source = stage / tree.TREE
        self.manifest = manifest
        files = json.loads((stage / tree.FILES).read_text())
        self.new = {name: (int(each[0]), str(each[1])) for name, each in files.items()}
        self.old: whose.Listed = {}
        self.known_from = ""
        self.before: seen.Seen = {}
        self.division = whose.Division()

    def know(self, downloads: Path, installed: str, accept_unlisted: bool) -> None:
        """Reads the docroot and divides it. Refused: no list of the old release's files."""
        found, said = whose.listed(self.docroot, installed, downloads)
        if found is None and not accept_unlisted:
            raise Refused(
                f"which files of {self.docroot} are Matomo {installed}'s own is not known: {said}",
                state="Nothing was changed",
                next=f"release.stage --release {installed} --same-version gets its list; or say "
                "--accept-unlisted: what lies in its code folders and bundled plugins counts as "
                "the release's, all else is carried over",
            )
        self.old = found if found is not None else whose.by_rule(self.docroot, self.new)
        self.known_from = said if found is not None else "a rule (its folders and plugins)"
        self.before = seen.take(self.docroot, self.root)
        self.division = whose.divide(self.docroot, self.old, self.new, seen.files(self.before))
        if self.how == "copy":
            # It follows links, and a look at the docroot does not.
            behind = whose.behind_links(self.docroot, self.old, self.new)
            self.division.stale = sorted({*self.division.stale, *behind})

    # --- build -------------------------------------------------------------------------------

    def build(self, target: Place) -> dict[str, Any]:
        """All of it, in ``target``; the facts. OSError, MatopsError, Refused."""
        self.demand(target)
        clone.remove(str(target.folder))
        target.folder.mkdir(mode=0o700)
        target.write("install.json", {"state": place.BUILDING, **self._names()})
        top = target.tree if self.how == "exchange" else target.incoming
        top.mkdir(mode=0o700)
        self._release(top)
        said = self._carry(top) if self.how == "exchange" else []
        said += self._generate(top)
        clone.dress(str(self.docroot), str(top))
        if self.how == "copy":
            target.tree.mkdir(mode=0o700)
        clone.flush(str(target.folder))
        facts = self._facts(target, top, said)
        target.write("old.json", self.old)
        target.write("new.json", self.new)
        target.write("seen.json", self.before)
        target.write("install.json", facts)
        return catch.up(str(self.docroot), target) if self.how == "exchange" else facts

    def _facts(self, target: Place, top: Path, said: list[str]) -> dict[str, Any]:
        division = vars(self.division)
        return {
            "state": place.BUILT,
            "how": self.how,
            **self._names(),
            "folder": str(target.folder),
            "mark": place.mark_of(str(self.stage)),
            "from": tree.version_of(self.docroot),
            "to": self.manifest["version"],
            "sha256": self.manifest["sha256"],
            "when": show_time(utc_now()),
            "old": place.number(str(self.docroot)),
            "new": place.number(str(top)),
            "known_from": self.known_from,
            "said": said,
            **{name: paths for name, paths in division.items() if name != "carried"},
            "carried": len(division["carried"]),
        }

    def _names(self) -> dict[str, str]:
        return {"docroot": str(self.docroot), "asked": self.asked}

    def _release(self, top: Path) -> None:
        names = [name for name in self.new if self._wanted(name)]
        counter = Counter("files of the release", len(names))
        made: set[str] = set()
        links = ahead.links_of(self.docroot)
        for name in names:
            if any(name.startswith(f"{link}/") for link in links):
                continue
            self._folders(top, os.path.dirname(name), made)
            path = str(top / name)
            clone.copy(str(self.source / name), path)
            self._dress(name, path)
            counter.add()

    def _wanted(self, name: str) -> bool:
        if name in whose.GENERATED:
            return False
        if self.how == "exchange":
            return True
        return not whose.is_as_listed(str(self.docroot / name), self.new[name]) and not (
            whose.matches(name, whose.OPERATORS) and name in self.division.carried
        )

    def _dress(self, name: str, path: str) -> None:
        there, mode = self.docroot / name, os.lstat(self.source / name).st_mode
        times = os.lstat(path)
        if there.is_file() and not there.is_symlink():
            clone.dress(str(there), path, times=False)
        else:
            model = self.docroot / "core" / "Version.php"
            bits = stat.S_IMODE(model.stat().st_mode)
            runs = (bits & 0o444) >> 2 if mode & 0o100 else 0
            clone.dress(str(model), path, mode=bits | runs, times=False)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _folders(self, top: Path, name: str, made: set[str]) -> None:
        """The folder ``name`` and those above it, dressed as in the docroot."""
        if not name or name in made:
            return
        self._folders(top, os.path.dirname(name), made)
        made.add(name)
        there = self.docroot / name
        model = there if there.is_dir() and not there.is_symlink() else self.docroot / "core"
        clone.folder(str(model), str(top / name))

    def _carry(self, top: Path) -> list[str]:
        division, made = self.division, set[str]()
        fixed: list[str] = []
        counter = Counter("other files", len(division.carried))
        for name in division.carried:
            self._folders(top, os.path.dirname(name), made)
            clone.copy(str(self.docroot / name), str(top / name))
            if clone.fixed(str(self.docroot / name)):
                fixed.append(name)
            counter.add()
        for name in self._own_folders():
            self._folders(top, name, made)
        if not (self.docroot / "tmp").is_symlink():
            self._folders(top, "tmp", made)
        # Last, because every file written into a folder changed its times.
        for name in sorted(made, reverse=True):
            there = self.docroot / name
            if there.is_dir() and not there.is_symlink():
                clone.dress(str(there), str(top / name))
        if not fixed:
            return []
        return [
            f"immutable (chattr +i) in the docroot, and not in the new tree: {', '.join(fixed)}"
        ]

    def _own_folders(self) -> list[str]:
        """Folders of the operator's, empty ones included."""
        listed = {parent for name in self.old for parent in ahead.parents(name)}
        closed = {whose.plugin_of(name) for name in self.division.left} - {""}
        return [
            name
            for name, each in self.before.items()
            if each[0] == seen.FOLDER
            and name not in listed
            and not name.startswith("tmp/")
            and whose.plugin_of(f"{name}/") not in closed
            and not (self.source / name).exists()
        ]

    def _generate(self, top: Path) -> list[str]:
        said = []
        trackers = [name for name in self.before if generated.TRACKERS.fullmatch(name)]
        for name in whose.GENERATED:
            there = self.docroot / name
            if there.is_symlink():
                if self.how == "exchange":
                    clone.copy(str(there), str(top / name))
                said.append(f"{name} is a link and stays one")
                continue
            made = generated.remade(name, self._was, self._will_be, trackers)
            clone.copy(str(self.source / name), str(top / name))
            if made.text is not None:
                (top / name).write_bytes(made.text)
            self._dress(name, str(top / name))
            said += [made.line] if made.line else []
        return said

    def _was(self, name: str) -> Optional[bytes]:
        return generated.read(self.docroot / name)

    def _will_be(self, name: str) -> Optional[bytes]:
        if name in self.new:
            return generated.read(self.source / name)
        return generated.read(self.docroot / name) if name in self.division.carried else None

    # --- before ------------------------------------------------------------------------------

    def demand(self, target: Place) -> None:
        """Refused where it cannot end well: see ``ahead``. Nothing is changed."""
        if self.how == "exchange":
            ahead.no_link_in_the_way(self.docroot, self.new)
            names = self.division.carried
            folders = sum(each[0] == seen.FOLDER for each in self.before.values())
            size = self._new_size() + sum(self.before[name][2] for name in names)
            other = "; release.install --how copy leaves your own files where they are"
        else:
            ahead.nothing_fixed(self.docroot, self._replaced())
            names, folders, size, other = [], 0, self._new_size(), ""
        count = len(self.new) + len(names) + folders
        ahead.has_room(self.root, size, count, target.folder, other)

    def _new_size(self) -> int:
        return sum(each[0] for each in self.new.values())

    def _replaced(self) -> Iterable[str]:
        yield from self.division.stale
        yield from self.division.left
        yield from whose.GENERATED
        yield from (name for name in self.new if self._wanted(name))

    def target(self) -> Place:
        """The folder to build in."""
        manifest = self.manifest
        return place.fresh(self.root, self.asked, manifest["version"], manifest["sha256"])
