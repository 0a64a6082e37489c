"""The edges of the gap: when and where in each log the tracker stopped, and began again.

``Outage.noted("edge.off")`` and ``"edge.on"`` of each server hold one such mark::

    {"at": {"before", "after"},       this server's clock just before and just after the rename
     "server": its host name, "clock": this server's clock, "clock_db": the database's, then
     "marker": nonce, "logs": [{path, inode, offset, size, stamp, epoch, how, public}, …],
     "marker_before": {"nonce", "logs"},   the same from just before the switch
     "last_hit": {"newest", "visit", "action", "settled"},
     "found_off": True                 only where tracking was off before this outage already}

A line before ``marker_before``'s offset was certainly answered before the switch, a line after
``logs``' offset certainly *began* to be answered after it; what lies between, and the few that
were in flight (a line is written when its request ends), must be asked of the database.
``at.after`` None: the run was killed between the two; the file's own change time is in its place
where nobody changed it since (``"from": "ctime"``).
"""

from __future__ import annotations

from typing import Any, Optional

from matops.matomo.site import Site
from matops.runbook.arrival import Arrival
from matops.runbook.outage import Outage
from matops.units import show_epoch

OFF, ON = "edge.off", "edge.on"


def begin(site: Site, key: str, before: Arrival) -> dict[str, Any]:
    """Writes down, before the switch, that it is about to happen; returns that mark."""
    mark = {
        "at": {"before": before.marker.get("at", {}).get("after"), "after": None},
        "server": site.machine.get("hostname", ""),
        "marker_before": _logs(before),
    }
    Outage(site).note(key, mark)
    return mark


def complete(
    site: Site, key: str, mark: dict[str, Any], at: Optional[dict[str, float]], after: Arrival
) -> dict[str, Any]:
    """Adds what is known after the switch, writes it down; returns the whole mark."""
    hit = site.ask("matomo.last_hit:settled")
    marked = _logs(after)
    mark = {
        **mark,
        **({"at": at} if at else {}),
        "marker": marked["nonce"],
        "logs": marked["logs"],
        "clock": hit["clock"],
        "clock_db": hit["clock_db"],
        "last_hit": {k: hit[k] for k in ("newest", "visit", "action", "settled")},
    }
    Outage(site).note(key, mark)
    return mark


def from_ctime(site: Site, mark: dict[str, Any]) -> dict[str, Any]:
    """After a kill between switch and mark: the file's change time is when it was renamed."""
    changed = site.agent.call(
        "matops.matomo.config_file:changed_at", {"docroot": site.docroot}, user=site.keeper
    )
    begun = mark["at"]["before"]
    if mark["at"]["after"] is not None or begun is None or changed < begun:
        return mark
    return {**mark, "at": {"before": begun, "after": changed, "from": "ctime"}}


def _logs(found: Arrival) -> dict[str, Any]:
    return {"nonce": found.marker.get("nonce", ""), "logs": found.marker.get("logs", [])}


def shown(mark: dict[str, Any]) -> str:
    """``edge at 2026-… UTC within 2 ms; marker in …; last recorded hit …`` for a line."""
    at = mark["at"]
    parts = []
    if at.get("after") is not None:
        width = (at["after"] - at["before"]) * 1000 if at.get("before") else 0.0
        parts.append(f"edge at {show_epoch(at['after'])}, within {width:.2f} ms")
    where = ", ".join(f"{each['path']} at byte {each['offset']}" for each in mark.get("logs", []))
    parts.append(f"marker in {where}" if where else "no readable log got the marker")
    hit = mark.get("last_hit") or {}
    if hit.get("action"):
        parts.append(
            f"last recorded action {hit['action']['idlink_va']} of visit "
            f"{hit['action']['idvisit']}, {show_epoch(hit['action']['epoch'])}"
        )
    return "; ".join(parts)
