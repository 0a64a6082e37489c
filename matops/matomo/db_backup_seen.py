"""When the database was backed up last: by us, and by the operator's own tool. On the host."""

from __future__ import annotations

import datetime as dt
import glob
import os
import re
import subprocess
import time
from typing import Any, Optional

from matops.matomo.db_backup_kept import listing

PATIENCE = 60
"""Seconds that the operator's ``backup_check`` may take."""


def seen(place: str, check: str = "", files: str = "") -> dict[str, Any]:
    """``{"now", "essentials", "full", "full_error"}``: times in seconds since 1970, or None.

    ``essentials``: ``{"name", "time", "size"}`` of the newest whole one in ``place``; ``full``: by
    the line of shell ``check`` or the glob ``files``; ``full_error`` says why it is not known.
    What the command prints is never passed on: it may hold anything.
    """
    good = [each for each in listing(place) if not each["error"]]
    newest = good[-1] if good else None
    full, error = _full(check, files)
    return {
        "now": time.time(),
        "essentials": newest
        and {"name": newest["name"], "time": parse_time(newest["finished"]),
             "size": newest["size"], "numeric": newest["numeric"]},
        "full": full,
        "full_error": error,
    }  # fmt: skip


def _full(check: str, files: str) -> tuple[Optional[float], str]:
    if check:
        return _asked(check)
    if not files:
        return None, ""
    times = []
    for path in glob.glob(files):
        try:
            times.append(os.stat(path).st_mtime)
        except OSError:
            continue  # removed just now, by a rotation
    return (max(times), "") if times else (None, f"no file is called {files} (backup_files)")


def _asked(check: str) -> tuple[Optional[float], str]:
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", check], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"backup_check took longer than {PATIENCE} s"
    if done.returncode:
        return None, f"backup_check ended with exit code {done.returncode}"
    found = parse_time(done.stdout.decode(errors="replace").strip())
    if found is None:
        return None, "backup_check did not print a time (seconds since 1970, or ISO with a zone)"
    return found, ""


def parse_time(text: str) -> Optional[float]:
    """Seconds since 1970 from such a number or ISO 8601 with a zone; None for others. Pure."""
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return float(text)
    try:
        found = dt.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None
