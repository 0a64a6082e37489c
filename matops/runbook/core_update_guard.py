"""The outage's switches, kept as they are while core:update runs.

An update file may switch them behind our back: ``enableMaintenanceMode`` and
``disableMaintenanceMode`` (core/Updates.php, for "large updates") set ``maintenance_mode`` and
``record_statistics`` both, and the second one opens the UI and the tracker whatever was there
before. A run that dies between the two leaves the tracker off: hits are answered and lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional

from matops.host import files
from matops.matomo import config_edit, ini_edit
from matops.matomo.site import Site
from matops.runbook.outage import Outage

_MODE, _TRACKING = ("General", "maintenance_mode"), ("Tracker", "record_statistics")
_KEYS = {_MODE: "maintenance", _TRACKING: "tracking"}
"""What of the outage's record tells that it is switched for the outage."""


def keep(
    site: Site, kept: str, say: Callable[[str], object], *, wanted_open: bool, ended: bool
) -> list[str]:
    """Puts the two switches back; what was done, a line each. Raises what config_edit raises.

    ``kept``: path of config.ini.php as it was before the update. ``wanted_open``: the operator
    has it run with the UI open. ``ended``: core:update does not run; while it does, it may have
    its reason for closing more, so only what it opened is put back.
    """
    before = ini_edit.read(files.read(site.host, kept, user=site.keeper).decode(errors="replace"))
    path = Path(site.docroot, "config", "config.ini.php")
    now = ini_edit.read(path.read_text(errors="replace"))
    found = Outage(site).read()["found"]
    edits: list[list[Any]] = []
    for place in _KEYS if not wanted_open else (_TRACKING,):
        should = _KEYS[place] in found or _closed(before, place)
        if should != _closed(now, place) and (should or ended):
            edits.append([*place, _written(before, place, should)])
    if not edits:
        return []
    config_edit.edit(site, edits)
    lines = [f"[{s}] {name} was switched by the update itself; put back" for s, name, _ in edits]
    for line in lines:
        say(f"  {line}")
    return lines


def _closed(config: ini_edit.Ini, place: tuple[str, str]) -> bool:
    value = config.get(*place)
    if place == _MODE:
        return ini_edit.is_one(value)
    return value is not None and not ini_edit.is_on(value)  # by default the tracker is on


def _written(before: ini_edit.Ini, place: tuple[str, str], should: bool) -> Optional[object]:
    """As it stood before, where that is what it should be."""
    raw = before.raw(*place)
    if _closed(before, place) == should:
        return None if raw is None else {"raw": raw}
    return "1" if (place == _MODE) == should else "0"
