"""Whether there is something to fall back on: how old the newest backups are."""

from __future__ import annotations

from typing import Any, Optional

from matops.runbook.checks.result import OK, UNKNOWN, WARN, CheckResult, Facts, failed
from matops.units import show_duration, show_size

_SKEW = 3600.0  # seconds


def recent(facts: Facts) -> CheckResult:
    """A full backup of the operator's own, or at least the essentials, of late."""
    settings, seen = facts.settings, facts.probe("backups")
    wanted = (
        f"essentials within {show_duration(settings.backup_age)}, or a full backup within "
        f"{show_duration(settings.backup_full_age)}"
    )
    if "now" not in seen:
        reason = failed(seen) or "it was not asked"
        return CheckResult("backup", UNKNOWN, reason, wanted, "see the reason; then again")
    configured = bool(settings.backup_check or settings.backup_files)
    now = float(seen["now"])
    small = _age(now, (seen["essentials"] or {}).get("time"))
    full = _age(now, seen["full"])
    figures: dict[str, Any] = {"essentials_age": small, "full_age": full}
    found = f"{_essentials(seen, small)}; {_full(seen, configured, full)}"
    fresh = small is not None and small <= settings.backup_age
    if fresh or (full is not None and full <= settings.backup_full_age):
        return CheckResult("backup", OK, found, wanted, "", figures)
    todo = "db.backup --essentials, right before the upgrade; "
    todo += (
        "and your own full backup (db.backup --full)" if configured
        else "name your full backup in backup_command and backup_check or backup_files"
    )  # fmt: skip
    return CheckResult("backup", WARN, found, wanted, todo, figures)


def _age(now: float, then: Optional[float]) -> Optional[float]:
    """Seconds; None where there is none, or it is of a future that only a wrong clock knows."""
    if then is None or float(then) > now + _SKEW:
        return None
    return max(now - float(then), 0)


def _essentials(seen: Any, age: Optional[float]) -> str:
    newest, error = seen["essentials"], seen.get("essentials_error", "")
    if newest is None:
        return f"no essentials backup{': ' * bool(error)}{error}"
    if age is None:
        return f"essentials {newest['name']} are dated in the future"
    size = show_size(newest["size"])
    return f"essentials {show_duration(age)} old ({size}){', ' * bool(error)}{error}"


def _full(seen: Any, configured: bool, age: Optional[float]) -> str:
    if not configured:
        return "a full backup is not configured, so none is seen"
    if age is None:
        return f"full backup: {seen['full_error'] or 'dated in the future'}"
    return f"full backup {show_duration(age)} old"
