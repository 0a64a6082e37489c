"""``rehearse``: the migration on an empty copy of the schema, before the outage."""

from __future__ import annotations

from typing import Any

from matops.errors import Refused
from matops.matomo.rehearsal import Rehearsal, load
from matops.matomo.rehearsal_base import why_outdated
from matops.matomo.release import stages
from matops.matomo.site import Site
from matops.report import rehearse as report
from matops.runbook.engine import run_steps
from matops.runbook.rehearse import Rehearse
from matops.tasks.desk import DRY_HELP, JSON_HELP, LOCAL_HELP, Desk, operation
from matops.units import parse_duration


@operation(
    help={
        "version": "which staged release; default: the newest (release.list shows them)",
        "login": "who makes the scratch database: root (over the socket, on the database's own "
        "host) or the path there of a mysql option file (/root/.my.cnf); default: Matomo's account",
        "timeout": "what core:update may take on the empty copy",
        "last": "show the last rehearsal, and whether it still holds; runs nothing",
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
        "local": LOCAL_HELP,
    }
)
def rehearse(
    c: Any,
    version: str = "",
    login: str = "",
    timeout: str = "1h",
    last: bool = False,
    dry_run: bool = False,
    json: bool = False,
    local: bool = False,
) -> None:
    """Run the staged release's core:update on an empty copy of the schema.

    Names each migration with its statement and how this server would do it, and the one that
    fails: before the outage, while the system is up. Nothing live is changed: the copy is a
    database of its own, the staged tree a private one, and before anything runs the staged
    console itself must read back a sentinel that only the copy has. With --login root its
    database account cannot even see the live data. Needs a staged release (release.stage) and
    the right to make one database; the GRANT is told. A rehearsal that was killed is cleared
    away by the next one. Exit code 1: a migration would fail.
    Example: fab -H web1 rehearse --login root
    """
    seconds = parse_duration(timeout, "--timeout")
    desk = Desk(c, json=json)
    site = desk.site(changes=not (dry_run or last), local=local)
    if last:
        _show_last(desk, site)
        return
    step = Rehearse(site, desk.say, version=version, login=login, timeout=seconds)
    with desk.run(site, "rehearse", [step], dry_run=dry_run, take_over=False) as run:
        outcomes = run_steps([step], run)
    if step.result and not json:
        _show(desk, step.result)
    desk.finish(outcomes, {"rehearsal": step.result.data()} if step.result else None)


def _show(desk: Desk, result: Rehearsal) -> None:
    desk.show(result.data(), report.HEADERS, report.rows(result))
    for line in report.lines(result):
        desk.say(line)


def _show_last(desk: Desk, site: Site) -> None:
    result = load(site)
    if result is None:
        raise Refused(
            "nothing was rehearsed here yet", host=site.host.name, next="release.stage, rehearse"
        )
    stage = next((each for each in stages.staged(site) if each.path == result.stage), None)
    why = why_outdated(site, result, stage)
    if desk.json:
        desk.show({"host": site.host.name, "rehearsal": result.data(), "stale": why}, (), ())
    else:
        _show(desk, result)
    desk.say(f"OUT OF DATE: {why}" if why else "it still holds: nothing it stands on has changed")


__all__ = ["rehearse"]
