"""Plugin updates that are staged with a release: packed here or on the host."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Optional

from matops.host import files
from matops.matomo.release import plugins as plugin_packs
from matops.matomo.release.stages import PACKAGE, downloads_of
from matops.matomo.site import Site


def packed_here(plugins: str) -> Optional[dict[str, Any]]:
    """What packing ``plugins`` gives, where they lie on this machine; else None."""
    if not plugins or not Path(plugins).expanduser().exists():
        return None
    with tempfile.TemporaryDirectory(prefix="matops-plugins-") as scratch:
        return _pack(plugins, scratch)


def add(site: Site, plugins: str, pack: dict[str, Any], path: str, there: bool) -> dict[str, Any]:
    """Puts the plugins into the stage at ``path``; its manifest.

    ``pack``: what packing them gave; ``there``: they lie on the host, not here.
    """
    folder = downloads_of(site)
    zipped = f"{folder}/plugins-{pack['sha256'][:8]}.zip"
    if there:
        site.agent.call(
            f"{PACKAGE}.plugins:pack", {"source": plugins, "out": zipped}, user=site.keeper
        )
    else:
        with tempfile.TemporaryDirectory(prefix="matops-plugins-") as scratch:
            _pack(plugins, scratch)
            files.upload(site.host, Path(scratch) / "plugins.zip", zipped, user=site.keeper)
    payload = {
        "docroot": site.docroot,
        "path": path,
        "folder": folder,
        "pack": zipped,
        "sha256": pack["sha256"],
        "web_user": site.web_user,
    }
    manifest: dict[str, Any] = site.agent.call(
        f"{PACKAGE}.addons:stage", payload, user=site.keeper, timeout=900
    )
    return manifest


def _pack(plugins: str, scratch: str) -> dict[str, Any]:
    there = str(Path(plugins).expanduser())
    return plugin_packs.pack(source=there, out=f"{scratch}/plugins.zip")
