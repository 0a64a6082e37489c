"""Is there a tracking queue, which one, and how is it set: as the tracker itself sees it.

Runs where Matomo runs: it reads config.ini.php and the database, and holds Redis' password.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import ini, queue_settings
from matops.matomo.database import Database, read_config

PLUGIN = "QueuedTracking"
REDIS, MYSQL = "redis", "mysql"
CONFIG, ROW, DEFAULT = "config.ini.php", "the database", "the default"
SECRET = "redisPassword"


def is_true(value: str) -> bool:
    """As PHP's settype(bool) has it: the text "false" counts as TRUE (matomo.md §4)."""
    return value not in ("", "0")


@dataclass(frozen=True)
class Setup:
    """What is there. ``values``: the settings in force; ``origins``: where each comes from."""

    installed: bool
    active: bool
    recording: bool
    """[Tracker] record_statistics: without it nothing is queued, and nothing is processed."""
    values: dict[str, str] = field(default_factory=dict, repr=False)
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def enabled(self) -> bool:
        """True where hits go through the queue."""
        return self.active and is_true(self.values["queueEnabled"])

    @property
    def in_request(self) -> bool:
        """True where tracking requests process the queue themselves."""
        return is_true(self.values["processDuringTrackingRequest"])

    @property
    def backend(self) -> str:
        """``redis`` or ``mysql``; whatever is not mysql is Redis, as in the plugin."""
        return MYSQL if self.values["backend"] == MYSQL else REDIS

    @property
    def workers(self) -> int:
        """In how many lists the visitors are divided."""
        return max(_number(self.values["numQueueWorkers"], 1), 1)

    @property
    def batch(self) -> int:
        """Request sets that are processed at once; fewer are left to wait."""
        return max(_number(self.values["numRequestsToProcess"], 25), 1)

    def data(self) -> dict[str, Any]:
        """The same without the password."""
        known = {**asdict(self), "enabled": self.enabled, "in_request": self.in_request,
                 "backend": self.backend, "workers": self.workers, "batch": self.batch}  # fmt: skip
        known["values"] = {k: v for k, v in self.values.items() if k != SECRET}
        return known


def why_none(found: dict[str, Any]) -> str:
    """Why there is no queue to work with, from ``Setup.data()``; '' where there is one. Pure."""
    if not found["installed"]:
        return f"{PLUGIN} is not installed"
    if not found["active"]:
        return f"{PLUGIN} is installed, not active"
    return ""


def look(docroot: str, db: Optional[Database] = None) -> Setup:
    """Reads the files, and the plugin's rows in the database. MatopsError, DatabaseError.

    [QueuedTracking] of the configuration goes before the row, and that before the default. The
    tracker keeps rows in a cache that only Matomo's own page clears: a row written by plain SQL
    reaches it after core:clear-caches (measured).
    """
    config = db.config if db else read_config(docroot)
    installed = (Path(docroot) / "plugins" / PLUGIN / f"{PLUGIN}.php").is_file()
    active = PLUGIN in ini.list_of(config, "Plugins", "Plugins")
    rows = _rows(docroot, db) if active else {}
    section = config.get(PLUGIN, {})
    return Setup(
        installed=installed,
        active=active and installed,
        recording=ini.text_of(config, "Tracker", "record_statistics", "1") not in ("", "0"),
        values=queue_settings.in_force(config, rows),
        origins={
            name: CONFIG if name in section else ROW if name in rows else DEFAULT
            for name in queue_settings.DEFAULTS
        },
    )


def _rows(docroot: str, db: Optional[Database]) -> dict[str, str]:
    if db is None:
        with Database(docroot, timeout=15) as opened:
            return _rows(docroot, opened)
    found = db.session.rows(
        "plugin_settings", (PLUGIN,), plugin_setting=db.table("plugin_setting")
    )  # fmt: skip
    return {str(row["name"]): str(row["value"]) for row in found}


def _number(text: str, default: int) -> int:
    return int(text) if text.strip().isdecimal() else default


def need_active(found: Setup) -> None:
    """MatopsError, in one line, where there is no queue to work with."""
    why = why_none(found.data())
    if why:
        raise MatopsError(why, state="Nothing was changed", next=advice(found.data()))


def advice(found: dict[str, Any]) -> str:
    """What to do where there is no queue. Pure."""
    if not found["installed"]:
        return f"put the plugin into plugins/{PLUGIN}, or let the access logs carry the outage"
    return "queue.enable --activate, or let the access logs carry the outage"
