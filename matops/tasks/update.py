"""``update``: the new files, the migration."""

from __future__ import annotations

from typing import Any

from matops.errors import UsageError
from matops.runbook import outage_state, phases
from matops.runbook.core_update_there import Asked
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import MODE
from matops.runbook.phases import UPDATE, Servers, Update, Voice
from matops.tasks.core_update import IDLE_HELP, LOGIN_HELP, RETRIES_HELP
from matops.tasks.desk import CHANGING, YES_HELP, Desk, operation
from matops.tasks.phase_run import run_phase
from matops.tasks.release_install import ACCEPT_HELP, HOW_HELP, RELOAD_HELP, UNLISTED_HELP
from matops.tasks.release_install import _options as install_options


@operation(
    help={
        "how": HOW_HELP,
        "release": "the version to install, where more than one newer is staged",
        "accept-plugins": ACCEPT_HELP,
        "accept-unlisted": UNLISTED_HELP,
        "no-reload": RELOAD_HELP,
        "retries": RETRIES_HELP,
        "end-idle-blockers": IDLE_HELP,
        "login": LOGIN_HELP,
        "activate-new-plugins": "activate plugins that are new in this release, where "
        "config.ini.php lists its plugins; else they are named",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def update(
    c: Any,
    how: str = "",
    release: str = "",
    accept_plugins: str = "",
    accept_unlisted: bool = False,
    no_reload: bool = False,
    retries: str = "3",
    end_idle_blockers: bool = False,
    login: str = "",
    activate_new_plugins: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Install the staged release and migrate the database, in the outage that `offline` began.

    In this order: the configuration is backed up, versions and tables of the database are written
    down (rollback must know whether a migration ran), release.build and release.install on every
    listed server, core.update on this one. Before the first migration `rollback` puts back what
    was there; after it Matomo knows no way back, and the same command again goes on.
    Examples: fab -H web1 update --dry-run; fab -H web1 update --end-idle-blockers --login root
    """
    if not retries.isdigit():
        raise UsageError(f"--retries: '{retries}' is not a number")
    install = install_options(how, release, accept_plugins, accept_unlisted)
    core = Asked(int(retries), end_idle_blockers, login, activate_new_plugins)
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    record = outage_state.lead(site, "update")
    outage_state.demand_offline(site, record)
    servers = Servers(desk.sites(site), desk.sites(site, archivers=True))
    for other in servers.web[1:]:
        theirs = Outage(other).read()
        outage_state.demand_offline(other, theirs, record["notes"].get(MODE, ""))
    wanted = Update(install, not no_reload, core)

    def make() -> Any:
        return phases.update(servers, Voice(desk.say, desk.write), wanted)

    if run_phase(desk, site, UPDATE, make, yes=yes, dry_run=dry_run, take_over=take_over):
        desk.say("next: recover, which brings the system up again and the outage's hits back")
