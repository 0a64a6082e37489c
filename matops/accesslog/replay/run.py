"""One run of a replay: feeds its workers until all is settled, or somebody asks it to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from matops.accesslog.replay.client import Client, Lost, NotSent
from matops.accesslog.replay.lanes import batches, of
from matops.accesslog.replay.ledger import REPAIR
from matops.accesslog.replay.pace import EVERY
from matops.accesslog.replay.task import Run, give_back
from matops.accesslog.replay.worker import Worker
from matops.errors import MatopsError


def replay(run: Run) -> None:
    """Settles what is in doubt from an earlier run, then sends what is left.

    Raises MatopsError; OutcomeUnknown where a batch stays in doubt. Asked to stop, it comes back
    after the answers that are still due.
    """
    workers = [Worker(run) for _ in range(run.pace.workers)]
    threads = [threading.Thread(target=one.work, daemon=True) for one in workers]
    watch = threading.Thread(target=_watch, args=(run,), daemon=True)
    try:
        settle_open(run, workers[0])
        for thread in [*threads, watch]:
            thread.start()
        _feed(run, workers)
        for worker in workers:
            worker.put(None)
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    finally:
        for one in workers:
            one.close()
    if run.failure:
        raise run.failure


def settle_open(run: Run, worker: Worker) -> None:
    """Batches that left in a run that was killed: what became of them?"""
    doubtful = list(run.ledger.open.values())
    for sending in doubtful:
        worker.mark.revoke(sending.mark)
    for place, sending in enumerate(doubtful):
        recorded = worker.mark.settle(sending.mark, sending.number, wait=not place)
        run.say(f"  batch {sending.number} ({sending.hits} hits) was under way when an earlier run "
                f"ended: {_TOLD[recorded]}")  # fmt: skip
        if recorded is False:
            there = run.there(of(run.path, run.rules, sending))
            run.skip |= there
            if there and sending.lane != REPAIR:
                run.ledger.there(len(there))
                run.add(len(there))
            run.ledger.end(sending, again=True)
        else:
            run.ledger.end(sending, tracked=sending.hits, doubt=True)
            run.add(sending.hits if sending.lane != REPAIR else 0)


_TOLD = {
    True: "it was recorded",
    False: "nothing of it was recorded, it is sent again",
    None: "the database cannot tell by its token; each hit is looked for",
}


def _feed(run: Run, workers: Sequence[Worker]) -> None:
    for batch in batches(run.path, run.rules, dict(run.ledger.done), run.size, len(workers)):
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
        while not run.over and threading.main_thread().is_alive():
            try:
                reply = client.post(mark.secret, [run.probe])
                run.pace.look(reply.seconds)
            except (Lost, NotSent):
                run.pace.look(run.timeout)
            time.sleep(EVERY)
    except MatopsError:
        pass  # the workers will say what is wrong
    finally:
        client.close()
        if mark is not None:
            give_back(mark)
