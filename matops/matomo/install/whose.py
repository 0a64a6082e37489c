"""Whose is each file of a docroot: the old release's, or the operator's? Runs on the host.

The old release's list of files (its ``config/manifest.inc.php``) answers it. What Matomo's own
integrity check passes over (``fileintegrity.ignore`` in config/global.php of 5.x) is of two kinds,
and they must not be mixed: files that operators write, and files that a release brings although
its list does not name them: carrying the old ``vendor/autoload.php`` would end every request.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from matops.matomo.release import tree

Listed = Mapping[str, tuple[int, str]]
"""``{file: (size, sha256)}``"""

OPERATORS = (
    "*.htaccess", "*web.config", "bootstrap.php", "favicon.ico", "robots.txt",
    "config/config.ini.php", "config/config.php", "config/common.ini.php",
    "config/*.config.ini.php", "misc/user/*", "php.ini", ".user.ini",
)  # fmt: skip
"""Theirs even where the release brings one of that name, once it is not as released."""

UNLISTED = (
    "config/manifest.inc.php", "vendor/autoload.php", "vendor/composer/autoload_real.php",
    "vendor/szymach/c-pchart/app/*", "plugins/ImageGraph/fonts/unifont.ttf",
    "misc/package/WebAppGallery/*",
)  # fmt: skip
"""A release's own although its list does not name them."""

GENERATED = ("matomo.js", "piwik.js")
"""Made by Matomo itself from the release and its plugins: see ``generated``."""

TMP_KEPT = ("tmp/sessions", "tmp/logs", "tmp/.htaccess", "tmp/web.config")
"""Of tmp/ only sessions, logs and rules of access come along; caches are the old code's."""

_CODE = "core/ lang/ libs/ node_modules/ vendor/ misc/cron/ misc/others/ misc/package/ "
_CODE += "misc/proxy-hide-piwik-url/ config/environment/"
_CONFIG = ("config/global.ini.php", "config/global.php", "config/manifest.inc.php")


@dataclass
class Division:
    """Paths below the docroot. ``carried``: files and links that the new tree gets, too.

    ``modified``: of the old release, and not as released: left behind. ``replaced``: not of the
    old release's list, and the new one brings a file of that name. ``left``: of a plugin that
    the stage brings itself, or that no longer is. ``odd``: sockets, pipes, devices. ``strange``:
    carried, and in a folder of the release's own code. ``stale``: the old release's, and not
    the new one's.
    """

    carried: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def listed(docroot: Path, version: str, downloads: Path) -> tuple[Optional[Listed], str]:
    """The files of the old release and where that is known from; (None, why not).

    A manifest counts only where it is the one of this very release: core/Version.php must be
    as it says.
    """
    own = _inside(tree.own_manifest(docroot))
    if own and _fits(docroot, own):
        return own, "config/manifest.inc.php"
    for path in sorted(downloads.glob(f"*{version}*.zip")):
        found = _inside(_of_zip(path))
        if found and _fits(docroot, found):
            return found, str(path)
    why = "is of another release" if own else "is not there"
    return None, f"config/manifest.inc.php {why}, and no zip of Matomo {version} in {downloads}"


def behind_links(docroot: Path, old: Listed, new: Listed) -> list[str]:
    """Stale files in folders of the docroot that are links: a look at the docroot has none."""
    folders = {name[:at] for name in old for at, sign in enumerate(name) if sign == "/"}
    links = tuple(f"{name}/" for name in folders if (docroot / name).is_symlink())
    if not links:
        return []
    stale = (name for name in old if name.startswith(links) and name not in new)
    return [
        name for name in stale
        if name not in GENERATED and not matches(name, OPERATORS) and _ours(docroot, name)
    ]  # fmt: skip


def _ours(docroot: Path, name: str) -> bool:
    """It is there, and belongs to whom the code belongs to: links can be made to lead anywhere."""
    try:
        return (docroot / name).lstat().st_uid == (docroot / "core" / "Version.php").stat().st_uid
    except OSError:
        return False


def _inside(found: Optional[Listed]) -> Optional[Listed]:
    """Without names that lead out of the docroot: files are removed by this list, as root. Pure."""
    if not found:
        return None
    fitting = (name for name in found if not {"", ".", ".."} & set(name.split("/")))
    return {name: found[name] for name in fitting}


def _fits(docroot: Path, found: Listed) -> bool:
    path = "core/Version.php"
    return path in found and is_as_listed(str(docroot / path), found[path])


def _of_zip(path: Path) -> Optional[Listed]:
    top = f"{tree.TREE}/"
    try:
        with zipfile.ZipFile(path) as opened:
            found = {}
            for entry in opened.infolist():
                if entry.filename.startswith(top) and not entry.is_dir():
                    digest = hashlib.sha256(opened.read(entry)).hexdigest()
                    found[entry.filename[len(top) :]] = (entry.file_size, digest)
            return found or None
    except (OSError, zipfile.BadZipFile):
        return None


def by_rule(docroot: Path, new: Listed) -> Listed:
    """What must be the old release's where no list says so; sizes and sums are not known (-1).

    Its code folders, its plugins (as its global.ini.php and plugin manager name them), and
    every name that the new release has, too.
    """
    plugins = tuple(f"plugins/{name}/" for name in tree.bundled(docroot))
    found = {}
    for name, _ in tree.walk(docroot):
        code = name.startswith((*_CODE.split(), *plugins)) or name in (*_CONFIG, *new)
        if code and not matches(name, OPERATORS):
            found[name] = (-1, "")
    return found


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """As PHP's fnmatch does: a star passes over slashes. Pure."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def plugin_of(name: str) -> str:
    """``X`` of ``plugins/X/…``, else ''. Pure."""
    found = re.match(r"plugins/([^/]+)/", name)
    return found[1] if found else ""


def is_as_listed(path: str, wanted: tuple[int, str]) -> bool:
    """Size and sha256 as listed; a size of -1 fits always. False for what is no plain file."""
    size, digest = wanted
    try:
        if os.path.islink(path) or (size >= 0 and os.lstat(path).st_size != size):
            return False
        if size < 0:
            return True
        found = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
        return found.hexdigest() == digest
    except OSError:
        return False


def divide(docroot: Path, old: Listed, new: Listed, entries: Mapping[str, int]) -> Division:
    """Whose each entry is. ``entries``: ``{path: kind}`` of the docroot, folders left out;
    kind 0 = a file or link, 1 = something odd. ``new``: the staged tree's files."""
    plugins = {plugin_of(name) for name in new} - {""}
    retired = {plugin_of(name) for name in old} - plugins - {""}
    brought = plugins - {plugin_of(name) for name in old}
    theirs = _Plugins(plugins, retired | brought)
    result = Division()
    for name, odd in sorted(entries.items()):
        if odd:
            result.odd.append(name)
        elif name.startswith("tmp/"):
            if name.startswith(TMP_KEPT):
                result.carried.append(name)
        elif name in GENERATED:
            pass
        elif name in old or matches(name, UNLISTED):
            _of_release(docroot, name, old, new, result)
        else:
            _unlisted(docroot, name, new, theirs, result)
    return result


def _of_release(docroot: Path, name: str, old: Listed, new: Listed, result: Division) -> None:
    path = str(docroot / name)
    if name in old and not is_as_listed(path, old[name]):
        if matches(name, OPERATORS):
            result.carried.append(name)
            return
        if not (name in new and is_as_listed(path, new[name])):
            result.modified.append(name)
    if name not in new:
        result.stale.append(name)


@dataclass(frozen=True)
class _Plugins:
    """``new``: those of the new tree; ``closed``: into these nothing is carried."""

    new: set[str]
    closed: set[str]


def _unlisted(docroot: Path, name: str, new: Listed, theirs: _Plugins, result: Division) -> None:
    plugin = plugin_of(name)
    if matches(name, OPERATORS) and plugin not in theirs.closed:
        result.carried.append(name)
    elif name in new:
        if not is_as_listed(str(docroot / name), new[name]):
            result.replaced.append(name)
    elif plugin in theirs.closed:
        result.left.append(name)
    else:
        result.carried.append(name)
        if name.startswith(tuple(_CODE.split())) or plugin in theirs.new:
            result.strange.append(name)
