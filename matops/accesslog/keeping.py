"""Keeping rotated logs although the rotation removes them: hard links beside matops' state.

``<state_dir>/kept-logs/<digest of the log's folder>/<name>.<inode>[.gz]`` (0700): a link costs
no space until the rotation would have freed it. A file whose folder is on another file system is
copied. A log that is cut in place (copytruncate) is kept only as its rotated copies are: its live
file cannot be held. ``kept.json`` says where each came from and when it expires.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matops.accesslog.gapstore import put_json
from matops.errors import MatopsError, Refused

FOLDER = "kept-logs"
_LIST = "kept.json"
_PACKED = re.compile(r"\.(gz|bz2|xz|zst|Z|lz4)$")


def place(root: str, log: str) -> str:
    """Where the files of this log are kept."""
    folder = os.path.dirname(log)
    return str(Path(root) / hashlib.sha256(folder.encode()).hexdigest()[:12])


def hold(root: str, logs: dict[str, Sequence[str]], expires: float) -> dict[str, Any]:
    """Keeps these files (log => paths). ``{held, new, copied (bytes), paths}``.

    Safe to run again: what is kept already is left alone. Refused where a copy would fill the
    disk; MatopsError where a file cannot be linked.
    """
    made = copied = 0
    known = _load(root)
    for log, paths in logs.items():
        folder = Path(place(root, log))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(root, 0o700)
        for path in paths:
            try:
                data = os.stat(path)
                target = folder / _name(path, data.st_ino)
                if not target.exists():
                    copied += _link(path, target, data.st_size)
                    made += 1
            except FileNotFoundError:
                continue  # rotated away meanwhile
            except OSError as error:
                raise MatopsError(f"{path} cannot be kept: {error.strerror}") from None
            known[str(target)] = {"from": path, "expires": expires}
    put_json(Path(root) / _LIST, known)
    return {"held": len(known), "new": made, "copied": copied, "paths": sorted(known)}


def _name(path: str, inode: int) -> str:
    name = os.path.basename(path)
    packed = _PACKED.search(name)
    end = packed[0] if packed else ""
    return f"{name.removesuffix(end) if end else name}.{inode}{end}"


def _link(path: str, target: Path, size: int) -> int:
    """Links, or copies to another file system; the bytes that were copied."""
    try:
        os.link(path, target)
        return 0
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
    free = shutil.disk_usage(target.parent).free
    if size > free // 2:
        raise Refused(
            f"{path} is on another file system, and a copy of {size >> 20} MB would fill that of "
            f"{target.parent} ({free >> 20} MB are free)",
            state="What is kept already stays",
            next="let logrotate keep more (rotate N), or set state_dir to where there is room",
        )
    temporary = target.with_name(f".{target.name}.new")
    shutil.copy2(path, temporary)
    os.chmod(temporary, 0o600)
    temporary.replace(target)
    return size


def _load(root: str) -> dict[str, dict[str, Any]]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((Path(root) / _LIST).read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def listing(root: str) -> list[dict[str, Any]]:
    """What is kept, as ``gapstore.listing``: each file is a label of its own. A link to a log
    that is still there takes no space."""
    found = []
    for path, entry in _load(root).items():
        with contextlib.suppress(OSError):
            data = os.stat(path)
            size = 0 if data.st_nlink > 1 else data.st_size
            found.append({"label": path, "path": path, "bytes": size, "hits": None,
                          "expires": float(entry["expires"])})  # fmt: skip
    return found


def remove(root: str, labels: Iterable[str]) -> list[str]:
    """Lets these go; only what is in the list."""
    known, gone = _load(root), []
    for path in labels:
        if path in known:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            del known[path]
            gone.append(path)
    put_json(Path(root) / _LIST, known)
    return gone
