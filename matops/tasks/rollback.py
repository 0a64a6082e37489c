"""``rollback``: the way back, as long as there is one."""

from __future__ import annotations

from typing import Any

from matops.errors import MatopsError, UsageError
from matops.matomo.site import Site, open_site
from matops.runbook import check, outage_state, phases
from matops.runbook.checks import backup
from matops.runbook.phases import ROLLBACK, Rollback, Servers, Voice
from matops.tasks.desk import CHANGING, YES_HELP, Desk, operation
from matops.tasks.phase_run import run_phase
from matops.tasks.release_install import RELOAD_HELP


@operation(
    help={
        "no-reload": RELOAD_HELP,
        "prove-with-hit": "send a real hit to this site (its number) where no visitor's comes "
        "within 20 s; it stays there as a visit",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def rollback(
    c: Any,
    no_reload: bool = False,
    prove_with_hit: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Put the old release back, and everything that `offline` switched, as it was found.

    Possible until the first migration ran: versions, tables and settings of the database are
    compared with what `update` wrote down before. After that it is refused (exit code 3): Matomo
    cannot downgrade its schema; what can be done is said. In this order: the files, the
    configuration, tracking, the UI, the archiver's cron, the queue; proven by requests and by a
    hit. The new release stays staged. Cut off anywhere: the same command again goes on.
    Examples: fab -H web1 rollback --dry-run; fab -H web1 rollback --prove-with-hit 1
    """
    if prove_with_hit and not prove_with_hit.isdigit():
        raise UsageError(f"--prove-with-hit: '{prove_with_hit}' is not the number of a site")
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    record = outage_state.lead(site, "rollback")
    servers = Servers(desk.sites(site), desk.sites(site, archivers=True))
    wanted = Rollback(not no_reload, int(prove_with_hit or 0),
                      lambda: _backups(desk, site))  # fmt: skip

    def make() -> Any:
        return phases.rollback(servers, Voice(desk.say, desk.write), wanted, record)

    if run_phase(desk, site, ROLLBACK, make, yes=yes, dry_run=dry_run, take_over=take_over):
        desk.say("the outage is over; the release is still staged for another try")


def _backups(desk: Desk, site: Site) -> str:
    """What is known of backups of the database, for the refusal."""
    try:
        seen = open_site(site.host, desk.settings, check.MODULES, check.asked(desk.settings))
        return backup.recent(check.from_site(seen)).found
    except MatopsError as error:
        return f"backups could not be looked at: {error.what}"
