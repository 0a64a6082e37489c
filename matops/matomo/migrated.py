"""Has a migration run? The installation before the exchange, and what is different now.

``snapshot`` is taken before the new files are there; ``look`` says later whether the way back is
still open. Old code on a migrated schema is a danger, and Matomo has no downgrade; but a UI
request or a worker may have written on new files without migrating anything: it installs new
plugins (their tables, ``version_<Plugin>`` rows, ``[PluginsInstalled]``) and marks plugins that
have no update file as up to date (core/Updater.php, loadComponentsWithUpdateFile). The old code
passes over newer ``version_`` rows of plugins (getComponentsWithNewVersion), not over a newer
``version_core``: there the UI refuses to work.

Runs where the database is reached. Nothing in a snapshot is a secret: settings are salted digests.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import ini
from matops.matomo.database import Database
from matops.matomo.rehearsal_base import by_table
from matops.matomo.release.versions import key
from matops.mysql.scratch import shapes
from matops.mysql.session import DatabaseError

VERSION = 1
NOTHING, HARMLESS, BEGUN, MIGRATED = "nothing migrated", "harmless", "begun", "migrated"
HISTORY = "MatomoUpdateHistory"
"""The option that core:update --yes writes before its first migration (updateComponents)."""
_DIMENSIONS = ("log_visit.", "log_conversion.", "log_conversion_item.", "log_link_visit_action.")
_TRAFFIC = ("queuedtracking_",)
"""Tables that come and go with requests."""


@dataclass(frozen=True)
class Verdict:
    """What is different now. Each difference is one line, in one of three lists."""

    verdict: str
    """NOTHING, HARMLESS, BEGUN (core:update began; no effect of a migration can be seen, but one
    that changes rows only leaves none) or MIGRATED."""
    migrated: list[str] = field(default_factory=list)
    """Effects of migrations: there is no way back over these."""
    harmless: list[str] = field(default_factory=list)
    """What new code wrote without a migration; old code does not mind."""
    others: list[str] = field(default_factory=list)
    """Settings: of config.ini.php and of plugins. Restoring the configuration undoes them."""
    put_back: dict[str, list[Optional[str]]] = field(default_factory=dict)
    """``{version_Plugin: [before, now]}`` of the harmless ones, for ``put_back``; None = no row."""

    @property
    def way_back(self) -> bool:
        """True where exchanging the trees back is safe, as far as the database tells."""
        return self.verdict in (NOTHING, HARMLESS)

    def data(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def from_data(data: dict[str, Any]) -> Verdict:
    """A verdict from plain data."""
    return Verdict(**{name: data[name] for name in Verdict.__dataclass_fields__ if name in data})


def snapshot(docroot: str) -> dict[str, Any]:
    """The state to compare with later, JSON-able: ``{"v", "version", "options", "tables",
    "config", "settings", "salt"}``. Some tens of KB. Six statements; about a second per 5,000
    tables. Raises what ``Database`` raises.
    """
    return _picture(docroot, secrets.token_hex(8))


def look(docroot: str, before: dict[str, Any]) -> dict[str, Any]:
    """``Verdict.data()``: what differs from ``before``, a ``snapshot``. Reads only.

    ``docroot``: holds the new files, if they are in place: their update files tell whether a
    plugin's newer version means a migration. MatopsError for a snapshot of another kind.
    """
    if before.get("v") != VERSION:
        raise MatopsError(
            "the picture of the database before the exchange is not there, or not of this matops",
            state="Nothing was changed",
            next="whether a migration ran cannot be told from here: compare by hand",
        )
    after = _picture(docroot, str(before["salt"]))
    return compare(before, after, _update_files(docroot, before, after)).data()


def put_back(docroot: str, rows: dict[str, list[Optional[str]]]) -> list[str]:
    """Writes ``Verdict.put_back``'s rows as they were, each only if it still is as it was looked
    at; the names of those that were. Raises DatabaseError."""
    done = []
    with Database(docroot, timeout=30) as db:
        option = db.table("option")
        for name, (was, now) in rows.items():
            if now is None:
                changed = db.session.execute("option_create", (name, was), option=option)
            elif was is None:
                changed = db.session.execute("option_drop", (name, now), option=option)
            else:
                changed = db.session.execute("option_swap", (was, name, now), option=option)
            done += [name] if changed else []
    return done


def compare(
    before: dict[str, Any], after: dict[str, Any], update_files: dict[str, list[str]]
) -> Verdict:
    """Pure. ``update_files``: ``{plugin: versions of its update files between the two}``."""
    migrated, harmless, put = _options(before["options"], after["options"], update_files)
    for name, was, now in _changed(before["tables"], after["tables"]):
        if was is None:
            harmless.append(f"{name} is new; the old code does not know it")
        else:
            migrated.append(f"{name} {'changed its shape' if now else 'is gone'}")
    others = [f"config.ini.php: {name}" for name, *_ in _changed(before["config"], after["config"])]
    others += [
        f"plugin setting {name}" for name, *_ in _changed(before["settings"], after["settings"])
    ]
    begun = before["options"].get(HISTORY) != after["options"].get(HISTORY)
    if begun:
        harmless.append("core:update was begun (it noted the version it came from)")
    verdict = MIGRATED if migrated else BEGUN if begun else HARMLESS if harmless else NOTHING
    return Verdict(verdict, migrated, harmless, others, put)


def _options(
    before: dict[str, str], after: dict[str, str], update_files: dict[str, list[str]]
) -> tuple[list[str], list[str], dict[str, list[Optional[str]]]]:
    migrated: list[str] = []
    put: dict[str, list[Optional[str]]] = {}
    for name, was, now in _changed(before, after):
        if name == HISTORY:
            continue
        component = name[len("version_") :]
        line = f"{name}: {was or 'none'} → {now or 'none'}"
        if component == "core" or component.startswith(_DIMENSIONS):
            migrated.append(line)
        elif was and now and update_files.get(component):
            migrated.append(f"{line} (with {', '.join(update_files[component])})")
        else:
            put[name] = [was, now]
    return migrated, _versions(put), put


def _versions(rows: dict[str, list[Optional[str]]]) -> list[str]:
    new = [name[len("version_") :] for name, (was, _) in rows.items() if was is None]
    moved = [name[len("version_") :] for name, (was, _) in rows.items() if was is not None]
    lines = [f"new plugins were installed: {', '.join(new)}"] if new else []
    if moved:
        more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
        lines.append(f"marked as up to date, with no migration: {', '.join(moved[:5])}{more}")
    return lines


def _changed(
    before: dict[str, str], after: dict[str, str]
) -> list[tuple[str, Optional[str], Optional[str]]]:
    names = sorted({*before, *after})
    return [(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)]


# --- reading ---------------------------------------------------------------------------------


def _picture(docroot: str, salt: str) -> dict[str, Any]:
    with Database(docroot, timeout=300) as db:
        option = db.table("option")
        options = {
            str(row["name"]): str(row["value"])
            for row in db.session.rows("option_named", ("version\\_%",), option=option)
        }
        history = db.session.value("option_read", (HISTORY,), option=option)
        if history is not None:
            options[HISTORY] = str(history)
        found = shapes.look(db.session, db.address.schema, db.prefix)
        skipped = tuple(f"table {db.prefix}{name}" for name in _TRAFFIC)
        tables = by_table(found.tables, db.prefix)
        return {
            "v": VERSION,
            "salt": salt,
            "version": code_version(docroot),
            "options": options,
            "tables": {name: one for name, one in tables.items() if not name.startswith(skipped)},
            "config": _settings(docroot, salt),
            "settings": _plugin_settings(db, salt),
        }


def _plugin_settings(db: Database, salt: str) -> dict[str, str]:
    try:
        rows = db.session.rows("plugin_settings_all", plugin_setting=db.table("plugin_setting"))
    except DatabaseError:
        return {}  # before Matomo 3
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(f"{row['plugin']}.{row['name']}", []).append(str(row["digest"]))
    return {name: _digest(salt, values) for name, values in found.items()}


def _settings(docroot: str, salt: str) -> dict[str, str]:
    try:
        text = Path(docroot, "config", "config.ini.php").read_text(errors="replace")
    except OSError as error:
        raise MatopsError(f"config.ini.php cannot be read: {error.strerror}") from None
    return {
        f"[{section}] {name}": _digest(salt, value)
        for section, entries in ini.parse(text).items()
        for name, value in entries.items()
    }


def _digest(salt: str, value: Any) -> str:
    return hashlib.sha256(f"{salt}{json.dumps(value)}".encode()).hexdigest()[:12]


def code_version(docroot: str) -> str:
    """The version of the files in a tree, from core/Version.php; '' where it cannot be told."""
    try:
        text = Path(docroot, "core", "Version.php").read_text(errors="replace")
    except OSError:
        return ""
    _, found, rest = text.partition("VERSION = '")
    return rest.partition("'")[0] if found else ""


def _update_files(
    docroot: str, before: dict[str, Any], after: dict[str, Any]
) -> dict[str, list[str]]:
    """Versions of the update files that lie between a plugin's two versions."""
    found: dict[str, list[str]] = {}
    for name, was, now in _changed(before["options"], after["options"]):
        plugin = name.partition("_")[2]
        if was and now and plugin.isalnum():
            files = Path(docroot, "plugins", plugin, "Updates").glob("*.php")
            between = [path.stem for path in files if _between(was, path.stem, now)]
            if between:
                found[plugin] = sorted(between)
    return found


def _between(was: str, version: str, now: str) -> bool:
    try:
        return key(was) < key(version) <= key(now)
    except ValueError:
        return False  # a helper file, not an update's
