"""``invalidations.truncate`` and the ways back; ``reset``, ``dedupe``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any, Callable, Optional

from matops.errors import UsageError
from matops.matomo.site import Site
from matops.mysql.invalidations import keep
from matops.report.progress import Progress
from matops.runbook.engine import PLANNED, run_steps
from matops.runbook.invalidations_back import DropBackup, Restore
from matops.runbook.invalidations_rebuild import ClearFlags, Reinvalidate, parse_span
from matops.runbook.invalidations_reset import Reset
from matops.runbook.invalidations_step import QueueStep, Voices, ask
from matops.runbook.invalidations_truncate import Dedupe, Truncate
from matops.tasks.desk import CHANGING, JSON_HELP, Desk, confirmer, operation
from matops.units import parse_duration, show_epoch, show_size

BACKUP_HEADERS = ("backup", "made", "rows", "size", "of", "kept in the table", "state")
_YES = "do it; without it this shows the plan, and on a terminal asks for a word to be typed"
_WAIT = "wait so long for a running archiver to end, like 10m"
_MORE = {"yes": _YES, **CHANGING}

Make = Callable[[Desk, Site, Voices], Sequence[QueueStep]]


@operation(
    help={
        "keep-days": "keep rows whose period reaches into the last N days, and today (UTC)",
        "keep-sites": "keep rows of these sites: 1,2. With other --keep-…: rows that match all",
        "keep-periods": "keep rows of these periods: day,week,month,year,range",
        "only": f"take out nothing but {', '.join(keep.ONLY)}",
        "reinvalidate": "queue invalid archives that no row covers anew: last30, or FROM,TO",
        "clear-flags": "take the invalid mark off archives that no row covers",
        "wait": _WAIT,
        **_MORE,
    }
)
def truncate(
    c: Any,
    keep_days: str = "",
    keep_sites: str = "",
    keep_periods: str = "",
    only: str = "",
    reinvalidate: str = "",
    clear_flags: bool = False,
    wait: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Empty archive_invalidations, or take a part out of it, with a way back.

    Shows what would go unless told --yes. When most rows go, a new table takes the place of the
    old one, which stays as the backup; else rows move into a backup in small batches. Nobody
    waits for long, no row that comes meanwhile is lost, no id is given out twice. Refused while
    an archiver runs. A run that was killed is ended by the next one.
    Example: fab -H web1 invalidations.truncate --keep-days 30 --reinvalidate last30
    """
    asked = {"only": only, "keep_days": keep_days, "keep_sites": keep_sites,
             "keep_periods": keep_periods}  # fmt: skip
    span = _check(asked, reinvalidate, clear_flags)
    after = {"reinvalidate": reinvalidate, "clear_flags": clear_flags}

    def make(desk: Desk, site: Site, voices: Voices) -> Sequence[QueueStep]:
        steps: list[QueueStep] = [Truncate(site, desk.say, voices, asked, span, clear_flags)]
        if site.host.is_local and not dry_run and _acts(yes):
            if span:
                steps.append(Reinvalidate(site, desk.say, voices, span))
            if clear_flags:
                steps.append(ClearFlags(site, desk.say, voices))
        return steps

    _run(c, Truncate.name, {**asked, **after}, make, wait=wait, yes=yes, dry_run=dry_run,
         json=json, take_over=take_over, local=local)  # fmt: skip


def _check(asked: dict[str, str], reinvalidate: str, clear: bool) -> Optional[tuple[str, str]]:
    """Typing errors show before anything is asked; the days of --reinvalidate. UsageError."""
    keep.parse_only(asked["only"])
    keep.parse_days(asked["keep_days"])
    keep.parse_sites(asked["keep_sites"])
    keep.parse_periods(asked["keep_periods"])
    del clear
    return parse_span(reinvalidate) if reinvalidate else None


@operation(help={"wait": _WAIT, **_MORE})
def dedupe(
    c: Any,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
    wait: str = "",
) -> None:
    """Take duplicates out of archive_invalidations: same site, dates, period, name and report.

    The one that stays is the one that Matomo takes first. In small batches into a backup; may
    run beside an archiver: what it has begun, and all that is like it, is left alone.
    Example: fab -H web1 invalidations.dedupe --yes
    """
    _run(c, Dedupe.name, {}, lambda desk, site, voices: [Dedupe(site, desk.say, voices)],
         wait=wait, yes=yes, dry_run=dry_run, json=json, take_over=take_over,
         local=local)  # fmt: skip


@operation(
    help={
        "hosts": "rows of these hosts are nobody's: you made sure that no archiver runs there; "
        "unknown = rows that name none",
        **_MORE,
    }
)
def reset(
    c: Any,
    hosts: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Queue rows again that are stuck in progress, as core:reset-invalidations does.

    Stuck are rows older than archive_failure_recovery_timeout, rows without a start (which
    Matomo itself never frees), and rows of a process that is gone on this host.
    Example: fab -H web1 invalidations.reset --yes
    """
    named = tuple(name.strip() for name in hosts.split(",") if name.strip())
    _run(c, Reset.name, {"hosts": hosts},
         lambda desk, site, voices: [Reset(site, desk.say, voices, named)],
         yes=yes, dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


@operation(help={"json": JSON_HELP, "local": CHANGING["local"]})
def backups(c: Any, json: bool = False, local: bool = False) -> None:
    """List the backups that matops made of archive_invalidations: rows, size, when, why, state.

    Example: fab -H web1 invalidations.backups
    """
    desk = Desk(c, json=json)
    found = ask(desk.site(local=local), "invalidations_change:list_backups")
    rows = [
        (
            one["name"], show_epoch(one["at"]) if one["at"] else "?",
            f"{'' if one['exact'] else 'about '}{one['rows']}", show_size(one["bytes"]),
            one["why"] or "?", one["kept"], one["state"],
        )
        for one in found
    ]  # fmt: skip
    if not found and not json:
        desk.say("no backups of archive_invalidations")
        return
    desk.show(found, BACKUP_HEADERS, rows)


@operation(help={"backup": "its name, as invalidations.backups shows it", "wait": _WAIT, **_MORE},
           positional=["backup"])  # fmt: skip
def restore(
    c: Any,
    backup: str,
    wait: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Put a backup of archive_invalidations back, with the rows created since.

    The table that is there now stays as another backup. Refused while an archiver runs.
    Example: fab -H web1 invalidations.restore matomo_archive_invalidations_bak_20261122121600
    """
    _run(c, Restore.name, {"": backup},
         lambda desk, site, voices: [Restore(site, desk.say, voices, backup)],
         wait=wait, yes=yes, dry_run=dry_run, json=json, take_over=take_over,
         local=local)  # fmt: skip


@operation(help={"backup": "its name, as invalidations.backups shows it", **_MORE},
           positional=["backup"])  # fmt: skip
def drop_backup(
    c: Any,
    backup: str,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Drop a backup of archive_invalidations for good: one that matops made, and nobody needs.

    Example: fab -H web1 invalidations.drop-backup matomo_archive_invalidations_bak_20261122121600
    """
    _run(c, DropBackup.name, {"": backup},
         lambda desk, site, voices: [DropBackup(site, desk.say, voices, backup)],
         yes=yes, dry_run=dry_run, json=json, take_over=take_over, local=local)  # fmt: skip


def _acts(yes: bool) -> bool:
    """Without --yes and without a terminal to ask on, the plan is all there is."""
    return yes or sys.stdin.isatty()


def _run(
    c: Any, task: str, flags: dict[str, Any], make: Make, *, yes: bool, dry_run: bool,
    wait: str = "", json: bool, take_over: bool, local: bool,
) -> None:  # fmt: skip
    seconds = parse_duration(wait, "--wait") if wait else 0
    words = _words(task, {**flags, "wait": wait})
    plan_only = dry_run or not _acts(yes)

    desk = Desk(c, json=json)
    site = desk.site(changes=not plan_only, local=local)
    track = functools.partial(Progress, say=desk.say)
    steps = make(desk, site, Voices(confirmer(yes), track, desk.write, words, seconds))
    with desk.run(site, task, steps, dry_run=plan_only, take_over=take_over) as run:
        outcomes = run_steps(steps, run)
    desk.finish(outcomes, {"seen": steps[0].seen})
    planned = any(outcome.status == PLANNED for outcome in outcomes)
    if planned and not dry_run and not json:
        print("Nothing was changed. To do it: add --yes", flush=True)


def _words(task: str, flags: dict[str, Any]) -> list[str]:
    """The same task for the host: only what was typed. Pure."""
    found = [task]
    for key, value in flags.items():
        flag = "--" + key.replace("_", "-")
        if not key:
            found.append(str(value))
        elif value is True:
            found.append(flag)
        elif value:
            found += [flag, str(value)]
    if any(word.startswith("-") for word in found[1:2]) and "" in flags:
        raise UsageError(f"'{found[1]}' is no backup's name")
    return found


TASKS: tuple[Any, ...] = (truncate, backups, restore, drop_backup, reset, dedupe)
