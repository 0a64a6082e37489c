"""How far back each access log reaches, and what its rotation removes when. On the host."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Optional

from matops.accesslog import cut, keeping, rotation, sources
from matops.accesslog.logfiles import Family
from matops.accesslog.probes import web as web_probe
from matops.accesslog.rotation import Rotation

SURVIVES, LOST, UNSURE = "survives", "is deleted", "not sure"


def look(docroot: str, access_logs: Sequence[str], tracker_paths: Sequence[str], window: int,
         kept: str) -> list[dict[str, Any]]:  # fmt: skip
    """Each log: ``{log, files, bytes, oldest, rule, where, kept, next, goes, verdict, why}``.

    ``window``: seconds for which a line written now must stay. ``oldest``: epoch of the first
    line; ``next``/``goes``: when the rotation comes next, and the file that it removes then.
    MatopsError: no log.
    """
    web: dict[str, Any] = web_probe.collect({"access_logs": list(access_logs)}, {})
    tracker = cut.tracker_patterns(tracker_paths)[0]
    seen = web["logrotate"]
    rules = rotation.parse(seen["files"], seen["main"])
    families = sources.families(web, docroot, access_logs, tracker, kept)
    return [_family(family, rules, window, kept) for family in families]


def _family(family: Family, rules: list[Rotation], window: int, kept: str) -> dict[str, Any]:
    files = [file for file in family.files if not _is_kept(file.path, kept)]
    stamped = [file for file in files if file.first]
    rule = rotation.find(rules, family.name, os.path.realpath(family.name))
    rotated = [file for file in stamped if file.path != family.name]
    newest = max((file.mtime for file in rotated), default=None)
    full = rule is not None and 0 <= rule.rotate <= len(rotated) and bool(rotated)
    later = newest + rule.interval if rule and rule.interval and newest is not None else None
    stays = rule.kept if rule else None
    verdict, why = judge(rule, stays, _by_traffic(rule, rotated), window)
    return {
        "log": family.name, "files": len(files), "bytes": sum(file.size for file in files),
        "oldest": float(stamped[0].first or 0) if stamped else None,
        "rule": rule.shown if rule else "", "where": rule.where if rule else "", "kept": stays,
        "next": later, "goes": rotated[0].path if full else "", "verdict": verdict, "why": why,
        "held": len(family.files) - len(files),
    }  # fmt: skip


def _is_kept(path: str, kept: str) -> bool:
    return bool(kept) and path.startswith(kept.rstrip("/") + "/")


def _by_traffic(rule: Optional[Rotation], rotated: Sequence[Any]) -> Optional[float]:
    """Seconds that the files there are would last, where a size rotates them."""
    if rule is None or len(rotated) < 2 or rule.rotate < 0:
        return None
    first, last = float(rotated[0].first), float(rotated[-1].first)
    return (last - first) / (len(rotated) - 1) * rule.rotate


def judge(
    rule: Optional[Rotation], kept: Optional[int], estimate: Optional[float], window: int
) -> tuple[str, str]:
    """Whether a line written now is still there after ``window`` seconds, and why. Pure."""
    if rule is None:
        return UNSURE, "no logrotate rule: what removes it is not known"
    if kept is not None:
        return (SURVIVES, "by its rule") if kept >= window else (LOST, "its rule keeps less")
    if estimate is not None:
        if estimate >= 2 * window:
            return SURVIVES, "rotated by size; at the traffic until now"
        if estimate < window:
            return LOST, "rotated by size; at the traffic until now"
    return UNSURE, "rotated by size: it depends on the traffic"


def hold(docroot: str, access_logs: Sequence[str], tracker_paths: Sequence[str], kept: str,
         expires: float) -> dict[str, Any]:  # fmt: skip
    """Keeps every rotated file, and the live one where it is renamed when it is rotated."""
    web: dict[str, Any] = web_probe.collect({"access_logs": list(access_logs)}, {})
    tracker = cut.tracker_patterns(tracker_paths)[0]
    logs: dict[str, Sequence[str]] = {}
    for family in sources.families(web, docroot, access_logs, tracker, ""):
        logs[family.name] = [file.path for file in family.files if file.size]
    os.makedirs(kept, mode=0o700, exist_ok=True)
    return {**keeping.hold(kept, logs, expires), "at": time.time()}
