"""Unpacks a verified release into its stage: all of it, or nothing. Runs on the host, as a job.

The tree is made in ``<stage>.partial``, which nobody but its maker may enter, gets the web
user's ownership there, is written to disk, and only then takes its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matops.errors import MatopsError, Refused
from matops.matomo.release import archive, places, tree, versions
from matops.matomo.release.downloads import Download, alone, sha256_of
from matops.matomo.release.faults import room, told
from matops.matomo.release.owner import Owner, enclose, owner_of, save, settle
from matops.matomo.release.protect import proven
from matops.units import show_size, show_time, utc_now

_SPARE = 64 * 2**20  # bytes that must be left free


def stage(
    *, docroot: str, root: str, folder: str, name: str, web_user: str, max_size: int,
    source: str, asked: str, installed: str, same_version: bool, web: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Tests the download ``name`` whole and stages it below ``root``; its manifest.

    ``asked``: the version it must be ('' = any); ``installed``: the one it must not be older
    than. Raises Refused (hostile, damaged, wrong version, no room, served by a web server),
    MatopsError (full disk and the like); nothing is left behind then.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # jobs.stop: clean up first
    with alone(folder):
        download = Download(folder, name)
        notes = download.notes()
        digest = sha256_of(download.whole)
        if digest != notes.get("sha256") or not notes.get("trust"):
            raise MatopsError(f"{download.whole} is not what was verified")
        places.demand(root, docroot)
        try:
            with archive.opened(download.whole, name) as opened:
                _tell(f"testing {name} whole")
                contents = archive.examine(opened, (tree.TREE,), max_size, name)
                version = fitting(_version(opened, name), asked, installed, same_version)
                _has_room(root, contents)
                path = Path(root) / f"{version}-{digest[:8]}"
                manifest = {
                    "v": 1,
                    "version": version,
                    "sha256": digest,
                    "source": source,
                    "download": name,
                    "trust": notes["trust"],
                    "when": show_time(utc_now()),
                    "contents": {"files": contents.files, "size": contents.size},
                }
                owner = owner_of(docroot, web_user)
                return _build(opened, path, manifest, owner, docroot, web)
        except Refused as error:
            if error.what.startswith(name):  # what is wrong is the zip itself
                error.state = f"It was put aside as {download.set_aside()}; nothing was staged"
            raise


def fitting(version: str, asked: str, installed: str, same_version: bool) -> str:
    """The version, if it is one to stage. Refused otherwise. Pure."""
    if not versions.is_release(version):
        raise Refused(f"the zip says to be version {ascii(version)[:40]}, which cannot be")
    if asked and version != asked:
        raise Refused(f"the zip holds Matomo {version}, and {asked} was asked for")
    if installed and versions.key(version) < versions.key(installed):
        raise Refused(
            f"Matomo {version} is older than the installed {installed}",
            next="Matomo cannot go back: its database has been migrated already",
        )
    if version == installed and not same_version:
        raise Refused(
            f"Matomo {version} is installed already",
            next="to stage the same version again, say --same-version",
        )
    return version


def _version(opened: zipfile.ZipFile, name: str) -> str:
    try:
        text = opened.read(f"{tree.TREE}/core/Version.php")
    except KeyError:
        raise Refused(f"{name} is no Matomo release: it has no core/Version.php") from None
    return tree.version_in(text.decode("utf-8", "replace"))


def _has_room(root: str, contents: archive.Contents) -> None:
    there = places.existing(root)
    disk = os.statvfs(there)
    free, need = disk.f_bavail * disk.f_frsize, contents.disk + _SPARE
    entries = contents.files + contents.folders
    if need > free or (disk.f_files and entries > disk.f_favail):
        raise Refused(
            f"not enough room at {there}: {show_size(need)} and {entries} inodes are needed, "
            f"{room(there)}",
            state="Nothing was unpacked",
            next="free some space there, then run this again",
        )


def _build(
    opened: zipfile.ZipFile, path: Path, manifest: dict[str, Any], owner: Owner,
    docroot: str, web: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    places.spare(path, docroot)
    if path.exists() and not tree.check(docroot, str(path))["problem"]:
        return {**tree.read_manifest(path), "path": str(path)}  # another run was quicker
    _vacate(path, manifest["version"], docroot)
    partial = path.with_name(f"{path.name}.partial")
    with _scaffold(partial, owner), told("unpack", str(path.parent), "Nothing was staged"):
        # Before anything of the release is there: a place that is served is found out empty.
        proof = proven(partial, path.parent, docroot, web, owner)
        partial.chmod(0o700)
        (partial / tree.TREE).mkdir()
        _tell(f"unpacking {manifest['contents']['files']} files to {path}")
        files = _extract(opened, partial, owner)
        _compare_with_own(partial / tree.TREE, files, Path(opened.filename or "").name)
        owner.give(partial / tree.TREE, owner.folder)
        manifest = {
            **manifest,
            "target": {
                **tree.describe(partial / tree.TREE),
                "retired": tree.bundled(Path(docroot)),
            },
            "plugins": {},
            "proof": proof,
        }
        save(partial, manifest, files)
        settle(partial, owner)
        partial.replace(path)
    _tell("unpacked")
    return {**manifest, "path": str(path)}


def _vacate(path: Path, version: str, docroot: str) -> None:
    """Removes what stands in the way: a damaged stage of this very release, nothing else."""
    if not path.exists():
        return
    holds = tree.version_of(path / tree.TREE)
    if places.in_use(path / tree.TREE, docroot) or holds not in ("", version):
        raise Refused(
            f"{path} is in use: it holds Matomo {holds}, after an exchange of the trees",
            state="Nothing was changed",
            next="it is the way back; unstage it by name once you do not need it",
        )
    shutil.rmtree(path)


@contextlib.contextmanager
def _scaffold(partial: Path, owner: Owner) -> Iterator[None]:
    """The folders around the work; takes away all that it made if the work fails."""
    root, new_root = partial.parent, not partial.parent.exists()
    remedy = f", or {places.INSIDE}"
    with told("make the stage's folder", str(root.parent), "Nothing was staged", remedy):
        root.mkdir(parents=True, exist_ok=True)
        # One of our name that nobody may pass: its maker was killed before it could open it.
        shut = root.name == places.FOLDER and not root.stat().st_mode & 0o011
        if new_root or shut:
            enclose(root, owner)
        for left in root.glob("*-????????.partial"):
            shutil.rmtree(left)  # of a run that was killed: we hold the lock
        partial.mkdir(mode=0o700)
        enclose(partial, owner)
    try:
        yield
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if new_root:
            with contextlib.suppress(OSError):
                root.rmdir()
        raise


def _extract(opened: zipfile.ZipFile, base: Path, owner: Owner) -> dict[str, list[Any]]:
    """Writes every entry; ``{name below the tree: [size, sha256]}``."""
    files: dict[str, list[Any]] = {}
    made: set[Path] = {base / tree.TREE}
    for entry in opened.infolist():
        name = entry.filename.rstrip("/")
        if name in archive.BESIDE:
            continue
        path = base / name
        _folders(path if entry.is_dir() else path.parent, made, owner)
        if not entry.is_dir():
            runs = (entry.external_attr >> 16) & 0o100
            mode = owner.file | ((owner.file & 0o444) >> 2 if runs else 0)
            written = write_entry(opened, entry, path, owner, mode)
            if not name[len(tree.TREE) + 1 :].startswith(tree.WRITABLE):
                files[name[len(tree.TREE) + 1 :]] = written
    return files


def _folders(path: Path, made: set[Path], owner: Owner) -> None:
    missing = []
    while path not in made:
        missing.append(path)
        made.add(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        owner.give(each, owner.folder)


def write_entry(
    opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, owner: Owner, mode: int
) -> list[Any]:
    """Writes one file that must not be there yet; ``[size, sha256]``."""
    digest, size = hashlib.sha256(), 0
    with opened.open(entry) as source, path.open("xb") as target:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
            size += target.write(chunk)
    owner.give(path, mode)
    return [size, digest.hexdigest()]


def _compare_with_own(top: Path, files: dict[str, list[Any]], zip_name: str) -> None:
    wrong = [
        name
        for name, (size, digest) in (tree.own_manifest(top) or {}).items()
        if not name.startswith(tree.WRITABLE) and files.get(name) != [size, digest]
    ]
    if wrong:
        raise Refused(
            f"{zip_name}: {len(wrong)} files differ from its manifest.inc.php, first {wrong[0]}",
            state="Nothing was staged",
            next="get the zip from builds.matomo.org; this one was repacked",
        )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
