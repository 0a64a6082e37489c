"""A phase of the outage: steps in order, one question before them, one plan that tells all.

``offline``, ``update`` and ``rollback`` are lists of the same steps that may be typed one at a
time. Each step looks before it acts, so a phase that was cut off anywhere is run again as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.matomo.site import Site
from matops.runbook import plan
from matops.runbook.engine import FAILED, NOT_REACHED, PLANNED, Outcome, Run, label, run_step
from matops.runbook.step import Step
from matops.units import show_duration, show_epoch

NO_ORDER: Mapping[str, tuple[str, str]] = {}
LATER = "looked at then"
"""A step whose look makes sense only once the steps before it have acted."""


class Interrupted(MatopsError):
    """Ctrl-C, or TERM, in the middle of a phase."""

    code = 130


@dataclass(frozen=True)
class Phase:
    """``word``: to be typed for a yes; ``what``: told before that.

    ``after``: ``{step: (earlier step, what it will do)}``: its look says something only once the
    earlier one has acted; until then the plan has these words. ``eased``: ``{step: earlier
    steps}``, where only these may turn its no into a yes; None: any step may (a way back goes as
    far as it can).
    """

    name: str
    word: str
    what: str
    after: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    eased: Optional[Mapping[str, Sequence[str]]] = None
    ends: bool = False
    """True for a way out of the outage: noted while it is not done."""


def preview(
    steps: Sequence[Step],
    run: Run,
    after: Mapping[str, tuple[str, str]] = NO_ORDER,
    eased: Optional[Mapping[str, Sequence[str]]] = None,
) -> list[Outcome]:
    """Every step's plan, from its own ``look``; nothing is changed.

    A look may refuse what earlier steps are about to change (tracking.off while the queue is
    on): after such a step (``eased``, as of ``Phase``) that no is told as LATER. Else it is an
    error: what would stop a phase is found before its first switch. The rest is looked at all
    the same: an operator wants to see all that is wrong at once.
    """
    dry = replace(run, dry_run=True, hold=None)
    outcomes: list[Outcome] = []
    for position, step in enumerate(steps):
        first, words = after.get(step.name, ("", ""))
        would_act = {each.step for each in outcomes if each.status in (PLANNED, LATER)}
        if first in would_act:
            run.say(f"{label(step, run)}: then {words}")
            outcomes.append(Outcome(step.name, LATER, words, host=step.site.host.name))
            continue
        outcome = run_step(step, dry)
        before = would_act if eased is None else would_act & set(eased.get(step.name, ()))
        if before and outcome.error and not isinstance(outcome.error, OutcomeUnknown):
            outcome = replace(outcome, status=LATER, detail=_later(outcome.error), error=None)
            run.say(f"{label(step, run)}: {LATER}, {outcome.detail}")
        outcomes.append(outcome)
        if outcome.error and step.reads_only:  # a gate: what lies behind it is not to be thought of
            rest = steps[position + 1 :]
            why = f"{step.name} came first"
            return outcomes + [
                Outcome(each.name, NOT_REACHED, why, host=each.site.host.name) for each in rest
            ]
    return outcomes


def _later(error: MatopsError) -> str:
    return f"once the steps before it are done; as things are: {error.what}"


def first_error(outcomes: Sequence[Outcome]) -> Optional[MatopsError]:
    """The error of the first step that did not look well."""
    return next((each.error for each in outcomes if each.error), None)


def told(error: MatopsError, phase: Phase, step: str = "") -> MatopsError:
    """The error of a step as that of a phase: what state the phase is in, and what is typed to go
    on with it. ``step``: where the run stopped; '' = it was found while planning."""
    error.next = error.next.replace("this again", f"{phase.name} again")
    if not step:
        error.state = error.state or "Nothing was changed"
        return error
    error.state = error.state or f"{phase.name} stopped at {step}; what came before it is done"
    if phase.name not in error.next:
        lead = f"{error.next}; then " if error.next else ""
        error.next = f"{lead}{phase.name} again: it goes on"
    return error


def nothing_to_do(outcomes: Sequence[Outcome]) -> bool:
    """True where every step is done already, or not wanted."""
    return not any(each.status in (PLANNED, LATER, FAILED) or each.error for each in outcomes)


def question(phase: Phase, outcomes: Sequence[Outcome], hosts: Sequence[str], time: str) -> str:
    """What is about to happen, for the one confirmation of the phase."""
    count = sum(each.status in (PLANNED, LATER) for each in outcomes)
    return f"{phase.what} On {', '.join(hosts)}: {count} steps, as told above. {time}".strip()


def expected(site: Site) -> str:
    """How long the outage takes, by the last ``plan``; '' where there is none, or it is damaged."""
    with contextlib.suppress(MatopsError, KeyError, TypeError, ValueError):
        found = plan.last(site)
        if found:
            return expected_line(found)
    return "How long it takes is not known: there is no `plan`."


def expected_line(found: dict[str, Any]) -> str:
    """From the plan's JSON document. Pure."""
    likely, high = (found["totals"]["down"][key] for key in ("likely", "high"))
    return (
        f"The plan of {show_epoch(found['made_at'])} expects {show_duration(likely)} "
        f"(up to {show_duration(high)}) of outage; {show_duration(found['window_seconds'])} "
        "are announced."
    )


def not_confirmed(phase: Phase, host: str) -> Refused:
    """The error where nobody said yes."""
    return Refused(
        f"{phase.name} was not confirmed",
        host=host,
        state="Nothing was changed",
        next=f"add --yes, or type {phase.word} when asked; --dry-run shows the plan",
    )


@contextlib.contextmanager
def state_told(phase: Phase, site: Site) -> Iterator[None]:
    """Ctrl-C in the middle of a phase: what state things are in, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"{phase.name} was interrupted",
            host=site.host.name,
            state="What was switched stays switched, and is written down in the outage's record",
            next=f"run {phase.name} again: it goes on; outage.status shows the state",
        ) from None
