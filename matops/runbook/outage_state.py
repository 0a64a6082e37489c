"""Where an outage stands, by its record: what is missing, what may be typed, what comes next.

A record is ``Outage.read()``: ``{"began", "found", "notes"}``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from matops.errors import MatopsError, Refused
from matops.matomo import ini
from matops.matomo.site import Site
from matops.runbook import outage_begin, queue_hold, tracking_edge
from matops.runbook.archive_step import UNTIL
from matops.runbook.core_update_run import NOTE
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import MODE
from matops.runbook.tracking_mode import QUEUE
from matops.runbook.update_begin import INSTALL

Record = Mapping[str, Any]
ENDING = "ending"
"""Note of the outage: the phase that has begun to end it, ``recover`` or ``rollback``."""


def demand_known(site: Site, record: Record) -> None:
    """Refused where there is no record, and config.ini.php may be why: state is kept by the name
    of the database, so an edit that breaks ``[database]`` hides an open outage."""
    if record["began"]:
        return
    if not ini.text_of(site.config, "database", "dbname"):
        raise Refused(
            f"{site.docroot}/config/config.ini.php names no database ([database] dbname): it may "
            "be damaged",
            host=site.host.name,
            state="Nothing was changed; an outage that is open is not seen so",
            next=f"correct it; its earlier versions: {site.state_root}/*/config",
        )


def others_open(site: Site) -> list[str]:
    """The records of other installations' outages that are open on this host."""
    found = site.host.run(
        'for one in "$1"/*/outage.json; do [ ! -e "$one" ] || printf "%s\\n" "$one"; done',
        site.state_root, user=site.keeper, what="look for open outages",
    )  # fmt: skip
    return [line for line in found.text.splitlines() if line]


def lead(site: Site, phase: str) -> dict[str, Any]:
    """``outage_begin.lead``; where no outage is open here, but another installation's on this
    host, it is named: config.ini.php may name another database since."""
    record = Outage(site).read()
    demand_known(site, record)
    try:
        return outage_begin.lead(site, phase)
    except Refused as refused:
        if not record["began"] and (others := others_open(site)):
            refused.what += f"; one is open of another database: {', '.join(others)}"
            refused.next = f"did config.ini.php name another database then? Else {refused.next}"
        raise


def missing(record: Record, mode: str = "") -> list[str]:
    """The steps of ``offline`` that are not done on this server. ``mode``: of the leader's record,
    where this is another server's."""
    found, notes = record["found"], record["notes"]
    mode = mode or str(notes.get(MODE) or "")
    left = [] if "maintenance" in found else ["maintenance.on"]
    if mode == QUEUE and not notes.get(queue_hold.HELD):
        left.append("queue.hold")
    if mode != QUEUE and "tracking" not in found:
        left.append("tracking.off")
    return left


def ending(record: Record) -> str:
    """Why this outage is being ended already; '' where it is not. A second beginning in the same
    record would write over the marks by which the hits of the first one are brought back."""
    found, notes = record["found"], record["notes"]
    if notes.get(tracking_edge.OFF) and notes.get(tracking_edge.ON) and "tracking" not in found:
        return "tracking was off in it and is on again, and that gap's hits are to be brought back"
    if notes.get(UNTIL):
        return "the queue that carried it is drained already"
    return ""


def demand_not_ending(site: Site, record: Record) -> None:
    """Refused where ``recover`` or ``rollback`` has begun to end it."""
    why = ending(record)
    if why:
        raise Refused(
            f"the outage since {record['began']} is being ended: {why}",
            host=site.host.name,
            state="Nothing was changed",
            next=f"{record['notes'].get(ENDING) or 'recover'} again: it goes on, and ends it; "
            "then offline begins another one",
        )


def mark_phase(site: Site, name: str, ends: bool) -> None:
    """Writes down that a phase has begun to end the outage, or that another one goes on with it.
    The caller holds the lock; nothing where no record is open. Only words come of it: a full disk
    here must not keep a way back from beginning."""
    outage = Outage(site)
    word = name if ends else ""
    with contextlib.suppress(MatopsError):
        record = outage.read()
        if record["began"] and record["notes"].get(ENDING, "") != word:
            outage.note(ENDING, word)


def demand_same_mode(site: Site, record: Record, asked: str) -> None:
    """Refused where who keeps the hits cannot be changed any more. ``asked``: '' = as it is."""
    found, notes = record["found"], record["notes"]
    mode = str(notes.get(MODE) or "")
    if not mode or asked in ("", mode):
        return
    why = ""
    if "tracking" in found:  # a queue that is on answers 200 then, and drops the hit
        why = "tracking is off, and the gap has begun"
    if INSTALL in found or notes.get(NOTE):
        why = "update has begun"
    if why:
        raise Refused(
            f"--tracking {asked}: this outage keeps its hits by {mode}, and {why}",
            host=site.host.name,
            state="Nothing was changed; hits are kept as before",
            next=f"go on with {mode}: offline without --tracking; or end this outage first "
            "(recover, rollback)",
        )


def demand_offline(site: Site, record: Record, mode: str = "") -> None:
    """Refused where ``offline`` has not come to its end there: hits would be lost in the exchange.
    ``mode``: as of ``missing``."""
    demand_not_ending(site, record)
    left = missing(record, mode)
    if left:
        raise Refused(
            f"offline has not come to its end; still to be done: {', '.join(left)}",
            host=site.host.name,
            state="Nothing was changed",
            next="run offline again: it goes on",
        )


def next_step(record: Record) -> str:
    """What to type next, for ``outage.status``."""
    found, notes = record["found"], record["notes"]
    update = notes.get(NOTE) or {}
    if notes.get(ENDING):
        return f"{notes[ENDING]}, which goes on to its end"
    if ending(record) or (update.get("proved") and not found):
        return "recover, which goes on to its end"
    if update.get("proved"):
        return "recover"
    if update:
        return "update, which goes on with core:update (rollback --dry-run: is there a way back?)"
    if INSTALL in found:
        return "update, which goes on; or rollback, while nothing was migrated"
    left = missing(record)
    if not found:
        return "offline, which goes on; or rollback, which closes the record"
    if left:
        return f"offline, which goes on ({', '.join(left)}); or rollback"
    return "update; or rollback, which puts everything back"
