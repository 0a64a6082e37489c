"""``tracking.off``, ``tracking.on``: the tracker, with both edges of the gap marked."""

from __future__ import annotations

from typing import Any

from invoke import Collection

from matops.errors import UsageError
from matops.runbook.tracking import TrackingOff, TrackingOn, steps_off, steps_on
from matops.tasks.desk import CHANGING, operation, run_task


@operation(
    help={"lose-hits": "although no access log could be replayed: hits are lost", **CHANGING}
)
def off(
    c: Any,
    lose_hits: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Switch the tracker off: [Tracker] record_statistics = 0, on every listed server.

    From here on the access logs record: the gap is replayed from them. Marks the edge for that: a
    marker request in every access log of the tracker, this server's clock around the switch, the
    last recorded hit. Proven by the tracker's answer (503); taken back at once where markers no
    longer arrive. Refused while a queue is enabled or holds anything, and where the access logs
    have no query strings.
    Example: fab -H web1 tracking.off
    """
    run_task(
        c,
        TrackingOff.name,
        lambda desk, site: steps_off(desk.sites(site), desk.say, lose_hits=lose_hits),
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


@operation(
    help={
        "prove-with-hit": "number of a site: send one real page view to it, and find it in the "
        "database (it stays there)",
        "force": "although tracking was off before this outage, or a migration is due",
        **CHANGING,
    }
)
def on(
    c: Any,
    prove_with_hit: str = "",
    force: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Switch the tracker on again: the line in config.ini.php as it was found.

    Marks the second edge of the gap. Proven by the tracker's answer on each server and through
    the public URL, and with --prove-with-hit by a real visit. Refused while the database is of an
    older version than the files. Leaves tracking off where it was off before the outage.
    Example: fab -H web1 tracking.on --prove-with-hit 1
    """
    if prove_with_hit and not (prove_with_hit.isdecimal() and int(prove_with_hit)):
        raise UsageError(f"--prove-with-hit: '{prove_with_hit}' is not the number of a site")
    run_task(
        c,
        TrackingOn.name,
        lambda desk, site: steps_on(
            desk.sites(site), desk.say, force=force, prove_site=int(prove_with_hit or 0)
        ),
        dry_run=dry_run,
        json=json,
        take_over=take_over,
        local=local,
    )


ns = Collection("tracking")
ns.add_task(off)
ns.add_task(on)
