"""What core:update wrote into one server's ``config.ini.php``, brought to the others.

The migrations run once, on the leader; some of them set things in its file (5.7.0 adds
``proxy_scheme_headers``), and the new plugins are listed there. A server with a file of its own
would go on with the old settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from matops.errors import MatopsError
from matops.host import files
from matops.matomo import config_edit, ini_edit
from matops.matomo.site import Site

_OWN_SECTIONS = ("database", "database_reader", "log", "Cache", "RedisCache", "ChainedCache")
_OWN = {("General", "maintenance_mode"), ("Tracker", "record_statistics"), ("General", "salt")}
"""What each server may have for itself, and what the outage switches there on its own."""

Change = tuple[str, str, Optional[ini_edit.Value], Optional[ini_edit.Value]]
"""Section, key, value before, value now; None = absent."""


def changed(before: str, now: str) -> list[Change]:
    """The settings that differ between two texts of the leader's file. Pure."""
    old, new = ini_edit.read(before), ini_edit.read(now)
    keys = dict.fromkeys((p.section, p.key) for p in [*new.pieces, *old.pieces] if p.key)
    return [
        (section, key, old.get(section, key), new.get(section, key))
        for section, key in keys
        if section not in _OWN_SECTIONS
        and (section, key) not in _OWN
        and old.get(section, key) != new.get(section, key)
    ]


def fitting(changes: Sequence[Change], there: dict[str, Any]) -> tuple[list[list[Any]], list[str]]:
    """(edits for that server, settings that it has otherwise and keeps). ``there``: of
    ``config_edit.look``. Pure."""
    edits: list[list[Any]] = []
    kept: list[str] = []
    for section, key, before, now in changes:
        found = there[f"{section}.{key}"]
        value = found["value"] if found else None
        if value == now:
            continue
        if value == before or (isinstance(now, list) and _subset(value, now)):
            edits.append([section, key, now])
        else:
            kept.append(f"[{section}] {key}")
    return edits, kept


def _subset(value: object, now: Sequence[str]) -> bool:
    # Lists only grow in an update; one that lacks some gets them, in the leader's order.
    return value is None or (isinstance(value, list) and set(value) <= set(now))


def spread(
    leader: Site, kept: str, others: Sequence[Site], say: Callable[[str], object]
) -> list[str]:
    """Brings it to every other server; what could not be done, a line each.

    ``kept``: path on the leader of its file before the update.
    """
    before, now = (
        files.read(leader.host, path, user=leader.keeper).decode("utf-8", "surrogateescape")
        for path in (kept, f"{leader.docroot}/config/config.ini.php")
    )
    changes = changed(before, now)
    failed = []
    for other in others if changes else ():
        try:
            _bring(other, changes, say)
        except MatopsError as error:
            failed.append(error.on(other.host.name).line())
    return failed


def _bring(other: Site, changes: Sequence[Change], say: Callable[[str], object]) -> None:
    keys = [[section, key] for section, key, *_ in changes]
    there = other.agent.call(
        "matops.matomo.config_edit:look", {"docroot": other.docroot, "keys": keys},
        user=other.keeper,
    )  # fmt: skip
    edits, own = fitting(changes, there)
    if edits:
        answer = config_edit.edit(other, edits)
        names = ", ".join(f"[{section}] {key}" for section, key, _ in edits)
        say(f"  {other.host.name}: config.ini.php has {names} as the update wrote it; as it was: "
            f"{answer['kept']}")  # fmt: skip
    if own:
        say(f"  {other.host.name}: config.ini.php has {', '.join(own)} of its own; left so")
