"""``release.build``, ``release.install``, ``release.back``: the new files, or the old ones."""

from __future__ import annotations

from typing import Any

from matops.errors import UsageError
from matops.runbook.install_back import InstallBack
from matops.runbook.install_release import EXCHANGE, BuildRelease, InstallRelease
from matops.runbook.install_words import COPY
from matops.runbook.step import Step
from matops.tasks.desk import CHANGING, YES_HELP, confirmer, operation, run_task

HOW_HELP = (
    "exchange: a complete new tree beside the docroot, then both change places in one atomic "
    "step. copy: each new file over the old one, in one rename each; stale ones are moved away. "
    "Default: exchange where the docroot allows it, else copy"
)
ACCEPT_HELP = "go on with these plugins although they do not fit the release (A,B)"
UNLISTED_HELP = (
    "go on where there is no list of the old release's files: its folders and plugins count "
    "as its own"
)
RELOAD_HELP = "never reload Apache or php-fpm, whatever their caches hold"
_HELP = {
    "how": HOW_HELP,
    "release": "the version to install, where more than one newer is staged",
    "accept-plugins": ACCEPT_HELP,
    "accept-unlisted": UNLISTED_HELP,
}


def _options(how: str, release: str, accept_plugins: str, accept_unlisted: bool) -> dict[str, Any]:
    if how not in ("", EXCHANGE, COPY):
        raise UsageError(f"--how: '{how}' is not one of exchange, copy")
    accepted = [name.strip() for name in accept_plugins.split(",") if name.strip()]
    return {
        "how": how,
        "release": release,
        "accept_plugins": accepted,
        "accept_unlisted": accept_unlisted,
    }


@operation(help={**_HELP, **{k: v for k, v in CHANGING.items() if k != "take-over"}})
def build(
    c: Any,
    how: str = "",
    release: str = "",
    accept_plugins: str = "",
    accept_unlisted: bool = False,
    dry_run: bool = False,
    json: bool = False,
    local: bool = False,
) -> None:
    """Build the new tree beside the docroot, not live yet.

    Before the outage: release.install then only exchanges. What changes in the docroot until
    then is brought along. Example: fab -H web1 release.build
    """
    options = _options(how, release, accept_plugins, accept_unlisted)
    run_task(
        c,
        "release.build",
        lambda desk, site: [BuildRelease(each, desk.say, **options) for each in desk.sites(site)],
        dry_run=dry_run,
        json=json,
        local=local,
    )


@operation(help={**_HELP, "no-reload": RELOAD_HELP, "yes": YES_HELP, **CHANGING})
def install(
    c: Any,
    how: str = "",
    release: str = "",
    accept_plugins: str = "",
    accept_unlisted: bool = False,
    no_reload: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Install the staged release's files; the old ones stay as the way back.

    All listed servers are built first, then changed one right after the other. The database is
    not touched: core:update comes next. release.back undoes it until then.
    Example: fab -H web1 release.install --dry-run
    """
    options = _options(how, release, accept_plugins, accept_unlisted)
    confirm = confirmer(yes)

    def make(desk: Any, site: Any) -> list[Step]:
        sites = desk.sites(site)
        builds = [BuildRelease(each, desk.say, **options) for each in sites]
        installs = [
            InstallRelease(each, desk.say, may_reload=not no_reload, confirm=confirm, **options)
            for each in sites
        ]
        return [*(builds if len(sites) > 1 else []), *installs]

    run_task(
        c, "release.install", make, dry_run=dry_run, json=json, take_over=take_over, local=local
    )


@operation(help={"no-reload": RELOAD_HELP, "yes": YES_HELP, **CHANGING})
def back(
    c: Any,
    no_reload: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Put the old release's files back.

    Only before any migration ran: `rollback` looks whether that is so, this task does not.
    Example: fab -H web1 release.back --dry-run
    """
    confirm = confirmer(yes)
    run_task(
        c,
        "release.back",
        lambda desk, site: [
            InstallBack(each, desk.say, may_reload=not no_reload, confirm=confirm)
            for each in desk.sites(site)
        ],
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )
