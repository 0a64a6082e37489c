"""One Matomo installation as seen from one of its hosts: found by looking, with one probe."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Optional

from matops.errors import MatopsError, PrivilegeMissing, Refused
from matops.host import probe
from matops.host.agent import Agent
from matops.host.jobs import Jobs
from matops.host.probes import machine
from matops.host.shell import Host
from matops.matomo import ini
from matops.matomo.probes import site as site_probe
from matops.settings import Settings

BASE: tuple[ModuleType, ...] = (machine, site_probe)
"""What every task needs to know; ``check`` asks for more in the same round trip."""


@dataclass(frozen=True)
class Site:
    """An installation on a host. All paths are the host's. Nothing here holds a secret."""

    host: Host
    settings: Settings
    probe: probe.Probe
    docroot: str
    web_user: str
    php: str
    version: str
    config: ini.Sections
    """global, common and config.ini.php merged; passwords and tokens replaced."""
    known_as: str = ""
    """Its ``id`` where config.ini.php cannot tell it: damaged, or gone."""

    @property
    def facts(self) -> dict[str, Any]:
        """The raw facts of the installation's files."""
        return self.probe.facts("site")

    @property
    def machine(self) -> dict[str, Any]:
        """The raw facts of the machine."""
        return self.probe.facts("machine")

    @property
    def prefix(self) -> str:
        """The table prefix; may be empty, is often ``piwik_``."""
        return ini.text_of(self.config, "database", "tables_prefix")

    @property
    def database_is_local(self) -> bool:
        """True where config.ini.php names this host itself as the database's."""
        # Only the host's own facts count: the operator's machine may be the database's.
        name = ini.text_of(self.config, "database", "host").lower()
        mine = str(self.machine.get("hostname", "")).lower()
        socket = ini.text_of(self.config, "database", "unix_socket")
        return bool(socket) or name in ("", "localhost", "::1", mine) or name.startswith("127.")

    @property
    def id(self) -> str:
        """``<schema>-<prefix>-<hash>``: names this installation's folder on its hosts."""
        if self.known_as:
            return self.known_as
        schema = ini.text_of(self.config, "database", "dbname")
        server = "local" if self.database_is_local else ini.text_of(self.config, "database", "host")
        port = ini.text_of(self.config, "database", "port")
        digest = hashlib.sha256(f"{server}:{port}/{schema}/{self.prefix}".encode()).hexdigest()
        words = re.sub(r"[^A-Za-z0-9_]+", "-", f"{schema}-{self.prefix}".strip("-_"))
        return f"{words}-{digest[:8]}"

    @property
    def keeper(self) -> Optional[str]:
        """Who keeps state and may change everything: root, or None = who logged in."""
        return "root" if self.probe.privileged else None

    @property
    def worker(self) -> Optional[str]:
        """Who runs console and reads config.ini.php: the web user, or None = who logged in."""
        return self.web_user if self.probe.privileged else None

    @property
    def state_dir(self) -> str:
        """This installation's folder on the host, mode 0700: jobs, journal, backups."""
        return f"{self.state_root}/{self.id}"

    @property
    def state_root(self) -> str:
        """The folder on the host that holds one folder for each installation."""
        if self.probe.privileged or self.settings.state_dir != Settings.state_dir:
            return self.settings.state_dir
        return f"{self.machine.get('home', '/tmp')}/.local/state/matops"

    @functools.cached_property
    def agent(self) -> Agent:
        """matops itself on the host."""
        return Agent(self.host, f"{self.state_root}/agent", owner=self.keeper)

    @functools.cached_property
    def jobs(self) -> Jobs:
        """This installation's jobs on the host."""
        return Jobs(self.host, f"{self.state_dir}/jobs", owner=self.keeper)

    def ask(self, function: str, *, timeout: Optional[float] = None, **payload: Any) -> Any:
        """Calls ``matops.<module>:function(docroot, **payload)`` where the database is reached."""
        return self.agent.call(
            f"matops.{function}",
            {"docroot": self.docroot, **payload},
            user=self.worker,
            timeout=timeout,
        )


def open_site(
    host: Host,
    settings: Settings,
    modules: Sequence[ModuleType] = BASE,
    asked: Optional[dict[str, Any]] = None,
    *,
    needs_config: bool = True,
) -> Site:
    """Looks at the host, once, and says what Matomo is there.

    ``modules``: probe sources (``BASE`` first); ``asked``: what they want to be told.
    ``needs_config`` False: a config.ini.php that is gone is no error (to restore it).
    Raises MatopsError (no Matomo, unreadable config), Refused (more than one), and what
    ``probe.collect`` raises.
    """
    question = {
        "docroot": settings.docroot,
        "web_user": settings.web_user,
        "php": settings.php,
        **(asked or {}),
    }
    found = probe.collect(host, modules, question)
    return from_probe(host, settings, found, needs_config=needs_config)


def from_probe(
    host: Host, settings: Settings, found: probe.Probe, *, needs_config: bool = True
) -> Site:
    """The site from facts at hand; same errors as ``open_site``."""
    facts = found.facts("site")
    if "error" in facts:
        raise MatopsError(f"cannot look at Matomo's files: {facts['error']}", host=host.name)
    if not facts["docroot"]:
        raise _no_docroot(host, settings, facts["docroots"])
    # Who may not read it must be told; only what root cannot read either is damaged.
    limited = facts["config_stat"] is not None and not found.privileged
    if facts["config"] is None and (needs_config or limited):
        raise _no_config(host, facts, found)
    return Site(
        host=host,
        settings=settings,
        probe=found,
        docroot=facts["docroot"],
        web_user=facts["web_user"],
        php=settings.php or facts["php"].get("program", "php"),
        version=facts["version"],
        config=ini.merge(*(ini.parse(facts[k] or "") for k in ("global", "common", "config"))),
    )


def _no_docroot(host: Host, settings: Settings, docroots: list[str]) -> MatopsError:
    if docroots:
        return Refused(
            f"more than one Matomo is here: {', '.join(docroots)}",
            host=host.name,
            next="name the one you mean: docroot in config/matops.yaml, under hosts",
        )
    where = (
        f"in {settings.docroot} (setting docroot)" if settings.docroot else "in the usual places"
    )
    return MatopsError(
        f"no Matomo found {where}",
        host=host.name,
        state="Nothing was changed",
        next="set docroot in config/matops.yaml",
    )


def _no_config(host: Host, facts: dict[str, Any], found: probe.Probe) -> MatopsError:
    path = f"{facts['docroot']}/config/config.ini.php"
    if facts["config_stat"] is None:
        return MatopsError(
            f"{path} does not exist: this Matomo is not installed, or its configuration is gone",
            host=host.name,
            next="fab config.list shows the backups there are",
        )
    mode = f"{facts['config_stat']['owner']} {facts['config_stat']['mode']}"
    if found.privileged:
        return MatopsError(
            f"{path} cannot be read even by root ({mode})",
            host=host.name,
            state="Nothing was changed",
            next="check its file system",
        )
    return PrivilegeMissing(
        f"{path} cannot be read ({mode}) and {found.limited.partition(': ')[2] or 'sudo is off'}",
        state="Nothing was changed",
    ).on(host.name)
