"""Files of Matomo that its web user neither owns nor may write. Runs on the host, stdlib only.

Asked by ``check`` alone: tmp of a busy site holds hundreds of thousands of sessions, and a
network file system answers slowly. So names are streamed, numbers are compared (an account is
looked up once), each top folder has a part of the entries and of the time, and no single
folder may use it up. What was not looked at is said.
"""

from __future__ import annotations

import os
import pwd
import stat
import time
from typing import Any

Facts = dict[str, Any]

TOPS = {"config": 2000, ".": 1000, "misc": 4000, "core": 15000, "plugins": 18000, "tmp": 20000}
"""Entries looked at in each; tmp is last, for it may be the largest by far."""

FOLDER = 5000  # entries looked at in one folder
SECONDS = 2.0  # for all
EXAMPLES = 3


def collect(asked: Facts, found: Facts) -> Facts:
    """``folders``: top => ``{"looked", "wrong", "examples": [[path, owner]], "denied", "all"}``.

    ``denied`` counts folders that could not be entered; ``all`` is False where a limit came
    first. ``reason`` instead, where there is nothing to compare with.
    """
    site = found.get("site", {})
    docroot, user = site.get("docroot"), site.get("web_user") or ""
    if not docroot or not user:
        return {"reason": "the web user is not known" if docroot else "no Matomo"}
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return {"reason": f"there is no account {user}"}
    owner = Owner(entry.pw_uid, os.getgrouplist(user, entry.pw_gid))
    end = time.monotonic() + SECONDS
    folders: dict[str, Facts] = {}
    for position, (top, budget) in enumerate(TOPS.items()):
        now = time.monotonic()
        share = max(end - now, 0) / (len(TOPS) - position)
        if os.path.isdir(os.path.join(docroot, top)):
            folders[top] = look(docroot, top, budget, now + share, owner)
    return {"folders": folders}


class Owner:
    """The web user by its numbers."""

    def __init__(self, uid: int, groups: list[int]) -> None:
        self.uid, self.groups = uid, set(groups)
        self.names: dict[int, str] = {}

    def has(self, data: os.stat_result) -> bool:
        """It owns the file, or may write it by its group or as anybody."""
        if data.st_uid == self.uid or data.st_mode & stat.S_IWOTH:
            return True
        return bool(data.st_mode & stat.S_IWGRP) and data.st_gid in self.groups

    def name_of(self, uid: int) -> str:
        """The name of another owner, asked for once."""
        if uid not in self.names:
            try:
                self.names[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self.names[uid] = str(uid)
        return self.names[uid]


def look(docroot: str, top: str, budget: int, until: float, owner: Owner) -> Facts:
    """One top folder; of ``.`` only its own entries, links followed (tmp may be one)."""
    facts: Facts = {"looked": 0, "wrong": 0, "examples": [], "denied": 0, "all": True}
    waiting = [os.path.join(docroot, top) if top != "." else docroot]
    while waiting:
        folder, here = waiting.pop(), 0
        try:
            entries = os.scandir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            facts["denied"] += 1
            continue
        with entries:
            for entry in entries:
                if facts["looked"] >= budget or time.monotonic() > until:
                    facts["all"] = False
                    return facts
                if here >= FOLDER:
                    facts["all"] = False
                    break
                here += 1
                if one(entry, docroot, top == ".", facts, owner) and top != ".":
                    waiting.append(entry.path)
    return facts


def one(entry: Any, docroot: str, follow: bool, facts: Facts, owner: Owner) -> bool:
    """Counts one entry; True for a folder to go down into."""
    try:
        if entry.is_symlink() and not follow:
            return False  # a link's own owner matters to nobody
        data = entry.stat(follow_symlinks=follow)
    except OSError:
        return False  # gone meanwhile, or a link to nowhere
    facts["looked"] += 1
    if not owner.has(data):
        facts["wrong"] += 1
        if len(facts["examples"]) < EXAMPLES:
            name = os.path.relpath(entry.path, docroot)
            facts["examples"].append([name, owner.name_of(data.st_uid)])
    return stat.S_ISDIR(data.st_mode)
