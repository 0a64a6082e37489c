"""What a step of the runbook is: look, plan, act, verify."""

from __future__ import annotations

import abc
import enum
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Callable, Protocol

from matops.matomo.site import Site


class Scope(enum.Enum):
    """SERVER: done on each web server. INSTALLATION: done once, by whichever comes first."""

    SERVER = "server"
    INSTALLATION = "installation"


@dataclass(frozen=True)
class Action:
    """One change: what will be done, and why. ``payload`` is for the step that made it."""

    what: str
    why: str
    payload: Any = None


@dataclass(frozen=True)
class Evidence:
    """What was read back after acting: one line for the operator, facts for the journal."""

    line: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What a step found before it changes anything.

    ``actions`` empty = nothing to do, ``because`` says why: already done, or not wanted
    (``skip``). ``notes`` are shown with the plan.
    """

    actions: Sequence[Action] = ()
    because: str = ""
    skip: bool = False
    notes: Sequence[str] = ()


Say = Callable[[str], None]
"""Where a step tells what it is doing, a line at a time."""


class Counter(Protocol):
    """Progress of long work: ``report.progress.Progress``."""

    def add(self, amount: int) -> None:
        """That much more is done."""


Track = Callable[[str, int, str], "AbstractContextManager[Counter]"]
"""Opens a progress display: what, how many, of which unit (``B`` for bytes)."""


class Step(abc.ABC):
    """One step. A single task and the whole upgrade run the same one.

    ``look`` reads and plans, never writes; ``act`` does one action (it may start a job, or
    attach to one that runs already); ``verify`` reads the effect back and raises where it is
    not there. All raise MatopsError for what the world can cause.
    """

    name: str
    title: str
    scope: Scope = Scope.SERVER
    changes_data = True
    """False where it only adds to matops' own folder: such a step needs no lock."""
    reads_only = False
    """True where it changes nothing at all: a dry run runs it too."""
    attaches: Sequence[str] = ()
    """Labels of the jobs that it would attach to, were they running already."""
    fence = 0
    """The fencing number of the lock it runs under; the engine sets it."""
    still_ours: Callable[..., None] = staticmethod(lambda job="": None)
    """Raises Refused when the lock was taken over; the engine sets it. Called before each
    change of a long action, and with a job's name before that job is started."""

    def __init__(self, site: Site, say: Say) -> None:
        self.site = site
        self.say = say

    @abc.abstractmethod
    def look(self) -> Look:
        """Reads the state and plans."""

    @abc.abstractmethod
    def act(self, action: Action) -> None:
        """Does one planned action."""

    @abc.abstractmethod
    def verify(self) -> Evidence:
        """Reads the effect back."""
