"""``release.*``: the new release beside the old one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Optional

from invoke import Collection

from matops.errors import Refused
from matops.matomo.release import stages
from matops.matomo.release.versions import key
from matops.matomo.site import Site
from matops.runbook import install_calls
from matops.runbook.stage import StageRelease
from matops.tasks import release_install
from matops.tasks.desk import (
    DRY_HELP,
    JSON_HELP,
    LOCAL_HELP,
    YES_HELP,
    Desk,
    confirmer,
    operation,
    run_task,
)

RELEASE_HELP = "latest, a version (5.8.0), a URL, or a zip on this machine"
SHA256_HELP = "what the zip's sha256 must be, where no signature is to be had"
PLUGINS_HELP = "plugin updates to stage with it: a folder or zip here, or a folder on the host"
SAME_VERSION_HELP = "stage the version that is installed already once more"


@operation(
    help={
        "release": RELEASE_HELP,
        "sha256": SHA256_HELP,
        "plugins": PLUGINS_HELP,
        "same-version": SAME_VERSION_HELP,
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
        "local": LOCAL_HELP,
    }
)
def stage(
    c: Any,
    release: str = "",
    sha256: str = "",
    plugins: str = "",
    same_version: bool = False,
    dry_run: bool = False,
    json: bool = False,
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
                same_version=same_version,
            )
        ],
        dry_run=dry_run,
        json=json,
        local=local,
    )


@operation(help={"json": JSON_HELP})
def list_(c: Any, json: bool = False) -> None:
    """List the releases staged on the host.

    Example: fab -H web1 release.list
    """
    desk = Desk(c, json=json)
    found = stages.staged(desk.site())
    rows = [(s.version, s.when, s.trust, _use(s), s.path) for s in found]
    headers = ("version", "staged", "verified by", "in use", "folder")
    desk.show([vars(s) for s in found], headers, rows)


@operation(
    help={
        "all": "all but the one in use; else only those that are not needed any more",
        "yes": YES_HELP,
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
    }
)
def clean(
    c: Any, all: bool = False, yes: bool = False, dry_run: bool = False, json: bool = False
) -> None:
    """Remove staged releases that are not needed.

    Shows which, then asks. Example: fab -H web1 release.clean --dry-run
    """
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run)
    kept = install_calls.way_back(site)
    plan = [each for each in stages.removable(site, everything=all) if each.path != kept]
    spare = install_calls.spare(site, remove=False)
    for path in spare:
        desk.say(f"{'would remove' if dry_run else 'to remove:'} {path}: a built tree, not in use")
    for each in plan:
        desk.say(f"{'would remove' if dry_run else 'to remove:'} {each.path}: {_why(site, each)}")
    stale = [each.path for each in plan]
    paths = [*spare, *stale]
    if paths and not dry_run and not confirmer(yes)(f"Remove {len(paths)} stages?", "yes"):
        raise Refused(
            "removing the stages was not confirmed",
            host=site.host.name,
            state="Nothing was removed",
            next="add --yes, or type yes when asked",
        )
    removed = stages.unstage(site, stale) if stale and not dry_run else []
    removed += install_calls.spare(site, remove=True) if spare and not dry_run else []
    rows = [(path, "removed" if path in removed else "would remove") for path in paths]
    if json or rows:
        result = {"host": site.host.name, "planned": paths, "removed": removed}
        desk.show(result, ("folder", "what"), rows, wrap=0)
    else:
        desk.say("nothing to remove")


def _use(each: stages.Staged) -> str:
    if each.in_use:
        return "yes"
    return f"way back to {each.holds}" if each.holds not in ("", each.version) else ""


def _why(site: Site, each: stages.Staged) -> str:
    if each.holds != each.version:
        return f"it holds Matomo {each.holds}, the way back"
    newer = key(each.version) > key(site.version)
    what = "newer than" if newer else "not newer than"
    return f"Matomo {each.version}, {what} the installed {site.version}"


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
ns.add_task(release_install.build)
ns.add_task(release_install.install)
ns.add_task(release_install.back)
