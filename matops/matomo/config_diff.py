"""What changed in configuration files, without telling their secrets. Runs on the host."""

from __future__ import annotations

import difflib
import hashlib
import re
import secrets
from collections.abc import Iterator
from typing import Any, Optional

from matops.matomo.probes.background import SECRETS
from matops.matomo.probes.site import ENTRY, SECRET

Files = dict[str, bytes]
"""Path => content."""

# What the crontab's patterns leave: MYSQL_PWD=…, --admin-pass …, dbcredential: …
_MORE = re.compile(
    r"(?i)((?:pwd|pass|salt|licen[cs]e|credential|[_-]key)[\w-]*[\"']?\s*[=: ]\s*)"
    r"(?!<hidden)(?:\"[^\"]*\"|'[^']*'|[^\s&\"']+)"
)


def compare(before: Files, after: Files, name: str) -> dict[str, Any]:
    """``{"text": unified diff, "changed": [paths]}``; ``name`` of the backup for its headers.

    A secret shows as ``<hidden 1f3a9c>``: the same digits mean the same line, within this one
    comparison only. The digest is salted anew each time, for that of a short secret could be
    guessed.
    """
    salt = secrets.token_bytes(16)
    changed = sorted(p for p in {*before, *after} if before.get(p) != after.get(p))
    lines: list[str] = []
    for path in changed:
        lines += difflib.unified_diff(
            list(_shown(before.get(path), salt)), list(_shown(after.get(path), salt)),
            f"{path} ({name})", f"{path} (now)", lineterm="",
        )  # fmt: skip
    return {"text": "\n".join(lines), "changed": changed}


def _shown(data: Optional[bytes], salt: bytes) -> Iterator[str]:
    secret = False
    for line in (data or b"").decode(errors="replace").splitlines():
        mark = f"<hidden {hashlib.sha256(salt + line.encode()).hexdigest()[:6]}>"
        if secret and not ENTRY.match(line):
            yield mark  # the rest of a secret of many lines, as a key in PEM
            continue
        secret = bool(SECRET.match(line))
        yield SECRET.sub(rf'\1 "{mark}"', line) if secret else _inline(line, mark)


def _inline(line: str, mark: str) -> str:
    for pattern in (*SECRETS, _MORE):
        line = pattern.sub(rf"\1{mark}", line)
    return line
