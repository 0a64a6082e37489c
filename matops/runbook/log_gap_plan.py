"""Which window, by whose clock, on which servers: from what was typed and the outage's marks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from matops.accesslog import gapstore
from matops.accesslog.verdict import Edge
from matops.errors import MatopsError, Refused, UsageError
from matops.matomo.site import Site
from matops.runbook.archive_step import parse_moment
from matops.runbook.log_gap import ask
from matops.runbook.log_gap_judge import SKEW
from matops.runbook.log_gap_there import Asked
from matops.runbook.outage import Outage
from matops.runbook.tracking_edge import OFF, ON
from matops.units import show_duration, show_epoch

QUEUE = "queue"


@dataclass(frozen=True)
class Typed:
    """The flags. ``begin``/``end``: times as typed, '' = the marks."""

    begin: str = ""
    end: str = ""
    margin: float = 30.0
    check: str = "edges"
    logs: str = ""
    statuses: Sequence[str] = ()
    accept: Sequence[str] = ()


@dataclass(frozen=True)
class Target:
    """One server's part: where its logs are read, its name, what is asked for."""

    site: Site
    server: str
    asked: Asked


@dataclass
class Plan:
    """``notes``: clocks that differ, and the like."""

    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make(sites: Sequence[Site], typed: Typed) -> Plan:
    """The targets; the first site is the leader. UsageError, Refused."""
    plan = Plan()
    leader = sites[0]
    marks = [_marks(site) for site in sites]
    whole = span_of(marks, typed)
    refuse_future(whole[1])
    skews = _skews(sites)
    names: set[str] = set()
    label = gapstore.label_of(*whole)
    for site, mark, skew in zip(sites, marks, skews):
        server = gapstore.plain(str(site.machine.get("hostname") or site.host.name))
        server = server if server not in names else gapstore.plain(site.host.name)
        names.add(server)
        asked = _asked(label, whole, mark, typed, skew)
        asked = replace(
            asked,
            access_logs=tuple(site.settings.access_logs),
            tracker_paths=tuple(site.settings.tracker_paths),
        )
        if abs(skew) > SKEW:
            word = "ahead of" if skew > 0 else "behind"
            plan.notes.append(
                f"the clock of {server} is {show_duration(abs(skew))} {word} that of "
                f"{leader.host.name}: its window is shifted by that; its hits keep their own "
                "times, as Matomo would have recorded them"
            )
        plan.notes += _log_clock(server, mark)
        plan.targets.append(Target(site, server, asked))
    if typed.logs:
        plan.targets = _shipped(plan.targets[0], typed.logs)
    return plan


def _shipped(first: Target, folder: str) -> list[Target]:
    """Logs that were copied to the leader: a server for each sub-folder that is there."""
    names = ask(first.site, "logfiles:servers_in", folder=folder)
    asked = replace(first.asked, logs=folder)
    servers = [gapstore.plain(name) for name in names] or [first.server]
    return [Target(first.site, server, asked) for server in servers]


def _marks(site: Site) -> dict[str, Any]:
    notes = Outage(site).read()["notes"]
    return {**{key: notes.get(key) for key in (OFF, ON)}, "mode": notes.get("tracking_mode")}


def edge_of(mark: Any, where: str) -> Optional[Edge]:
    """The edge of one server's mark; None where there is none. MatopsError: not understood."""
    if not mark:
        return None
    try:
        at = mark["at"] if isinstance(mark.get("at"), dict) else mark
        times = [float(at[k]) for k in ("before", "after") if at.get(k) is not None]
        return Edge.of({"before": min(times), "after": max(times)})
    except (KeyError, TypeError, ValueError) as error:
        raise MatopsError(
            f"the mark of an edge on {where} is not understood ({error})",
            next="name the window: --from 2026-11-22T01:00:00Z --to 2026-11-22T05:00:00Z",
        ) from None


def span_of(marks: Sequence[dict[str, Any]], typed: Typed) -> tuple[float, float]:
    """[start, end) that holds every server's gap: what was typed, else the marks."""
    start = parse_moment(typed.begin, "--from") if typed.begin else None
    end = parse_moment(typed.end, "--to") if typed.end else None
    if start is None:
        edges = [edge_of(mark[OFF], "this installation") for mark in marks]
        start = min((edge.before for edge in edges if edge), default=None)
    if end is None:
        edges = [edge_of(mark[ON], "this installation") for mark in marks]
        end = max((edge.after for edge in edges if edge), default=None)
    if start is None or end is None:
        raise _no_window(marks, start is None)
    if start >= end:
        raise UsageError("the window is empty: --from must come before --to")
    return start, end


def _no_window(marks: Sequence[dict[str, Any]], no_start: bool) -> MatopsError:
    if any(mark["mode"] == QUEUE for mark in marks):
        return Refused(
            "the queue carried this outage: there is no gap to cut",
            state="Nothing was written",
            next="queue.drain; or name a window: --from … --to … (UTC: 2026-11-22T01:00:00Z)",
        )
    missing = "tracking.off" if no_start else "tracking.on"
    return UsageError(
        f"no window: no mark of {missing} is in the outage's record; name it with --from "
        "2026-11-22T01:00:00Z --to 2026-11-22T05:00:00Z"
    )


def refuse_future(end: float) -> None:
    """UsageError: nobody knows yet what that log will say."""
    now = time.time()
    if end > now + SKEW:
        raise UsageError(
            f"the window ends at {show_epoch(end)}, in the future (it is {show_epoch(now)})"
        )


def _asked(
    label: str, whole: tuple[float, float], mark: dict[str, Any], typed: Typed, skew: float
) -> Asked:
    """A mark is by the server's own clock; what was typed is shifted to it."""
    shift = skew if abs(skew) > SKEW else 0.0
    off = None if typed.begin else edge_of(mark[OFF], "this server")
    on = None if typed.end else edge_of(mark[ON], "this server")
    return Asked(
        label=label,
        start=off.before if off else whole[0] + shift,
        end=on.after if on else whole[1] + shift,
        off=(off.before, off.after) if off else None,
        on=(on.before, on.after) if on else None,
        margin=typed.margin,
        check=typed.check,
        statuses=tuple(typed.statuses),
        accept=tuple(typed.accept),
    )


def _skews(sites: Sequence[Site]) -> list[float]:
    """Seconds by which each server's clock is ahead of the leader's."""
    if len(sites) < 2:
        return [0.0] * len(sites)
    ahead = []
    for site in sites:
        sent = time.time()
        there = float(site.host.run("date +%s.%N", what="read the clock").text.strip())
        ahead.append(there - (sent + time.time()) / 2)
    return [each - ahead[0] for each in ahead]


def _log_clock(server: str, mark: dict[str, Any]) -> list[str]:
    """Says where a log's own stamps differ from the clock by which the edge was marked."""
    found = []
    for key in (OFF, ON):
        edge = edge_of(mark[key], server)
        for log in (mark[key] or {}).get("logs", []) if edge else []:
            stamp = log.get("epoch")
            if edge and stamp is not None and not -2 * SKEW < float(stamp) - edge.after < 60:
                found.append(
                    f"{server}: the marker of {key} is stamped {show_epoch(float(stamp))} in "
                    f"{log.get('path')}, the edge was at {show_epoch(edge.after)}: does that log "
                    "have another clock?"
                )
    return found
