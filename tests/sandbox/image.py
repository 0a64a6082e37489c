"""Pristine root trees: a base image for a flavour, and the image with Matomo made of it."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from .base import FILES, build_base
from .flavour import Flavour, Service
from .guest import Guest
from .home import Home
from .matomo import BUILD_ADDRESS, add_matomo
from .network import Network
from .release import NEWER_SUITE, Release, ensure_release, load, require_newer
from .say import say, stage
from .trees import copy_tree, remove

_RECORDED = re.compile(r"^(mariadb-server|redis-server|apache2|openssh-server|php\d[\d.]*-cli)$")
# Nobody logs in while an image is made, and nothing must run on its own.
_NOT_NOW = ("sshd", "cron")
BUILD_NAME = "image-build"


@dataclass(frozen=True)
class Image:
    """A complete image: nobody writes to its root any more."""

    folder: Path

    @property
    def root(self) -> Path:
        """The root tree which hosts are copied from."""
        return self.folder / "root"

    @property
    def record(self) -> dict[str, str]:
        """The secrets and versions of this image."""
        data: dict[str, str] = json.loads((self.folder / "image.json").read_text())
        return data


def find_image(home: Home, flavour: Flavour) -> Image:
    """Where the image of a flavour is, or will be."""
    return Image(home.images / flavour.name)


def ensure_image(home: Home, flavour: Flavour, refresh: bool = False) -> Image:
    """Build what is missing; an interrupted build goes on from its last complete layer."""
    image = find_image(home, flavour)
    if _complete(home, flavour, image) and not refresh:
        if image.record.get("recipe") != _recipe(flavour):
            say("the image is of an older recipe: `clean`, then `up`, makes a new one")
        return image
    with home.lock("build"):
        base = home.images / f"base-{flavour.name}"
        _layer(home, base, partial(build_base, home, flavour))
        if flavour.with_matomo:
            installed = ensure_release(home, base / "root", flavour.suite, flavour.suite)
            newer = ensure_release(home, base / "root", flavour.suite, NEWER_SUITE, refresh)
            require_newer(installed, newer)
            _layer(home, image.folder, partial(_fill, home, flavour, base, installed))
        else:
            _layer(home, image.folder, partial(_plain_copy, flavour, base))
        _record_versions(home, flavour, image)
    return image


def discard_leftovers(home: Home) -> None:
    """End what an interrupted build left running, and remove its unfinished trees."""
    for folder in [*home.images.glob("*.partial"), *home.release.glob("*.partial")]:
        _discard(home, folder)


def _layer(home: Home, folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill `folder` unless it is there; it appears under its name only when complete."""
    if folder.exists():
        return
    unfinished = folder.with_name(folder.name + ".partial")
    _discard(home, unfinished)
    (unfinished / "root").mkdir(parents=True)
    fill(unfinished)
    unfinished.rename(folder)


def _complete(home: Home, flavour: Flavour, image: Image) -> bool:
    newer_there = not flavour.with_matomo or load(home, NEWER_SUITE) is not None
    return image.folder.exists() and newer_there


def _recipe(flavour: Flavour) -> str:
    """A digest of what an image is made by, to notice one that is out of date."""
    digest = hashlib.sha256(repr(flavour).encode())
    for path in sorted((FILES / flavour.files).rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _discard(home: Home, unfinished: Path) -> None:
    builder = _builder(home, unfinished, ())
    builder.kill()
    builder.network.remove()
    remove(unfinished)


def _builder(home: Home, folder: Path, services: tuple[Service, ...]) -> Guest:
    network = Network(BUILD_NAME, BUILD_ADDRESS, home.scope)
    return Guest(folder / "root", folder / "state", network, services)


def _plain_copy(flavour: Flavour, base: Path, folder: Path) -> None:
    with stage("copying the base image"):
        (folder / "root").rmdir()
        copy_tree(base / "root", folder / "root")
    _write_record(folder, flavour, {})


def _fill(home: Home, flavour: Flavour, base: Path, release: Release, folder: Path) -> None:
    _plain_copy(flavour, base, folder)
    (folder / "root/etc/hosts").write_text(f"127.0.0.1 localhost {BUILD_NAME}\n")
    guest = _builder(home, folder, tuple(s for s in flavour.daemons if s.name not in _NOT_NOW))
    try:
        keys = add_matomo(guest, Path(release.path))
    finally:
        guest.network.remove()
    remove(folder / "state")
    _write_record(folder, flavour, {**asdict(keys), "matomo": release.version})


def _write_record(folder: Path, flavour: Flavour, more: dict[str, str]) -> None:
    path = folder / "image.json"
    path.touch(mode=0o600)
    built = time.strftime("%Y-%m-%d %H:%M:%S")
    path.write_text(json.dumps({"recipe": _recipe(flavour), "built": built, **more}, indent=2))


def _record_versions(home: Home, flavour: Flavour, image: Image) -> None:
    versions = {"debian": flavour.suite, "image built": image.record["built"]}
    versions["debian version"] = (image.root / "etc/debian_version").read_text().strip()
    status = (image.root / "var/lib/dpkg/status").read_text(errors="replace")
    for entry in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version): (.+)$", entry, re.M))
        if _RECORDED.match(fields.get("Package", "")):
            versions[fields["Package"]] = fields["Version"]
    for label, suite in (("matomo installed", flavour.suite), ("matomo newer", NEWER_SUITE)):
        release = load(home, suite)
        if release and flavour.with_matomo:
            source = f"package {release.packages['matomo']}, {suite} of {release.suite_date}"
            versions[label] = f"{release.version} ({source})"
    known = json.loads(home.versions.read_text()) if home.versions.exists() else {}
    home.versions.write_text(json.dumps({**known, flavour.name: versions}, indent=2) + "\n")
