"""Who owns a stage and its tree, and what is written beside the tree. Runs on the host."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from matops.errors import Refused
from matops.matomo.release import tree


@dataclass(frozen=True)
class Owner:
    """Whose the tree will be, and the modes of its files: those of the live tree.

    ``door``: the group that may pass the folders around it, the web user's own.
    """

    uid: int
    gid: int
    door: int
    folder: int
    file: int

    def give(self, path: Path, mode: int) -> None:
        """Hands over one entry, which nobody else can reach yet."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        path.chmod(mode)


def owner_of(docroot: str, web_user: str) -> Owner:
    """The web user, and the modes of the live tree without write rights for others.

    Refused where there is no such account.
    """
    folder, file = Path(docroot) / "core", Path(docroot) / "core" / "Version.php"
    found = folder.stat()
    try:
        account = pwd.getpwnam(web_user)
    except KeyError:
        raise Refused(
            f"whose the staged files must be is not known ({web_user or 'no web user found'})",
            state="Nothing was changed",
            next="set web_user in config/matops.yaml",
        ) from None
    return Owner(
        uid=account.pw_uid,
        door=account.pw_gid,
        gid=found.st_gid,
        folder=(found.st_mode & 0o755) | 0o700,
        file=(file.stat().st_mode & 0o644) | 0o600,
    )


def enclose(path: Path, owner: Owner) -> None:
    """A folder around a tree: ours; the web user may pass, others may not."""
    if os.geteuid() == 0:
        os.chown(path, 0, owner.door)
    path.chmod(0o750)


def save(folder: Path, manifest: dict[str, Any], files: Optional[dict[str, Any]] = None) -> None:
    """Writes what is known of a stage into its folder, where the web user may read it."""
    pairs: list[tuple[str, Any]] = [(tree.MANIFEST, manifest)]
    if files is not None:
        pairs.append((tree.FILES, files))
    for name, data in pairs:
        fresh = folder / f"{name}.new"
        fresh.write_text(json.dumps(data))
        fresh.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(fresh, 0, folder.stat().st_gid)
        fresh.replace(folder / name)


def settle(folder: Path, owner: Owner) -> None:
    """Everything on disk; the web user may enter."""
    done = subprocess.run(["sync", "-f", str(folder)], capture_output=True, check=False)
    if done.returncode:
        os.sync()
    enclose(folder, owner)
