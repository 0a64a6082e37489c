"""One worker of a replay: sends batches until each is settled.

What is believed: an answer that accounts for each hit. Everything else is asked of the ``Mark``:
recorded, or not, or it cannot tell. Not recorded = sent again, smaller if it fails again, until
a hit fails alone while the server is well: that one is refused. Recorded without a complete
answer = settled, and noted as doubtful, to be looked through hit by hit (``doubts``).
"""

from __future__ import annotations

import queue
import time
from dataclasses import replace
from typing import Callable, Optional

from matops.accesslog.replay.client import Client, Lost, NotSent, Reply, Target
from matops.accesslog.replay.lanes import Batch
from matops.accesslog.replay.ledger import REPAIR, Sending
from matops.accesslog.replay.request import why_invalid
from matops.accesslog.replay.task import Run, give_back
from matops.errors import MatopsError, Refused

_TOO_MANY = 429
_TRIES = 2  # of one batch, before it is halved


class Worker:
    """Sends the batches of its lanes, one at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._queue: queue.Queue[Optional[Batch]] = queue.Queue(4)
        self._failed_at = -1
        self._limited = False
        self.mark = run.mark()
        self.client = Client(run.target, run.timeout)

    def offer(self, batch: Batch) -> bool:
        """False where its queue stayed full for a moment."""
        try:
            self._queue.put(batch, timeout=0.2)
        except queue.Full:
            return False
        return True

    def put(self, batch: Optional[Batch]) -> None:
        """None: no more comes."""
        while not self._run.over:
            try:
                self._queue.put(batch, timeout=0.2)
                return
            except queue.Full:
                continue

    def work(self) -> None:
        """Until no more comes, or the run is over."""
        try:
            while not self._run.over:
                try:
                    batch = self._queue.get(timeout=0.2)
                except queue.Empty:
                    continue
                if batch is None:
                    return
                self.deliver(batch)
        except BaseException as error:
            self._run.fail(error)

    def close(self) -> None:
        """Gives back its connection and its token (not one that must still tell something)."""
        self.client.close()
        doubt = [one.mark for one in self._run.ledger.open.values()]
        give_back(self.mark, keep=self.mark.id in doubt)

    def deliver(self, batch: Batch, tries: int = _TRIES) -> None:
        """Sends the batch until it is settled, halved where it fails as a whole."""
        failures, why = 0, ""
        while failures < tries:
            try:
                why = self._paced(batch)
            except NotSent as error:
                self._away(str(error))
                continue
            if self._run.over or not why:
                return
            if self._limited:  # it is the pace that is refused, not the hits
                self._away(why)
            else:
                failures += 1
                self._well_or_wait(why)
            left = self._without_recorded(batch)
            if left is None:
                return
            batch = left
        if self._run.over:
            return
        if len(batch.items) > 1:
            for part in batch.parts(self._failed_at):
                self.deliver(part, 1 if len(part.items) > 1 else _TRIES)
        elif not self._plainly(batch) and not self._run.over:
            self._refuse(batch, why)

    def _plainly(self, batch: Batch) -> bool:
        """A hit that fails alone in a bulk request, as a plain one; True = it is settled.

        A bulk request is one transaction; with innodb_snapshot_isolation it is aborted where this
        visitor's next hit comes in meanwhile (1 of 6,300 hits, six times in a row). A plain one
        has none; its mark says nothing of the hit, so the log tables are asked.
        """
        if self._run.recorder is None or self._run.target.queue:
            return False
        tries = _TRIES
        while tries and not self._run.over:
            try:
                why = self._plain_once(batch)
            except NotSent as error:
                self._away(str(error))
                continue
            if not why:
                return True
            self._well_or_wait(why)  # the server may have ended under it
            tries -= 1
        return False

    def _plain_once(self, batch: Batch) -> str:
        """'': settled. Else why it failed; then it is not recorded. Raises NotSent."""
        ledger = self._run.ledger
        number = ledger.next_number()
        sending = _sending(number, batch, self.mark.arm(number))
        ledger.go(sending)
        try:
            reply = self.client.plain(self.mark.secret, batch.items[0].text)
        except NotSent:
            ledger.end(sending, again=True)
            raise
        except Lost as error:
            return self._ask(sending, str(error))
        if reply.between:
            return self._ask(sending, reply.shown)
        if not self._run.there(batch.items) and reply.status not in (200, 204):
            ledger.end(sending, again=True)
            return reply.shown
        ledger.end(sending, tracked=1)
        self._run.add(1 if batch.lane != REPAIR else 0)
        return ""

    def _without_recorded(self, batch: Batch) -> Optional[Batch]:
        """What of an undone batch is to be sent again; None: nothing.

        A server may abort a transaction (deadlock, innodb_snapshot_isolation, a lock wait with
        innodb_rollback_on_timeout) in a statement whose failure Matomo passes over: what comes
        behind it is then recorded, hit by hit, although the batch failed and its mark is undone.
        """
        there = self._run.there(batch.items)
        if not there:
            return batch
        self._run.say(f"  {len(there)} hits of a failed batch are recorded all the same")
        if batch.lane != REPAIR:
            self._run.add(self._run.ledger.there(there))
        items = tuple(item for item in batch.items if item.position not in there)
        if items:
            return replace(batch, items=items)
        gone = replace(batch, items=())
        self._run.ledger.end(_sending(self._run.ledger.next_number(), gone, 0))
        return None

    def _paced(self, batch: Batch) -> str:
        pace, over = self._run.pace, lambda: self._run.over
        new = self._run.days(batch.items)
        if not pace.begin(len(batch.items), over, alone=bool(new)):
            return ""
        began = time.monotonic()
        try:
            why = self._once(batch)
            self._run.met(new if not why else set())
            return why
        finally:
            pace.end(time.monotonic() - began, over)

    def _once(self, batch: Batch) -> str:
        """'': settled. Else why it failed; then nothing of it was recorded. Raises NotSent."""
        self._failed_at, self._limited = -1, False
        ledger = self._run.ledger
        number = ledger.next_number()
        token = self.mark.arm(number)
        sending = _sending(number, batch, token)
        ledger.go(sending)
        try:
            reply = self._post(batch)
        except NotSent:
            ledger.end(sending, again=True)
            raise
        except Lost as error:
            self._run.tell(f"  no answer to a batch ({error}): asking the database")
            return self._ask(sending, str(error))
        if reply.picture and self._run.target.queue:
            ledger.end(sending, tracked=sending.hits)
            self._run.add(sending.hits)
            return ""
        # A commit of a transaction that the server had aborted fails in silence with some drivers.
        if reply.good and _all_refused(reply, self.mark.used):
            ledger.end(sending, again=True)
            _refuse_to_go_on(reply, self._run.target)
        if reply.good and self.mark.used() is not False:
            self._settle(batch, sending, reply)
            return ""
        self._limited = reply.status == _TOO_MANY
        # Undone, but counted: so many came before the one that it failed at (or a few more).
        self._failed_at = reply.number("tracked")
        if self.mark.used() is False and not reply.picture and not reply.between:
            ledger.end(sending, again=True)  # PHP has answered: nothing is at work any more
            why = reply.shown
        else:
            why = self._ask(sending, reply.shown)
        if why:
            _refuse_to_go_on(reply, self._run.target)
        return why

    def _post(self, batch: Batch) -> Reply:
        return self.client.post(self.mark.secret, [item.text for item in batch.items])

    def _ask(self, sending: Sending, why: str) -> str:
        recorded = self.mark.settle(sending.mark, sending.number)
        if recorded is False:
            self._run.ledger.end(sending, again=True)
            return why
        self._run.ledger.end(sending, tracked=sending.hits, doubt=True)
        self._run.add(sending.hits if sending.lane != REPAIR else 0)
        return ""

    def _settle(self, batch: Batch, sending: Sending, reply: Reply) -> None:
        self._since = 0.0
        reasons: dict[str, int] = {}
        for place in reply.invalid or []:
            reason = why_invalid(batch.items[place].hit)
            reasons[reason] = reasons.get(reason, 0) + 1
        if reply.invalid is None:
            reasons["Matomo calls it invalid"] = reply.number("invalid")
        self._run.ledger.end(sending, tracked=reply.number("tracked"), refused=reasons)
        self._run.add(sending.hits if sending.lane != REPAIR else 0)

    def _refuse(self, batch: Batch, why: str) -> None:
        ledger = self._run.ledger
        number = ledger.next_number()
        sending = _sending(number, batch, 0)
        reason = f"the server fails at it alone: {why}"
        ledger.end(sending, refused={reason: 1})
        self._run.add(1 if batch.lane != REPAIR else 0)

    def _well_or_wait(self, why: str) -> None:
        """Returns once a request that records nothing succeeds: then it was the batch's fault."""
        while not self._run.over and not self._well():
            self._away(why)

    def _well(self) -> bool:
        try:
            self.mark.arm(0)
            reply = self.client.post(self.mark.secret, [self._run.probe])
        except (Lost, NotSent):
            return False
        well = reply.good or (reply.picture and self._run.target.queue)
        if well:
            self._since = 0.0
        return well

    _since = 0.0

    def _away(self, why: str) -> None:
        """The server is away: waits a moment. Raises MatopsError when patience is over."""
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > self._run.patience:
            raise MatopsError(
                f"the tracker does not work: {why}",
                state="What was sent before is settled",
                next="repair it, then run the same command again: it goes on",
            )
        self._run.tell(f"  the tracker does not work ({why}): waiting for it")
        self._sleep(2.0)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._run.over and time.monotonic() < until:
            time.sleep(0.1)


def _sending(number: int, batch: Batch, token: int) -> Sending:
    hits = len(batch.items)
    return Sending(number, batch.lane, batch.of, batch.first, batch.upto, hits, token)


def _all_refused(reply: Reply, used: Callable[[], Optional[bool]]) -> bool:
    """No hit of several was taken, and the token is one that tells nothing: it may have been
    taken away meanwhile. (A token of ours tells, by its mark, whether Matomo took it.)"""
    return reply.sent > 1 and reply.number("tracked") == 0 and used() is None


def _refuse_to_go_on(reply: Reply, target: Target) -> None:
    """Answers that no repetition makes better. Nothing of the batch was recorded."""
    what, todo = "", ""
    success = reply.status == 200 and reply.data.get("status") == "success"
    if reply.status in (301, 302, 307, 308):
        what, todo = f"{target.url} sends us elsewhere ({reply.shown})", "give the address: --url"
    elif reply.picture:
        what = (
            "the answer was a picture: something (a queue?) took the batch in the tracker's place"
        )
        todo = "look at the queue before anything else; it cannot record what has no token any more"
    elif success and reply.number("tracked") == 0 and reply.number("invalid") == 0:
        what = "Matomo records nothing now: it answers 'success' and tracks 0 hits"
        todo = "tracking.on ([Tracker] record_statistics), then run the same command again"
    elif success and reply.number("tracked") == 0:
        what = "the server does not take our token: every hit came back as invalid"
        todo = "look whether a plugin changes who may track; --token-file names another token"
    if what:
        raise Refused(what, state="Nothing of this batch was recorded", next=todo)
