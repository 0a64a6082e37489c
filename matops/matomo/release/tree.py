"""A Matomo tree on disk: what it is, what it wants, and whether it is still as unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import ini

TREE, MANIFEST, FILES = "matomo", "stage.json", "files.json"
"""In a stage's folder: the tree itself, what is known of it, ``{file: [size, sha256]}``."""

WRITABLE = ("tmp/",)
"""PHP writes there as soon as it runs: not part of what was unpacked."""

# plugins/Diagnostics/Diagnostic/PhpExtensionsCheck.php of 5.x, where the file cannot be read.
_EXTENSIONS = ["zlib", "json", "filter", "hash", "session"]
_FUNCTIONS = ["debug_backtrace", "hash", "gzcompress", "gzuncompress", "pack"]
_CHECKS = "plugins/Diagnostics/Diagnostic"


def version_in(text: str) -> str:
    """The version in core/Version.php, or ''."""
    found = re.search(r"const\s+VERSION\s*=\s*'([^']+)'", text)
    return found[1] if found else ""


def version_of(tree: Path) -> str:
    """The version a tree says it is; '' where it is no Matomo."""
    return version_in(_text(tree / "core" / "Version.php"))


def describe(tree: Path) -> dict[str, Any]:
    """The ``target`` of ``requirements``, read from the files that Matomo itself reads."""
    minimum = re.search(
        r"piwik_minimumPHPVersion\s*=\s*'([\d.]+)'",
        _text(tree / "core" / "testMinimumPhpVersion.php"),
    )
    platform = _text(tree / "vendor" / "composer" / "platform_check.php")
    number = re.search(r"PHP_VERSION_ID\s*>=\s*(\d+)", platform)
    needs = [minimum[1]] if minimum else []
    if number:
        whole = int(number[1])
        needs.append(f"{whole // 10000}.{whole // 100 % 100}.{whole % 100}")
    bundled = ini.parse(_text(tree / "config" / "global.ini.php"))
    names = {path.name for path in (tree / "plugins").iterdir() if path.is_dir()}
    return {
        "version": version_of(tree),
        "php": max(needs, key=lambda text: [int(part) for part in text.split(".")], default="0"),
        "extensions": _array(tree, "PhpExtensionsCheck.php", "requiredExtensions") or _EXTENSIONS,
        "recommended": _array(tree, "RecommendedExtensionsCheck.php", ""),
        "functions": _array(tree, "PhpFunctionsCheck.php", "") or _FUNCTIONS,
        "plugins": sorted(names | set(ini.list_of(bundled, "Plugins", "Plugins"))),
        "added": {},
    }


def bundled(tree: Path) -> list[str]:
    """The plugins that came with a release: by its manifest and its own lists."""
    listed = ini.list_of(ini.parse(_text(tree / "config" / "global.ini.php")), "Plugins", "Plugins")
    shipped = re.findall(r"[\"']plugins/(\w+)/", _text(_manifest_of(tree), 16 << 20))
    # What is bundled but not active stands in an array of the plugin manager only.
    manager = _text(tree / "core" / "Plugin" / "Manager.php")
    off = re.search(r"corePluginsDisabledByDefault\s*=\s*(?:array\(|\[)([^\])]*)", manager)
    return sorted({*listed, *shipped, *(re.findall(r"'(\w+)'", off[1]) if off else [])})


def _manifest_of(tree: Path) -> Path:
    return tree / "config" / "manifest.inc.php"


def check(docroot: str, path: str) -> dict[str, Any]:
    """Is the stage at ``path`` still what was unpacked? ``{problem, files, size, version}``.

    Reads every file, as the web user, who must be able to. ``problem`` is '' if all is well.
    """
    folder = Path(path)
    try:
        wanted = json.loads((folder / FILES).read_text())
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        return {"problem": f"its list of files cannot be read: {error}", "files": 0, "size": 0}
    tree = folder / TREE
    found = version_of(tree)
    facts = {"files": len(wanted), "size": sum(each[0] for each in wanted.values())}
    if found != manifest.get("version"):
        return {**facts, "version": found, "problem": f"it holds Matomo {found or '?'}"}
    return {**facts, "version": found, "problem": _difference(tree, wanted)}


def _difference(tree: Path, wanted: dict[str, list[Any]]) -> str:
    seen = 0
    for name, path in walk(tree):
        if name not in wanted:
            return f"{name} does not belong to it"
        seen += 1
        size, digest = wanted[name]
        try:
            if path.stat().st_size != size:
                return f"{name} has another size than it was unpacked with"
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                return f"{name} has another content than it was unpacked with"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return "" if seen == len(wanted) else f"{len(wanted) - seen} of its files are gone"


def walk(tree: Path) -> Iterator[tuple[str, Path]]:
    """(name relative to the tree, path) of all files but those of WRITABLE folders."""
    for folder, names, files in os.walk(tree):
        names.sort()
        base = os.path.relpath(folder, tree)
        prefix = "" if base == "." else f"{base}/"
        if f"{prefix}".startswith(WRITABLE):
            names[:] = []
            continue
        for name in files:
            yield prefix + name, Path(folder, name)


def own_manifest(tree: Path) -> Optional[dict[str, tuple[int, str]]]:
    """``{file: (size, sha256)}`` of the release's config/manifest.inc.php; None without one."""
    text = _text(_manifest_of(tree), 16 << 20)
    pattern = r"""["']([^"']+)["']\s*=>\s*array\(["'](\d+)["'],\s*["']([0-9a-f]{64})["']\)"""
    found = {name: (int(size), digest) for name, size, digest in re.findall(pattern, text)}
    return found or None


def read_manifest(folder: Path) -> dict[str, Any]:
    """What is known of a stage; MatopsError where its folder is none."""
    try:
        data: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        return data
    except (OSError, ValueError) as error:
        raise MatopsError(f"{folder} is not a stage: {error}") from None


def _array(tree: Path, file: str, name: str) -> list[str]:
    """The words of the first ``array( 'a', 'b' )`` in one of Matomo's diagnostics."""
    text = _text(tree / _CHECKS / file)
    start = r"return\s+(?:array\(|\[)" if not name else rf"\${name}\s*=\s*(?:array\(|\[)"
    found = re.search(start + r"([^\])]*)", text)
    words = re.findall(r"['\"](\w+)['\"]", found[1]) if found else []
    return [word for word in words if word != "eval"]  # a construct of the language


def _text(path: Path, limit: int = 400_000) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(limit)
    except OSError:
        return ""
