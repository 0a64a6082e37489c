"""The preflight table: one look at the host, one database conversation, then pure judgement."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Optional, Union

from matops.accesslog.probes import marker, web
from matops.errors import MatopsError, UsageError
from matops.host import probe
from matops.host.probes import machine as machine_probe
from matops.host.shell import Host
from matops.matomo.probes import background as background_probe
from matops.matomo.probes import backups as backups_probe
from matops.matomo.probes import console as console_probe
from matops.matomo.probes import ownership as ownership_probe
from matops.matomo.release.stages import Staged, from_manifest, root_of
from matops.matomo.site import BASE, Site, open_site
from matops.runbook.checks import (
    background,
    backup,
    database,
    logs,
    machine,
    matomo,
    php,
    queue,
    target,
)
from matops.runbook.checks.result import FAIL, OK, UNKNOWN, CheckResult, Facts
from matops.settings import Settings

MODULES: tuple[ModuleType, ...] = (
    *BASE, web, marker, background_probe, console_probe, ownership_probe, backups_probe,
)  # fmt: skip
"""Everything asked of the host, in one round trip."""

Check = Callable[[Facts], Union[CheckResult, list[CheckResult]]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("version", matomo.version),
    ("target-version", matomo.target),
    ("target: *", target.requirements),
    ("console", matomo.console),
    ("web-user", matomo.web_user),
    ("ownership", matomo.ownership),
    ("config-writable", matomo.config_writable),
    ("config-state", matomo.config_state),
    ("php", php.program),
    ("php-extensions", php.extensions),
    ("php-memory", php.memory),
    ("database", database.server),
    ("grants", database.grants),
    ("buffer-pool", database.buffer_pool),
    ("file-per-table", database.file_per_table),
    ("backup", backup.recent),
    ("archiving", database.archiving),
    ("archivers archivers@*", background.everywhere),
    ("queue", queue.plugin),
    ("redis redis-eviction redis-persistence redis-room", queue.redis),
    ("access-log", logs.marker),
    ("log-retention", logs.retention),
    ("disk-docroot disk-database disk-tmpdir", machine.disks),
    ("inodes", machine.inodes),
    ("swap", machine.swap),
    ("clock", machine.clock),
    ("kill-user-processes", machine.kill_user_processes),
    ("selinux", machine.selinux),
)
"""In the order of the table: the names of what each says (``*``: any end), and the check."""

OPEN = ("target: ", "archivers@")
"""How names begin that only the host knows: a release's requirements, other hosts."""

NAMES = tuple(
    name for names, _ in CHECKS for name in names.split() if "*" not in name and ":" not in name
)


def known(names: Sequence[str]) -> list[str]:
    """``names`` if each can be a check's. UsageError, before any host is asked."""
    for name in names:
        if name not in NAMES and not name.startswith(OPEN):
            close = difflib.get_close_matches(name, NAMES, 1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise UsageError(
                f"--force: there is no check '{name}'",
                next=f"{hint}one of: {', '.join(sorted(NAMES))}, target: …, archivers@…",
            )
    return list(names)


def collect(
    host: Host,
    settings: Settings,
    *,
    target_version: str = "",
    window: Optional[int] = None,
    url: str = "",
    db_host: Optional[Host] = None,
    others: Sequence[Host] = (),
) -> Facts:
    """Asks the host (one round trip), the database (one call), and the database's machine.

    ``target_version``: the release to go to (default: the one that is staged; words that are no
    version are shown where none is). ``window``: seconds of log that are needed (default: the
    setting). ``url``: Matomo's public address (default: the setting, else its first trusted
    host). ``db_host``: the database's own machine where that is another one; ``others``: the
    installation's other hosts, asked for what archives there. One more round trip to each.
    Raises what ``open_site`` raises; a database or a second machine that cannot be reached is
    part of the facts.
    """
    site = open_site(host, settings, modules=MODULES, asked=asked(settings, url))
    return from_site(
        site, target_version=target_version, window=window, db_host=db_host, others=others
    )


def asked(settings: Settings, url: str = "") -> dict[str, Any]:
    """What the probes of ``MODULES`` want to be told."""
    own = f"{settings.db_backup_dir}/*" if settings.db_backup_dir else ""
    roots = (settings.state_dir, "~/.local/state/matops")  # as Site.state_root has it
    return {
        "access_logs": list(settings.access_logs),
        "url": url or settings.url,
        "backups": {
            "folders": [own] if own else [f"{root}/*/db-backups" for root in roots],
            "check": settings.backup_check,
            "files": settings.backup_files,
        },
    }


def from_site(
    site: Site,
    *,
    target_version: str = "",
    window: Optional[int] = None,
    db_host: Optional[Host] = None,
    others: Sequence[Host] = (),
) -> Facts:
    """As ``collect``, from a site that was opened with ``MODULES``."""
    settings = site.settings
    preflight, error = {}, ""
    try:
        preflight = site.ask(
            "matomo.preflight:collect", stage_root=root_of(site), timeout=settings.command_timeout
        )
    except MatopsError as trouble:
        error = trouble.line()
    database = preflight.get("database", {})
    local = bool(database.get("local", site.database_is_local))
    named = target_version if re.match(r"\d", target_version) else ""
    staged = next_release(preflight.get("stages", []), named)
    return Facts(
        settings=settings,
        staged=staged,
        others={other.name: _background_of(other) for other in others},
        docroot=site.docroot,
        web_user=site.web_user,
        version=site.version,
        config=site.config,
        database_is_local=local,
        privileged=site.probe.privileged,
        before=site.probe.before,
        after=site.probe.after,
        probes=site.probe.found,
        preflight=preflight,
        preflight_error=error,
        db_machine=None if local else _machine_of(db_host, database.get("variables", {})),
        target_version=named or (staged.version if staged else target_version),
        window=settings.window if window is None else window,
    )


def _background_of(host: Host) -> dict[str, object]:
    try:
        return dict(probe.collect(host, [background_probe], {}).facts("background"))
    except MatopsError as trouble:
        return {"error": trouble.line()}


def next_release(stages: Sequence[dict[str, object]], version: str = "") -> Optional[Staged]:
    """The newest release that is staged and not yet in use; of ``version``, where it is named."""
    waiting = [stage for stage in map(from_manifest, stages) if not stage.in_use]
    waiting = [stage for stage in waiting if version in ("", stage.version)]
    return waiting[-1] if waiting else None


def _machine_of(db_host: Optional[Host], variables: dict[str, str]) -> Optional[dict[str, object]]:
    if db_host is None:
        return None
    names = ("datadir", "tmpdir", "innodb_tmpdir")
    paths = [str(variables.get(name) or "").split(":")[0] for name in names]
    try:
        found = probe.collect(db_host, [machine_probe], {"paths": [p for p in paths if p]})
    except MatopsError as trouble:
        return {"error": trouble.line()}
    return dict(found.facts("machine"))


def evaluate(facts: Facts) -> list[CheckResult]:
    """Judges the facts; pure."""
    results: list[CheckResult] = []
    for _, check in CHECKS:
        found = check(facts)
        results += found if isinstance(found, list) else [found]
    return results


def failures(results: Sequence[CheckResult], forced: Sequence[str] = ()) -> list[CheckResult]:
    """The checks that stop an upgrade, without those that the operator overrides by name."""
    return [result for result in results if result.status == FAIL and result.name not in forced]


def table_rows(results: Sequence[CheckResult]) -> list[list[str]]:
    """Rows for tabulate, under ``HEADERS``; what is wanted and to be done only where not ok."""
    return [
        [r.name, r.status, r.found, "" if r.status == OK else r.wanted, r.todo] for r in results
    ]


HEADERS = ("check", "status", "found", "wanted", "to do")

__all__ = ["CHECKS", "FAIL", "HEADERS", "OK", "UNKNOWN", "CheckResult", "Facts", "collect",
           "evaluate", "failures", "known", "table_rows"]  # fmt: skip
