"""Where a release is staged, and what the host says of that place before anything changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from matops.errors import MatopsError, Refused, UsageError
from matops.matomo.release.tree import MANIFEST, TREE, read_manifest, version_of

FOLDER = ".matops-stage"
INSIDE = "set stage_dir: <docroot>/upgrade in config/matops.yaml"


def stage_root(real_docroot: str, setting: str) -> str:
    """The folder of all stages: the setting, else beside the docroot. UsageError. Pure."""
    if not setting:
        return f"{os.path.dirname(real_docroot.rstrip('/'))}/{FOLDER}".replace("//", "/")
    path = setting.replace("<docroot>", real_docroot).rstrip("/")
    if not path.startswith("/") or ".." in path.split("/"):
        raise UsageError(f"setting stage_dir: '{setting}' is not an absolute path")
    if path == real_docroot.rstrip("/"):
        raise UsageError("setting stage_dir: the docroot itself cannot be the stage")
    return path


def look(root: str, docroot: str) -> dict[str, Any]:
    """Facts of the place: ``{problem, next, free, inodes, inside}``; ``problem`` '' if it can be.

    Nothing is written. Root may write anywhere but on a read-only filesystem.
    """
    there = existing(root)
    disk = os.statvfs(there)
    problem, remedy = _problem(root, there, docroot)
    return {
        "problem": problem,
        "next": remedy,
        "free": disk.f_bavail * disk.f_frsize,
        "inodes": disk.f_favail if disk.f_files else None,
        "inside": f"{root}/".startswith(f"{os.path.realpath(docroot)}/"),
    }


def demand(root: str, docroot: str) -> None:
    """Refused where the place cannot be used."""
    facts = look(root, docroot)
    if facts["problem"]:
        raise Refused(facts["problem"], state="Nothing was staged", next=facts["next"])


def existing(path: str) -> str:
    """The path, or its nearest folder that is there."""
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    return path


def _problem(root: str, there: str, docroot: str) -> tuple[str, str]:
    inside = f"{root}/".startswith(f"{os.path.realpath(docroot)}/")
    other = "name a writable folder on the docroot's filesystem in stage_dir" if inside else INSIDE
    if os.path.islink(root) or (os.path.exists(root) and not os.path.isdir(root)):
        return f"{root} is not a plain folder", "remove it, or set stage_dir"
    if os.path.dirname(root) != there and root != there:
        return f"{os.path.dirname(root)} does not exist", "make it, or set stage_dir"
    if root == there and os.stat(root).st_uid not in (0, os.geteuid()):
        # Its owner could put links in our way while we write there as root.
        return f"{root} belongs to somebody else", "remove it, or chown it to root"
    if os.stat(there).st_dev != os.stat(docroot).st_dev:
        # The trees are exchanged by one rename, which cannot cross filesystems.
        return f"{root} would be on another filesystem than {docroot}", other
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return f"{there} is on a read-only filesystem", f"mount it writable, or {other}"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} is not writable for {_me()}", f"give the login user sudo, or {other}"
    return "", ""


def in_use(tree: Path, docroot: str) -> bool:
    """True where the docroot lies in this tree (a symbolic link was switched to it)."""
    return f"{os.path.realpath(docroot)}/".startswith(f"{os.path.realpath(tree)}/")


def spare(path: Path, docroot: str) -> None:
    """Refused where the stage at ``path`` is what the docroot leads to: it stays as it is."""
    if in_use(path / TREE, docroot):
        raise Refused(
            f"{path} is in use: {docroot} lies in it",
            state="Nothing was changed",
            next="stage another version, or a zip of its own",
        )


def _me() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def stages(root: str, docroot: str) -> list[dict[str, Any]]:
    """Every stage in ``root``, the oldest first: its manifest, ``path``, ``holds``, ``in_use``.

    ``holds``: the version in its tree now; after an exchange that is the old release.
    """
    found = []
    for path in sorted(Path(root).glob(f"*/{MANIFEST}")):
        folder = path.parent
        try:
            manifest = read_manifest(folder)
        except MatopsError:
            continue  # no stage of ours, or a damaged one: it is made anew
        if folder.name.endswith(".partial"):
            continue
        theirs = [each for each in manifest.get("docroots", []) if each]
        if theirs and not {docroot, os.path.realpath(docroot)} & set(theirs):
            continue  # another installation's way back, in the same folder
        tree = folder / TREE
        data = {
            **manifest,
            "path": str(folder),
            "holds": version_of(tree),
            "in_use": in_use(tree, docroot),
        }
        found.append(data)
    return sorted(found, key=lambda each: str(each.get("when", "")))
