"""systemd's services: held by a drop-in of ours with a condition that is never true.

Nothing starts such a service then, no timer, no boot, nobody by hand; ``Restart=no`` is in it, too,
for systemd does not look at conditions when it restarts a service (tried). Nothing of the unit, its
links or its timer is changed: to put it back is to remove one file of ours. (A runtime mask has
no effect on units in /etc/systemd/system, and ``disable`` is not undone to the letter.) A timer
that is active is stopped, too, so that it does not fire in vain, and started again.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from matops.errors import MatopsError

_ETC = "/etc/systemd/system"
_ASKED = (
    "Id,ExecStart,ExecStartPre,ExecStartPost,User,WorkingDirectory,ActiveState,SubState,"
    "UnitFileState,TriggeredBy,FragmentPath,DropInPaths,Environment"
)
_ARGV = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")


@dataclass(frozen=True)
class Unit:
    """A service that systemd has loaded. ``timers``: those that start it."""

    name: str
    commands: tuple[str, ...]
    user: str
    folder: str
    active: bool
    enabled: bool
    timers: tuple[str, ...]
    holders: tuple[str, ...]
    environment: str = ""


def running() -> bool:
    """Is systemd this machine's init?"""
    return os.path.isdir("/run/systemd/system")


def systemctl(*words: str, check: bool = True) -> str:
    """Its output. MatopsError where it fails or takes longer than a minute."""
    try:
        done = subprocess.run(
            ["systemctl", "--no-pager", *words], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=60, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise MatopsError(f"systemctl {' '.join(words[:2])}: {error}") from None
    if check and done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise MatopsError(f"systemctl {' '.join(words[:3])}: {said[-1] if said else 'failed'}")
    return done.stdout.decode(errors="replace")


def look() -> list[Unit]:
    """All services that systemd knows now (``--all``: those that do not run, too); some 50 ms."""
    if not running():
        return []
    timers = {
        one.get("Id", ""): one.get("ActiveState") == "active"
        for one in parse(
            systemctl("show", "*.timer", "--all", "--property=Id,ActiveState", check=False)
        )
    }
    shown = parse(systemctl("show", "*.service", "--all", f"--property={_ASKED}", check=False))
    return [unit(one, timers) for one in shown if one.get("Id")]


def parse(text: str) -> Iterator[dict[str, str]]:
    """The units in what ``systemctl show`` printed: a block of key=value each. Pure."""
    for block in text.split("\n\n"):
        found: dict[str, str] = {}
        for line in block.splitlines():
            key, sign, value = line.partition("=")
            if sign:
                found[key] = f"{found[key]}\n{value}" if key in found else value
        if found:
            yield found


def unit(shown: dict[str, str], timers: dict[str, bool]) -> Unit:
    """One of them. ``timers``: name → active. Pure."""
    name = shown["Id"]
    text = "\n".join(v for k, v in shown.items() if k.startswith("ExecStart"))
    starts = [t for t in shown.get("TriggeredBy", "").split() if t.endswith(".timer")]
    active = shown.get("ActiveState") in ("active", "activating", "reloading", "deactivating")
    held = re.findall(r"zzz-matops-hold-([\w.-]+?)\.conf", shown.get("DropInPaths", ""))
    folder = shown.get("WorkingDirectory", "").lstrip("!-")
    return Unit(
        name=name,
        commands=tuple(_ARGV.findall(text)),
        user=shown.get("User", "") or "root",
        folder=folder if folder.startswith("/") else "",
        active=active,
        enabled=active or shown.get("UnitFileState", "").startswith("enabled")
        or any(timers.get(t, False) for t in starts),
        timers=tuple(t for t in starts if timers.get(t, False)),
        holders=tuple(held),
        environment=shown.get("Environment", ""),
    )  # fmt: skip


def path(name: str, who: str) -> str:
    """Our drop-in."""
    return f"{_ETC}/{name}.d/zzz-matops-hold-{who}.conf"


def hold(name: str, who: str, timers: list[str], *, stop: bool) -> None:
    """OSError, MatopsError. Safe to repeat. ``stop``: what runs of it ends now."""
    file = path(name, who)
    os.makedirs(os.path.dirname(file), mode=0o755, exist_ok=True)
    with open(file, "w", encoding="utf-8") as out:
        out.write(
            f"# matops holds this service ({who}); to put it back: remove this file, then\n"
            "# systemctl daemon-reload, and start its timer\n"
            "[Unit]\nConditionPathExists=!/\n[Service]\nRestart=no\n"
        )
    os.chmod(file, 0o644)
    systemctl("daemon-reload")
    if timers:
        systemctl("stop", *timers)
    if stop:
        systemctl("stop", name)


def marked(who: str) -> list[str]:
    """Services with a drop-in of that holder."""
    pattern = path("*", who)
    return [os.path.basename(os.path.dirname(p))[:-2] for p in sorted(glob.glob(pattern))]


def release(name: str, who: str, timers: list[str], *, start: bool) -> str:
    """'' or what could not be put back. ``start``: it ran when it was held. Safe to repeat."""
    file = path(name, who)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(file))  # only where nothing else is in it
    systemctl("daemon-reload")
    known = systemctl("show", name, "--property=LoadState", check=False)
    if "LoadState=loaded" not in known:
        return "it is gone: somebody removed it while it was held"
    if timers:
        systemctl("start", *timers)
    if start:
        systemctl("start", "--no-block", name)
    return ""
