"""Running a task on the host itself: the agent, as a detached job, followed from here."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Sequence
from typing import Callable

from matops import settings as settings_module
from matops.errors import MatopsError, Refused
from matops.host import files
from matops.host import jobs as host_jobs
from matops.host.local import IN_JOB
from matops.matomo.site import Site
from matops.runbook.follow import follow
from matops.runbook.hold import FENCE


def run_there(
    site: Site,
    label: str,
    words: Sequence[str],
    *,
    write: Callable[[str], object],
    fence: int = 0,
    attach: str = "",
    begin: Callable[[str], object] = lambda name: None,
) -> host_jobs.Job:
    """Starts ``matops <words>`` on the host as job ``label.<time>`` and follows it to its end.

    ``attach``: the name of a job that runs already. ``begin`` hears a new one's name first.
    ``fence``: the number of the lock that the job works under (0: it takes the lock itself).
    Raises what ``follow`` raises; MatopsError with the job's own exit code where it ended with
    another than 0.
    """
    name = attach or start_there(site, label, words, fence, begin)
    job = follow(site.jobs, name, write)
    if job.code:
        raise _failed(site, job)
    return job


def _failed(site: Site, job: host_jobs.Job) -> MatopsError:
    """The job's own error: its last line, as a task prints it last; the job is named in it."""
    last = ""
    with contextlib.suppress(MatopsError):  # a lost link must not hide how the job ended
        last = site.jobs.last_line(job.name)
    what, told, cure = last.partition(". Next: ")
    what = re.sub(r"^[\w.-]+: ", "", what)  # the host's name, as it calls itself
    error = MatopsError(
        f"{what} (job {job.name})" if told else f"job {job.name} ended with exit code {job.code}",
        host=site.host.name,
        state="" if told else "Its last lines above say why",
        next=cure or "run the same task again: it goes on from what it finds",
    )
    error.code = host_jobs.exit_code(job)
    return error


def same_or_refuse(site: Site, task: str, job: host_jobs.Job, words: Sequence[str]) -> None:
    """Refused where ``job``, which runs already, is not ``words`` to the letter: ``--keep-days 3``
    is not ``--keep-days 30``, nor is one site all of them."""
    if not job.command.endswith(" " + shlex.join(words)):
        raise Refused(
            f"another {task} runs as job {job.name}: {job.command}",
            host=site.host.name,
            state="Nothing was changed",
            next=f"jobs.follow {job.name} shows it; then run this again",
        )


def start_there(
    site: Site,
    label: str,
    words: Sequence[str],
    fence: int = 0,
    begin: Callable[[str], object] = lambda name: None,
) -> str:
    """Starts ``matops <words>`` on the host as a job and does not wait for it; the job's name."""
    agent = site.agent.ensure()
    path = f"{site.state_dir}/settings.yaml"
    files.make_folder(site.host, site.state_dir, user=site.keeper)
    data = json.dumps(_portable(site)).encode()  # JSON is YAML
    files.write(site.host, path, data, user=site.keeper, mode="0600")
    environment = [f"MATOPS_CONFIG={path}", f"{IN_JOB}=1", "PYTHONUNBUFFERED=1"]
    if fence:
        environment.append(f"{FENCE}={fence}")
    name = host_jobs.new_name(label)
    begin(name)
    command = shlex.join(["exec", "env", *environment, "python3", agent, *words])
    if not site.jobs.start(name, command, user=site.keeper or site.machine["user"]):
        raise MatopsError(f"a job named {name} is there already", host=site.host.name)
    return name


def _portable(site: Site) -> dict[str, object]:
    # What was found from here is what the job works on: it need not find it again.
    values = settings_module.portable(site.settings)
    values.update(docroot=site.docroot, web_user=site.web_user, php=site.php)
    return values
