"""Files of a replay on the host: the gap file, its tokens, ledgers, the token's file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from matops.accesslog import gapstore
from matops.errors import MatopsError, Refused


def newest(root: Path) -> Path:
    """The merged gap file that was made last; one that is not there, where there is none."""
    found = sorted(root.glob(f"*Z-*Z/{gapstore.MERGED}"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else root / gapstore.MERGED


def tokens(path: Path) -> dict[str, str]:
    """What stands in the gap file for a token → the token, decoded."""
    try:
        found = json.loads((path.parent / gapstore.TOKENS).read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: unquote_plus(secret) for name, secret in found.items()}


def digest(path: Path) -> str:
    """Names the gap file by its content: 16 hex digits."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()[:16]


def suffix(sites: tuple[int, ...]) -> str:
    """Tells the ledgers of one gap file apart by the sites that were asked for."""
    if not sites:
        return ""
    names = ",".join(map(str, sorted(sites)))
    return ".site-" + (
        names if len(names) < 40 else hashlib.sha256(names.encode()).hexdigest()[:16]
    )


def about(path: Path) -> tuple[dict[str, Any], bool]:
    """What a ledger is about ({}: a kill left nothing in it), and whether it is complete, without
    taking its lock. MatopsError where it cannot be understood."""
    with path.open("rb") as file:
        first = last = file.readline()
        for line in file:
            last = line
    if not first.endswith(b"\n"):
        return {}, False
    try:
        return dict(json.loads(first)["about"]), b'"complete"' in last
    except (ValueError, KeyError, TypeError):
        raise MatopsError(
            f"the replay's ledger {path} cannot be understood",
            state="Nothing was sent",
            next="look at it: without it nobody knows which hits were replayed",
        ) from None


def secret(path: Path) -> str:
    """The token in a file. Refused where others may read it."""
    try:
        mode = path.stat().st_mode
        found = path.read_text().strip()
    except OSError as error:
        raise Refused(
            f"{path} cannot be read: {error.strerror}", state="Nothing was sent"
        ) from None
    if mode & 0o077:
        raise Refused(
            f"{path} holds a token and may be read by others",
            state="Nothing was sent",
            next=f"chmod 600 {path}",
        )
    return found
