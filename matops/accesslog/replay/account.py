"""The account: what the gap file holds, and what of it the database holds now, hit by hit."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from matops.accesslog import gapfile
from matops.accesslog.replay.request import Item, Rules, lane, request_of, why_not
from matops.accesslog.replay.task import Answer, Recorder, Run, asked

_SLICE = 2000  # hits asked about at once; a slice ends between two seconds


@dataclass
class Survey:
    """What a gap file holds. ``skipped``: not to be sent, by reason. Times: epoch, s."""

    hits: int = 0
    wanted: int = 0
    first: float = 0.0
    last: float = 0.0
    no_address: int = 0
    skipped: collections.Counter[str] = field(default_factory=collections.Counter)
    sites: collections.Counter[str] = field(default_factory=collections.Counter)


@dataclass
class Account:
    """What the database says. ``once``: exactly one row; ``many``: more than one; ``none``: Matomo
    keeps none (bots, excluded addresses, …); ``unclear``: it cannot tell, by reason."""

    asked: int = 0
    once: int = 0
    many: int = 0
    none: int = 0
    unclear: collections.Counter[str] = field(default_factory=collections.Counter)
    examples: list[str] = field(default_factory=list)
    """Where the first hits lie that are there more than once (log and offset, no content)."""

    def data(self) -> dict[str, Any]:
        """For ``--json`` and the journal."""
        return {**vars(self), "unclear": dict(self.unclear)}


def survey(path: Path, rules: Rules, add: Callable[[int], None] = lambda size: None) -> Survey:
    """Reads the whole file; ``add`` hears the bytes read. MatopsError where it is not whole."""
    found = Survey()
    for _, line in gapfile.lines(path):
        hit = gapfile.parse(line)
        add(len(line))
        found.hits += 1
        found.first = found.first or hit.epoch
        found.last = hit.epoch
        reason = why_not(hit, rules)
        if reason:
            found.skipped[reason] += 1
            continue
        found.wanted += 1
        found.no_address += not hit.ip
    return found


def account(
    path: Path,
    rules: Rules,
    recorder: Recorder,
    add: Callable[[int], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Account:
    """Asks about every hit that was to be sent. ``add`` hears how many were asked."""
    total = Account()
    for part in _slices(path, rules):
        if stopped():
            break
        for item, answer in zip(part, recorder.ask([asked(item) for item in part])):
            total.asked += 1
            if answer.times is None:
                total.unclear[answer.why] += 1
            elif answer.times == 0:
                total.none += 1
            elif answer.times == 1:
                total.once += 1
            else:
                total.many += 1
                if len(total.examples) < 10:
                    total.examples.append(":".join(map(str, item.hit.id)))
        add(len(part))
    return total


def present(answers: Sequence[Answer]) -> list[bool]:
    """Which of these neighbours the database has.

    A row of the very second, address and page under another visitor id may be somebody else's;
    where most of the neighbours were recorded already it is taken for the hit's own.
    """
    known = sum(1 if a.times else -1 for a in answers if a.times is not None and not a.why)
    return [bool(a.times) or (a.likely and known > 0) for a in answers]


def look_before(run: Run, add: Callable[[int], None]) -> int:
    """Looks for each hit that is not settled: what the database has is noted, and never sent.

    It has it where a ledger was lost, the gap was cut anew, another server replayed it, or a kill
    came behind a batch that was undone in part only. Settled hits are asked about with their
    neighbours: their rows are theirs. ``add`` hears of how many hits; returns how many it has.
    """
    if run.recorder is None:
        return 0
    ledger, count = run.ledger, 0
    for part in _slices(run.path, run.rules):
        if run.over:
            break
        left = {i.position for i in part if i.position >= ledger.done[lane(i.hit)]}
        if left:
            answers = run.recorder.ask([asked(item) for item in part])
            found = {i.position for i, here in zip(part, present(answers)) if here}
            count += ledger.there(left & found)
        add(len(part))
    return count


def _slices(path: Path, rules: Rules) -> Iterator[Sequence[Item]]:
    part: list[Item] = []
    for at, line in gapfile.lines(path):
        hit = gapfile.parse(line)
        if why_not(hit, rules):
            continue
        if len(part) >= _SLICE and int(hit.epoch) > int(part[-1].hit.epoch):
            yield part
            part = []
        part.append(Item(at, at + len(line), hit, request_of(hit)))
    if part:
        yield part
