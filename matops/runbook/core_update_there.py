"""core:update on the host itself: started once, watched, started again after a crash, proven.

php runs as a job of its own (``console-core.update``, the same that ``console … --job`` makes), in
its own session: it outlives ssh, fab, this run and its job. Whoever runs the task again attaches.
Before every start it is made sure that none is at work: no process of this installation on this
host, no statement of a dead one in the server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shlex
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from matops.errors import Locked, MatopsError, OutcomeUnknown
from matops.host import jobs as host_jobs
from matops.matomo import core_update_look as looking
from matops.matomo.console import command_line
from matops.matomo.core_update_judge import (
    CRASHED,
    DONE,
    PLUGINS,
    STOPPED,
    UP_TO_DATE,
    Ending,
    judge,
)
from matops.matomo.core_update_words import up_to_date_words
from matops.matomo.database import Database
from matops.matomo.site import Site
from matops.mysql import server as servers
from matops.mysql.monitor import Monitor
from matops.mysql.session import Address, DatabaseError
from matops.mysql.update_eyes import Eyes, server_of
from matops.runbook import alert, core_update_clear, core_update_expected
from matops.runbook.core_update_advice import advice
from matops.runbook.core_update_clear import LABEL
from matops.runbook.core_update_watch import Care, Watch
from matops.runbook.rehearse_look import maker

PHP = ("-d", "max_execution_time=0", "-d", "mysqlnd.net_read_timeout=31536000")
"""The web's limits are for requests. An ALTER may take longer than a day, PHP's own patience."""
MEMORY = ("-d", "memory_limit=2G")
"""Unless PHP has more by itself; unlimited memory would call the kernel's killer."""
_LIMIT = "echo 'limit=', ini_get('memory_limit');"


@dataclass(frozen=True)
class Asked:
    """What the operator wants. ``login``: as whom the database is watched, see rehearse."""

    retries: int = 3
    end_idle: bool = False
    login: str = ""
    activate_new: bool = False
    open: bool = False
    """Although maintenance mode is off."""

    def words(self) -> list[str]:
        """The same as flags."""
        words = ["--retries", str(self.retries)]
        words += ["--end-idle-blockers"] if self.end_idle else []
        words += ["--login", self.login] if self.login else []
        words += ["--activate-new-plugins"] if self.activate_new else []
        return words + (["--open"] if self.open else [])


@dataclass
class Attempts:
    """Runs core:update until it is done; ``go`` once for each round."""

    site: Site
    say: Callable[[str], object]
    asked: Asked
    still_ours: Callable[..., None]
    begin: Callable[[str], object] = lambda name: None
    """Hears a job's name before it is started."""
    guard: Callable[[], object] = lambda: None
    """Called every minute while it runs."""
    restarts: int = 0
    migrations: int = 0
    seconds: float = 0.0
    trouble: list[str] = field(default_factory=list)
    """Of plugins: it says 'successfully updated' all the same."""
    deactivated: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)
    _done: list[str] = field(default_factory=list)
    """Statements that came to their end, in whatever run."""

    def go(self, to_version: str, attach: str = "") -> Ending:
        """Until core:update has come to its own end. Raises MatopsError where a migration failed,
        or it crashed more often than allowed; OutcomeUnknown where it was stopped, and goes on
        or not."""
        began = time.monotonic()
        expected = core_update_expected.look(self.site, to_version)
        if expected.source:
            self.say(f"  times are compared with {expected.source}")
        last = ""
        while True:
            ending, last = self._once(attach, last, expected)
            attach = ""
            if ending.kind != CRASHED:
                break
            self._after_crash(ending, last)
        self.seconds += time.monotonic() - began
        return self._judged(ending)

    # --- one run of it -----------------------------------------------------------------------

    def _start(self) -> str:
        name = host_jobs.new_name(LABEL)
        self.still_ours()
        self.begin(name)
        words = shlex.split(command_line(self.site, ["core:update", "--yes"]))
        command = shlex.join([words[0], *PHP, *self._memory(), *words[1:]])
        # umask: what it writes into tmp/ must stay readable for a web server of another user.
        script = f"umask 022; exec env -u MATOPS_CONFIG -u MATOPS_JOB -u MATOPS_FENCE {command}"
        user = self.site.worker or str(self.site.machine["user"])
        if not self.site.jobs.start(name, script, user=user, folder=self.site.docroot):
            raise MatopsError(f"a job named {name} is there already", host=self.site.host.name)
        self.say(f"  core:update started as job {name}: it goes on whatever happens to this run")
        return name

    def _memory(self) -> tuple[str, ...]:
        """A wrapper (setting php) that gives more than MEMORY keeps it."""
        found = self.site.host.run(
            [self.site.php, "-r", _LIMIT], user=self.site.worker, check=False,
            what="read PHP's memory_limit",
        )  # fmt: skip
        return () if _more_than_ours(found.text) else MEMORY

    def _clear(self, last: str) -> None:
        core_update_clear.clear(self.site, last, self.say, self.still_ours)

    def _once(
        self, attach: str, last: str, expected: core_update_expected.Expected
    ) -> tuple[Ending, str]:
        """One php, from its start (or ``attach``) to its end, and the statement it ended at."""
        with contextlib.ExitStack() as stack:
            eyes = None
            if not attach:
                self._clear(last)
                eyes = self._eyes(stack, "")  # its lock first: no db.optimize meanwhile
                attach = self._start()
            name = attach
            watch = Watch(
                self.site, name, eyes or (lambda: self._eyes(stack, name)), expected,
                self._care(), self.say, self._done,
            )  # fmt: skip
            try:
                code = watch.follow()
            except KeyboardInterrupt:
                raise OutcomeUnknown(
                    f"stopped watching; core:update goes on as job {name}",
                    host=self.site.host.name,
                    next=f"run the same again: it attaches; to end it all the same: "
                    f"jobs.stop {name} (a migration cut off in the middle is begun again)",
                ) from None
        ended = [step.statement for step in watch.output.steps if not step.error]
        self.migrations += len(ended)
        self._done += ended
        ending = judge(code, watch.output, up_to_date_words(self.site.docroot), self._current())
        last = watch.output.steps[-1].statement if watch.output.steps else ""
        return ending, last

    def _care(self) -> Care:
        def wake(what: str, text: str) -> None:
            for line in alert.send(self.site, what, text):
                self.say(f"  alert: {line}")

        return Care(end_idle=self.asked.end_idle, alert=wake, guard=self.guard)

    def _eyes(self, stack: contextlib.ExitStack, name: str) -> Optional[Eyes]:
        """The watch over the database; None where it cannot be now: the update goes on without.

        Locked: db.optimize works on the schema and job ``name`` is not begun yet ('')."""
        try:
            with Database(self.site.docroot, timeout=10) as db:
                address, user = self._watcher(db), db.address.user
            monitor = stack.enter_context(Monitor(address))
            eyes = Eyes(monitor, server_of(monitor), address.schema, user)
        except Locked as error:
            if not name:
                raise
            self._not_watched(error)
            return None
        except DatabaseError as error:
            self._not_watched(error)
            return None
        why = eyes.why_blind()
        if why:
            self._tell_once(f"  note: {why}")
        return eyes

    def _not_watched(self, error: MatopsError) -> None:
        self._tell_once(f"  not watched inside the database for now: {error.what}")

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.say(line)

    def _watcher(self, db: Database) -> Address:
        found = maker(db, servers.look(db.session), self.asked.login)
        return dataclasses.replace(found, schema=db.address.schema)

    def _current(self) -> bool:
        with contextlib.suppress(MatopsError):
            files, database = looking.versions(self.site.docroot)
            return bool(files) and files == database
        return False

    # --- its end -----------------------------------------------------------------------------

    def _after_crash(self, ending: Ending, last: str) -> None:
        """Counts it, and makes sure that nothing of it is left. MatopsError: once too often."""
        during = f" during {' '.join(last.split())[:120]}" if last else ""
        self.say(f"  core:update CRASHED{during}: {ending.why}")
        if self.restarts >= self.asked.retries:
            raise MatopsError(
                f"core:update crashed {self.restarts + 1} times; the last time: {ending.why}",
                host=self.site.host.name,
                state=f"{self._versions()}; maintenance mode and the held queue stay as they are",
                next="find the reason (dmesg for out of memory, PHP's and the database's error "
                "logs), then run this again: it goes on where it stopped",
            )
        self.restarts += 1
        self._clear(last)
        self.say(f"  {self._versions()}; starting it again "
                 f"({self.restarts} of {self.asked.retries})")  # fmt: skip

    def _versions(self) -> str:
        with contextlib.suppress(MatopsError):
            files, database = looking.versions(self.site.docroot)
            return f"version_core is {database}, the files are {files}"
        return "how far it came cannot be read now"

    def _judged(self, ending: Ending) -> Ending:
        if ending.kind in (DONE, UP_TO_DATE):
            return ending
        if ending.kind == PLUGINS:
            self.trouble.append(ending.why)
            self.deactivated += ending.deactivated
            self.say(f"  PLUGINS: {ending.why}")
            if ending.deactivated:
                self.say(f"  core:update deactivated: {', '.join(ending.deactivated)}")
            return ending
        if ending.kind == STOPPED:
            raise OutcomeUnknown(
                f"core:update was stopped: {ending.why}",
                host=self.site.host.name,
                state=f"{self._versions()}; it is not started again by itself",
                next="run this again to go on; the way back is only open if nothing was migrated "
                "(rollback --dry-run tells)",
            )
        what = f"{ending.what}: {ending.why}" if ending.what else ending.why
        raise MatopsError(
            f"core:update failed at {what}" if ending.what else f"core:update failed: {what}",
            host=self.site.host.name,
            state=f"{self._versions()}; it was not started again",
            next=advice(ending),
        )


def _more_than_ours(text: str) -> bool:
    found = re.search(r"limit=(\d+)([KMGkmg]?)", text)
    if not found:
        return False
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()] > 2 << 30
