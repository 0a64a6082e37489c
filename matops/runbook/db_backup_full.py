"""Step ``db.backup --full``: the operator's own backup or snapshot command, and its proof."""

from __future__ import annotations

import datetime as dt

from matops.errors import MatopsError, OutcomeUnknown, UsageError
from matops.host import jobs as host_jobs
from matops.matomo.site import Site
from matops.runbook import db_backup_store as store
from matops.runbook.follow import follow
from matops.runbook.step import Action, Evidence, Look, Say, Step
from matops.units import show_duration, show_epoch

_JOB = "backup.full"

# The command comes by stdin, which the job does not keep: neither the list of jobs nor the
# process list shows it. In braces it is read whole before any of it runs and could read on.
_RUNNER = "exec sh  # the setting backup_command"


class BackupFull(Step):
    """Runs ``backup_command`` as a job; believed only when ``backup_check`` agrees."""

    name = "db.backup --full"
    title = "Run your own full backup"
    changes_data = False
    attaches = (_JOB,)

    def __init__(self, site: Site, say: Say, write: Say) -> None:
        """UsageError where the settings do not say what to run, or how to see that it worked."""
        super().__init__(site, say)
        self._write = write
        self._started = 0.0
        if not site.settings.backup_command:
            raise UsageError(
                "no full backup is configured", host=site.host.name,
                next="set backup_command in config/matops.yaml to your own tool or snapshot",
            )  # fmt: skip
        if not (site.settings.backup_check or site.settings.backup_files):
            raise UsageError(
                "nothing tells whether backup_command works: an exit code alone proves nothing",
                host=site.host.name,
                next="set backup_check (prints the time of the last backup) or backup_files",
            )

    def look(self) -> Look:
        """Finds one that runs already; says when the last one was made."""
        last = store.last_full(self.site)["time"]
        running = self.site.jobs.latest(_JOB)
        if running and running.state == host_jobs.RUNNING:
            self._started = _epoch(running.started)
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the full backup that runs already", why, running.name)])
        why = f"the last one was made {show_epoch(last)}" if last else "no earlier one is seen"
        user = self.site.keeper or self.site.machine["user"]
        return Look([Action(f"run backup_command as {user}, in a job", why)])

    def act(self, action: Action) -> None:
        """Starts the job, or attaches to it, and shows its output."""
        name = str(action.payload or "")
        if not name:
            name = host_jobs.new_name(_JOB)
            script = "{\n" + self.site.settings.backup_command + "\n} </dev/null\nexit $?\n"
            self.site.jobs.start(
                name, _RUNNER, user=self.site.keeper or self.site.machine["user"],
                stdin=script.encode(),
            )  # fmt: skip
            self.say(f"  job {name} started on {self.site.host.name}")
        job = follow(self.site.jobs, name, self._write)
        self._started = _epoch(job.started)
        if job.code:
            raise MatopsError(
                f"backup_command ended with exit code {job.code}",
                host=self.site.host.name,
                state="There is no new full backup to rely on",
                next=f"its output: jobs.follow {name}",
            )

    def verify(self) -> Evidence:
        """The check must name a time after the start."""
        found = store.last_full(self.site)
        if found["error"]:
            raise OutcomeUnknown(
                f"backup_command ended well, but whether there is a backup is not known: "
                f"{found['error']}",
                host=self.site.host.name, next="correct the setting, then look with check",
            )  # fmt: skip
        made = float(found["time"])
        if made < self._started:
            raise MatopsError(
                "backup_command ended with 0, but the newest full backup is of "
                f"{show_epoch(made)}, before it began",
                host=self.site.host.name,
                state="There is no new full backup",
                next="look at its output, and at backup_check or backup_files",
            )
        took = show_duration(max(found["now"] - self._started, 0))
        return Evidence(
            f"a full backup of {show_epoch(made)}, seen by backup_check or backup_files; {took}",
            {"full": made},
        )


def _epoch(started: str) -> float:
    """The second in which a job started."""
    return dt.datetime.fromisoformat(started.replace("Z", "+00:00")).timestamp()
