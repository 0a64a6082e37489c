"""One look at everything that staging needs to know. Runs on the host, changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo.release import places, plugins, transfer
from matops.matomo.release.downloads import Download
from matops.matomo.release.source import FILE, LATEST, URL, name_for, shown
from matops.matomo.release.versions import is_release


def survey(
    *, docroot: str, root: str, folder: str, kind: str, text: str, version: str, sha256: str,
    release_url: str, latest_url: str, installed: str, plugins_at: str = "",
) -> dict[str, Any]:  # fmt: skip
    """What is wanted, what of it is here, and the place for it.

    ``{version, url, name, size, stale, staged, stages, download, place, plugins}``; ``staged``
    is the stage that fits (its manifest), or None; ``stale``: the download here is another file.
    The network is asked only for what is not here.
    Raises MatopsError where it must be asked and does not answer.
    """
    stages = places.stages(root, docroot)
    if kind == LATEST:
        version = latest(latest_url, installed)
    url = {URL: text, FILE: ""}.get(kind, release_url.replace("{version}", version))
    name = name_for(url or f"file:{sha256}/{Path(text).name}")
    staged = _fitting(stages, version, name if kind == URL else "", sha256)
    download = Download(folder, name)
    here = download.look()
    current = kind == LATEST and version == installed
    needed = not current and not (staged or here["complete"])
    # What stands at a URL may be another file by now (…/matomo.zip is always the newest).
    there = transfer.head(url) if kind == URL or (url and needed) else {}
    stale = here["complete"] and (
        bool(sha256 and here["sha256"] != sha256) or _differs(download.notes(), there)
    )
    if stale:
        here = {**here, "have": 0, "complete": False, "verified": False}
        staged = staged if sha256 else None
    return {
        "version": version or (staged or {}).get("version", ""),
        "url": url,
        "name": name,
        "size": there.get("size") or here["have"],
        "stale": stale,
        "staged": staged,
        "stages": stages,
        "download": here,
        "place": places.look(root, docroot),
        "plugins": _pack(folder, plugins_at),
    }


def _differs(notes: dict[str, Any], there: dict[str, Any]) -> bool:
    return any(
        notes.get(each) and there.get(each) and notes[each] != there[each]
        for each in ("size", "etag", "modified")
    )


def latest(url: str, installed: str) -> str:
    """The newest version there is, as Matomo's own update check asks for it (core/UpdateCheck).

    Only our version is told: nothing else of the installation leaves the host.
    """
    asked = f"{url}{'&' if '?' in url else '?'}piwik_version={installed}"
    answer = transfer.fetch_text(asked).decode("utf-8", "replace").strip()
    if not re.fullmatch(r"[0-9][0-9a-zA-Z_.-]*", answer) or not is_release(answer):
        raise MatopsError(
            f"{shown(url)} does not answer with a version",
            next="name one: --release 5.8.0",
        )
    return answer


def _fitting(
    stages: list[dict[str, Any]], version: str, download: str, sha256: str
) -> Optional[dict[str, Any]]:
    each: dict[str, Any]
    for each in reversed(stages):
        if sha256 and each["sha256"] != sha256:
            continue
        if each["holds"] != each["version"]:
            continue  # exchanged: this is the old release, kept
        if (version and each["version"] == version) or (
            download and each.get("download") == download
        ):
            return each
        if sha256 and not version and not download:
            return each
    return None


def _pack(folder: str, source: str) -> Optional[dict[str, Any]]:
    """Plugins that lie on the host already: what packing them would give."""
    if not source:
        return None
    import tempfile

    with tempfile.TemporaryDirectory(prefix="matops-plugins-") as scratch:
        return plugins.pack(source=source, out=f"{scratch}/plugins.zip")
