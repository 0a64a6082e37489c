"""``db.backup``: the essentials of the database, or the operator's own full backup."""

from __future__ import annotations

import functools
from typing import Any

from invoke import Collection

from matops.errors import UsageError
from matops.matomo import db_backup, db_restore
from matops.report.progress import Progress
from matops.runbook import db_backup_store as store
from matops.runbook.db_backup import KEEP, BackupEssentials
from matops.runbook.db_backup_full import BackupFull
from matops.runbook.engine import run_steps
from matops.runbook.step import Step
from matops.tasks.desk import DRY_HELP, JSON_HELP, LOCAL_HELP, Desk, operation
from matops.units import show_size

_BACKUP = "name of a backup (its time, as db.backup.list shows it); `last` = the newest"


@operation(
    help={
        "essentials": "every table's structure; all rows but raw logs (log_*) and archive_blob",
        "full": "run your own backup or snapshot: the setting backup_command, as a job",
        "no-numeric": "leave out the rows of archive_numeric, too (the reports' numbers)",
        "keep": "so many essentials backups stay; older ones go once the new one is verified",
        "source": "read this replica instead, HOST or HOST:PORT, with Matomo's account",
        "fetch": "also copy it to this folder on your machine",
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
        "local": LOCAL_HELP,
    }
)
def backup(
    c: Any,
    essentials: bool = False,
    full: bool = False,
    no_numeric: bool = False,
    keep: str = str(KEEP),
    source: str = "",
    fetch: str = "",
    dry_run: bool = False,
    json: bool = False,
    local: bool = False,
) -> None:
    """Back up the database's essentials (--essentials), or run your own full backup (--full).

    Essentials: settings, sites, users, goals, segments, … and the reports' numbers, a compressed
    file a table with a checksum, on the host. Clients, rebuilds and purge go on undisturbed: no
    table is read for long. It is no full backup and no way to undo an upgrade.
    Example: fab -H web1 db.backup --essentials
    """
    if not (essentials or full):
        raise UsageError("say which: --essentials, --full (your own backup_command), or both")
    if not keep.isdigit() or not int(keep):
        raise UsageError(f"--keep: '{keep}' is not a whole number above 0")
    if source:
        db_backup.source_of(source)
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    steps: list[Step] = [BackupFull(site, desk.say, desk.write)] if full else []
    made = BackupEssentials(
        site, desk.say, track=functools.partial(Progress, say=desk.say), write=desk.write,
        numeric=not no_numeric, keep=int(keep), fetch=fetch, source=source,
    )  # fmt: skip
    if essentials:
        steps.append(made)
    with desk.run(site, "db.backup", steps, dry_run=dry_run, take_over=False) as run:
        outcomes = run_steps(steps, run)
    for line in made.closing():
        desk.say(line)
    desk.finish(outcomes, {"backup": made.manifest} if made.manifest else None)


@operation(help={"json": JSON_HELP})
def list_(c: Any, json: bool = False) -> None:
    """List the essentials backups on the host. Example: fab -H web1 db.backup.list"""
    desk = Desk(c, json=json)
    site = desk.site()
    found = store.listing(site)
    headers = ("backup (UTC)", "Matomo", "server", "tables", "rows", "size", "of", "numbers")
    rows = [
        (m["name"], m.get("version", ""), m.get("server", ""), m["tables"], m["rows"],
         show_size(m["size"]), m["error"] or show_size(m["data_bytes"]),
         "yes" if m.get("numeric") else "no")
        for m in found
    ]  # fmt: skip
    desk.show(found, headers, rows)
    desk.say(f"in {store.place(site)}")


@operation(help={"backup": _BACKUP, "json": JSON_HELP}, positional=["backup"])
def verify(c: Any, backup: str, json: bool = False) -> None:
    """Read a backup back: every checksum, every byte unpacked, each table's last line.

    Prints the commands that restore from it. Example: fab -H web1 db.backup.verify last
    """
    desk = Desk(c, json=json)
    site = desk.site()
    name = store.chosen(site, backup)
    found = store.ask(site, "db_backup_kept:verify", place=store.place(site), name=name)
    rows = [
        (t["name"], t["rows"] if t.get("file") else f"structure only: {t['left_out']}",
         show_size(found["files"][t["file"]]["size"]) if t.get("file") else "")
        for t in found["tables"]
    ]  # fmt: skip
    desk.show(found, ("table", "rows", "size"), rows)
    desk.say(f"backup {name} is whole: {len(found['files'])} files, {show_size(found['size'])}")
    desk.say(db_restore.GOOD_FOR)
    desk.say(f"To read it into an empty schema{db_restore.who(found)}:")
    desk.say(f"  {db_restore.command(found['folder'], found)}")
    desk.say(f"Single tables: {found['folder']}/README")


ns = Collection("backup")
ns.add_task(backup, name="make", default=True)
ns.add_task(list_, name="list")
ns.add_task(verify)
