"""Before core:update is started: nothing of an earlier one is at work, and the database is there.

A php that died leaves its statement to the server, which goes on with it for hours, or takes it
back. A second updater beside that would fail, or do the same twice. Nothing is ended here: it is
waited for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Callable

from matops.errors import Refused
from matops.host import jobs as host_jobs
from matops.matomo import core_update_look as looking
from matops.matomo.site import Site
from matops.matomo.update_output import UpdateOutput
from matops.mysql.session import ConnectionCut, DatabaseError, NotReachable
from matops.runbook import alert
from matops.units import show_duration

LABEL = "console-core.update"
"""Of php's own job, as ``console "core:update --yes" --job`` names it, too."""
BACK = 4 * 3600.0
"""Seconds that the database may take to come back after a crash: InnoDB with large redo logs
recovers for an hour. Waiting harms nothing."""
WAKE = 120.0  # seconds of that, after which somebody is woken
_EVERY = 60.0  # seconds between two words about a wait
_TAIL = 256 << 10  # bytes of an earlier job's log that are read


def clear(
    site: Site,
    last: str,
    say: Callable[[str], object],
    still_ours: Callable[..., None],
) -> None:
    """Returns once none is at work. ``last``: the statement of one that died, '' = look into the
    log of the youngest job. Refused: a process that is not ours to wait for; NotReachable: the
    database does not come back."""
    last = last or last_statement(site)
    told = 0.0
    while True:
        wait_for_database(site, say)
        processes = looking.running(site.docroot)
        if processes:
            raise Refused(
                f"core:update runs already: {processes[0].words}",
                host=site.host.name,
                state="None was started beside it",
                next="wait for it to end, then run this again",
            )
        left = _left(site, last)
        if not left:
            return
        if time.monotonic() - told >= _EVERY or not told:
            told = time.monotonic()
            say(f"  the server is still at work on {left[0]}; waiting for that to end, because "
                "nothing may be started beside it")  # fmt: skip
        with contextlib.suppress(ConnectionCut, NotReachable):  # asked again before the start
            still_ours()
        time.sleep(1.0)


def _left(site: Site, last: str) -> Sequence[str]:
    try:
        return looking.statements(site.docroot, last)
    except (ConnectionCut, NotReachable):
        return ["something that cannot be seen: it was away just now"]


def wait_for_database(site: Site, say: Callable[[str], object], patience: float = BACK) -> None:
    """Until it answers. NotReachable after ``patience`` seconds; other errors at once."""
    began, told, woken = time.monotonic(), 0.0, False
    while True:
        try:
            looking.versions(site.docroot)
            return
        except (ConnectionCut, NotReachable, DatabaseError) as error:
            if not _may_come_back(error):
                raise
            now = time.monotonic()
            if now - began > WAKE and not woken:
                woken = True
                for line in alert.send(site, "the database is away during core:update", error.what):
                    say(f"  alert: {line}")
            if now - began > patience:
                raise NotReachable(
                    f"the database does not come back ({show_duration(now - began)}): {error.what}",
                    host=site.host.name,
                    state="No core:update runs",
                    next="start the database; then run this again: it goes on",
                ) from None
            if now - told >= _EVERY or not told:
                told = now
                say(f"  the database does not answer; waiting for it to come back ({error.what})")
        time.sleep(1.0)


def _may_come_back(error: DatabaseError) -> bool:
    # 1053: shutting down. 1927: MariaDB ended the connection. 1040, 1203: no connection is free.
    # 1047: a Galera node that is not in its cluster.
    passing = (1053, 1927, 1040, 1203, 1047)
    return isinstance(error, (ConnectionCut, NotReachable)) or error.number in passing


def last_statement(site: Site) -> str:
    """What the youngest core:update was at when it ended badly; '' where it ended well."""
    job = site.jobs.latest(LABEL)
    if job is None or job.state in (host_jobs.DONE, host_jobs.RUNNING):
        return ""
    size = site.jobs.poll(job.name).job.log_size
    output, offset = UpdateOutput(), max(size - _TAIL, 0)
    while True:
        poll = site.jobs.poll(job.name, offset)
        if not poll.log:
            return output.current
        output.feed(poll.log.decode(errors="replace"), 0.0)
        offset = poll.offset


def running_job(site: Site) -> str:
    """The name of php's job that runs now, whoever started it; '' where none does."""
    job = site.jobs.latest(LABEL)
    return job.name if job is not None and job.state == host_jobs.RUNNING else ""


def demand_none_elsewhere(others: Sequence[Site]) -> None:
    """Refused where another listed server runs core:update. One round trip each."""
    for other in others:
        found = other.agent.call(
            "matops.matomo.core_update_look:processes",
            {"docroot": other.docroot},
            user=other.keeper,
        )
        if found:
            raise Refused(
                f"core:update runs on another server: {looking.from_data(found[0]).words}",
                host=other.host.name,
                state="None was started beside it",
                next=f"wait for it to end; fab -H {other.host.name} jobs shows whether it is a job",
            )
