"""The tracking queue of one installation: how deep, how fast, how much room. Runs there.

One question for both backends: request sets waiting in each list, the hits in them, locks, the
pace at which hits come in, and when the room runs out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import queue_contents, queue_space
from matops.matomo.database import Database
from matops.matomo.queue_contents import SAMPLE, Sample
from matops.matomo.queue_setup import Setup, why_none
from matops.matomo.queue_setup import look as look_at_setup
from matops.matomo.queue_store import Store, opened

_MEETING = (
    "several workers and innodb_snapshot_isolation = ON: workers that meet record hits twice "
    "(matomo-org/plugin-QueuedTracking issue 331); SET GLOBAL innodb_snapshot_isolation = OFF, or "
    "numQueueWorkers = 1"
)
COUNT_ALL = 5000
"""Sets that are all read to count their hits exactly; of more, the ends are taken for the rest."""
_MOST_READ = 16 << 20  # bytes, packed: bulks may be large
_USUAL = 2048  # bytes of a waiting request where none is there to be measured (runbook.checks)


def status(docroot: str) -> dict[str, Any]:
    """Everything about the queue, as plain data; no secret in it.

    ``setup`` (``Setup.data``), ``why_none`` ('' where there is a queue), and where there is one:
    ``where``, ``lists`` (number → sets), ``beyond`` (sets in lists that no worker looks at),
    ``sets``, ``exact``, ``requests``, ``requests_exact``, ``bytes``, ``bytes_each``, ``locks``
    (list → seconds left), ``oldest`` (seconds it waits), ``sets_per_second``,
    ``requests_per_second``, ``space``. MatopsError, DatabaseError: not reached.
    """
    setup = look_at_setup(docroot)
    found: dict[str, Any] = {"setup": setup.data(), "why_none": why_none(setup.data())}
    if found["why_none"]:
        return found
    with opened(setup, docroot) as store:
        found.update(_read(setup, store))
        found["space"] = asdict(queue_space.look(setup, store, docroot))
    found["aborts"] = aborts(docroot)
    if found["aborts"] and setup.workers > 1:
        found["space"]["warnings"].append(_MEETING)
    return found


def settings(docroot: str) -> dict[str, Any]:
    """``setup`` and ``why_none`` of ``status`` alone: also while the backend is down."""
    setup = look_at_setup(docroot)
    return {"setup": setup.data(), "why_none": why_none(setup.data())}


def _read(setup: Setup, store: Store) -> dict[str, Any]:
    lists = store.lengths()
    sets = sum(lists.values())
    size = store.size()
    tails = [queue_contents.sample(store.tail(n, SAMPLE)) for n, length in lists.items() if length]
    now, each = time.time(), _together(tails)
    bytes_each = size / sets if size and sets else each.bytes_each
    if setup.backend == "mysql" and each.bytes_each:  # sizes of tables may be a day old
        bytes_each = max(each.bytes_each, 100.0)
    requests, all_read = _requests(store, lists, each)
    age = _oldest(store, lists, now)
    # Of a queue that is processed all the time only moments are seen: they are no pace.
    pace = _pace(store, lists, now) if age >= queue_contents.LONG_ENOUGH else None
    return {
        "where": store.where,
        "lists": _named(lists),
        "beyond": sum(length for number, length in lists.items() if number >= setup.workers),
        "sets": sets,
        "exact": store.exact(),
        "requests": requests,
        "requests_exact": all_read and store.exact(),
        "bytes": size,
        "bytes_each": bytes_each,
        "locks": _named(store.locks()),
        "oldest": age,
        "sets_per_second": pace,
        "requests_per_second": None if pace is None else pace * each.requests_each,
    }


def _pace(store: Store, lists: dict[int, int], now: float) -> Optional[float]:
    rates = []
    for number, length in lists.items():
        places = [10**power for power in range(7) if 10**power < length] + [length] * bool(length)
        marks = ((n, queue_contents.arrived(store.from_end(number, n))) for n in places)
        rates.append(queue_contents.pace(marks, now))
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def _oldest(store: Store, lists: dict[int, int], now: float) -> float:
    heads = [store.head(number, 1) for number, length in lists.items() if length]
    times = [queue_contents.arrived(head[0]) for head in heads if head]
    return max((now - at for at in times if at), default=0.0)


def _together(samples: list[Sample]) -> Sample:
    return Sample(
        sum(one.sets for one in samples),
        sum(one.requests for one in samples),
        sum(one.bytes for one in samples),
    )


def _requests(store: Store, lists: dict[int, int], tail: Sample) -> tuple[int, bool]:
    sets = sum(lists.values())
    if sets <= tail.sets:
        return tail.requests if sets else 0, True
    if sets > COUNT_ALL or sets * (tail.bytes_each or 0) > _MOST_READ:
        return round(sets * tail.requests_each), False
    values = (queue_contents.sample(store.head(number, n)) for number, n in lists.items() if n)
    return sum(one.requests for one in values), True


def depth(docroot: str) -> dict[str, Any]:
    """Only what a loop needs: ``{"lists", "sets", "exact", "locks", "workers", "batch",
    "recording", "enabled", "in_request", "oldest", "heads": digests of the oldest sets}``.
    MatopsError, DatabaseError."""
    setup = look_at_setup(docroot)
    with opened(setup, docroot) as store:
        lists = store.lengths()
        heads = {number: store.head(number, 1) for number, length in lists.items() if length}
        now = time.time()
        times = [queue_contents.arrived(head[0]) for number, head in heads.items()
                 if head and number < setup.workers]  # fmt: skip
        ages = [now - at for at in times if at]
        return {
            "lists": _named(lists),
            "sets": sum(lists.values()),
            "exact": store.exact(),
            "locks": _named(store.locks()),
            "workers": setup.workers,
            "batch": setup.batch,
            "recording": setup.recording,
            "enabled": setup.enabled,
            "in_request": setup.in_request,
            "oldest": max(ages, default=0.0),
            "heads": _named(
                {n: queue_contents.digest(head[0].text) for n, head in heads.items() if head}
            ),
        }


def _named(by_number: Mapping[int, Any]) -> dict[str, Any]:
    """As JSON has it: the same here and through the agent."""
    return {str(number): value for number, value in sorted(by_number.items())}


def first_of(docroot: str, number: int) -> str:
    """What the oldest set of that list is, without anything secret; '' where none waits."""
    setup = look_at_setup(docroot)
    with opened(setup, docroot) as store:
        found = store.head(number, 1)
        return queue_contents.describe(found[0]) if found else ""


def aborts(docroot: str) -> bool:
    """True where the server ends a transaction that writes what another one wrote meanwhile.

    MariaDB 11.6.2 and later (innodb_snapshot_isolation, with REPEATABLE READ): two workers at
    once, or a worker beside direct tracking, meet error 1020 all the time. The plugin then goes
    on outside of any transaction, keeps the batch, and records parts of it twice (measured;
    matomo-org/plugin-QueuedTracking issue 331), or drops the set (``console_session``).
    """
    with Database(docroot, timeout=30) as db:
        rows = db.session.rows("queue_isolation")
    known = {str(row["Variable_name"]): str(row["Value"]).upper() for row in rows}
    level = known.get("transaction_isolation") or known.get("tx_isolation", "")
    return known.get("innodb_snapshot_isolation") == "ON" and level == "REPEATABLE-READ"


def look(docroot: str) -> dict[str, Any]:
    """For a watcher: never raises for what the world can cause.

    ``{"depth": request sets or None, "requests", "bytes_free", "requests_per_second",
    "full_in_seconds", "errors": [line, …]}``; None = not known. ``errors`` is not empty where
    hits are being lost, or soon may be.
    """
    facts: dict[str, Any] = dict.fromkeys(
        ("depth", "requests", "bytes_free", "requests_per_second", "full_in_seconds")
    )
    facts["errors"] = []
    try:
        found = status(docroot)
    except MatopsError as error:
        facts["errors"].append(error.line())
        return facts
    if found["why_none"]:
        facts["errors"].append(found["why_none"])
        return facts
    space = found["space"]
    facts.update(depth=found["sets"], requests=found["requests"], bytes_free=space["free"],
                 requests_per_second=found["requests_per_second"],
                 full_in_seconds=full_in(found))  # fmt: skip
    if space["wrong"]:
        facts["errors"].append(space["wrong"])
    if not found["setup"]["recording"]:
        facts["errors"].append("record_statistics = 0: new hits are not queued, none is processed")
    return facts


def full_in(found: dict[str, Any]) -> Optional[float]:
    """Seconds until the room is used up at the pace of ``status``; None where unknown. Pure."""
    free, pace = found["space"]["free"], found["sets_per_second"]
    if free is None or not pace:
        return None
    return float(free) / (float(pace) * float(found["bytes_each"] or _USUAL))
