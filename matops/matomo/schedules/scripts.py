"""Scripts in cron's folders (cron.daily …): held by taking away what makes cron run them.

A plain file loses its execute bits (its content and time stay), a symlink, whose target others
may use, gets a name with a leading dot: neither Debian's nor RHEL's run-parts runs these.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass

FOLDERS = ("hourly", "daily", "weekly", "monthly")
_DEBIAN = re.compile(r"^[a-zA-Z0-9_-]+$")
_RHEL_NOT = re.compile(r"[~,]$|\.(?:rpmsave|rpmorig|rpmnew|swp|cfsaved)$|,v$")


@dataclass(frozen=True)
class Script:
    """One file that run-parts would run. ``when``: hourly, daily …"""

    path: str
    when: str


def look(hidden: list[str]) -> list[Script]:
    """Those that would be run now."""
    relaxed = os.path.exists("/usr/sbin/crond")
    found = []
    for often in FOLDERS:
        for path in sorted(glob.glob(f"/etc/cron.{often}/*")):
            name = os.path.basename(path)
            runs = not _RHEL_NOT.search(name) if relaxed else _DEBIAN.match(name)
            if runs and os.path.isfile(path) and _runs(path):
                found.append(Script(path, often))
                if not os.access(path, os.R_OK):
                    hidden.append(path)
    return found


def _runs(path: str) -> bool:
    return bool(stat.S_IMODE(os.stat(path).st_mode) & 0o111)


def hidden_name(path: str) -> str:
    """Where a held symlink waits."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.matops-held"


def before(path: str) -> dict[str, str]:
    """What must be known to put it back."""
    if os.path.islink(path):
        return {"link": os.readlink(path)}
    return {"mode": f"{stat.S_IMODE(os.stat(path).st_mode):04o}"}


def hold(path: str) -> None:
    """OSError where it cannot be done. Safe to repeat."""
    if os.path.islink(path):
        os.rename(path, hidden_name(path))
    elif os.path.exists(path):
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~0o111)


def release(path: str, was: dict[str, str]) -> str:
    """'' or what is different from what was found. OSError. Safe to repeat."""
    if "link" in was:
        if os.path.lexists(path):
            again = os.path.lexists(hidden_name(path))
            return "somebody made it anew while it was held" if again else ""
        if not os.path.lexists(hidden_name(path)):
            return "it is gone: somebody removed it while it was held"
        os.rename(hidden_name(path), path)
        return ""
    if not os.path.exists(path):
        return "it is gone: somebody removed it while it was held"
    mode, now = int(was["mode"], 8), stat.S_IMODE(os.stat(path).st_mode)
    if now == mode:
        return ""
    if now != mode & ~0o111:
        return f"somebody changed its mode to {now:04o} (it was {was['mode']}): left so"
    os.chmod(path, mode)
    return ""
