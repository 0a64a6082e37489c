"""From the gap file to batches: hits by lane, in their order, none that is settled already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from matops.accesslog import gapfile
from matops.accesslog.replay.ledger import Sending
from matops.accesslog.replay.request import LANES, Item, Rules, lane, request_of, why_not

_BYTES = 1 << 20  # of one batch: far below any server's limit of a POST


@dataclass(frozen=True)
class Batch:
    """Hits of one lane, in their order."""

    lane: int
    items: tuple[Item, ...]

    @property
    def first(self) -> int:
        """Where the first hit's line begins."""
        return self.items[0].position

    @property
    def upto(self) -> int:
        """Where the last hit's line ends: then the lane is settled up to there."""
        return self.items[-1].end

    def halves(self) -> tuple[Batch, Batch]:
        """The two halves, in order."""
        middle = len(self.items) // 2
        return Batch(self.lane, self.items[:middle]), Batch(self.lane, self.items[middle:])


def batches(path: Path, rules: Rules, done: Mapping[int, int], size: int) -> Iterator[Batch]:
    """Batches of up to ``size`` hits that are not ``done`` (up to where, by lane).

    Memory: at most a batch for each lane.
    """
    waiting: dict[int, list[Item]] = defaultdict(list)
    weight: dict[int, int] = defaultdict(int)
    start = min(done.values()) if len(done) == LANES else 0
    for at, line in gapfile.lines(path, start):
        hit = gapfile.parse(line)
        number = lane(hit)
        if at < done.get(number, 0) or why_not(hit, rules):
            continue
        waiting[number].append(Item(at, at + len(line), hit, request_of(hit)))
        weight[number] += len(line)
        if len(waiting[number]) >= size or weight[number] >= _BYTES:
            yield Batch(number, tuple(waiting.pop(number)))
            weight.pop(number)
    for number in sorted(waiting, key=lambda one: waiting[one][0].position):
        yield Batch(number, tuple(waiting[number]))


def of(path: Path, rules: Rules, sending: Sending) -> list[Item]:
    """The hits of a batch that was sent."""
    found = []
    for at, line in gapfile.lines(path, sending.first):
        if at >= sending.upto:
            break
        hit = gapfile.parse(line)
        if lane(hit) == sending.lane and not why_not(hit, rules):
            found.append(Item(at, at + len(line), hit, request_of(hit)))
    return found
