"""What a rehearsal says beside its migrations: what was left out, and what it cannot see."""

from __future__ import annotations

from pathlib import Path

from matops.matomo import ini, staged_config
from matops.mysql.scratch import shapes
from matops.mysql.server import Server

BLIND = (
    "the copy has no rows in its large tables: what fails because of rows (a value too long, a "
    "duplicate key, bad dates) is not seen, and no time is measured"
)


def server(found: Server) -> list[str]:
    """Where else the empty tables come along."""
    if found.galera:
        return ["Galera: each table of the copy is made on all nodes (milliseconds)"]
    return (
        ["the copy, being empty tables, also passes through the replicas"] if found.binlog else []
    )


def tables(live: shapes.Schema) -> list[str]:
    """What CREATE TABLE … LIKE does not take over."""
    found = (
        ("triggers", [each.name for each in live.tables.values() if each.triggers]),
        ("foreign keys", [each.name for each in live.tables.values() if each.foreign_keys]),
        ("views", list(live.views)),
    )
    return [
        f"the copy has no {what} ({', '.join(names[:8])}): a migration of these may go differently"
        for what, names in found
        if names
    ]


def configuration(docroot: Path, texts: list[str]) -> list[str]:
    """Which settings and files of the live side the private copy does not have."""
    files = [name for name in ("bootstrap.php", "config/config.php") if (docroot / name).exists()]
    named = sorted((docroot / "config").glob("*.config.ini.php"))
    files += [f"config/{path.name}" for path in named if path.name != "common.config.ini.php"]
    out = [*staged_config.left_out(*texts), *files]
    return [f"left out of the staged configuration: {', '.join(out)}"] if out else []


def new_plugins(config: ini.Sections, stage: Path) -> list[str]:
    """Plugins that the release brings and this installation does not know."""
    bundled = ini.parse(text_of(stage / "config" / "global.ini.php"))
    known = {
        *ini.list_of(config, "Plugins", "Plugins"),
        *ini.list_of(config, "PluginsInstalled", "PluginsInstalled"),
    }
    new = [name for name in ini.list_of(bundled, "Plugins", "Plugins") if name not in known]
    if not new:
        return []
    return [
        f"new in this release: {', '.join(new)}; they are installed, with tables of their own, by "
        "the first web request after the update, not by core:update"
    ]


def text_of(path: Path) -> str:
    """A file's text; '' where there is none."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
