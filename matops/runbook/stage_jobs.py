"""A function of the agent as a detached job: followed from here, its answer read back."""

from __future__ import annotations

import json
import shlex
from typing import Any, Callable

from matops.errors import MatopsError
from matops.host import agent as host_agent
from matops.host import jobs as host_jobs
from matops.matomo.site import Site
from matops.runbook.follow import follow

_ANSWERS = ('{"result"', '{"error"')


def call_there(
    site: Site, label: str, function: str, payload: dict[str, Any], say: Callable[[str], object]
) -> Any:
    """Calls ``module:function(**payload)`` on the host as job ``label.<time>``; its result.

    Attaches to a job of that label which still runs: a lost link costs nothing. The job runs
    as the keeper. Raises what the function raises there, and what ``follow`` raises.
    """
    running = site.jobs.latest(label)
    if running and running.state == host_jobs.RUNNING:
        say(f"going on with job {running.name}, started {running.started}")
        name = running.name
    else:
        name = _start(site, label, function, payload)
    lines = _Lines(say)
    job = follow(site.jobs, name, lines.take)
    if lines.answer:
        return host_agent.answer_of(lines.answer.encode(), site.host.name)
    raise MatopsError(
        f"job {name} ended with exit code {job.code} and no answer",
        host=site.host.name,
        next=f"fab -H {shlex.quote(site.host.name)} jobs.follow {name} shows its log",
    )


def _start(site: Site, label: str, function: str, payload: dict[str, Any]) -> str:
    agent = shlex.quote(site.agent.ensure())
    # The exit code must tell of a failure too: `call` itself always ends with 0. The trap lets
    # it clean up on TERM: were this shell gone first, the job would end, and all of it be killed.
    script = (
        "trap : TERM INT HUP; "
        f"answer=$(PYTHONUNBUFFERED=1 python3 {agent} call) || exit; "
        'printf "%s\\n" "$answer"; '
        """case $answer in '{"result"'*) exit 0;; *) exit 1;; esac"""
    )
    name = host_jobs.new_name(label)
    request = json.dumps({"function": f"matops.{function}", "payload": payload}).encode()
    user = site.keeper or str(site.machine["user"])
    if not site.jobs.start(name, script, user=user, stdin=request):
        # The name is new and partly random: whose job this is, we cannot tell.
        raise MatopsError(
            f"a job {name} is there already; it was not started by this run",
            host=site.host.name,
            state="Nothing was started",
            next="run this again",
        )
    return name


class _Lines:
    """Cuts a job's log into lines; keeps the last line that is an answer for itself."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._rest = ""
        self.answer = ""

    def take(self, text: str) -> None:
        """A piece of the log."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.startswith(_ANSWERS):
                self.answer = line
            elif line.strip():
                self._say(line)
