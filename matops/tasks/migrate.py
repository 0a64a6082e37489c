"""``migrate.*``: what of an upgrade's migration can be done while the system is up."""

from __future__ import annotations

import dataclasses
from typing import Any

from invoke import Collection

from matops.matomo.site import Site
from matops.mysql import throttle
from matops.mysql.guard import ABORT, KILL_IDLE, WAIT
from matops.runbook.engine import run_steps
from matops.runbook.migrate_ahead import MigrateAhead
from matops.runbook.migrate_ahead_there import Wanted
from matops.tasks.db_optimize import free_on_db_host
from matops.tasks.desk import (
    CHANGING,
    YES_HELP,
    Desk,
    confirmer,
    is_remote,
    one_of,
    operation,
)
from matops.units import parse_duration, parse_size


@operation(
    help={
        "min-size": "tables smaller than this are left: they take seconds in the outage; 0 = all",
        "tables": "only these, by full name, with commas, whatever their size",
        "prove": "prove on the scratch database, and stop before the live schema",
        "login": "who makes the scratch database: see rehearse",
        "timeout": "what core:update may take on the empty copy",
        "patience": "how long a table that somebody holds is waited for",
        "commit-wait": "how long clients may wait at the commit, for a lock that somebody holds",
        "on-block": "when clients pile up at the commit for --commit-wait: wait, abort, kill-idle",
        "critical-load": "cancel a statement under way while more statements run",
        "free-space": "bytes free on the database's machine, where nothing can tell: 200GB",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def ahead(
    c: Any,
    min_size: str = "100MB",
    tables: str = "",
    prove: bool = False,
    login: str = "",
    timeout: str = "1h",
    patience: str = "10m",
    commit_wait: str = "10s",
    on_block: str = ABORT,
    critical_load: str = "",
    free_space: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Run the upgrade's additive ALTERs on big tables now, online, so that the outage is shorter.

    Never part of another task. Takes from the last rehearsal the statements that only add
    columns or indexes that the old code can do without, and that this server does instantly or
    in place while clients read and write; anything else stays for the outage, with the reason.
    Before the live schema is touched, all of it is proven on a scratch database: the live code
    tracks and reports with them, and the upgrade then ends with the same schema, table by table.
    Each statement names its ALGORITHM, so the server cannot fall back to a copy, and runs under
    the lock guard of db.optimize: when clients would have to wait, it gives way. Safe to be
    stopped, and run again. The way back is printed.
    Examples: fab -H web1 migrate.ahead --dry-run; fab -H web1 migrate.ahead --prove;
    fab -H web1 migrate.ahead --yes
    """
    wanted = Wanted(
        min_size=parse_size(min_size, "--min-size"),
        tables=tuple(name.strip() for name in tables.split(",") if name.strip()),
        patience=parse_duration(patience, "--patience"),
        commit_wait=parse_duration(commit_wait, "--commit-wait"),
        on_block=one_of(on_block, (WAIT, ABORT, KILL_IDLE), "on-block"),
        free_space=parse_size(free_space, "--free-space") if free_space else None,
        critical=throttle.count(critical_load, "--critical-load"),
        prove_only=prove,
    )
    seconds = parse_duration(timeout, "--timeout")
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    if _elsewhere(c, site) and not free_space:
        wanted = dataclasses.replace(wanted, free_space=free_on_db_host(desk, site))
    step = MigrateAhead(
        site, desk.say, wanted, login=login, timeout=seconds, confirm=confirmer(yes)
    )
    with desk.run(site, step.name, [step], dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps([step], run)
    chosen = {"choices": [choice.data() for choice in step.choices]}
    desk.finish(outcomes, {**chosen, **({"ahead": step.result} if step.result else {})})


def _elsewhere(c: Any, site: Site) -> bool:
    """Is the database on a machine of its own that we can ask for its free space?"""
    return is_remote(c) and bool(site.settings.db_host) and not site.database_is_local


ns = Collection("migrate", ahead)
