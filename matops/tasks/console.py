"""``console``: any console command of Matomo, as the web user."""

from __future__ import annotations

from typing import Any

from matops.errors import MatopsError
from matops.host import jobs as host_jobs
from matops.matomo import console as matomo_console
from matops.runbook.follow import follow
from matops.tasks.desk import LOCAL_HELP, Desk, operation
from matops.units import parse_duration


@operation(
    help={
        "command": 'the command and its flags, as one text: "core:archive --force-idsites=1"',
        "job": "as a detached job that survives this connection; its output is followed",
        "timeout": "end a call that is not a job after this time, with its unit: 90s, 10m",
        "local": LOCAL_HELP,
    },
    positional=["command"],
)
def console(
    c: Any, command: str, job: bool = False, timeout: str = "10m", local: bool = False
) -> None:
    """Run a console command; tell what it really did.

    As the web user, in the docroot; stdin is closed: nothing waits for an answer. Exit codes
    that lie are corrected.
    Example: fab -H web1 console "core:archive" --job
    """
    words = matomo_console.split(command)
    matomo_console.guard(words)
    limit = parse_duration(timeout, "--timeout")
    desk = Desk(c)
    site = desk.site(changes=True, local=local)
    if job:
        output, code = _as_job(desk, site, words)
        verdict = matomo_console.judge(words[0], code, output)
    else:
        result, verdict = matomo_console.run(site, words, timeout=limit)
        desk.write(result.text + result.err.decode(errors="replace"))
        if result.truncated:
            desk.say("[more output than is kept of a short call: use --job]")
    if verdict.status == matomo_console.OK:
        if verdict.why:
            desk.say(f"note: {verdict.why}. {verdict.next}")
        return
    matomo_console.raise_unless_ok(site, words, verdict)


def _as_job(desk: Desk, site: Any, words: list[str]) -> tuple[str, int]:
    name = host_jobs.new_name("console-" + words[0].replace(":", "."))
    line = matomo_console.command_line(site, words)
    user = site.worker or site.machine["user"]
    if not site.jobs.start(name, line, user=user, folder=site.docroot):
        raise MatopsError(f"a job named {name} is there already", host=site.host.name)
    desk.say(f"job {name} started on {site.host.name}")
    ended = follow(site.jobs, name, desk.write)
    if ended.code is None:
        raise MatopsError(f"job {name} has no exit code", host=site.host.name)
    tail = site.jobs.poll(name, max(ended.log_size - 8192, 0)).log
    return tail.decode(errors="replace"), ended.code
