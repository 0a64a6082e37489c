"""``logs.replay --how import_logs``: Matomo's own script, a part of the gap file at a time.

A part is one request of the script: with several in one run, those that were under way when it
died were recorded behind our back (tried). What it says is not believed: each hit is looked for
in the database, and what the script lost is sent by our own client.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from matops.accesslog.replay import script as scripts
from matops.accesslog.replay.lanes import Batch, batches
from matops.accesslog.replay.ledger import Sending
from matops.accesslog.replay.task import Run
from matops.accesslog.replay.worker import Worker
from matops.errors import Refused
from matops.runbook.replay_asked import Asked

AT_WORK = 30.0
"""Seconds that the server is given to end a request whose sender is gone: the token's mark does
not hold it here, as it does in a native replay."""

_FAILURES = 3  # parts in a row of which it imported nothing


def find(docroot: str, asked: Asked, queue: bool, maintenance: bool) -> scripts.Script:
    """The script. Refused where it would do harm."""
    found = scripts.find(docroot, asked.import_logs)
    if queue and not found.around_queue and not asked.through_queue:
        raise Refused(
            f"{found.path} does not send queuedtracking=0, and the queue is on: it would queue "
            "each batch up to three times and hang at the answer",
            state="Nothing was sent",
            next="use --how native",
        )
    if maintenance:
        raise Refused(
            "import_logs.py asks Matomo's reporting API, which does not answer in maintenance mode",
            state="Nothing was sent",
            next="maintenance.off first, or use --how native",
        )
    return found


def replay(run: Run, script: scripts.Script, asked: Asked, folder: Path) -> None:
    """All that is left, part by part. Raises Refused where the script imports nothing."""
    worker = Worker(run)
    try:
        done = dict(run.ledger.done)
        failures = 0
        for part in batches(run.path, run.rules, done, asked.batch, 1, run.ledger.found):
            if run.over:
                return
            if _part(run, script, asked, folder, worker, part):
                failures = 0
                continue
            failures += 1
            if failures == _FAILURES:
                raise Refused(
                    f"{script.path} imported nothing, {_FAILURES} times in a row",
                    state="What was recorded before is in the ledger",
                    next="its last lines are above; --how native does without it",
                )
            worker.deliver(part)
    finally:
        worker.close()


def _part(
    run: Run, script: scripts.Script, asked: Asked, folder: Path, worker: Worker, part: Batch
) -> bool:
    """False where nothing of it was recorded."""
    number, hits = run.ledger.next_number(), len(part.items)
    mark = worker.mark.arm(number)
    sending = Sending(number, part.lane, part.of, part.first, part.upto, hits, mark)
    log = folder / f"part-{number}.log"
    scripts.export(part.items, log)
    run.ledger.go(sending)
    try:
        words = _words(run, asked)
        secret, over = worker.mark.secret, lambda: run.over
        outcome = scripts.run(script, words, secret, log, asked.patience, over)
    finally:
        with contextlib.suppress(FileNotFoundError):
            log.unlink()
    line = f"  import_logs.py, {hits} hits: {outcome.shown}"
    (run.tell if outcome.claimed == hits else run.say)(line)
    told = worker.mark.settle(mark, number)  # and from now on nobody comes in with that token
    if outcome.hung:
        time.sleep(AT_WORK)
    # The script asks the reporting API with it first: used is not yet recorded.
    if told is False or (outcome.code and not run.there(part.items)):
        run.ledger.end(sending, again=True)
        run.say("  nothing of it was recorded: our own client sends it")
        return False
    run.ledger.end(sending, tracked=hits, doubt=True)
    run.add(hits)
    return True


def _words(run: Run, asked: Asked) -> list[str]:
    url = run.target.url  # it cannot send another Host header than the URL's
    words = ["--replay-tracking", f"--url={url}", "--log-format-name=ncsa_extended",
             "--recorders=1", f"--recorder-max-payload-size={asked.batch}",
             "--retry-max-attempts=1", "--retry-delay=0",
             f"--request-timeout={asked.timeout:.0f}"]  # fmt: skip
    return [*words, *([] if run.target.verify else ["--accept-invalid-ssl-certificate"])]
