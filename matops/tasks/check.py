"""``check``: the preflight table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Optional

from matops.runbook import check as runbook_check
from matops.runbook.checks.result import OK, CheckResult
from matops.runbook.preflight import judge
from matops.tasks.desk import JSON_HELP, Desk, operation
from matops.units import parse_duration

FORCE_HELP = "names of checks that may fail all the same, with commas: disk-tmpdir,grants"
WINDOW_HELP = "planned length of the upgrade, with its unit: 12h, 3d; access logs must reach back"


@operation(help={"force": FORCE_HELP, "window": WINDOW_HELP, "json": JSON_HELP})
def check(c: Any, force: str = "", window: str = "", json: bool = False) -> None:
    """Preflight: what was found, what is wanted, what to do.

    Changes nothing; one marker request goes to the tracker, which does not record it. Ends with
    3 when a check fails. Example: fab -H web1 check --window 12h
    """
    limit, forced = window_of(window), names(force)
    desk = Desk(c, json=json)
    site = desk.site(modules=runbook_check.MODULES, asked=runbook_check.asked(desk.settings))
    facts = runbook_check.from_site(
        site, window=limit, db_host=desk.db_host(), others=desk.other_hosts()
    )
    results = runbook_check.evaluate(facts)
    show(desk, results)
    desk.say(judge(results, forced, desk.host.name).line)


def show(desk: Desk, results: Sequence[CheckResult]) -> None:
    """The table, or the results as JSON."""
    rows = [(r.name, r.status, _lines(r)) for r in results]
    desk.show([asdict(result) for result in results], ("check", "status", "found"), rows)


def _lines(result: CheckResult) -> str:
    """What was found; below it, where it is not ok, what is wanted and what to do."""
    if result.status == OK:
        return result.found
    wanted = f"\nwanted: {result.wanted}" if result.wanted else ""
    return f"{result.found}{wanted}\n-> {result.todo}"


def window_of(text: str) -> Optional[int]:
    """Seconds from --window; None where it was not given. UsageError."""
    return parse_duration(text, "--window") if text else None


def names(text: str) -> list[str]:
    """The names in --force. UsageError where one is no check's."""
    return runbook_check.known([name.strip() for name in text.split(",") if name.strip()])
