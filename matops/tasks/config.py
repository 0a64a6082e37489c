"""``config.*``: backups of the configuration, on the host and on your machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from invoke import Collection

from matops.errors import Locked, MatopsError, OutcomeUnknown, Refused, Unreachable
from matops.matomo.site import Site, open_site
from matops.runbook import backup_store
from matops.runbook.backup_config import BackupConfig
from matops.runbook.engine import Run, run_steps
from matops.runbook.restore_config import RestoreConfig
from matops.tasks.desk import (
    CHANGING,
    DRY_HELP,
    JSON_HELP,
    LOCAL_HELP,
    YES_HELP,
    Desk,
    confirmer,
    not_a_matomo_host,
    operation,
    run_task,
)

_BACKUP = (
    "name of a backup (its time, as config.list shows it); `last` = the newest that no restore made"
)


@operation(help={"dry-run": DRY_HELP, "json": JSON_HELP, "local": LOCAL_HELP})
def backup(c: Any, dry_run: bool = False, json: bool = False, local: bool = False) -> None:
    """Back up the configuration, to the host and to here.

    config.ini.php and its relatives, .htaccess files, plugin list, crontabs. Does nothing where
    nothing changed since the newest backup. Needs no lock and no database.
    Example: fab -H web1 config.backup
    """
    run_task(
        c,
        "config.backup",
        lambda desk, site: [BackupConfig(site, desk.say)],
        dry_run=dry_run,
        json=json,
        local=local,
    )


@operation(help={"json": JSON_HELP})
def list_(c: Any, json: bool = False) -> None:
    """List the backups on the host.

    Works without a config.ini.php too. Example: fab -H web1 config.list
    """
    desk = Desk(c, json=json)
    site = _site(desk)
    found = backup_store.found(site)
    rows = [(m["name"], m["version"], len(m["files"]), m.get("by", ""), _copy(site, m))
            for m in found]  # fmt: skip
    desk.show(found, ("backup (UTC)", "Matomo", "files", "made by", "copy here"), rows, wrap=0)


@operation(help={"backup": _BACKUP, "json": JSON_HELP}, positional=["backup"])
def diff(c: Any, backup: str, json: bool = False) -> None:
    """Show what changed since a backup; secrets stay hidden.

    Example: fab -H web1 config.diff last
    """
    desk = Desk(c, json=json)
    site = _site(desk)
    chosen = backup_store.chosen(site, backup)
    found = backup_store.ask(
        site, "diff", folder=chosen["folder"], name=chosen["name"], docroot=chosen["docroot"]
    )
    if json:
        desk.show(found, (), ())
    else:
        desk.say(found["text"] or f"nothing changed since backup {chosen['name']}")


@operation(
    help={
        "backup": _BACKUP,
        "all": "put back every file of the backup, not only config.ini.php",
        "force": "although the backup is of another Matomo version",
        "yes": YES_HELP,
        **CHANGING,
    },
    positional=["backup"],
)
def restore(
    c: Any,
    backup: str,
    all: bool = False,
    force: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Put a backed-up config.ini.php back.

    What is there now is backed up first. Works where it is damaged or gone too; where the lock
    cannot be had for that reason, without it.
    Example: fab -H web1 config.restore 20261122T121600Z
    """
    desk = Desk(c, json=json)
    site = _site(desk, changes=not dry_run, local=local)
    chosen = backup_store.chosen(site, backup)
    site = replace(site, known_as=chosen["id"])
    step = RestoreConfig(
        site, desk.say, chosen["name"], everything=all, force=force, confirm=confirmer(yes)
    )
    with _run(desk, site, step, dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps([step], run)
    desk.finish(outcomes)


@contextmanager
def _run(
    desk: Desk, site: Site, step: RestoreConfig, *, dry_run: bool, take_over: bool
) -> Iterator[Run]:
    """A run under the lock, or without where a bad configuration is what bars the way to it."""
    begin = partial(desk.run, site, step.name, [step], dry_run=dry_run, take_over=take_over)
    with ExitStack() as stack:
        try:
            run = stack.enter_context(begin())
        except (Refused, Locked, OutcomeUnknown, Unreachable):
            raise  # somebody has it, or may have it
        except MatopsError as error:
            desk.say(f"going on without the lock, which is in the database: {error.what}")
            step.changes_data = False  # a run of such steps takes no lock
            run = stack.enter_context(begin())
        yield run


def _site(desk: Desk, *, changes: bool = False, local: bool = False) -> Site:
    """The installation, though its config.ini.php be damaged or gone."""
    try:
        return open_site(desk.host, desk.settings, needs_config=False)
    except Refused:
        raise
    except MatopsError as error:
        if changes and not local and desk.host.is_local and "no Matomo found" in error.what:
            raise not_a_matomo_host(desk.host.name) from None
        raise


def _copy(site: Site, manifest: dict[str, Any]) -> str:
    if site.host.is_local:
        return ""
    copy = backup_store.local_copy(site, manifest["name"], manifest["id"])
    return "yes" if copy.is_file() else "no"


ns = Collection("config")
ns.add_task(backup)
ns.add_task(list_, name="list")
ns.add_task(diff)
ns.add_task(restore)
