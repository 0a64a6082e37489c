"""The result of a rehearsal: what it is, where it is kept, and whether it still holds.

One JSON file in the installation's state folder, 0600: the youngest rehearsal. ``plan`` and
``migrate.ahead`` read it; ``outdated`` says whether what it was made of has changed since.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError
from matops.host import files
from matops.matomo.site import Site

VERSION = 1
FILE = "rehearsal.json"
_LIMIT = 32 << 20  # bytes: an update of thousands of archive tables has as many statements

SQL, CONSOLE, OTHER = "sql", "console", "other"
"""Kinds of migrations: a statement; a console command that core:update runs inside itself;
anything else (activating a plugin, setting a configuration value)."""

MIGRATION, FOLLOWING = "core:update", "after the failure"
"""Who ran a migration: core:update itself, or we, to see what would fail beyond the first."""


@dataclass(frozen=True)
class Migration:
    """One migration as core:update printed it, the first of ``of`` being number 1."""

    number: int
    of: int
    statement: str
    """As printed: a statement of SQL, or the words of a command."""
    kind: str = SQL
    component: str = ""
    """core, or the plugin's name; '' where it cannot be told."""
    file: str = ""
    """The version of the update file it belongs to: ``5.6.0-b1``."""
    seconds: float = 0.0
    """On the empty copy: says nothing of the time on full tables."""
    ok: bool = True
    error: str = ""
    """Why it failed, in one line."""
    ran_by: str = MIGRATION
    ignores: list[int] = field(default_factory=list)
    """Error numbers of the server that core:update passes over for it (1060: it is there)."""
    tables: list[str] = field(default_factory=list)
    """The tables it names, with the live prefix."""
    verdict: Optional[dict[str, Any]] = None
    """How this server would do it: data of ``matops.mysql.ddl``'s verdict; None = not asked."""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    """Where the text holds several statements: one for each."""
    verdict_error: str = ""
    """Why the server could not be asked."""


@dataclass(frozen=True)
class Rehearsal:
    """One rehearsal of an update on an empty copy of the live schema."""

    from_version: str
    to_version: str
    stage: str
    """The folder of the stage."""
    at: float
    """When it began, seconds since 1970 on the host's clock."""
    server: str
    """``MariaDB 11.8.6``."""
    ok: bool
    """True where every migration ran and a second core:update found nothing to do."""
    error: str = ""
    """What failed, in one line."""
    migrations: list[Migration] = field(default_factory=list)
    seconds: float = 0.0
    host: str = ""
    schema: str = ""
    """The live schema."""
    prefix: str = ""
    tables: int = 0
    """How many tables the empty copy had."""
    plugins: list[str] = field(default_factory=list)
    """Components that were updated: plugins by name, and dimension columns."""
    deactivated: list[str] = field(default_factory=list)
    """Plugins that core:update switched off because their migration failed."""
    proofs: list[str] = field(default_factory=list)
    """How it is known that nothing live could be changed, a line each."""
    notes: list[str] = field(default_factory=list)
    """What was left out of the copy, and what cannot be seen on one."""
    live_changes: list[str] = field(default_factory=list)
    """What others changed in the live installation meanwhile, a line each."""
    config_changes: list[str] = field(default_factory=list)
    """What core:update would change in config.ini.php, a line each, values hidden."""
    fingerprint: str = ""
    """Stands for the live schema, the stage and the plugins: see ``outdated``."""
    parts: dict[str, str] = field(default_factory=dict)
    """What the fingerprint is made of, to say which of them has changed."""
    v: int = VERSION

    @property
    def failures(self) -> list[Migration]:
        """Those that failed, the first first."""
        return [each for each in self.migrations if not each.ok]

    @property
    def statements(self) -> list[Migration]:
        """The migrations that are statements of SQL, in order."""
        return [each for each in self.migrations if each.kind == SQL]

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return dataclasses.asdict(self)


def from_data(data: dict[str, Any]) -> Rehearsal:
    """A rehearsal from plain data; fields of a later matops are passed over."""
    migrations = [Migration(**_known(Migration, each)) for each in data.get("migrations", [])]
    return Rehearsal(**{**_known(Rehearsal, data), "migrations": migrations})


def _known(kind: Any, data: dict[str, Any]) -> dict[str, Any]:
    names = {each.name for each in dataclasses.fields(kind)}
    return {name: value for name, value in data.items() if name in names}


def save(state_dir: str, rehearsal: Rehearsal) -> str:
    """Writes it into the installation's state folder on this machine; the path. 0600."""
    folder = Path(state_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, fresh = folder / FILE, folder / f".{FILE}.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(rehearsal.data(), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return str(path)


def load(site: Site) -> Optional[Rehearsal]:
    """The youngest rehearsal of this installation; None where there was none yet.

    Raises MatopsError where the file is damaged, and what ``files.read`` raises.
    """
    path = f"{site.state_dir}/{FILE}"
    try:
        text = files.read(site.host, path, user=site.keeper, limit=_LIMIT)
    except files.NotThere:
        return None
    try:
        data = json.loads(text)
        if int(data.get("v", 0)) > VERSION:
            raise MatopsError(
                f"{path} was written by a newer matops",
                host=site.host.name,
                next="use that one, or rehearse again",
            )
        return from_data(data)
    except (ValueError, TypeError, AttributeError):
        raise MatopsError(
            f"{path} cannot be read", host=site.host.name, next="rehearse again"
        ) from None


def outdated(rehearsal: Rehearsal, now: dict[str, str]) -> str:
    """Why it does not hold any more, '' where it does. ``now``: ``rehearsal_base.parts``. Pure."""
    changed = [name for name in sorted({*now, *rehearsal.parts})
               if now.get(name) != rehearsal.parts.get(name)]  # fmt: skip
    if not changed:
        return ""
    tables = [name[6:] for name in changed if name.startswith("table ")]
    others = [name for name in changed if not name.startswith("table ")]
    words = others + ([f"the shape of {', '.join(tables[:5])}"] if tables else [])
    more = f" and {len(tables) - 5} more tables" if len(tables) > 5 else ""
    return f"{', '.join(words)}{more} changed since the rehearsal"
