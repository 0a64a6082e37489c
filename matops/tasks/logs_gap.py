"""``logs.gap`` and ``logs.clean``: the hits of the gap, out of the access logs."""

from __future__ import annotations

import functools
import time
from typing import Any

from matops.accesslog import gapstore
from matops.errors import Refused, UsageError
from matops.matomo.site import Site
from matops.report.progress import Progress
from matops.runbook import log_gap_judge as judge
from matops.runbook import log_gap_plan as plans
from matops.runbook.engine import run_steps
from matops.runbook.log_gap import CutGap, MergeGap, Ways, ask, kept_of, root_of
from matops.runbook.log_gap_plan import Typed
from matops.runbook.log_gap_there import ALL, EDGES, of
from matops.tasks.desk import (
    DRY_HELP,
    JSON_HELP,
    LOCAL_HELP,
    YES_HELP,
    Desk,
    confirmer,
    one_of,
    operation,
)
from matops.units import parse_duration, show_epoch, show_size

FLAGS = {
    "from": "begin of the gap: 2026-11-22T01:00:00Z or …+01:00; else the mark of tracking.off",
    "to": "its end (that second itself is not in it); else the mark of tracking.on",
    "edge": "how near a mark hits are decided one by one: longer than the slowest request takes",
    "check": "edges: the database is asked about hits near an edge, and about some between; "
    "all: about every hit",
    "logs": "folder on the host with logs that were copied there, a sub-folder for each server",
    "statuses": "also replay requests that the web server refused with these: 403,429",
    "accept-holes": "although lines are missing: that part of the gap is lost",
    "accept-addresses": "although the log does not tell visitors apart",
    "again": "cut although it was cut already",
    "part": "for the job on a host: LABEL/SERVER of a request that lies there",
    "dry-run": DRY_HELP,
    "json": JSON_HELP,
    "local": LOCAL_HELP,
}


@operation(help=FLAGS)
def gap(
    c: Any,
    from_: str = "",
    to: str = "",
    edge: str = "30s",
    check: str = EDGES,
    logs: str = "",
    statuses: str = "",
    accept_holes: bool = False,
    accept_addresses: bool = False,
    again: bool = False,
    part: str = "",
    dry_run: bool = False,
    json: bool = False,
    local: bool = False,
) -> None:
    """Cut the hits that were not recorded out of the access logs of all web servers.

    One gap file for each server, and one of all with a manifest, for logs.replay. Without --from
    and --to: between the marks of tracking.off and tracking.on. Reads logs of any rotation and
    compression; hits near an edge are looked up in the database. Nothing of Matomo is changed.
    Example: fab -H web1 logs.gap
    """
    desk = Desk(c, json=json)
    typed = parse({k: v for k, v in locals().items() if k not in ("c", "desk")})
    site = desk.site(changes=not dry_run, local=local)
    if part:
        _part(desk, site, part)
        return
    sites = [site] if logs else desk.sites(site)
    plan = plans.make(sites, typed)
    for note in plan.notes:
        desk.say(f"  {note}")
    ways = _ways(desk, site, again)
    cuts = [CutGap(t.site, desk.say, t.server, t.asked, ways) for t in plan.targets]
    merge = MergeGap(site, desk.say, cuts, ways, plan.notes)
    steps = [*cuts, merge]
    with desk.run(site, "logs.gap", steps, dry_run=dry_run, take_over=False) as run:
        outcomes = run_steps(steps, run)
    if merge.manifest and not json:
        _tell(desk, merge.manifest)
    desk.finish(outcomes, {"manifest": _shown(merge.manifest)} if merge.manifest else None)


def parse(flags: dict[str, Any]) -> Typed:
    """What was typed. UsageError."""
    statuses = [part.strip() for part in flags["statuses"].split(",") if part.strip()]
    for status in statuses:
        if not status.isdigit() or not 300 <= int(status) < 600:
            raise UsageError(f"--statuses: '{status}' is not a status from 300 to 599")
    accept = [name for name in (judge.HOLES, judge.ADDRESSES) if flags[f"accept_{name}"]]
    return Typed(
        flags["from_"], flags["to"], float(parse_duration(flags["edge"], "--edge")),
        one_of(flags["check"], (EDGES, ALL), "check"), flags["logs"], statuses, accept,
    )  # fmt: skip


def _ways(desk: Desk, site: Site, again: bool) -> Ways:
    track = functools.partial(Progress, say=desk.say)
    return Ways(track, desk.write, time.time() + site.settings.gap_keep, again)


def _part(desk: Desk, site: Site, part: str) -> None:
    """One server's part, where its logs are: what the job on the host runs."""
    label, _, server = part.partition("/")
    found = ask(site, "gapstore:requested", root=root_of(site), label=label, server=server)
    ways = Ways(_ways(desk, site, True).track, desk.write, float(found["expires"]), True)
    step = CutGap(site, desk.say, server, of(found["asked"]), ways)
    with desk.run(site, "logs.gap", [step], dry_run=False, take_over=False) as run:
        outcomes = run_steps([step], run)
    desk.finish(outcomes)


def _tell(desk: Desk, manifest: dict[str, Any]) -> None:
    """The account: every request for the tracker in the window is in one line of it."""
    total = sum(manifest["reasons"].values())
    desk.say(f"\n{total} requests for the tracker in the window:")
    for count, what in judge.account(manifest["reasons"]):
        desk.say(f"  {count:>10}  {what}")
    for name, part in manifest["servers"].items():
        for note in judge.notes(part, of(part["asked"]).window):
            desk.say(f"  {name}: {note}")
    desk.say(f"Next: logs.replay --file {manifest['merged']['path']}\n")


def _shown(manifest: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in manifest.items() if k != "asked"}


@operation(
    help={
        "now": "also those that have not expired yet",
        "yes": YES_HELP,
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
    }
)
def clean(
    c: Any, now: bool = False, yes: bool = False, dry_run: bool = False, json: bool = False
) -> None:
    """Remove gap files and kept logs that have expired: they hold visitors' addresses.

    On every listed server. With --now those that are still wanted, too, after asking.
    Example: fab -H web1 logs.clean --dry-run
    """
    desk = Desk(c, json=json)
    first = desk.site(changes=not dry_run)
    rows = []
    for site in desk.sites(first):
        rows += [(site.host.name, *row) for row in _clean(desk, site, now, yes, dry_run)]
    if json or rows:
        data = [dict(zip(("host", "path", "bytes", "expires", "what"), row)) for row in rows]
        shown = [(h, p, show_size(b), show_epoch(e) if e else "never merged", w)
                 for h, p, b, e, w in rows]  # fmt: skip
        desk.show(data, ("host", "folder", "size", "expires", "what"), shown, wrap=0)
    else:
        desk.say("nothing to remove")


def _clean(
    desk: Desk, site: Site, now: bool, yes: bool, dry_run: bool
) -> list[tuple[str, int, float, str]]:
    kept = [(kind, each) for kind, root in _roots(site)
            for each in ask(site, f"{kind}:listing", root=root)]  # fmt: skip
    goes = [(kind, each) for kind, each in kept if now or each["expires"] < time.time()]
    fresh = [each for _, each in goes if each["expires"] >= time.time()]
    if fresh and not dry_run:
        question = f"{site.host.name}: remove {len(fresh)} gaps or kept logs before they expire?"
        if not confirmer(yes)(question, "remove"):
            raise Refused(
                "removing gap files was not confirmed",
                host=site.host.name,
                state="Nothing was removed there",
                next="add --yes, or type the word when asked",
            )
    if not dry_run:
        for kind, root in _roots(site):
            labels = [each["label"] for k, each in goes if k == kind]
            if labels:
                ask(site, f"{kind}:remove", root=root, labels=labels)
    what = "would remove" if dry_run else "removed"
    return [
        (each["path"], each["bytes"], each["expires"],
         what if (kind, each) in goes else "kept")
        for kind, each in kept
    ]  # fmt: skip


def _roots(site: Site) -> list[tuple[str, str]]:
    return [("gapstore", root_of(site)), ("keeping", kept_of(site))]


__all__ = ["clean", "gap", "gapstore"]
