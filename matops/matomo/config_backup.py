"""Backups of the configuration. Runs on the host, as the keeper of matops' folder (root).

A backup is a folder ``<state_dir>/backups/<time>/`` (0700): the files under ``files/`` with
their absolute paths, and ``manifest.json`` with a sha256, owner and mode for each. It lies
outside every docroot: a copy beside the original is served in clear text, password included.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import grp
import hashlib
import io
import json
import os
import pwd
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

from matops.errors import MatopsError, Refused, UsageError
from matops.matomo.config_diff import compare

_LIMIT = 4 << 20  # bytes; no configuration file is longer
_CRON = re.compile(r"console|matomo|piwik|core:archive")


def current(docroot: str) -> dict[str, Any]:
    """What a backup would hold now: ``{"files": {path: {sha256, size, mode, owner, group}}}``."""
    return {"files": {path: _facts(path) for path in _paths(docroot)}}


def _paths(docroot: str) -> list[str]:
    config = list(glob.glob(f"{docroot}/config/*.config.ini.php"))
    fixed = [f"{docroot}/config/config.ini.php", f"{docroot}/bootstrap.php"]
    htaccess = [f"{docroot}/.htaccess", *glob.glob(f"{docroot}/*/.htaccess")]
    crons = ["/etc/crontab", *glob.glob("/etc/cron.d/*"), *glob.glob("/var/spool/cron/crontabs/*"),
             *glob.glob("/var/spool/cron/*")]  # fmt: skip
    found = [p for p in {*config, *fixed, *htaccess} if os.path.isfile(p)]
    found += [p for p in set(crons) if os.path.isfile(p) and _CRON.search(_text(p))]
    return sorted(found)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _facts(path: str) -> dict[str, Any]:
    stat = os.stat(path)
    return {
        "sha256": hashlib.sha256(_bytes(path)).hexdigest(),
        "size": stat.st_size,
        "mode": f"{stat.st_mode & 0o7777:04o}",
        "owner": _name(pwd.getpwuid, stat.st_uid),
        "group": _name(grp.getgrgid, stat.st_gid),
    }


def _name(look_up: Any, number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def _bytes(path: str) -> bytes:
    try:
        if os.path.getsize(path) > _LIMIT:
            raise Refused(f"{path} is longer than {_LIMIT} bytes: not a configuration file")
        return Path(path).read_bytes()
    except OSError as error:
        raise MatopsError(
            f"{path} cannot be read: {error.strerror}", next="give this account sudo"
        ) from None


def make(docroot: str, folder: str, name: str, about: dict[str, Any]) -> dict[str, Any]:
    """Makes backup ``name`` in ``folder``; its manifest. ``about``: version, host, plugins.

    Written as ``<name>.partial`` and renamed when every file was copied and compared.
    """
    os.umask(0o077)
    target, partial = f"{folder}/{name}", f"{folder}/{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    manifest: dict[str, Any] = {"v": 1, "name": name, "docroot": docroot, **about, "files": {}}
    try:
        for path in _paths(docroot):
            data, facts = _bytes(path), _facts(path)
            copy = Path(f"{partial}/files{path}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            _put(copy, data)
            if hashlib.sha256(copy.read_bytes()).hexdigest() != facts["sha256"]:
                raise MatopsError(f"{path} changed while it was copied", next="run it again")
            manifest["files"][path] = facts
        _put(Path(f"{partial}/manifest.json"), json.dumps(manifest, indent=1).encode())
        os.rename(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise MatopsError(
            f"the backup could not be written to {folder}: {error.strerror}",
            state="No backup was made",
            next="free some space there, then run it again",
        ) from None
    return manifest


def _put(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def listing(root: str, docroot: str) -> list[dict[str, Any]]:
    """The manifests of all whole backups of ``docroot``, the oldest first; ``folder``: where.

    ``root`` holds one folder for each installation. All are looked through: an installation's
    folder is named after its database, which a damaged config.ini.php cannot tell.
    """
    real, manifests = os.path.realpath(docroot), []
    for path in glob.glob(f"{glob.escape(root)}/*/backups/*/manifest.json"):
        if ".partial/" in path:
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            manifest = json.loads(Path(path).read_text())
            if os.path.realpath(manifest["docroot"]) == real:
                manifests.append({**manifest, "folder": str(Path(path).parent.parent)})
    return sorted(manifests, key=lambda manifest: str(manifest.get("name", "")))


def problem(folder: str, name: str) -> str:
    """What is wrong with a backup that should be whole; '' if every checksum fits."""
    try:
        load(folder, name)
    except MatopsError as error:
        return error.what
    return ""


def load(folder: str, name: str) -> dict[str, Any]:
    """One manifest, its files compared with their sums. UsageError: no such backup."""
    try:
        if not re.fullmatch(r"\d{8}T\d{6}Z", name):  # it becomes part of a path
            raise FileNotFoundError
        manifest: dict[str, Any] = json.loads(Path(f"{folder}/{name}/manifest.json").read_text())
    except (OSError, ValueError):
        raise UsageError(f"no backup '{name}' here; config.list shows them") from None
    for path, facts in manifest["files"].items():
        found = hashlib.sha256(_bytes(f"{folder}/{name}/files{path}")).hexdigest()
        if found != facts["sha256"]:
            raise MatopsError(
                f"backup {name} is damaged: {path} has another checksum than was written down",
                next="take another backup: config.list",
            )
    return manifest


def archive(folder: str, name: str) -> dict[str, str]:
    """The backup as a ``tar.gz`` in base64, with its sha256, for the operator's machine."""
    load(folder, name)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(f"{folder}/{name}", arcname=name)
    data = buffer.getvalue()
    return {"data": base64.b64encode(data).decode(), "sha256": hashlib.sha256(data).hexdigest()}


def diff(folder: str, name: str, docroot: str) -> dict[str, Any]:
    """What changed since backup ``name``: ``{"text": unified diff, "changed": [paths]}``.

    Secrets are hidden; that one of them changed is still said.
    """
    manifest = load(folder, name)
    before = {path: _bytes(f"{folder}/{name}/files{path}") for path in manifest["files"]}
    after = {path: _bytes(path) for path in _paths(docroot)}
    return compare(before, after, name)


def restore(folder: str, name: str, paths: list[str]) -> dict[str, Any]:
    """Puts files of backup ``name`` back where they were, owner and mode as they were then.

    Each is replaced atomically and read back; one that is gone is made anew.
    ``{"restored": [paths]}``.
    """
    manifest = load(folder, name)
    for path in paths:
        facts = manifest["files"][path]
        data = _bytes(f"{folder}/{name}/files{path}")
        _replace(path, data, facts)
        if _facts(path)["sha256"] != facts["sha256"]:
            raise MatopsError(f"{path} does not hold what was restored to it")
    return {"restored": paths}


def _account(name: str) -> str | int:
    return int(name) if name.isdigit() else name  # an account that had no name any more


def _replace(path: str, data: bytes, facts: dict[str, Any]) -> None:
    temporary = Path(f"{os.path.dirname(path)}/.{os.path.basename(path)}.matops.php")
    try:
        _put(temporary, data)
        shutil.chown(temporary, _account(facts["owner"]), _account(facts["group"]))
        temporary.chmod(int(facts["mode"], 8))
        os.replace(temporary, path)
    except (OSError, LookupError) as error:
        temporary.unlink(missing_ok=True)
        raise MatopsError(
            f"{path} could not be restored: {error}", state="It is as it was before"
        ) from None
