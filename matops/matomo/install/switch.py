"""The two trees change places, forth and back. Runs on the host.

Each function may be killed anywhere and called again: which tree is where is read from the
inodes, and each step is done only where it is not done yet.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.matomo.install import busy, catch, clone, exchange, mounts, seen
from matops.matomo.install.bell import Bell
from matops.matomo.install.gate import Gate
from matops.matomo.install.place import BACK, BUILT, DONE, Place, number
from matops.matomo.install.serve import sweep
from matops.matomo.release import webconf
from matops.matomo.release.downloads import alone
from matops.matomo.release.faults import told

_NOT_SAID = ("tmp/", "config/config.ini.php", "matomo.js", "piwik.js")
_COPY = "release.install --how copy works there, file by file"


def obstacle(docroot: str, root: str) -> str:
    """Why the trees cannot be exchanged; '' where they can. Tries it on a scratch pair."""
    real = os.path.realpath(docroot)
    if f"{root}/".startswith(f"{real}/"):
        return f"the stage {root} lies inside the docroot"
    mine = mounts.mine()
    if clone.fixed(real):
        return f"{real} is immutable (chattr +i)"
    if kind := mounts.at(real, mine):
        return f"{real} is a mount point ({kind})"
    if inside := mounts.below(real, mine):
        return f"{inside[0].point} is a mount point ({inside[0].kind}) inside the docroot"
    if who := mounts.elsewhere(real, mine):
        return f"{real} is mounted by itself for {who}, which would keep the old tree"
    parent = Path(real).parent
    if switched := links(docroot):
        parent = Path(switched[-1]).parent
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"{parent} is not writable for us"
    there = Path(root) if os.path.isdir(root) else Path(real).parent
    return "" if switched else exchange.tried(Path(real).parent, there)


def forth(
    *, docroot: str, folder: str, downloads: str, web: Optional[dict[str, Any]] = None,
    web_user: str = "", may_reload: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The new tree becomes the docroot's; ``{caught, late, facts}``: files brought along at last,
    lines on what was written in between, install.json. The last three parameters: see ``bell``.

    Refused (nothing was changed) where it cannot; OutcomeUnknown where the inodes are not as
    they must be afterwards.
    """
    target = Place(folder)
    with alone(downloads), told("exchange the trees", docroot, "Look with release.install"):
        state = target.state(docroot)
        if state not in (BUILT, DONE):
            raise Refused(
                f"{folder} is no tree to exchange with {docroot} ({state or 'of another docroot'})",
                state="Nothing was changed",
                next="run release.install again: it builds anew",
            )
        notes: list[str] = []
        facts, caught, follower = target.facts(), 0, catch.Follower(_real(docroot), target)
        sweep(docroot)
        if state == BUILT:
            target.gather()
            trees = [_real(docroot), target.tree]
            with (
                Bell(docroot, trees, web, web_user, may_reload=may_reload) as bell,
                Gate(trees, docroot, web_user, wanted=web is not None) as gate,
            ):
                caught = _arrive(docroot, target, follower, bell, gate)
            notes = [gate.note] if gate.note else []
        facts = target.note(state=DONE)
        old = Path(facts["real"]) if facts.get("link") else target.tree
        if number(docroot) != facts["new"]:
            raise OutcomeUnknown(
                f"{docroot} is not the new tree although it was exchanged",
                state=f"Look at both: {docroot} and {target.tree}",
            )
        follower.docroot = _real(docroot)
        old = old if old.exists() else target.tree
        late = [*notes, *follower.after(old)]
        late += [f"{who} goes on in the old tree: end it" for who in busy.within(str(old))]
        return {"caught": caught, "late": late, "facts": catch.shown(facts)}


def _arrive(docroot: str, target: Place, follower: catch.Follower, bell: Bell, gate: Gate) -> int:
    switched, real, facts = links(docroot), os.path.realpath(docroot), target.facts()
    caught = follower.settle()
    gate.close()
    if switched:
        placed = name_beside(real, facts["from"], facts["to"])
        # Known before anything moves: the way back needs both names.
        target.note(link=switched[-1], real=real, placed=placed, exchanged=time.time_ns())
        os.rename(target.tree, placed)
        exchange.point(switched[-1], placed)
    else:
        target.note(exchanged=time.time_ns())
        _swap(Path(real), target.tree)
    bell.ring()
    sweep(docroot)
    sweep(real if switched else str(target.tree))
    return caught


def put_away(*, docroot: str, folder: str, downloads: str) -> dict[str, Any]:
    """The old tree lies where no web server runs it, and ``release.list`` shows it; its path.

    With a link the old tree was left in its place until the web server had let go of it.
    """
    target = Place(folder)
    with alone(downloads), told("put the old tree away", folder, "The new release is in place"):
        if target.state(docroot) != DONE:
            raise MatopsError(f"{docroot} is not the new tree", next="run release.install again")
        facts = target.facts()
        if facts.get("link") and not target.tree.exists():
            os.rename(facts["real"], target.tree)
        if facts["how"] == "exchange" and number(str(target.tree)) != facts["old"]:
            raise MatopsError(f"{target.tree} is not the old tree", state="The new one is in place")
        sweep(str(target.tree))
        target.folder.chmod(0o700)
        target.show_as_way_back(facts)
        clone.flush(str(target.folder))
        return {"old": str(target.tree)}


def back(
    *, docroot: str, folder: str, downloads: str, aside: str,
    web: Optional[dict[str, Any]] = None, web_user: str = "", may_reload: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The old tree becomes the docroot's again; ``{late, kept}``.

    What was written into the new one since the exchange comes along, but for config/ and caches:
    the configuration that the new release had is copied to ``aside`` (``kept``, '' if it is the
    same). Refused, OutcomeUnknown as in ``forth``.
    """
    target = Place(folder)
    with alone(downloads), told("exchange the trees back", docroot, "Look with release.back"):
        facts, state = target.facts(), target.state(docroot)
        if state not in (DONE, BACK, BUILT) or facts.get("how") != "exchange":
            raise Refused(f"{folder} holds no way back", state="Nothing was changed")
        result: dict[str, Any] = {"late": [], "kept": facts.get("kept", "")}
        sweep(docroot)
        if state == DONE:
            old = target.tree if target.tree.exists() else Path(facts["real"])
            trees = [_real(docroot), old]
            with (
                Bell(docroot, trees, web, web_user, may_reload=may_reload) as bell,
                Gate(trees, docroot, web_user, wanted=web is not None) as gate,
            ):
                result = _return(docroot, target, old, aside, bell, gate)
            result["late"] += [gate.note] if gate.note else []
        if number(docroot) != facts["old"]:
            raise OutcomeUnknown(f"{docroot} is not the old tree although it was exchanged")
        if facts.get("link") and not target.tree.exists():
            os.rename(facts["placed"], target.tree)
        target.hide()
        target.note(state=BACK)
        clone.flush(str(target.folder))
        return result


def _return(
    docroot: str, target: Place, old: Path, aside: str, bell: Bell, gate: Gate
) -> dict[str, Any]:
    facts, new = target.facts(), os.path.realpath(docroot)
    kept = _keep_config(Path(docroot), old, aside)
    target.note(kept=kept)
    late = _since(Path(docroot), old, facts)
    gate.close()
    if facts.get("link"):
        if target.tree.exists():
            os.rename(target.tree, facts["real"])
        exchange.point(facts["link"], facts["real"])
    else:
        _swap(_real(docroot), target.tree)
    bell.ring()
    sweep(docroot)
    sweep(new if facts.get("link") else str(target.tree))
    return {"late": late, "kept": kept}


def _since(docroot: Path, old: Path, facts: dict[str, Any]) -> list[str]:
    """Uploads and the like that came after the exchange: into the old tree, too. What else was
    written is named."""
    since = int(facts.get("exchanged", 0))
    lines, staying = [], []
    for name, each in seen.take(docroot).items():
        if each[0] != seen.FILE or max(each[3], each[4]) <= since:
            continue
        if not _is_upload(name):
            written = each[3] > since and not name.startswith(_NOT_SAID)
            staying += [name] if written and not _knows(old / name, each) else []
            continue
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        clone.copy(str(docroot / name), str(old / name))
        lines.append(f"{name} was written since the exchange: brought back along")
    if staying:
        where = f"and stay in {facts['folder']}, first {staying[0]}"
        lines.append(f"{len(staying)} other files were written since the exchange, {where}")
    return lines


def _knows(path: Path, each: list[int]) -> bool:
    """Is there a file of that size and time? What was brought along has both of its original."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return [found.st_size, found.st_mtime_ns] == each[2:4]


def _is_upload(name: str) -> bool:
    return name.startswith(("misc/user/", "tmp/sessions/", "js/container_"))


def _keep_config(docroot: Path, old: Path, aside: str) -> str:
    """config.ini.php of the new tree where it is another one: kept in ``aside``."""
    name = "config/config.ini.php"
    try:
        if (docroot / name).read_bytes() == (old / name).read_bytes():
            return ""
    except OSError:
        return ""
    os.makedirs(aside, mode=0o700, exist_ok=True)
    path = Path(f"{aside}/config.ini.php")
    # Its content, even where it is a link: what that leads to may be changed next.
    path.touch(mode=0o600)
    path.write_bytes((docroot / name).read_bytes())
    owner = (docroot / name).stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
    return str(path)


def links(docroot: str) -> list[str]:
    """The links to switch; none where the web server's configuration names the folder itself, or a
    link inside does: they would go on with the old tree. Then it is exchanged behind the link."""
    found, real = exchange.links(docroot), os.path.realpath(docroot)
    named = [served for _, served in webconf.read().mappings] if found else []
    return [] if found and names_itself(real, [*named, *_led_to(real)]) else found


def _led_to(real: str) -> Iterator[str]:
    """Where absolute links in the docroot lead to; those that operators make lie not deep."""
    for folder in (real, *(f"{real}/{name}" for name in ("config", "js", "misc", "plugins"))):
        with contextlib.suppress(OSError):
            yield from (os.readlink(each.path) for each in os.scandir(folder) if each.is_symlink())


def names_itself(real: str, paths: list[str]) -> bool:
    """Does one of the paths lie in this folder, by its very name? Pure."""
    return any(f"{os.path.normpath(each)}/".startswith(f"{real}/") for each in paths)


def _swap(docroot: Path, other: Path) -> None:
    try:
        exchange.exchange(docroot, other)
    except OSError as error:
        raise Refused(
            f"{docroot} and {other} cannot be exchanged: {error.strerror}",
            state="Nothing was changed",
            next=_COPY,
        ) from None


def name_beside(real: str, old: str, new: str) -> str:
    """Where the new tree of a switched link goes: as the old one is called, the version changed."""
    folder, name = os.path.split(real)
    base = name.replace(old, new) if old and old in name else f"{name}-{new}"
    for count in range(1, 100):
        path = f"{folder}/{base}" if count == 1 else f"{folder}/{base}.{count}"
        if not os.path.lexists(path):
            return path
    raise MatopsError(f"{folder}/{base}.99 is there already", state="Nothing was changed")


def _real(docroot: str) -> Path:
    return Path(os.path.realpath(docroot))
