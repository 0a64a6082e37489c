"""When the database was backed up last. Runs on the host, stdlib only.

By db.backup: its manifests. By the operator's own tool: the line of shell or the glob that the
settings name. What that command prints is never passed on: it may hold anything.
"""

from __future__ import annotations

import datetime as dt
import glob
import json
import os
import re
import stat
import subprocess
import time
from typing import Any, Optional

Facts = dict[str, Any]

SMALLEST = 100
"""Bytes of a file that may be a backup: a dump that failed leaves an empty one, compressed 13 to
32 bytes long."""

PATIENCE = 20
"""Seconds that the operator's ``backup_check`` may take."""


def collect(asked: Facts, found: Facts) -> Facts:
    """``{"now", "essentials", "full", "full_error", "essentials_error"}``: times in seconds since
    1970, or None.

    ``essentials``: ``{"name", "time", "size"}`` of the newest whole one of this docroot; its error
    says why there is none, or why a newer one does not count.
    """
    wanted = asked.get("backups") or {}
    docroot = str((found.get("site") or {}).get("docroot") or "")
    full, error = last_full(wanted.get("check", ""), wanted.get("files", ""))
    essentials, why = newest(wanted.get("folders") or [], docroot)
    return {
        "now": time.time(),
        "essentials": essentials,
        "essentials_error": why,
        "full": full,
        "full_error": error,
    }


def newest(folders: list[str], docroot: str) -> tuple[Optional[Facts], str]:
    """The newest whole one, and an error. ``folders``: globs whose matches hold a folder each."""
    paths = [path for folder in folders
             for path in glob.glob(os.path.expanduser(folder) + "/*/manifest.json")]  # fmt: skip
    named = [(path.split("/")[-2], path) for path in paths]
    error = ""
    for name, path in sorted(named, reverse=True):
        if not re.match(r"^\d{8}T\d{6}Z$", name):
            continue  # one that is being made, or was not finished
        try:
            with open(path) as file:
                manifest = json.load(file)
            if os.path.realpath(manifest["docroot"]) != os.path.realpath(docroot):
                continue
            _complete(os.path.dirname(path), manifest["files"])
            made = parse_time(manifest["finished"])
            return {"name": name, "time": made, "size": manifest["size"]}, error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            error = error or f"{name} is damaged ({problem})"
    return None, error or _closed(folders)


def _complete(folder: str, files: Facts) -> None:
    # Only what a look at the folder says: db.backup.verify reads every byte.
    for file, about in files.items():
        path = f"{folder}/{file}"
        if not os.path.exists(path):
            raise ValueError(f"{file} is missing")
        if os.path.getsize(path) != about["size"]:
            raise ValueError(f"{file} has another size than was written")


def _closed(folders: list[str]) -> str:
    """Which of them this account cannot look into, if any."""
    for folder in folders:
        words = os.path.expanduser(folder).split("/")
        for path in [p for n in range(2, len(words) + 1) for p in glob.glob("/".join(words[:n]))]:
            if os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK):
                return f"{path} cannot be read by this account"
    return ""


def last_full(check: str, files: str) -> tuple[Optional[float], str]:
    """When, or why it is not known. Both '': nothing is configured, which is no error."""
    if check:
        return _asked(check)
    if not files:
        return None, ""
    times, empty = [], 0
    for path in glob.glob(files):
        try:
            found = os.stat(path)
        except OSError:
            continue  # removed just now, by a rotation
        if stat.S_ISREG(found.st_mode) and found.st_size < SMALLEST:
            empty += 1
        else:
            times.append(found.st_mtime)
    if times:
        return max(times), ""
    if empty:
        return None, f"every file called {files} (backup_files) is empty"
    return None, f"no file is called {files} (backup_files)"


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
