"""One run of a replay: feeds its workers until all is settled, or somebody asks it to stop."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from matops.accesslog.replay.client import Client, Lost, NotSent
from matops.accesslog.replay.lanes import batches
from matops.accesslog.replay.ledger import Sending
from matops.accesslog.replay.pace import EVERY
from matops.accesslog.replay.task import Mark, Run, give_back
from matops.accesslog.replay.worker import Worker
from matops.errors import MatopsError

_FAREWELL = (
    10.0  # seconds that the look at the server's pace is given to end, and give back its token
)


def replay(run: Run) -> None:
    """Sends what is left, once ``settle_open`` and ``account.look_before`` have been.

    Raises MatopsError; OutcomeUnknown where a batch stays in doubt. Asked to stop, it comes back
    after the answers that are still due.
    """
    workers = [Worker(run) for _ in range(run.pace.workers)]
    threads = [threading.Thread(target=one.work, daemon=True) for one in workers]
    watch = threading.Thread(target=_watch, args=(run,), daemon=True)
    try:
        for thread in [*threads, watch]:
            thread.start()
        _feed(run, workers)
        for worker in workers:
            worker.put(None)
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    finally:
        run.ended.set()
        for one in workers:
            one.close()
        if watch.is_alive():  # its token goes with it
            watch.join(_FAREWELL)
    if run.failure:
        raise run.failure


def settle_open(run: Run) -> None:
    """Batches that left in a run that was killed: what became of them? What is not recorded is
    for ``account.look_before`` and the next batches. Raises OutcomeUnknown."""
    doubtful = list(run.ledger.open.values())
    if not doubtful:
        return
    mark = run.mark()
    try:
        _settle(run, mark, doubtful)
    finally:
        give_back(mark)


def _settle(run: Run, mark: Mark, doubtful: Sequence[Sending]) -> None:
    for sending in doubtful:
        mark.revoke(sending.mark)
    for place, sending in enumerate(doubtful):
        recorded = mark.settle(sending.mark, sending.number, wait=not place)
        run.say(f"  batch {sending.number} ({sending.hits} hits) was under way when an earlier run "
                f"ended: {_TOLD[recorded]}")  # fmt: skip
        if recorded is False:
            run.ledger.end(sending, again=True)
        else:
            run.ledger.end(sending, tracked=sending.hits, doubt=True)


_TOLD = {
    True: "it was recorded",
    False: "nothing of it was recorded, it is sent again",
    None: "the database cannot tell by its token; each hit is looked for",
}


def _feed(run: Run, workers: Sequence[Worker]) -> None:
    found, done = run.ledger.found, dict(run.ledger.done)
    for batch in batches(run.path, run.rules, done, run.size, len(workers), found):
        worker = workers[batch.lane]
        while not run.over and not worker.offer(batch):
            pass
        if run.over:
            return


def _watch(run: Run) -> None:
    """Measures, all the time, how long a visitor waits."""
    client, mark = Client(run.target, run.timeout), None
    try:
        mark = run.mark()
        mark.arm(0)
        while not run.over and not run.ended.is_set():
            try:
                reply = client.post(mark.secret, [run.probe])
                run.pace.look(reply.seconds)
            except (Lost, NotSent):
                run.pace.look(run.timeout)
            run.ended.wait(EVERY)
    except MatopsError:
        pass  # the workers will say what is wrong
    finally:
        client.close()
        if mark is not None:
            give_back(mark)
