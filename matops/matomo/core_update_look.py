"""Where an update stands: files, database, plugins, and who is at it. Reads only; on the host.

``console core:update`` without ``--yes`` is no look: it writes ``version_<Plugin>`` options and
empties the caches. So the same is read natively: core/Version.php, the option rows, plugin.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from matops.matomo import ini
from matops.matomo.core_update_tables import core_tables, plugin_tables
from matops.matomo.database import Database, read_config
from matops.matomo.migrated import code_version
from matops.matomo.release.versions import key
from matops.mysql import update_watch

COMMAND = b"core:update"
_NOT_PHP = re.compile(rb"python|fab$|inv|sudo$|ssh")
"""``inv console core:update``, typed on the host itself, has the same words as what it starts."""
_KEYS = ("host", "port", "unix_socket", "dbname", "tables_prefix")


@dataclass(frozen=True)
class Process:
    """One running ``console core:update`` of this installation. ``session``: its session's number,
    which is the pid of the job that started it; ``seconds`` since it began."""

    pid: int
    session: int
    user: str
    seconds: int
    machine: str
    tree: str
    """The docroot that it runs in; '' where that cannot be seen."""

    @property
    def words(self) -> str:
        """``process 123 of www-data on web1, since 40 s``."""
        return f"process {self.pid} of {self.user} on {self.machine}, since {self.seconds} s"


def processes(docroot: str) -> list[dict[str, Any]]:
    """Every core:update of this installation (its database, whatever the tree) on this machine.

    A rehearsal works on a database of its own and is none. One whose configuration cannot be
    read counts: rather once too often than twice at work. Raises what ``read_config`` raises.
    """
    return [asdict(each) for each in running(docroot)]


def running(docroot: str) -> list[Process]:
    """As ``processes``, as objects."""
    ours = _database(docroot)
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            one = _process(int(entry), ours)
            found += [one] if one else []
    return sorted(found, key=lambda one: one.pid)


def from_data(data: dict[str, Any]) -> Process:
    """A process from plain data."""
    return Process(**data)


def _process(pid: int, ours: Optional[tuple[str, ...]]) -> Optional[Process]:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    # A word of its own: shells, sudo and runuser have it inside a longer one; matops has a dot.
    if COMMAND not in words or _NOT_PHP.match(words[0].rpartition(b"/")[2]):
        return None
    console = next((w for w in words if w.rpartition(b"/")[2] == b"console"), b"")
    if not console:
        return None
    folder = os.fsdecode(console.rpartition(b"/")[0])
    absolute = console.startswith(b"/")
    seen = f"/proc/{pid}/root{folder}" if absolute else f"/proc/{pid}/cwd/{folder}"
    theirs = _database(seen)
    if ours and theirs and ours != theirs:
        return None
    tree = folder
    with contextlib.suppress(OSError):
        tree = folder if absolute else os.readlink(f"/proc/{pid}/cwd")
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if stat[0] == "Z":
        return None
    began = int(stat[19]) / os.sysconf("SC_CLK_TCK")
    up = float(Path("/proc/uptime").read_text().split()[0])
    uid = os.stat(f"/proc/{pid}").st_uid
    user = str(uid)
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(uid).pw_name
    return Process(pid, int(stat[3]), user, max(int(up - began), 0), socket.gethostname(), tree)


def _database(docroot: str) -> Optional[tuple[str, ...]]:
    """What tells one installation's database from another's; None where it cannot be read."""
    try:
        config = read_config(docroot)
    except Exception:  # another user's tree, half a tree: it counts as ours
        return None
    return tuple(ini.text_of(config, "database", name) for name in _KEYS)


def local_ports(pid: int) -> set[int]:
    """Ports of a process's own TCP connections: how the database's server names them. Empty where
    it cannot be seen (another user's process), or where it talks through a unix socket."""
    inodes = set()
    ports = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                parts = line.split()
                if parts[9] in inodes:
                    ports.add(int(parts[1].rpartition(":")[2], 16))
    return ports


def versions(docroot: str) -> tuple[str, str]:
    """(of the files, of the database): core's. One statement. DatabaseError."""
    with Database(docroot, timeout=30) as db:
        found = db.session.value("option_read", ("version_core",), option=db.table("option"))
    return code_version(docroot), str(found or "")


def statements(docroot: str, last: str = "") -> list[str]:
    """What the server works on of an update, in words: changes of this schema's tables, and
    ``last``, whatever it is. One statement. DatabaseError."""
    with Database(docroot, timeout=30) as db:
        seen = update_watch.connections(db.session)
        found = update_watch.schema_changes(seen, db.address.schema)
        mine = update_watch.find(seen, (), last, db.address.user) if last else None
    return [each.words for each in [*found, *([mine] if mine and mine not in found else [])]]


# --- how far -----------------------------------------------------------------------------------


def facts(docroot: str) -> dict[str, Any]:
    """``{"files", "database": versions, "behind": [lines], "new": plugins of this release that are
    neither installed nor activated, "to_install": plugins that are loaded and not installed,
    "missing": [tables], "statements": [lines], "processes": […], "maintenance": bool,
    "activated_list": bool, "now": the database's clock}``. Three statements, and files."""
    with Database(docroot, timeout=60) as db:
        option = db.table("option")
        rows = db.session.rows("option_named", ("version\\_%",), option=option)
        versions = {str(row["name"])[len("version_") :]: str(row["value"]) for row in rows}
        tables = {str(row["name"]) for row in db.session.rows("tables_all", (db.address.schema,))}
        plugins = plugin_facts(docroot, db.config)
        seen = update_watch.connections(db.session)
        return {
            "files": code_version(docroot),
            "database": versions.get("core", ""),
            "behind": behind(versions, plugins["versions"]),
            "new": plugins["new"],
            "to_install": plugins["to_install"],
            "missing": missing(docroot, db.config, db.prefix, tables),
            "statements": [
                each.words for each in update_watch.schema_changes(seen, db.address.schema)
            ],
            "processes": processes(docroot),
            "maintenance": ini.text_of(db.config, "General", "maintenance_mode") == "1",
            "activated_list": plugins["explicit"],
            "now": float(db.session.value("server_time")),
        }


def plugin_facts(docroot: str, config: ini.Sections) -> dict[str, Any]:
    """``{"versions": {plugin: version of its files}, "to_install", "new", "explicit"}``.

    ``versions``: of plugins that are activated and installed, the ones that core:update looks at
    (Updater::getComponentUpdates).
    """
    folder = Path(docroot)
    local = _parsed(folder / "config" / "config.ini.php")
    bundled = _parsed(folder / "config" / "global.ini.php")
    activated = ini.list_of(config, "Plugins", "Plugins")
    installed = set(ini.list_of(config, "PluginsInstalled", "PluginsInstalled"))
    there = [name for name in activated if (folder / "plugins" / name).is_dir()]
    explicit = bool(ini.list_of(local, "Plugins", "Plugins"))
    default = ini.list_of(bundled, "Plugins", "Plugins")
    core = code_version(docroot)
    return {
        "versions": {
            name: _plugin_version(folder / "plugins" / name, core)
            for name in there
            if name in installed
        },
        "to_install": [
            name for name in there if name not in installed and not _kept_out(docroot, config, name)
        ],
        "new": [
            name
            for name in default
            if name not in activated
            and name not in installed
            and not _kept_out(docroot, config, name)
        ],
        "explicit": explicit,
    }


def behind(database: dict[str, str], files: dict[str, str]) -> list[str]:
    """Plugins whose row in the database is older than their files, a line each. Pure."""
    return [
        f"{name}: {database.get(name) or 'none'} in the database, {version} in the files"
        for name, version in sorted(files.items())
        if _older(database.get(name, ""), version)
    ]


def _kept_out(docroot: str, config: ini.Sections, name: str) -> bool:
    """Plugins that need the internet are not loaded where Matomo is told that there is none
    (Manager::loadActivatedPlugins); Debian's Matomo tells itself so."""
    setting = ini.text_of(config, "General", "enable_internet_features", "1")
    core = _text(Path(docroot, "core", "SettingsPiwik.php"))
    never = re.search(r"function isInternetEnabled\b[^}]*?\n\s*return false;", core)
    if setting not in ("0", "false", "") and not never:
        return False
    text = _text(Path(docroot, "plugins", name, f"{name}.php"))
    return bool(re.search(r"function requiresInternetConnection\b[^}]*return true", text))


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def _older(was: str, now: str) -> bool:
    try:
        return not was or key(was) < key(now)
    except ValueError:
        return was != now


def _plugin_version(folder: Path, core: str) -> str:
    # Plugin::getVersion: plugin.json's, and Matomo's own where it has none.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return str(json.loads((folder / "plugin.json").read_text()).get("version") or core)
    return core


def _parsed(path: Path) -> ini.Sections:
    return ini.parse(_text(path))


def missing(docroot: str, config: ini.Sections, prefix: str, tables: set[str]) -> list[str]:
    """Tables that this release's core and its own plugins make, and that are not there.

    A plugin that was installed while its files were half there has none (facts §6)."""
    installed = set(ini.list_of(config, "PluginsInstalled", "PluginsInstalled"))
    bundled = _parsed(Path(docroot, "config", "global.ini.php"))
    ours = ini.list_of(bundled, "Plugins", "Plugins")
    activated = [
        n for n in ini.list_of(config, "Plugins", "Plugins") if n in installed and n in ours
    ]
    lower = {name.lower() for name in tables}
    lines = [
        f"{prefix}{name} (core)"
        for name in core_tables(docroot)
        if f"{prefix}{name}".lower() not in lower
    ]
    for plugin in activated:
        lines += [
            f"{prefix}{name} ({plugin})"
            for name in plugin_tables(docroot, plugin)
            if f"{prefix}{name}".lower() not in lower
        ]
    return lines
