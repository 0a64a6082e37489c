"""When to give up a rebuild that waits for a metadata lock: the rules, and nothing else.

A rebuild needs an exclusive metadata lock twice: for milliseconds at its start, and again at its
commit. While it waits for it, every later reader and writer of the table waits behind it. The
rules below were measured (facts: a guard that looked only at "somebody waits" also killed the
unavoidable commit stall and never finished):

* Kill our own statement only while *its own* state is ``Waiting for table metadata lock``.
* At the start: half a second of a pile-up, then kill. Nothing is lost but the attempt.
* At the commit: the whole copy is at stake. Tolerate more, then do as the operator said.
* While copying: a FLUSH (a backup's) that waits for us stops the clients of the table (MySQL), or
  all writers of the server. Tolerate as much as at the commit, then kill, unless told to wait.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, field

WAITING = "waiting for table metadata lock"
_BACKUP = "waiting for backup lock"
_COPYING = ("alter table (", "altering table", "copy to tmp table", "repair", "manage keys")

WAIT, ABORT, KILL_IDLE = "wait", "abort", "kill-idle"


@dataclass(frozen=True)
class Policy:
    """What the operator allows. Times in seconds.

    ``start``: how long clients may wait behind us at the start. ``commit``: at the commit,
    before ``on_block`` decides. ``idle``: a transaction is idle and old from here on.
    ``weight``: a transaction that changed more (``trx_weight``) is never killed: spirit's
    measure of what a roll-back costs. ``rows``: the same by rows modified.
    ``backstop``: the session's lock_wait_timeout, should this process die.
    """

    start: float = 0.5
    commit: float = 10.0
    on_block: str = ABORT
    idle: float = 10.0
    rows: int = 1000
    weight: int = 1_000_000

    @property
    def backstop(self) -> int:
        """lock_wait_timeout: the server holds it at both points, so the larger budget counts."""
        return 600 if self.on_block == WAIT else int(max(self.start, self.commit * 2)) + 2


@dataclass(frozen=True)
class Waiter:
    """A client that waits for a metadata lock. ``age``: seconds, as far as we saw."""

    id: int
    age: float
    statement: str = ""


@dataclass(frozen=True)
class Sight:
    """One look at the server. ``at``: monotonic seconds; ``state``: of our own statement.

    ``sees_all`` is False where the account sees only its own connections: then waiters may be
    there that we do not see. ``behind``: clients that wait for ``flush``, which waits for us.
    """

    at: float
    state: str
    waiters: tuple[Waiter, ...] = ()
    sees_all: bool = True
    behind: tuple[Waiter, ...] = ()
    flush: str = ""

    @property
    def is_waiting(self) -> bool:
        """Do we wait for the metadata lock ourselves?

        MariaDB waits for a backup to end with that lock in its hand (25 s of stall measured).
        """
        return self.state.lower().startswith((WAITING, _BACKUP))

    @property
    def oldest(self) -> float:
        """Age of the oldest waiter, in seconds; 0 where nobody waits."""
        return max((w.age for w in self.waiters), default=0.0)


class Verdict(enum.Enum):
    """What to do now."""

    GO_ON = "go on"
    CANCEL_START = "cancel: clients pile up behind the start"
    CANCEL_COMMIT = "cancel: clients pile up behind the commit"
    CANCEL_FLUSH = "cancel: clients pile up behind a FLUSH that waits for us"
    KILL_IDLE = "end the idle transactions that hold the lock"


@dataclass
class Guard:
    """Follows one statement by what ``judge`` is shown. Pure: it kills nothing itself."""

    policy: Policy
    copied: bool = False
    """True once the copy has begun: from then on a wait is the commit's."""
    lock_stall: float = 0.0
    """Longest wait of a client while we ourselves waited for the lock: what we could avoid."""
    commit_stall: float = 0.0
    """Longest wait of a client while we worked with the lock held (the server's commit work)."""
    clients: int = 0
    """Most clients that waited at one time."""
    _since: float | None = field(default=None, repr=False)

    def judge(self, sight: Sight, tick: float = 0.0) -> Verdict:
        """``tick``: seconds until we look again; what would be too late then is done now."""
        self.clients = max(self.clients, len(sight.waiters) + len(sight.behind))
        if not sight.is_waiting:
            self.copied = self.copied or sight.state.lower().startswith(_COPYING)
            self.commit_stall = max(self.commit_stall, sight.oldest)
            self._since = None
            return self._while_copying(sight)
        self._since = sight.at if self._since is None else self._since
        self.lock_stall = max(self.lock_stall, sight.oldest)
        waited = sight.at - self._since
        return (
            self._at_commit(sight, waited) if self.copied else self._at_start(sight, waited, tick)
        )

    def _while_copying(self, sight: Sight) -> Verdict:
        stalled = max((w.age for w in sight.behind), default=0.0)
        self.lock_stall = max(self.lock_stall, stalled)
        if stalled >= self.policy.commit and self.policy.on_block != WAIT:
            return Verdict.CANCEL_FLUSH
        return Verdict.GO_ON

    def _at_start(self, sight: Sight, waited: float, tick: float) -> Verdict:
        limit = self.policy.start - tick
        # A wait that nobody queues behind hurts nobody; one that we cannot see counts as seen.
        crowded = bool(sight.waiters) or not sight.sees_all
        if crowded and (sight.oldest >= limit or waited >= limit):
            return Verdict.CANCEL_START
        return Verdict.GO_ON

    def _at_commit(self, sight: Sight, waited: float) -> Verdict:
        stalled = sight.oldest if sight.sees_all else waited
        if self.policy.on_block == KILL_IDLE and stalled >= min(self.policy.commit, 1.0):
            # Waiting longer for a transaction that is known to be idle brings nothing.
            return Verdict.KILL_IDLE if stalled < self.policy.commit else Verdict.CANCEL_COMMIT
        if self.policy.on_block == ABORT and stalled >= self.policy.commit:
            return Verdict.CANCEL_COMMIT
        return Verdict.GO_ON


def back_off(attempt: int, random_share: float | None = None) -> float:
    """Seconds before the next attempt: 2, 4, 8 … 60, ±25 % so that runs do not march in step."""
    share = random.random() if random_share is None else random_share
    return float(min(2.0**attempt, 60.0) * (0.75 + share / 2))
