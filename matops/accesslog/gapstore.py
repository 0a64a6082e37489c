"""Where gap files lie on a host, and their manifests.

``<state_dir>/gaps/<label>/`` (0700) holds ``<server>.gap`` and ``<server>.json`` of each server,
``merged.gap``, ``manifest.json``, and ``tokens.json``: the values of token_auth that stand in the
gap files as ``~key``. All 0600: they hold visitors' addresses. ``expires`` in the manifest is
when ``logs.clean`` removes them.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matops.accesslog import gapfile
from matops.accesslog.runs import merged
from matops.errors import MatopsError

MERGED, MANIFEST, TOKENS = "merged.gap", "manifest.json", "tokens.json"
VERSION = 1


def label_of(start: float, end: float) -> str:
    """``20261122T010000Z-20261122T050000Z``: the folder of a window."""
    return "-".join(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(t)) for t in (start, end))


def folder_of(root: str, label: str) -> Path:
    """The folder of one gap, made (0700). MatopsError for a label that is none."""
    if not re.fullmatch(r"\d{8}T\d{6}Z-\d{8}T\d{6}Z", label):
        raise MatopsError(f"'{label}' is not the label of a gap")
    path = Path(root) / label
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise MatopsError(f"{path} cannot be made: {error.strerror}") from None
    return path


def plain(server: str) -> str:
    """A host's name as the name of a file, and as a field of the gap file."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", server).lstrip(".") or "server"


def put(path: Path, data: bytes) -> None:
    """Writes a small file: whole or not at all, 0600."""
    temporary = path.with_name(f".{path.name}.new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def put_json(path: Path, data: Any) -> None:
    """As ``put``."""
    put(path, json.dumps(data, indent=1, sort_keys=True).encode() + b"\n")


def load(path: Path) -> dict[str, Any]:
    """A manifest. MatopsError: damaged; {} where it is not there."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MatopsError(f"{path} cannot be read ({error})", next="logs.gap --again") from None
    return found if isinstance(found, dict) and found.get("v") == VERSION else {}


def write_gap(target: Path, sources: Sequence[str]) -> dict[str, Any]:
    """Merges sorted gap files into ``target`` (fsync, rename); ``{hits, bytes, sha256}``.

    Lines of different servers are never the same line, however equal they are.
    """
    temporary = target.with_name(f".{target.name}.new")
    digest, count, size = hashlib.sha256(gapfile.HEADER), 0, len(gapfile.HEADER)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(gapfile.HEADER)
        for lines in merged(sources):
            data = b"".join(lines)
            file.write(data)
            digest.update(data)
            count, size = count + len(lines), size + len(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return {"hits": count, "bytes": size, "sha256": digest.hexdigest()}


def whole(path: Path, entry: dict[str, Any]) -> bool:
    """True where the gap file is as its manifest says. Reads all of it."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    except OSError:
        return False
    return bool(digest.hexdigest() == entry.get("sha256"))


def look(root: str, label: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a finished gap made for exactly what is ``wanted``; {} if none."""
    folder = Path(root) / label
    found = load(folder / MANIFEST)
    if not found or found.get("asked") != wanted:
        return {}
    return found if whole(folder / MERGED, found["merged"]) else {}


def part(root: str, label: str, server: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """As ``look``, of one server's part."""
    folder = Path(root) / label
    found = load(folder / f"{plain(server)}.json")
    if not found or found.get("asked") != wanted:
        return {}
    return found if whole(folder / f"{plain(server)}.gap", found["gap"]) else {}


def merge(root: str, label: str, servers: Sequence[str], asked: dict[str, Any], expires: float,
          notes: Sequence[str] = ()) -> dict[str, Any]:  # fmt: skip
    """Merges the parts that lie here; the manifest of the whole. MatopsError: one is missing."""
    folder = folder_of(root, label)
    parts = {server: load(folder / f"{plain(server)}.json") for server in servers}
    for server, found in parts.items():
        if not found or not whole(folder / f"{plain(server)}.gap", found["gap"]):
            raise MatopsError(f"the part of {server} is missing or damaged", next="logs.gap again")
    made = write_gap(folder / MERGED, [str(folder / f"{plain(s)}.gap") for s in servers])
    reasons: dict[str, int] = {}
    for found in parts.values():
        for reason, count in found["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    manifest = {
        "v": VERSION, "label": label, "asked": asked, "made": time.time(), "expires": expires,
        "merged": {"path": str(folder / MERGED), **made}, "reasons": reasons,
        "servers": parts, "notes": list(notes),
    }  # fmt: skip
    put_json(folder / MANIFEST, manifest)
    return manifest


PIECE = 16 << 20  # bytes of a gap file that are copied at a time; a tenth of it compressed


def piece(path: str, offset: int) -> dict[str, Any]:
    """A piece of a gap file as a gzip member of its own: ``{gz (base64), next, more}``."""
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(PIECE)
        more = bool(file.read(1))
    return {"gz": base64.b64encode(gzip.compress(data, 1)).decode(), "next": offset + len(data),
            "more": more}  # fmt: skip


def request(root: str, label: str, server: str, data: dict[str, Any]) -> None:
    """Leaves for a job here what it is asked for."""
    put_json(folder_of(root, label) / f"{plain(server)}.request.json", data)


def requested(root: str, label: str, server: str) -> dict[str, Any]:
    """What ``request`` left. MatopsError: nothing."""
    path = folder_of(root, label) / f"{plain(server)}.request.json"
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found
    except (OSError, ValueError) as error:
        raise MatopsError(f"{path} cannot be read ({error})", next="type logs.gap") from None


def merge_tokens(root: str, label: str, data: str) -> None:
    """Adds the tokens file of another server."""
    add_tokens(folder_of(root, label), json.loads(data))


def arrived(root: str, label: str, server: str) -> None:
    """Unpacks what was copied here from another server (``<server>.gap.gz``)."""
    folder = folder_of(root, label)
    packed = folder / f"{plain(server)}.gap.gz"
    target = folder / f"{plain(server)}.gap"
    with (
        gzip.open(packed, "rb") as source,
        open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
    ):
        shutil.copyfileobj(source, out, 1 << 20)
    packed.unlink()


def add_tokens(folder: Path, tokens: dict[str, str]) -> None:
    """Adds to the file of token_auth values."""
    path = folder / TOKENS
    known: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = json.loads(path.read_bytes())
    if tokens and not tokens.items() <= known.items():
        put_json(path, {**known, **tokens})


def listing(root: str) -> list[dict[str, Any]]:
    """Each gap here, also a half-made one: ``{label, path, bytes, hits, expires}``, the oldest
    first. ``expires`` of a half-made one: 0."""
    found = []
    for folder in sorted(Path(root).glob("*Z-*Z")) if Path(root).is_dir() else []:
        try:
            manifest = load(folder / MANIFEST)
        except MatopsError:
            manifest = {}
        expires = float(manifest.get("expires", 0) or _parts_expiry(folder))
        found.append({
            "label": folder.name, "path": str(folder), "expires": expires,
            "bytes": sum(f.stat().st_size for f in folder.iterdir() if f.is_file()),
            "hits": manifest.get("merged", {}).get("hits"),
        })  # fmt: skip
    return found


def _parts_expiry(folder: Path) -> float:
    times = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(MatopsError):
            times.append(float(load(path).get("expires", 0)))
    return max(times, default=0.0)


def remove(root: str, labels: Iterable[str]) -> list[str]:
    """Removes these gaps; the paths that are gone."""
    gone = []
    for label in labels:
        folder = folder_of(root, label)
        shutil.rmtree(folder)
        gone.append(str(folder))
    return gone
