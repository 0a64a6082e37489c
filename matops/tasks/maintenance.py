"""``maintenance.on``, ``maintenance.off``: the UI and the API closed and opened, with proof."""

from __future__ import annotations

from typing import Any

from invoke import Collection

from matops.runbook.maintenance import MaintenanceOff, MaintenanceOn, steps_off, steps_on
from matops.tasks.desk import CHANGING, operation, run_task


@operation(
    help={
        "despite-health-check": "although a load balancer's health check would then fail, and "
        "take the server out with its tracking",
        **CHANGING,
    }
)
def on(
    c: Any,
    despite_health_check: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Close the UI and the API: [General] maintenance_mode = 1, on every listed server.

    Tracking goes on. Proven by the maintenance page itself, on each server and through the public
    URL, and by marker requests that still arrive in the same access logs; else it is taken back
    at once. Changes the one line of config.ini.php; the file as it was is kept, and named.
    Maintenance mode that is on already counts as somebody else's: `maintenance.off` leaves it.
    Example: fab -H web1 maintenance.on
    """
    run_task(
        c,
        MaintenanceOn.name,
        lambda desk, site: steps_on(
            desk.sites(site), desk.say, despite_health_check=despite_health_check
        ),
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


@operation(
    help={"force": "although it was on before this outage, or is not of this one", **CHANGING}
)
def off(
    c: Any,
    force: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Open the UI and the API again: the line in config.ini.php as it was found.

    Proven by the UI on each server and through the public URL. Does nothing where maintenance
    mode was on before the outage, or was switched on by somebody else, unless told --force.
    Example: fab -H web1 maintenance.off
    """
    run_task(
        c,
        MaintenanceOff.name,
        lambda desk, site: steps_off(desk.sites(site), desk.say, force=force),
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


ns = Collection("maintenance")
ns.add_task(on)
ns.add_task(off)
