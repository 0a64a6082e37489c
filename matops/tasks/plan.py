"""``plan``: how long, how much disk, which window: before the outage is announced."""

from __future__ import annotations

from typing import Any

from matops.errors import MatopsError, UsageError
from matops.matomo.site import Site
from matops.report import plan as report
from matops.runbook import check, database_space, plan_window
from matops.runbook import plan as planning
from matops.tasks.desk import JSON_HELP, LOCAL_HELP, Desk, operation
from matops.units import parse_duration, parse_size, show_duration, show_size, utc_now


@operation(
    help={
        "padding": "the window is what is likely, times this: 2x, or 50% on top",
        "start": "when the outage begins: '2026-12-01 22:00 Europe/Berlin'; traffic is then taken "
        "from the same hours of last week",
        "login": "who makes the scratch database for samples, as for rehearse: root, or the path "
        "on the host of a mysql option file; default: Matomo's account",
        "budget": "time for samples: the longer, the closer; 0s = none are taken",
        "free-space": "bytes free on the database's machine, where nothing can tell: 200GB",
        "json": JSON_HELP,
        "local": LOCAL_HELP,
    }
)
def plan(
    c: Any,
    padding: str = "2x",
    start: str = "",
    login: str = "",
    budget: str = "60s",
    free_space: str = "",
    json: bool = False,
    local: bool = False,
) -> None:
    """Tell how long the upgrade takes, step by step, and the window to announce.

    Stands on the last rehearsal: for each migration the table, its rows and bytes, whether this
    server does it instantly, in place or by copying, and a time from low to high, measured here:
    the same statement on samples of the real rows, in a scratch database (the GRANT is told).
    Around it the steps of the runbook. What is not known is named, not hidden in a number.
    Nothing live is changed; the samples read the tables and take about --budget of disk time.
    The result is kept on the host for notify.preview. Exit code 3: a migration would fail, or
    disk, log retention or the queue do not hold the window.
    Example: fab -H web1 plan --start "2026-12-01 22:00 Europe/Berlin"
    """
    factor = plan_window.parse_padding(padding)
    seconds = parse_duration(budget, "--budget")
    free = parse_size(free_space, "--free-space") if free_space else None
    desk = Desk(c, json=json)
    moment, zone = None, ""
    if start:
        moment, zone = plan_window.parse_start(start, desk.settings.notice_zone)
        if moment < utc_now():
            raise UsageError(f"--start: '{start}' is past")
    site = desk.site(changes=True, local=local, modules=check.MODULES, asked=_asked(desk))
    rehearsal, stale = planning.rehearsed(site)
    asked = planning.Asked(
        factor, moment.timestamp() if moment else None, zone, login, seconds,
        free if free is not None else _free_elsewhere(desk, site),
    )  # fmt: skip
    desk.say(f"asking the server, and timing samples for up to {show_duration(seconds)} …")
    facts = planning.collect(site, rehearsal, asked)
    checked = check.from_site(site)
    outcome = planning.make(rehearsal, stale, facts, checked, asked)
    planning.save(site, outcome)
    _show(desk, outcome)
    refusal = outcome.refusal(desk.host.name)
    if refusal:
        raise refusal


def _asked(desk: Desk) -> dict[str, Any]:
    return {"access_logs": list(desk.settings.access_logs), "url": desk.settings.url}


def _free_elsewhere(desk: Desk, site: Site) -> Any:
    """Bytes free on the database's own machine (setting db_host); None where it is this one."""
    other = desk.db_host()
    if other is None or site.database_is_local:
        return None
    try:
        folder = str(site.ask("runbook.database_space:data_folder"))
        free = database_space.free_bytes(other, folder)
    except MatopsError as error:
        desk.say(f"free space of {other.name}: {error.line()}")
        return None
    desk.say(f"{other.name}: {show_size(free)} free in {folder}")
    return free


def _show(desk: Desk, outcome: planning.Outcome) -> None:
    desk.show(
        {"host": desk.host.name, **outcome.data()}, report.HEADERS, list(report.rows(outcome))
    )
    if not desk.json:
        desk.say("")
        for line in report.lines(outcome):
            desk.say(line)


__all__ = ["plan"]
