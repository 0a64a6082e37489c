"""``plan``: from the last rehearsal and what the host tells, to the window that is announced."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.host import files
from matops.matomo.rehearsal import Rehearsal, load
from matops.matomo.rehearsal_base import why_outdated
from matops.matomo.release import stages
from matops.matomo.site import Site
from matops.mysql.ahead.choose import Live, choose
from matops.runbook import plan_rules, plan_traffic, plan_window
from matops.runbook.checks import logs
from matops.runbook.checks import queue as queue_checks
from matops.runbook.checks.result import FAIL, OK, Facts
from matops.runbook.migrate_ahead_offer import offers
from matops.runbook.plan_lines import AFTER, DOWN, UP, Plan, total, unknown
from matops.runbook.plan_rules import Wanted
from matops.runbook.plan_window import HOLDS, NOT, UNKNOWN, Judgement
from matops.units import show_duration, utc_now

FILE = "plan.json"
"""In the installation's state folder: the last plan, for the notices."""


@dataclass(frozen=True)
class Asked:
    """What the operator wants to know. ``start``: of the outage, seconds since 1970; ``zone``: as
    it was typed. ``free``: bytes free on the database's machine, as told."""

    padding: float = 2.0
    start: Optional[float] = None
    zone: str = ""
    login: str = ""
    budget: float = 60.0
    free: Optional[int] = None


@dataclass(frozen=True)
class Outcome:
    """A plan and what follows from it. ``window``: seconds to announce, without and with
    migrate.ahead."""

    rehearsal: Rehearsal
    stale: str
    plan: Plan
    asked: Asked
    window: int
    window_ahead: int
    judgements: tuple[Judgement, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def has_ahead(self) -> bool:
        """Is there anything that migrate.ahead would take?"""
        return any(line.ahead for line in self.plan.lines)

    def data(self) -> dict[str, Any]:
        """The JSON document. Times in seconds, sizes in bytes."""
        phases = {phase: [line.data() for line in self.plan.of(phase)]
                  for phase in (UP, DOWN, AFTER)}  # fmt: skip
        sums = {phase: dataclasses.asdict(total(self.plan.of(phase)))
                for phase in (UP, DOWN, AFTER)}  # fmt: skip
        ahead = dataclasses.asdict(total(self.plan.of(DOWN, ahead=True)))
        data, tmp = self.plan.peak()
        return {
            "from": self.rehearsal.from_version, "to": self.rehearsal.to_version,
            "server": self.facts.get("server", ""), "rehearsed_at": self.rehearsal.at,
            "stale": self.stale, "phases": phases, "totals": sums, "outage_with_ahead": ahead,
            "quick": [line.data() for line in self.plan.quick],
            "window_seconds": self.window, "window_with_ahead_seconds": self.window_ahead,
            "padding": self.asked.padding, "start": self.asked.start, "zone": self.asked.zone,
            "disk_peak_bytes": data, "tmp_peak_bytes": tmp,
            "unknown": unknown(self.plan.lines),
            "unknown_in_outage": unknown(self.plan.of(DOWN)), "notes": list(self.plan.notes),
            "fails": [line.what for line in self.plan.failing],
            "holds": [dataclasses.asdict(each) for each in self.judgements],
        }  # fmt: skip

    def refusal(self, host: str) -> Optional[Refused]:
        """The error to end with, None where the window holds."""
        failing = self.plan.failing
        if failing:
            return Refused(f"core:update would fail at {failing[0].what}: {failing[0].basis}",
                           host=host, state="Nothing was changed",
                           next="repair that, then rehearse and plan again")  # fmt: skip
        broken = [each for each in self.judgements if each.status == NOT]
        if broken:
            return Refused(f"{broken[0].name} does not hold the window: {broken[0].what}",
                           host=host, state="Nothing was changed",
                           next=broken[0].todo)  # fmt: skip
        return None


def rehearsed(site: Site) -> tuple[Rehearsal, str]:
    """The last rehearsal, and why it does not hold any more ('' where it does). Refused: none."""
    found = load(site)
    if found is None:
        raise Refused(
            "nothing was rehearsed yet: a plan stands on the statements that a rehearsal found",
            host=site.host.name,
            state="Nothing was changed",
            next="release.stage, rehearse, then plan",
        )
    stage = next((each for each in stages.staged(site) if each.path == found.stage), None)
    return found, why_outdated(site, found, stage)


def collect(site: Site, rehearsal: Rehearsal, asked: Asked) -> dict[str, Any]:
    """The facts of the host: one call of about ``budget`` seconds and half again."""
    found: dict[str, Any] = site.agent.call(
        "matops.runbook.plan_facts:collect",
        {
            "docroot": site.docroot,
            "statements": [each.statement for each in rehearsal.migrations],
            "verdicts": [each.verdicts for each in rehearsal.migrations],
            "optimize_dir": f"{site.state_dir}/optimize",
            "login": asked.login,
            "budget": asked.budget,
            "free": asked.free,
        },
        user=site.keeper,
        timeout=asked.budget * 6 + 600,
    )
    return found


def make(
    rehearsal: Rehearsal, stale: str, facts: dict[str, Any], checked: Facts, asked: Asked
) -> Outcome:
    """The plan from all that was found. Pure."""
    queue = queue_checks.in_use(checked) and facts["queue"]["after"] is not None
    wanted = Wanted(asked.start, ahead_of(rehearsal, facts), queue)
    plan = plan_rules.make(rehearsal, facts, wanted)
    window = plan_window.announce(plan, asked.padding)
    plan = dataclasses.replace(plan, lines=(*plan.lines, *plan_rules.after(facts, wanted, window)))
    judgements = [plan_window.disk(plan, facts["room"]), _logs(checked, plan, window, queue)]
    if queue:
        judgements.append(_queue(checked, facts, asked, window))
    return Outcome(
        rehearsal, stale, plan, asked, window,
        plan_window.announce(plan, asked.padding, ahead=True), tuple(judgements), facts,
    )  # fmt: skip


def ahead_of(rehearsal: Rehearsal, facts: dict[str, Any]) -> frozenset[int]:
    """The migrations that migrate.ahead would take: by its own rules, with the live sizes."""
    sizes: dict[str, Optional[int]] = {}
    for found in facts["migrations"]["of"]:
        for one in found:
            if one["table"] and one["bytes"]:
                sizes[one["table"]] = int(one["bytes"])
    chosen = choose(offers(rehearsal), Live(facts["prefix"], sizes))
    return frozenset(each.offered.number for each in chosen if each.chosen)


def _logs(checked: Facts, plan: Plan, window: int, queue: bool) -> Judgement:
    """Are the outage's lines still there when its replay has come to its end?"""
    needed = int(window + total(plan.of(AFTER)).high)
    result = logs.retention(dataclasses.replace(checked, window=needed))
    use = "should the queue be lost, the log is needed" if queue else "the gap is replayed from it"
    what = f"{result.found}; needed for {show_duration(needed)}: {use}"
    status = {FAIL: NOT, OK: HOLDS}.get(result.status, UNKNOWN)
    return Judgement("log retention", status, what, result.todo)


def _queue(checked: Facts, facts: dict[str, Any], asked: Asked, window: int) -> Judgement:
    found = [each for each in queue_checks.redis(checked) if each.name == "redis-room"]
    room = found[0].figures.get("room") if found else None
    hours = facts["traffic"] if isinstance(facts["traffic"], list) else []
    _, most = plan_traffic.during(hours, facts["now"], asked.start, window)
    return plan_window.queue(None if room is None else int(room), most, queue_checks.REQUEST)


def save(site: Site, outcome: Outcome) -> None:
    """Keeps it on the host, 0600, for the notices. Raises what ``files.write`` raises."""
    files.make_folder(site.host, site.state_dir, user=site.keeper)
    data = {**outcome.data(), "made_at": utc_now().timestamp()}
    files.write(site.host, f"{site.state_dir}/{FILE}", json.dumps(data).encode(),
                user=site.keeper, mode="0600")  # fmt: skip


def last(site: Site) -> Optional[dict[str, Any]]:
    """The plan that was made last; None where there is none. MatopsError: it is damaged."""
    try:
        text = files.read(site.host, f"{site.state_dir}/{FILE}", user=site.keeper, limit=8 << 20)
        found = json.loads(text)
    except files.NotThere:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise MatopsError(f"{site.state_dir}/{FILE} cannot be read", host=site.host.name,
                          next="plan again")  # fmt: skip
    return found


__all__ = ["Asked", "Outcome", "collect", "last", "make", "rehearsed", "save"]
