"""``prep``: the first phase of the upgrade, with the system up."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from matops.matomo.release.source import LATEST
from matops.runbook.backup_config import BackupConfig
from matops.runbook.delete_logs import parse_range
from matops.runbook.engine import SKIPPED, Outcome, run_steps
from matops.runbook.preflight import Preflight
from matops.runbook.purge_archives import PurgeArchives
from matops.runbook.stage import StageRelease
from matops.runbook.step import Step
from matops.tasks import check as check_task
from matops.tasks.desk import CHANGING, YES_HELP, Desk, confirmer, operation, typed_hosts
from matops.tasks.logs import delete_step
from matops.tasks.release import (
    PLUGINS_HELP,
    RELEASE_HELP,
    SAME_VERSION_HELP,
    SHA256_HELP,
    confirm_sha256,
)


@operation(
    help={
        "release": RELEASE_HELP,
        "sha256": SHA256_HELP,
        "plugins": PLUGINS_HELP,
        "same-version": SAME_VERSION_HELP,
        "window": check_task.WINDOW_HELP,
        "force": check_task.FORCE_HELP,
        "delete-logs": "also delete raw logs: FROM,TO as YYYY-MM-DD (UTC); TO itself is kept",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def prep(
    c: Any,
    release: str = "",
    sha256: str = "",
    plugins: str = "",
    same_version: bool = False,
    window: str = "",
    force: str = "",
    delete_logs: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Prepare the upgrade: stage, back up, check, purge.

    With the system up, days ahead. Safe to run again: what is done is not done twice. Ends
    with 3 when a check fails.
    Example: fab -H web1,web2 prep --release 5.8.0 --window 12h
    """
    limit, forced = check_task.window_of(window), check_task.names(force)
    if delete_logs:
        parse_range(delete_logs)
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    stage = StageRelease(
        site,
        desk.say,
        release=release,
        sha256=sha256,
        plugins=plugins,
        confirm=confirm_sha256(),
        same_version=same_version,
    )
    check = Preflight(
        site,
        desk.say,
        lambda results: None if json else check_task.show(desk, results),
        force=forced,
        target_version=_target(stage),
        window=limit,
        db_host=desk.db_host(),
        others=desk.other_hosts(),
    )
    steps: list[Step] = [
        stage,
        BackupConfig(site, desk.say),
        check,
        PurgeArchives(site, desk.say, desk.write),
    ]
    if delete_logs:
        steps.append(
            delete_step(
                desk, site, dates=delete_logs, idsite=None, limit=1000, confirm=confirmer(yes)
            )
        )
    with desk.run(site, "prep", steps, dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps(steps, run)
    if not delete_logs:
        outcomes.append(Outcome("logs.delete", SKIPPED, "no dates given (--delete-logs FROM,TO)"))
    _say_rest(desk)
    desk.finish(outcomes, {"checks": [asdict(result) for result in check.results]})


def _target(stage: StageRelease) -> str:
    """The version to go to, or words for what will be known only when it is staged."""
    if stage.source.version:
        return stage.source.version
    return "the newest release" if stage.source.kind == LATEST else "the release given"


def _say_rest(desk: Desk) -> None:
    """Names the listed web servers that this command does not come to."""
    rest = [name for name in desk.settings.servers if name not in typed_hosts(desk.context)]
    if rest:
        desk.say(f"note: the settings also list {', '.join(rest)}: run prep there too")
