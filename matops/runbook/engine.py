"""Runs steps in order: look, plan, act, verify; writes the journal; stops at the first trouble."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown
from matops.matomo.site import Site
from matops.runbook.hold import Hold
from matops.runbook.journal import Journal
from matops.runbook.step import Evidence, Look, Say, Scope, Step

DONE, ALREADY, SKIPPED, PLANNED = "done", "already done", "skipped", "would do"
FAILED, UNKNOWN, NOT_REACHED = "failed", "outcome unknown", "not reached"


@dataclass(frozen=True)
class Outcome:
    """How one step ended. ``error`` where it did not end well; ``host``: where it stood."""

    step: str
    status: str
    detail: str
    seconds: float = 0.0
    error: Optional[MatopsError] = None
    host: str = ""

    def data(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "step": self.step,
            "host": self.host,
            "status": self.status,
            "detail": self.detail,
            "seconds": round(self.seconds, 2),
            "exit_code": self.error.code if self.error else 0,
        }


@dataclass
class Run:
    """What the steps of one run share. ``hold`` is None for a dry run."""

    site: Site
    say: Say
    journal: Journal
    hold: Optional[Hold] = None
    dry_run: bool = False


def run_steps(steps: Sequence[Step], run: Run) -> list[Outcome]:
    """One outcome a step, in order; after trouble the rest is ``not reached``."""
    outcomes: list[Outcome] = []
    for position, step in enumerate(steps):
        outcome = run_step(step, run)
        outcomes.append(outcome)
        if outcome.error:
            rest = steps[position + 1 :]
            why = f"{step.name} came first"
            outcomes += [Outcome(s.name, NOT_REACHED, why, host=s.site.host.name) for s in rest]
            break
    return outcomes


def run_step(step: Step, run: Run) -> Outcome:
    """Look, plan, act, verify. Errors of matops end up in the outcome, not as exceptions."""
    began = time.monotonic()
    try:
        outcome = _run(step, run)
    except MatopsError as error:
        error.on(step.site.host.name)
        status = UNKNOWN if isinstance(error, OutcomeUnknown) else FAILED
        if run.hold and status == UNKNOWN:
            run.hold.keep = True  # what it started may still be at work
        outcome = Outcome(step.name, status, error.line(), error=error)
    return replace(outcome, seconds=time.monotonic() - began, host=step.site.host.name)


def label(step: Step, run: Run) -> str:
    """``maintenance.on``; on another host than the run's own ``maintenance.on@web2``."""
    host = step.site.host.name
    return step.name if host == run.site.host.name else f"{step.name}@{host}"


def _run(step: Step, run: Run) -> Outcome:
    name = label(step, run)
    if step.reads_only:
        evidence = step.verify()
        run.say(f"{name}: {evidence.line}")
        return Outcome(step.name, DONE, evidence.line)
    if run.hold:
        step.fence, step.still_ours = run.hold.fence, run.hold.check
    look = step.look()
    for note in look.notes:
        run.say(f"  {note}")
    if not look.actions:
        status = SKIPPED if look.skip else ALREADY
        run.say(f"{name}: {status}: {look.because}")
        return Outcome(step.name, status, look.because)
    for action in look.actions:
        run.say(f"{name}: {'would ' if run.dry_run else ''}{action.what} ({action.why})")
    if run.dry_run:
        return Outcome(step.name, PLANNED, "; ".join(a.what for a in look.actions))
    evidence = _act(step, look, run)
    run.say(f"{name}: {evidence.line}")
    return Outcome(step.name, DONE, evidence.line)


def _act(step: Step, look: Look, run: Run) -> Evidence:
    fence = step.fence
    run.journal.write(label(step, run), "started", fence, actions=[a.what for a in look.actions])
    try:
        for action in look.actions:
            if run.hold:
                run.hold.check()
            step.act(action)
        evidence = step.verify()
    except MatopsError as error:
        _write_failure(run, step, fence, error)
        raise
    run.journal.write(label(step, run), "done", fence, evidence=evidence.line, **evidence.facts)
    if step.scope is Scope.INSTALLATION:
        run.site.ask(
            "matomo.lock:record",
            step=step.name,
            entry={"host": step.site.host.name, "evidence": evidence.line, **evidence.facts},
        )
    return evidence


def _write_failure(run: Run, step: Step, fence: int, error: MatopsError) -> None:
    event = "unknown" if isinstance(error, OutcomeUnknown) else "failed"
    try:
        run.journal.write(label(step, run), event, fence, error=error.line())
    except MatopsError:
        run.say("  (the journal could not be written either)")
