"""What a rehearsal stands on, as digests: whether it still holds is a comparison of these.

``parts`` runs where the database is reached, with Matomo's own account, when a rehearsal is made
and whenever somebody wants to rely on one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Optional

from matops.matomo import ini
from matops.matomo.database import Database
from matops.matomo.rehearsal import Rehearsal, outdated
from matops.matomo.release.stages import Staged
from matops.matomo.site import Site
from matops.mysql.scratch import shapes

ARCHIVES = ("archive_numeric_", "archive_blob_")
_LIMITS = {"lock_wait_timeout": 5}


def parts(docroot: str, release: str) -> dict[str, str]:
    """``{name: digest or text}``: the schema table by table, versions, plugins, the release.

    ``release``: see ``release_key``. Archive tables come and go with the months: they count by
    their shapes only. Five statements. Raises what ``Database`` raises.
    """
    with Database(docroot, timeout=300) as db:
        db.session.set(_LIMITS)
        found = shapes.look(db.session, db.address.schema, db.prefix)
        core = db.session.value("option_read", ("version_core",), option=db.table("option"))
        facts = {
            "the staged release": release,
            "the installed version": str(core),
            "the database server": db.session.version_text,
            "the plugins": plugins_digest(docroot, db.config),
        }
        return {**facts, **by_table(found.tables, db.prefix)}


def by_table(tables: dict[str, shapes.Shape], prefix: str) -> dict[str, str]:
    """``{"table matomo_site": digest}``, archive tables by family. Pure."""
    found: dict[str, str] = {}
    families: dict[str, set[str]] = {}
    for name, shape in tables.items():
        family = next((f for f in ARCHIVES if name[len(prefix) :].startswith(f)), "")
        if family:
            families.setdefault(f"table {prefix}{family}*", set()).add(shape.digest)
        else:
            found[f"table {name}"] = shape.digest
    return {**found, **{name: _digest(sorted(each)) for name, each in families.items()}}


def plugins_digest(docroot: str, config: ini.Sections) -> str:
    """Stands for the lists in the configuration and for what each plugin's folder says it is."""
    files = {}
    for path in sorted((Path(docroot) / "plugins").glob("*/plugin.json")):
        try:
            files[path.parent.name] = str(json.loads(path.read_text()).get("version", ""))
        except (OSError, ValueError, AttributeError):
            files[path.parent.name] = "?"
    lists = [config.get(name, {}) for name in ("Plugins", "PluginsInstalled", "Plugins_Tracker")]
    return _digest([files, lists])


def release_key(staged: Staged) -> str:
    """What a stage is, whatever folder it lies in: version, sum, plugins staged with it."""
    added = ",".join(f"{name} {each.get('version')}" for name, each in staged.plugins.items())
    return " ".join(part for part in (staged.version, staged.sha256, added) if part)


def fingerprint(found: dict[str, str]) -> str:
    """One digest for all parts."""
    return _digest(found)


def why_outdated(site: Site, rehearsal: Rehearsal, staged: Optional[Staged]) -> str:
    """Why a rehearsal does not hold any more; '' where it does. One round trip."""
    if staged is None:
        return "the staged release is gone since the rehearsal"
    now = site.ask("matomo.rehearsal_base:parts", release=release_key(staged), timeout=600)
    return outdated(rehearsal, now)


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
