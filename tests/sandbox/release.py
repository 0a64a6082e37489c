"""Matomo releases as zip files laid out like the official ones, made from Debian packages."""

import json
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from .assemble import assemble
from .base import FILES
from .chroot import in_chroot
from .debs import Archive, closure, unpack
from .errors import SandboxError
from .home import Home
from .proc import build
from .say import say, stage
from .trees import remove

NEWER_SUITE = "sid"
_README = "How to install Matomo.html"


@dataclass(frozen=True)
class Release:
    """One release zip, and what it was made of."""

    version: str
    path: str
    suite: str
    suite_date: str
    built: str
    packages: dict[str, str]


def load(home: Home, suite: str) -> Optional[Release]:
    """The release made from `suite` by an earlier run, if its zip is still there."""
    try:
        data = json.loads((home.release / f"{suite}.json").read_text())
        data["path"] = str(home.release / Path(data["path"]).name)  # the home may have moved
        release = Release(**data)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return release if Path(release.path).is_file() else None


def ensure_release(
    home: Home, base: Path, stable: str, suite: str, refresh: bool = False
) -> Release:
    """The release of `suite`: the cached one, or a new one; `base` is where PHP is."""
    cached = load(home, suite)
    if cached and not refresh:
        return cached
    try:
        return _make(home, base, stable, suite)
    except SandboxError as error:
        if cached is None:
            raise SandboxError(f"no Matomo could be made from {suite}: {error}") from None
        say(f"today's {suite} gives no Matomo ({error})")
        say(f"using Matomo {cached.version}, made on {cached.built} from {cached.suite}")
        return cached


def require_newer(installed: Release, newer: Release) -> None:
    """An upgrade needs something to upgrade to."""
    argv = ["dpkg", "--compare-versions", newer.version, "gt", installed.version]
    if subprocess.run(argv, check=False).returncode:
        versions = f"{newer.suite} {newer.version}, {installed.suite} {installed.version}"
        raise SandboxError(f"the mirror has no newer Matomo to upgrade to: {versions}")


def _make(home: Home, base: Path, stable: str, suite: str) -> Release:
    work = home.release / f"{suite}.partial"
    remove(work)
    work.mkdir(parents=True)
    with stage(f"assembling Matomo from {suite}"):
        archive = Archive(home, stable, NEWER_SUITE)
        archive.update()
        packages = closure("matomo", archive.index(suite), archive.index(stable))
        unpack(archive.download(packages), work / "root")
        version = assemble(work / "root", work / "zip/matomo")
        _check(home, base, work / "zip/matomo")
        path = _zip(home, work / "zip", version)
    release = Release(
        version=version,
        path=str(path),
        suite=suite,
        suite_date=archive.date(suite),
        built=time.strftime("%Y-%m-%d"),
        packages={package.name: package.version for package in packages},
    )
    record = work / "record.json"
    record.write_text(json.dumps(asdict(release), indent=2))
    record.rename(home.release / f"{suite}.json")
    remove(work)
    return release


def _check(home: Home, base: Path, tree: Path) -> None:
    """Run it with the PHP it is meant for, before anybody relies on it."""
    binds = {FILES / "release": "/mnt/check", tree: "/mnt/matomo"}
    php = ["php", "-d", "memory_limit=1G"]
    in_chroot(base, [*php, "/mnt/check/check.php", "/mnt/matomo"], home.log, binds)
    in_chroot(base, [*php, "/mnt/matomo/console", "core:version"], home.log, binds)
    shutil.rmtree(tree / "tmp")  # the console has left its caches there
    (tree / "tmp").mkdir()
    (tree / "tmp/empty").touch()


def _zip(home: Home, folder: Path, version: str) -> Path:
    (folder / _README).write_text("<html><body>How to install Matomo</body></html>\n")
    path = home.release / f"matomo-{version}.zip"
    partial = folder.parent / "partial.zip"
    build(["zip", "-qrX", str(partial), "matomo", _README], home.log, cwd=folder)
    partial.rename(path)
    return path
