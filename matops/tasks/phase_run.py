"""Runs a phase of the outage: the plan of all its steps, one question, then the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from matops.matomo.site import Site
from matops.runbook.engine import Run, run_steps
from matops.runbook.journal import Journal
from matops.runbook.outage_state import mark_phase
from matops.runbook.phase import (
    Phase,
    expected,
    first_error,
    not_confirmed,
    nothing_to_do,
    preview,
    question,
    state_told,
    told,
)
from matops.runbook.step import Step
from matops.tasks.desk import Desk, confirmer

Make = Callable[[], Sequence[Step]]
"""Makes the phase's steps; called twice: for the plan, and for the work."""


def run_phase(
    desk: Desk,
    site: Site,
    phase: Phase,
    make: Make,
    *,
    yes: bool,
    dry_run: bool,
    take_over: bool,
    extra: Optional[dict[str, Any]] = None,
) -> bool:
    """The closing table; True where the phase is done, by this run or before it. Raises the error
    of the first step that did not end well; Refused where nobody confirmed; Interrupted."""
    planned = make()
    outcomes = preview(planned, Run(site, desk.say, Journal(site, "", ""), None, True),
                       phase.after, phase.eased)  # fmt: skip
    if error := first_error(outcomes):
        told(error, phase)
    if dry_run or error or nothing_to_do(outcomes):
        desk.finish(outcomes, extra)
        return not dry_run
    hosts = list(dict.fromkeys(step.site.host.name for step in planned))
    if not confirmer(yes)(question(phase, outcomes, hosts, expected(site)), phase.word):
        raise not_confirmed(phase, site.host.name)
    steps = make()
    with state_told(phase, site), desk.run(
        site, phase.name, steps, dry_run=False, take_over=take_over
    ) as run:  # fmt: skip
        mark_phase(site, phase.name, phase.ends)
        done = run_steps(steps, run)
    for each in done:
        if each.error:
            told(each.error, phase, each.step)
    desk.finish(done, extra)
    return True
