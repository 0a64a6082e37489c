"""``core.*``: Matomo's own update of its database."""

from __future__ import annotations

import os
from typing import Any

from invoke import Collection

from matops.errors import UsageError
from matops.host.local import IN_JOB
from matops.matomo.site import Site
from matops.runbook.core_update import CoreUpdate
from matops.runbook.core_update_there import Asked
from matops.runbook.engine import run_steps
from matops.tasks.desk import CHANGING, YES_HELP, Desk, confirmer, operation

RETRIES_HELP = "how often core:update is started again after a crash (never after a failed one)"
IDLE_HELP = (
    "end connections that run nothing and hold a lock which core:update waits for: idle 10 s or "
    "more, few rows changed; never the update's own"
)
LOGIN_HELP = (
    "who watches the database: root (over the socket, on the database's own host) or the path "
    "there of a mysql option file; default: Matomo's account, which often sees only its own"
)


@operation(
    help={
        "retries": RETRIES_HELP,
        "end-idle-blockers": IDLE_HELP,
        "login": LOGIN_HELP,
        "activate-new-plugins": "activate plugins that are new in this release, where "
        "config.ini.php lists its plugins; else they are named, with the command",
        "open": "although maintenance mode is off",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def update(
    c: Any,
    retries: str = "3",
    end_idle_blockers: bool = False,
    login: str = "",
    activate_new_plugins: bool = False,
    open: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Run core:update as a job that survives; watch it; prove it.

    The new files must be in place (release.install), maintenance mode on, config.ini.php the web
    user's to write (what the update sets in it is brought to the other servers). php runs in a job
    of its own: it goes on when the link, this program or its watching job dies; the same command
    again attaches to it. Two are never started: jobs, processes of all listed servers and
    statements left in the database are looked at first. Progress comes from its output and from
    inside the database; who holds up its ALTERs is named (alert_to, alert_command are told).
    A crash (killed, php crashed, database gone) is repeated; a migration that fails stops it,
    with statement, message and what to do. Then new plugins are installed, and it is done only
    when core:update itself says so on a second look and versions, plugins and tables are right.
    Example: fab -H web1 core.update --end-idle-blockers --login root
    """
    if not retries.isdigit():
        raise UsageError(f"--retries: '{retries}' is not a number")
    asked = Asked(int(retries), end_idle_blockers, login, activate_new_plugins, open)
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    step = CoreUpdate(
        site, desk.say, desk.write, asked, confirm=confirmer(yes), others=_others(desk, site)
    )
    with desk.run(site, "core.update", [step], dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps([step], run)
    desk.finish(outcomes)


def _others(desk: Desk, site: Site) -> list[Site]:
    # In the job on the host they cannot be reached: whoever started it has looked.
    return [] if IN_JOB in os.environ else desk.sites(site, archivers=True)[1:]


ns = Collection("core")
ns.add_task(update)
