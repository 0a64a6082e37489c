"""Watching a job from here: its output live, through lost links, until it ends or we leave."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

from matops.errors import ConnectionLost, OutcomeUnknown, Unreachable
from matops.host import jobs as host_jobs
from matops.host.jobs import Job, Jobs

PATIENCE = 600  # seconds that a lost link may take to come back
_SHORTEST, _LONGEST = 0.3, 2.0  # seconds that the host waits for the job's end before it answers


class Detached(OutcomeUnknown):
    """Ctrl-C: we stopped watching; the job goes on."""


def follow(jobs: Jobs, name: str, write: Callable[[str], object], offset: int = 0) -> Job:
    """Shows the job's log from ``offset`` (bytes) until it ends; how it ended.

    A lost link is reported once and reconnected for PATIENCE seconds. Raises Detached on
    Ctrl-C, OutcomeUnknown where the job was lost or the link stays down, UsageError: no such job.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    wait = _SHORTEST
    try:
        while True:
            asked = time.monotonic()
            poll = _poll(jobs, name, offset, wait, write)
            if poll.log:
                write(decoder.decode(poll.log))
                offset, wait = poll.offset, _SHORTEST
            elif poll.job.state != host_jobs.RUNNING:
                break
            else:
                # Where its flock cannot wait, we do.
                time.sleep(max(wait / 2 - (time.monotonic() - asked), 0))
                wait = min(wait * 1.5, _LONGEST)
    except KeyboardInterrupt:
        raise Detached(
            f"stopped watching; job {name} goes on",
            host=jobs.host.name,
            next=f"{come_back(jobs, name)}; to end it: jobs.stop {name}",
        ) from None
    if poll.job.state == host_jobs.LOST:
        raise host_jobs.lost(poll.job, jobs.host.name)
    return poll.job


def _poll(
    jobs: Jobs, name: str, offset: int, wait: float, write: Callable[[str], object]
) -> host_jobs.Poll:
    deadline, pause, told = time.monotonic() + PATIENCE, 1.0, False
    while True:
        try:
            return jobs.poll(name, offset, wait)
        except (ConnectionLost, Unreachable) as error:
            if time.monotonic() > deadline:
                raise OutcomeUnknown(
                    f"the link is gone and does not come back ({error.what})",
                    host=jobs.host.name,
                    state=f"Job {name} most likely goes on",
                    next=come_back(jobs, name),
                ) from None
            if not told:
                write(f"[link lost: {error.what}; the job goes on, reconnecting]\n")
                told = True
            time.sleep(pause)
            pause = min(pause * 2, 15)


def come_back(jobs: Jobs, name: str) -> str:
    """The command that shows this job again."""
    here = "inv" if jobs.host.is_local else f"fab -H {jobs.host.name}"
    return f"{here} jobs.follow {name}"
