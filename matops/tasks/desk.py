"""What every task does around its work: find the host, keep keys strict, report, exit.

``operation`` (operate.py) turns a function into a task whose errors are one line and an exit code.
``Desk`` is one task's work place: the host, the site, where lines are said.
"""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Optional

from matops import settings as settings_module
from matops.errors import MatopsError, Refused, UsageError
from matops.host.local import LocalLink
from matops.host.shell import Host
from matops.matomo import ini
from matops.matomo.site import BASE, Site, open_site
from matops.report.tables import as_json, table
from matops.runbook.engine import NOT_REACHED, Outcome, Run, run_steps
from matops.runbook.hold import Hold, identity
from matops.runbook.journal import Journal
from matops.runbook.step import Say, Scope, Step
from matops.tasks.operate import host_name, is_remote, operation, typed_hosts
from matops.units import compact_time, utc_now

LOCAL_HELP = "run on this very machine although it does not look like a Matomo host"
DRY_HELP = "only say what would be done, and why"
JSON_HELP = "print one JSON document instead of tables; progress goes to stderr"
TAKE_OVER_HELP = "replace a stale holder of the installation's lock (after you made sure)"
YES_HELP = "do not ask for confirmation"
CHANGING = {
    "dry-run": DRY_HELP,
    "json": JSON_HELP,
    "take-over": TAKE_OVER_HELP,
    "local": LOCAL_HELP,
}
"""Help of the flags that every changing task has."""


def make_host(context: Any, settings: settings_module.Settings) -> Host:
    """The host of this context, over SSH with strict keys, or this machine."""
    if not is_remote(context):
        return Host(LocalLink(), sudo=settings.sudo, timeout=settings.command_timeout)
    from matops.host.ssh import SshLink  # fabric and paramiko cost half a second: only here

    return Host(
        SshLink(context, settings.connect_timeout),
        sudo=settings.sudo,
        sudo_password=lambda: context.config.sudo.password,
        ask_password=_asker(host_name(context)),
        timeout=settings.command_timeout,
    )


def _asker(host: str) -> Optional[Callable[[], str]]:
    if not sys.stdin.isatty():
        return None
    return lambda: getpass.getpass(f"sudo password on {host}: ")


class Desk:
    """One task's work place on one host.

    ``say`` prints a line of progress: to stdout, or to stderr where stdout is for JSON.
    """

    def __init__(self, context: Any, *, json: bool = False) -> None:
        for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show × is no reason
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        self.context = context
        self.json = json
        self.settings = settings_module.load(host_name(context))
        self.host = make_host(context, self.settings)

    def say(self, line: str) -> None:
        """One line for the operator."""
        print(line, file=sys.stderr if self.json else sys.stdout, flush=True)

    def write(self, text: str) -> None:
        """Output of a job, as it comes."""
        stream = sys.stderr if self.json else sys.stdout
        stream.write(text)
        stream.flush()

    def site(
        self,
        *,
        changes: bool = False,
        local: bool = False,
        modules: Sequence[ModuleType] = BASE,
        asked: Optional[dict[str, Any]] = None,
    ) -> Site:
        """The installation there. A changing task refuses a machine that is no Matomo host."""
        try:
            return open_site(self.host, self.settings, modules, asked)
        except Refused:
            raise
        except MatopsError as error:
            if changes and not local and self.host.is_local and "no Matomo found" in error.what:
                raise not_a_matomo_host(self.host.name) from None
            raise

    def db_host(self) -> Optional[Host]:
        """The database's own machine, where the setting names one. Connected on first use."""
        return self._other(self.settings.db_host) if self.settings.db_host else None

    def other_hosts(self) -> list[Host]:
        """The installation's other web servers and archivers, as the settings list them."""
        listed = dict.fromkeys([*self.settings.servers, *self.settings.archivers])
        found = [self._other(name) for name in listed if name != self.host.name]
        return [host for host in found if host]

    def sites(self, first: Site, *, archivers: bool = False) -> list[Site]:
        """``first`` and the installation on the other listed servers (with ``archivers``: on the
        hosts that only archive, too), for steps that must be done on each of them.

        Refused under ``inv`` and in a job where others are listed: from here they cannot be
        reached. A listed server that is another installation is refused, too.
        """
        listed = [*self.settings.servers, *(self.settings.archivers if archivers else ())]
        names = [name for name in dict.fromkeys(listed) if name != self.host.name]
        if names and not is_remote(self.context):
            raise Refused(
                f"the settings list other servers, too ({', '.join(names)}), which cannot be "
                "reached from here",
                host=self.host.name,
                state="Nothing was changed",
                next=f"type it on your own machine: fab -H {self.host.name} …",
            )
        return [first, *(self._same_site(first, name) for name in names)]

    def _same_site(self, first: Site, name: str) -> Site:
        host = self._other(name)
        assert host is not None
        try:
            site = open_site(host, settings_module.load(name))
        except MatopsError as error:
            raise error.on(name) from None
        if site.prefix != first.prefix or _schema(site) != _schema(first):
            raise Refused(
                f"{name} is another installation than {self.host.name}: database "
                f"{_schema(site)}, prefix '{site.prefix}'",
                host=name,
                state="Nothing was changed",
                next="correct servers: and archivers: in config/matops.yaml",
            )
        return site

    def _other(self, name: str) -> Optional[Host]:
        if not is_remote(self.context):
            return None  # the agent and cron open no SSH connections
        from fabric import Connection

        other = Connection(name, config=self.context.config)
        return make_host(other, settings_module.load(name))

    def show(self, data: object, headers: Sequence[str], rows: Any, wrap: int = 1) -> None:
        """The result: a table, or ``data`` as JSON."""
        print(as_json(data) if self.json else table(headers, rows, wrap), flush=True)

    @contextmanager
    def run(
        self,
        site: Site,
        task: str,
        steps: Sequence[Step],
        *,
        dry_run: bool,
        take_over: bool,
    ) -> Iterator[Run]:
        """A run of steps under the installation's lock (none for a dry run)."""
        who = identity(task, self.host.name)
        by = f"{who['user']}@{who['machine']}"
        journal = Journal(site, f"{task}.{compact_time(utc_now())}", by)
        run = Run(site, self.say, journal, None, dry_run)
        attaches = [label for step in steps for label in step.attaches]
        if dry_run or not any(step.changes_data for step in steps):
            yield run
            return
        with Hold(site, task, take_over=take_over, attaches=attaches) as hold:
            if hold.note:
                self.say(hold.note)
            run.hold = hold
            yield run

    def finish(self, outcomes: Sequence[Outcome], extra: Optional[dict[str, Any]] = None) -> None:
        """The closing table; exits with the code of the first step that did not end well."""
        hosts = {o.host for o in outcomes if o.host} - {self.host.name}
        rows = [(_label(o, bool(hosts)), o.status, _seconds(o), o.detail) for o in outcomes]
        data = {"host": self.host.name, "steps": [o.data() for o in outcomes], **(extra or {})}
        self.show(data, ("step", "status", "seconds", "what"), rows)
        error = next((o.error for o in outcomes if o.error), None)
        if error:
            raise error


def _schema(site: Site) -> str:
    return ini.text_of(site.config, "database", "dbname")


def _label(outcome: Outcome, several: bool) -> str:
    return f"{outcome.step}@{outcome.host}" if several and outcome.host else outcome.step


def _seconds(outcome: Outcome) -> str:
    return "" if outcome.status == NOT_REACHED else f"{outcome.seconds:.1f}"


def not_a_matomo_host(name: str) -> Refused:
    """The guard: fab without -H runs here, which on a laptop is hardly meant."""
    return Refused(
        "this machine is no Matomo host, and no other one was named",
        host=name,
        state="Nothing was changed",
        next="fab -H HOST …, or set docroot, or add --local if this machine is meant",
    )


def run_task(
    context: Any,
    task: str,
    make: Callable[[Desk, Site], Sequence[Step]],
    *,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """A task that is one or a few steps: site, lock, steps, closing table."""
    desk = Desk(context, json=json)
    site = desk.site(changes=not dry_run, local=local)
    steps = make(desk, site)
    with desk.run(site, task, steps, dry_run=dry_run, take_over=take_over) as run:
        outcomes = run_steps(steps, run)
    desk.finish(outcomes)


def confirmer(yes: bool) -> Callable[[str, str], bool]:
    """Asks to type a word; False without a terminal unless --yes was given."""

    def confirm(question: str, word: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            return False
        try:
            return input(f"{question}\nType {word} to go on: ").strip() == word
        except EOFError:
            return False

    return confirm


def one_of(value: str, allowed: Sequence[str], flag: str) -> str:
    """``value`` if it is allowed. UsageError."""
    if value not in allowed:
        raise UsageError(f"--{flag}: '{value}' is not one of {', '.join(allowed)}")
    return value


__all__ = ["Desk", "Say", "Scope", "host_name", "is_remote", "operation", "run_task", "typed_hosts"]
