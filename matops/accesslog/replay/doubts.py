"""After the run: batches that were recorded, but whose answer did not account for each hit.

A lock wait time-out makes Matomo pass over a hit in silence (BulkTracking\\Tracker\\Handler). So
each hit of such a batch is looked for in the log tables; what is surely not there is sent again,
alone. What they cannot tell stays as it is: never more than once.
"""

from __future__ import annotations

from matops.accesslog.replay.lanes import batch_of, of
from matops.accesslog.replay.ledger import REPAIR
from matops.accesslog.replay.task import Answer, Run
from matops.accesslog.replay.worker import Worker


def look_through(run: Run) -> None:
    """Settles each doubtful batch. Raises what a worker raises; stops where it is asked to."""
    if not run.ledger.doubtful:
        return
    worker = Worker(run)
    try:
        for sending in list(run.ledger.doubtful):
            items = of(run.path, run.rules, sending)
            answers = run.look_for(items)
            missing = [i for i, a in zip(items, answers) if a.times == 0 and not _odd(a)]
            unclear = sum(a.times is None or (a.times == 0 and a.others > 0) for a in answers)
            for item in missing:
                worker.deliver(batch_of(REPAIR, 1, [item]))
            if run.over:
                break
            run.say(
                f"  batch {sending.number}: {len(items)} hits looked for, {len(missing)} were "
                f"missing and sent again, {unclear} cannot be told"
            )
            run.ledger.sure(sending)
    finally:
        worker.close()
    if run.failure:
        raise run.failure


def _odd(answer: Answer) -> bool:
    """Not there, but better not sent again: Matomo never records it, or a row may be it."""
    return bool(answer.why) or answer.others > 0
