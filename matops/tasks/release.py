"""``release.*``: the new release beside the old one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Optional

from invoke import Collection

from matops.matomo.release import stages
from matops.runbook.stage import StageRelease
from matops.tasks.desk import CHANGING, JSON_HELP, YES_HELP, Desk, confirmer, operation, run_task

RELEASE_HELP = "latest, a version (5.8.0), a URL, or a zip on this machine"
SHA256_HELP = "what the zip's sha256 must be, where no signature is to be had"
PLUGINS_HELP = "plugin updates to stage with it: a folder or zip here, or a folder on the host"


@operation(
    help={
        "release": RELEASE_HELP,
        "sha256": SHA256_HELP,
        "plugins": PLUGINS_HELP,
        **CHANGING,
    }
)
def stage(
    c: Any,
    release: str = "",
    sha256: str = "",
    plugins: str = "",
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Download, verify and unpack a release, not served.

    The live Matomo is not touched. Example: fab -H web1 release.stage --release 5.8.0
    """
    run_task(
        c,
        "release.stage",
        lambda desk, site: [
            StageRelease(
                site,
                desk.say,
                release=release,
                sha256=sha256,
                plugins=plugins,
                confirm=confirm_sha256(),
            )
        ],
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


@operation(help={"json": JSON_HELP})
def list_(c: Any, json: bool = False) -> None:
    """List the releases staged on the host.

    Example: fab -H web1 release.list
    """
    desk = Desk(c, json=json)
    found = stages.staged(desk.site())
    rows = [(s.version, s.when, s.trust, "yes" if s.in_use else "", s.path) for s in found]
    headers = ("version", "staged", "verified by", "in use", "folder")
    desk.show([vars(s) for s in found], headers, rows)


@operation(
    help={
        "all": "all but the one in use; else only those that are not needed any more",
        "yes": YES_HELP,
    }
)
def clean(c: Any, all: bool = False, yes: bool = False) -> None:
    """Remove staged releases that are not needed.

    Example: fab -H web1 release.clean
    """
    desk = Desk(c)
    site = desk.site(changes=True)
    paths = [s.path for s in stages.staged(site) if not s.in_use] if all else []
    if all and paths and not confirmer(yes)(f"Remove {', '.join(paths)}?", "yes"):
        desk.say("not confirmed; nothing was removed")
        return
    removed = stages.unstage(site, paths) if paths or not all else []
    for path in removed or ["nothing to remove"]:
        desk.say(f"removed {path}" if removed else path)


def confirm_sha256() -> Optional[Callable[[str], bool]]:
    """Asks to type the first eight digits; None without a terminal."""
    if not sys.stdin.isatty():
        return None
    ask = confirmer(False)
    return lambda sha256: ask(f"No signature is to be had. The zip's sha256 is {sha256}.",
                              sha256[:8])  # fmt: skip


ns = Collection("release")
ns.add_task(stage)
ns.add_task(list_, name="list")
ns.add_task(clean)
