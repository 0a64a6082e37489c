"""From the gap file to batches: each worker's hits in their order, none that is settled already.

A worker has every so-many-th lane. Few hits lie between the first and the last of a batch then,
and visitors that Matomo takes for one another (the same address and browser) stay near in time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matops.accesslog import gapfile
from matops.accesslog.replay.ledger import Sending
from matops.accesslog.replay.request import Item, Rules, lane, request_of, why_not

_BYTES = 1 << 20  # of one batch: far below any server's limit of a POST


@dataclass(frozen=True)
class Batch:
    """Hits of one worker (number ``lane`` of ``of``), in their order.

    ``first``: where the first one's line begins; ``upto``: up to where the worker's lanes are
    settled when these are.
    """

    lane: int
    of: int
    items: tuple[Item, ...]
    first: int
    upto: int

    def parts(self, failed_at: int) -> list[Batch]:
        """Smaller ones, in order: around the hit that it failed at, or its halves (-1)."""
        cuts = [failed_at, failed_at + 1] if 0 <= failed_at < len(self.items) else []
        cuts = [0, *(cuts or [len(self.items) // 2]), len(self.items)]
        pieces = [self.items[a:b] for a, b in zip(cuts, cuts[1:]) if a < b]
        found = [batch_of(self.lane, self.of, piece) for piece in pieces]
        return [*found[:-1], replace(found[-1], upto=self.upto)]


def batch_of(lane: int, of: int, items: Sequence[Item]) -> Batch:
    """These hits (not none) as a batch."""
    return Batch(lane, of, tuple(items), items[0].position, items[-1].end)


def batches(
    path: Path,
    rules: Rules,
    done: Mapping[int, int],
    size: int,
    workers: int,
    skip: Container[int] = (),
) -> Iterator[Batch]:
    """Batches of up to ``size`` hits that are not ``done`` (up to where, by lane), nor at one of
    the positions ``skip``.

    Memory: at most a batch for each worker.
    """
    waiting: dict[int, list[Item]] = defaultdict(list)
    weight: dict[int, int] = defaultdict(int)
    for at, line in gapfile.lines(path, min(done.values())):
        hit = gapfile.parse(line)
        number = lane(hit)
        if at < done[number] or at in skip or why_not(hit, rules):
            continue
        worker = number % workers
        waiting[worker].append(Item(at, at + len(line), hit, request_of(hit)))
        weight[worker] += len(line)
        if len(waiting[worker]) >= size or weight[worker] >= _BYTES:
            yield batch_of(worker, workers, waiting.pop(worker))
            weight.pop(worker)
    for worker in sorted(waiting):
        yield batch_of(worker, workers, waiting[worker])


def of(path: Path, rules: Rules, sending: Sending) -> list[Item]:
    """The hits of a batch that was sent."""
    found = []
    for at, line in gapfile.lines(path, sending.first):
        if at >= sending.upto:
            break
        hit = gapfile.parse(line)
        if lane(hit) % sending.of == sending.lane and not why_not(hit, rules):
            found.append(Item(at, at + len(line), hit, request_of(hit)))
    return found
