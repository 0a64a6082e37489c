"""``jobs``: what runs and ran on the host."""

from __future__ import annotations

from typing import Any

from invoke import Collection

from matops.errors import MatopsError, UsageError
from matops.host import jobs as host_jobs
from matops.host.jobs import Job
from matops.runbook.follow import follow as watch
from matops.tasks.desk import JSON_HELP, Desk, operation

_NAME = "name of the job, as `jobs` shows it; `last` = the newest"


@operation(help={"json": JSON_HELP, "all": "also those that ended; else the last ten"})
def list_(c: Any, json: bool = False, all: bool = False) -> None:
    """List the jobs: what runs, what ran, how it ended.

    Example: fab -H web1 jobs
    """
    desk = Desk(c, json=json)
    found = desk.site().jobs.list()
    shown = found if all else found[-10:]
    rows = [(j.name, j.state, "" if j.code is None else j.code, j.started, j.ended, j.command)
            for j in shown]  # fmt: skip
    data = [vars(job) for job in shown]
    desk.show(data, ("job", "state", "exit", "started (UTC)", "ended (UTC)", "command"), rows)


@operation(
    help={
        "name": _NAME,
        "from-end": "show only this many bytes of what is there, then follow; 0 = all",
    },
    positional=["name"],
)
def follow(c: Any, name: str, from_end: str = "0") -> None:
    """Show a job's output until it ends.

    Ends as the job ended (4 where a signal killed it). Ctrl-C leaves it running.
    Example: fab -H web1 jobs.follow archive.purge.20261122T121600Z
    """
    desk = Desk(c)
    site = desk.site()
    job = _chosen(site, name)
    if not from_end.isdigit():
        raise UsageError(f"--from-end: '{from_end}' is not a number of bytes")
    offset = max(job.log_size - int(from_end), 0) if int(from_end) else 0
    ended = watch(site.jobs, job.name, desk.write, offset)
    desk.say(f"job {ended.name}: {ended.state}, exit code {ended.code}, ended {ended.ended}")
    if ended.code:
        error = MatopsError(f"job {ended.name} had failed with exit code {ended.code}")
        error.code = host_jobs.exit_code(ended)
        raise error


@operation(
    help={"name": _NAME, "grace": "seconds between TERM and KILL"},
    positional=["name"],
)
def stop(c: Any, name: str, grace: str = "20") -> None:
    """Stop a running job and all its processes.

    TERM first, KILL after a while. What it had done stays.
    Example: fab -H web1 jobs.stop archive.purge.20261122T121600Z
    """
    desk = Desk(c)
    if not grace.isdigit():
        raise UsageError(f"--grace: '{grace}' is not a number of seconds")
    job = _stop(desk.site(), name, int(grace))
    desk.say(f"job {job.name}: {job.state}, exit code {job.code}")


def _stop(site: Any, name: str, grace: int) -> Job:
    job: Job = site.jobs.stop(_chosen(site, name).name, grace)
    return job


def _chosen(site: Any, name: str) -> Job:
    if name != "last":
        job: Job = site.jobs.poll(name).job
        return job
    found: list[Job] = site.jobs.list()
    if not found:
        raise UsageError("no job ran here yet", host=site.host.name)
    return _chosen(site, found[-1].name)


ns = Collection("jobs")
ns.add_task(list_, name="list", default=True)
ns.add_task(follow)
ns.add_task(stop)
