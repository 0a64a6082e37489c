"""``config.*``: backups of the configuration, on the host and on your machine."""

from __future__ import annotations

from typing import Any

from invoke import Collection

from matops.errors import UsageError
from matops.runbook import backup_config
from matops.runbook.backup_config import BackupConfig, RestoreConfig
from matops.tasks.desk import (
    CHANGING,
    DRY_HELP,
    JSON_HELP,
    LOCAL_HELP,
    YES_HELP,
    Desk,
    confirmer,
    operation,
    run_task,
)

_BACKUP = "name of a backup (its time, as config.list shows it); `last` = the newest"


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

    Example: fab -H web1 config.list
    """
    desk = Desk(c, json=json)
    site = desk.site()
    found = backup_config.ask(site, "listing", folder=backup_config.folder(site))
    rows = [(m["name"], m["version"], len(m["files"]), _copy(site, m["name"])) for m in found]
    desk.show(found, ("backup (UTC)", "Matomo", "files", "copy here"), rows, wrap=0)


@operation(help={"backup": _BACKUP, "json": JSON_HELP}, positional=["backup"])
def diff(c: Any, backup: str, json: bool = False) -> None:
    """Show what changed since a backup; secrets stay hidden.

    Example: fab -H web1 config.diff last
    """
    desk = Desk(c, json=json)
    site = desk.site()
    name = _chosen(site, backup)
    found = backup_config.ask(
        site, "diff", folder=backup_config.folder(site), name=name, docroot=site.docroot
    )
    if json:
        desk.show(found, (), ())
    else:
        desk.say(found["text"] or f"nothing changed since backup {name}")


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

    What is there now is backed up first.

    Example: fab -H web1 config.restore 20261122T121600Z
    """
    run_task(
        c,
        "config.restore",
        lambda desk, site: [
            RestoreConfig(
                site,
                desk.say,
                _chosen(site, backup),
                everything=all,
                force=force,
                confirm=confirmer(yes),
            )
        ],
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


def _copy(site: Any, name: str) -> str:
    if site.host.is_local:
        return ""
    return "yes" if backup_config.local_copy(site, name).is_file() else "no"


def _chosen(site: Any, name: str) -> str:
    if name != "last":
        return name
    found = backup_config.ask(site, "listing", folder=backup_config.folder(site))
    if not found:
        raise UsageError("there is no backup yet", host=site.host.name, next="config.backup")
    return str(found[-1]["name"])


ns = Collection("config")
ns.add_task(backup)
ns.add_task(list_, name="list")
ns.add_task(diff)
ns.add_task(restore)
