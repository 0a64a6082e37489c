"""The folder of downloads on the host: what is there, what is complete, what is verified.

``<name>.part`` grows; beside it ``<name>.json`` says where it comes from and how far it is.
``<name>`` itself exists only once it was verified. ``<name>.refused`` was put aside and is
never used. All of it belongs to the keeper, mode 0600.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matops.errors import Locked
from matops.matomo.release.faults import told


class Download:
    """One download: its files, and the notes kept of it."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = Path(folder)
        self.name = name
        self.whole = self.folder / name
        self.part = self.folder / f"{name}.part"
        self.signature = self.folder / f"{name}.asc"
        self.refused = self.folder / f"{name}.refused"
        self._notes = self.folder / f"{name}.json"

    def notes(self) -> dict[str, Any]:
        """``{url, etag, modified, size, complete, sha256, trust}``, as far as known."""
        try:
            data = json.loads(self._notes.read_text())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def note(self, **facts: Any) -> dict[str, Any]:
        """Adds to the notes, atomically; all of them."""
        notes = {**self.notes(), **facts}
        fresh = self._notes.with_suffix(".json.new")
        with told("keep notes of the download", str(self.folder), "Nothing was staged"):
            fresh.write_text(json.dumps(notes))
            fresh.replace(self._notes)
        return notes

    def forget(self) -> None:
        """Removes everything of this download but what was put aside."""
        for path in (self.part, self.whole, self.signature, self._notes):
            path.unlink(missing_ok=True)

    def set_aside(self) -> str:
        """Takes a refused download out of use; where it lies now."""
        for path in (self.part, self.whole):
            if path.exists():
                path.replace(self.refused)
        self._notes.unlink(missing_ok=True)
        self.signature.unlink(missing_ok=True)
        return str(self.refused)

    @property
    def have(self) -> int:
        """Bytes that are there already."""
        for path in (self.whole, self.part):
            with contextlib.suppress(OSError):
                return path.stat().st_size
        return 0

    def look(self) -> dict[str, Any]:
        """``{have, complete, verified, sha256, trust}`` without changing anything."""
        notes = self.notes()
        verified = self.whole.exists() and bool(notes.get("trust"))
        return {
            "have": self.have,
            "complete": verified or (bool(notes.get("complete")) and self.part.exists()),
            "verified": verified,
            "sha256": notes.get("sha256", ""),
            "trust": notes.get("trust", "") if verified else "",
        }


def sha256_of(path: Path) -> str:
    """The checksum of a file; memory stays flat."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def alone(folder: str) -> Iterator[None]:
    """Holds the lock of the folder: one staging at a time on a host. Raises Locked."""
    os.umask(0o077)
    with told("make the folder of downloads", folder, "Nothing was staged"):
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = (Path(folder) / ".lock").open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                "another run stages a release on this host right now",
                state="Nothing was changed",
                next="see it with jobs; wait for it, or jobs.stop it",
            ) from None
        yield
