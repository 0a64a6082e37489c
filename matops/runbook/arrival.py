"""Do hits still arrive? Looked at before and after each switch of an outage.

A switch that makes tracking requests vanish unseen is worse than no outage at all: the logs are
what a replay is made of, and the queue is fed by the tracker. So each switch looks before, looks
again right after, and is taken back at once where anything that arrived before no longer does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matops.matomo import witness
from matops.matomo.site import Site


@dataclass(frozen=True)
class Arrival:
    """What the tracker answered (``witness.tracker``), and where markers arrived."""

    tracker: witness.Answers
    marker: dict[str, Any] = field(default_factory=dict)

    @property
    def recording(self) -> bool:
        """True where the tracker answered somewhere, and nowhere that it is off or broken."""
        kinds = [each["kind"] for each in self.tracker if each["status"]]
        return bool(ALIVE & set(kinds)) and not {witness.OFF, "error"} & set(kinds)

    @property
    def logs(self) -> list[str]:
        """The logs of this server that got a marker."""
        return [each["path"] for each in self.marker.get("logs", [])]

    @property
    def line(self) -> str:
        """Where the markers arrived, for the operator."""
        where = ", ".join(self.logs)
        return f"a marker arrives in {where}" if where else "no readable log shows a marker"


ALIVE = {witness.RECORDING, witness.QUEUE}
PATIENT = 12.0
"""Seconds for a second look: nginx with ``flush=5s``, a host that is very busy."""


def look(site: Site, patience: float = 2.0) -> Arrival:
    """Asks the tracker and sends markers; under two seconds where all is well."""
    found = witness.arrival(site, patience)
    return Arrival(found["tracker"], found["marker"])


def look_after(
    site: Site, before: Arrival, same_kind: bool = True, *, alone: bool = True
) -> tuple[Arrival, str]:
    """What arrives now, and what no longer does (``lost``): looked at twice before it is said."""
    after = look(site)
    if lost(before, after, same_kind, alone=alone):
        after = look(site, PATIENT)
    return after, lost(before, after, same_kind, alone=alone)


def lost(before: Arrival, after: Arrival, same_kind: bool = True, *, alone: bool = True) -> str:
    """What arrived before and no longer does, in words; '' where nothing is lost. Pure.

    ``same_kind``: the tracker must answer as before, too (not where the switch was to change it).
    ``alone``: no other server is behind the public name.
    """
    if silent := _silent(before.marker.get("sent", ()), after.marker.get("sent", ())):
        return f"a marker request is no longer answered: {silent}"
    # What a balancer sent to this server before, it may send to another now.
    logs = [each for each in before.marker.get("logs", []) if each["local"] or alone]
    # A rotation between the two looks: renamed, but the server still writes to it.
    renamed = {each["inode"] for each in after.marker.get("logs", []) if each.get("inode")}
    gone = [each["path"] for each in logs
            if each["path"] not in after.logs and each.get("inode") not in renamed]  # fmt: skip
    if gone:
        return f"requests to the tracker no longer arrive in {', '.join(gone)}"
    if not same_kind:
        return ""
    now = {(each["url"], each["where"]): each for each in after.tracker}
    for each in before.tracker:
        then = now.get((each["url"], each["where"]))
        if each["kind"] in ALIVE and (not then or then["kind"] not in ALIVE):
            seen = witness.shown([then] if then else [each])
            return f"the tracker no longer answers as before: {seen}"
    return ""


def _silent(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> str:
    """The first place that answered before and does not now, or with a server's error."""
    for then, now in zip(before, after):  # the same targets in the same order
        if 0 < then["status"] < 500 and not 0 < now["status"] < 500:
            return f"{now['url'].partition('?')[0]}: {now['status'] or now['error']}"
    return ""
