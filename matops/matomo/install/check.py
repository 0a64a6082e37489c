"""Is the docroot the new release, all of it, and nothing of the old one? Runs on the host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from matops.matomo.install import whose
from matops.matomo.install.catch import listed, shown
from matops.matomo.install.place import Place
from matops.matomo.release import tree

_SHOWN = 20


def check(*, docroot: str, folder: str) -> dict[str, Any]:
    """``{state, facts, version, files, wrong, left, own}``: how many files were compared (size and
    sha256), those that are not the release's, those of the old release that are still there, and
    those of the operator that stand where the release has a file (see ``whose.OPERATORS``)."""
    place, top = Place(folder), Path(os.path.realpath(docroot))
    new, old = listed(place.load("new.json")), listed(place.load("old.json"))
    facts = place.facts()
    wrong: list[str] = []
    own: list[str] = []
    for name, wanted in new.items():
        if name in whose.GENERATED or whose.is_as_listed(str(top / name), wanted):
            continue
        link = any((top / each).is_symlink() for each in ("tmp", "misc/user") if
                   name.startswith(f"{each}/"))  # fmt: skip
        (own if link or whose.matches(name, whose.OPERATORS) else wrong).append(name)
    left = [
        name for name in [*old, *facts.get("left", [])]
        if name not in new and name not in whose.GENERATED and os.path.lexists(top / name)
        and not whose.matches(name, whose.OPERATORS)
    ]  # fmt: skip
    return {
        "state": place.state(docroot),
        "facts": shown(facts),
        "version": tree.version_of(top),
        "files": len(new),
        "wrong": wrong[:_SHOWN],
        "wrong_count": len(wrong),
        "left": left[:_SHOWN],
        "left_count": len(left),
        "own": own[:_SHOWN],
    }


def old(*, docroot: str, folder: str) -> dict[str, Any]:
    """Is the docroot the old release again? ``{version, missing, added}``: files of it that are
    gone, and files of the new one that are still there. Ones changed by hand are as they were."""
    place, top = Place(folder), Path(os.path.realpath(docroot))
    was, new = listed(place.load("old.json")), listed(place.load("new.json"))
    facts, before = place.facts(), place.load("seen.json") or {}
    return {
        "version": tree.version_of(top),
        "missing": [name for name in was if name in before and not os.path.lexists(top / name)],
        "added": [
            name for name in new
            if name not in was and name not in before and os.path.lexists(top / name)
        ][:_SHOWN],
        "from": facts.get("from", ""),
    }  # fmt: skip
