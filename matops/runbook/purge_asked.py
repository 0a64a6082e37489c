"""What ``logs.purge`` was asked, how it speaks, and what it says at the end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Callable

from matops.errors import MatopsError
from matops.mysql.attempt import Stop
from matops.mysql.purge.summary import Options, Summary
from matops.mysql.session import Address
from matops.runbook.step import Say, Track

Confirm = Callable[[str, str], bool]
BEGINNING = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Asked:
    """What the operator typed. ``end`` is not included; ``sites`` () = all there are.

    ``options``: makes the run's options, given Matomo's address and the sites there are.
    ``words``: the same as a command. ``rows``: count the rows of each table, too (a dry run).
    ``visits``: False where only actions are asked for (``actions``; ``grace``: seconds).
    """

    start: dt.date
    end: dt.date
    sites: tuple[int, ...]
    options: Callable[[Address, list[int]], Options]
    words: Sequence[str] = ()
    force: bool = False
    rows: bool = False
    bounded: bool = False
    """--until or --for: what is left then is no failure."""
    workers: int = 1
    """Connections that delete at the same time."""
    visits: bool = True
    actions: bool = False
    grace: float = 600.0


@dataclass
class Voices:
    """How the step asks and shows. ``stop`` is asked by signals."""

    confirm: Confirm
    track: Track
    write: Say
    stop: Stop = field(default_factory=Stop)


def told(summary: Summary) -> list[str]:
    """What was done, what it left as it is, and what to do about it. Pure."""
    pace = summary.total / summary.seconds if summary.seconds else 0
    lines = [
        f"{summary.visits} visits and {summary.total - summary.visits} rows that belong to them "
        f"are gone in {summary.seconds:.1f} s ({pace:.0f} rows/s, {summary.chunks} chunks, "
        f"the longest {summary.longest:.2f} s, {summary.retries} retries)"
    ]
    if summary.late:
        lines.append(f"{summary.late}: the rest is for the next run")
    names = sorted(name for name, n in summary.rows.items() if n)
    if names:
        lines.append(
            "the tables' files did not shrink; to give the space back: "
            f"db.optimize --tables {','.join(names)}"
        )
    return lines


def stopped(summary: Summary, stop: Stop) -> MatopsError:
    """The error of a run that was told to stop."""
    error = MatopsError(
        f"stopped: {stop.reason}",
        state=f"{summary.visits} visits with all that belongs to them are gone, "
        f"{sum(summary.left.values())} are left, none is half deleted",
        next="run the same again: it goes on with what is left",
    )
    error.code = stop.code
    return error
