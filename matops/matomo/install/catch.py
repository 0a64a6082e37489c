"""What is written into the docroot while the new tree is built, and until it is exchanged.

Uploads, containers, sessions, the configuration: the docroot is looked at again, until a look
finds nothing new; and once more, in the old tree, after the exchange.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from matops.errors import Refused
from matops.matomo.install import clone, seen, whose
from matops.matomo.install.place import Place

_LOOKS = 20
_LONG = 40  # names of a list that are sent; the whole lists stay in install.json
_SESSIONS = "tmp/sessions/"
_RESTLESS = (_SESSIONS, "tmp/logs/")
"""Written with every request of a Matomo that is open: no look would be the last. What of it comes
after the last look ``after`` brings along."""


class Follower:
    """Brings ``tree`` up to date with ``docroot``, whose state was ``before``."""

    def __init__(self, docroot: Path, target: Place) -> None:
        self.docroot, self.target = docroot, target
        self.old = listed(target.load("old.json"))
        self.new = listed(target.load("new.json"))
        self.before: seen.Seen = target.load("seen.json") or {}

    def pass_over(self) -> int:
        """One look; how many files were brought along or taken away, sessions and logs not
        counted. OSError."""
        now = seen.take(self.docroot, str(self.target.folder.parent))
        fresh, gone = seen.changed(self.before, now)
        mine = self._carried(self.docroot, fresh, now)
        tree = self.target.tree
        self._folders(now)
        # The configuration last: what it says of the rest is there by then.
        for name in sorted(mine, key=lambda each: (each.startswith("config/"), each)):
            path = str(tree / name)
            if os.path.isdir(path) and not os.path.islink(path):
                clone.remove(path)
            with contextlib.suppress(FileNotFoundError):  # gone again: the next look says so
                clone.copy(str(self.docroot / name), path)
        lost = [
            name for name in gone
            if name not in self.new and name not in whose.GENERATED and os.path.lexists(tree / name)
        ]  # fmt: skip
        for name in lost:
            clone.remove(str(tree / name))
        self.before = now
        return sum(not name.startswith(_RESTLESS) for name in [*mine, *lost])

    def _carried(self, top: Path, names: list[str], now: seen.Seen) -> list[str]:
        kinds = seen.files({name: now[name] for name in names})
        return whose.divide(top, self.old, self.new, kinds).carried if kinds else []

    def _folders(self, now: seen.Seen) -> None:
        for name, each in now.items():
            if each[0] != seen.FOLDER or self.before.get(name) == each:
                continue
            path = self.target.tree / name
            if path.is_dir() or not name.startswith("tmp/"):
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    clone.folder(str(self.docroot / name), str(path))

    def settle(self) -> int:
        """Looks until nothing is new; how much was. Refused where it never ends."""
        total = 0
        for _ in range(_LOOKS):
            count = self.pass_over()
            total += count
            if not count:
                self.target.write("seen.json", self.before)
                return total
        raise Refused(
            f"{self.docroot} is written to all the time: {_LOOKS} looks found new files",
            state="The new tree is there; nothing was exchanged",
            next="maintenance.on, archiver.stop, then run this again",
        )

    def after(self, old: Path) -> list[str]:
        """Brings what was written into the old tree since the last look into the docroot.

        Called after the exchange; ``old``: where the old tree is now. A line for each file; what
        was written on both sides is left alone, and named.
        """
        now = seen.take(old)
        fresh, gone = seen.changed(self.before, now)
        lines = []
        for name in self._carried(old, fresh, now):
            if _untouched(self.docroot / name, self.before.get(name)):
                clone.copy(str(old / name), str(self.docroot / name))
                lines.append(f"{name} was written at the last moment: brought along")
            elif not name.startswith(_SESSIONS):
                lines.append(f"{name} was written in both trees: the old one keeps its own")
        for name in gone:  # somebody logged out
            if name.startswith(_SESSIONS) and _untouched(self.docroot / name, self.before[name]):
                clone.remove(str(self.docroot / name))
        return lines + [
            f"{name} was removed at the last moment: it is still in the new tree"
            for name in gone if name not in self.new and (self.docroot / name).exists()
        ]  # fmt: skip


def up(docroot: str, target: Place) -> dict[str, Any]:
    """Settles a tree that is built; its facts. See ``Follower.settle``."""
    target.gather()
    count = Follower(Path(os.path.realpath(docroot)), target).settle()
    return {**target.facts(), "caught": count}


def shown(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts fit to be sent: of a long list the beginning, and ``{name}_count``. Pure."""
    found = dict(facts)
    for name, value in facts.items():
        if isinstance(value, list):
            found[f"{name}_count"] = len(value)
            found[name] = value[:_LONG]
    return found


def _untouched(path: Path, then: Any) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    return bool(then) and [found.st_size, found.st_mtime_ns] == then[2:4]


def listed(data: Any) -> whose.Listed:
    return {name: (int(size), str(digest)) for name, (size, digest) in (data or {}).items()}
