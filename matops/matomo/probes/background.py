"""Everything that may archive or process the queue by itself. Runs on the host, stdlib only.

Crontabs, cron's folders, scripts that they call, systemd's units, supervisor's programs and the
processes that run now. Raw lines come back (tokens and passwords in them replaced), each with
where it stands; ``matops.runbook.checks.background`` says what they are.
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import subprocess
import time
from typing import Any

Facts = dict[str, Any]

WORK = re.compile(
    r"(?i)core:archive|archive\.(?:php|sh)|queuedtracking:|scheduled-tasks:run"
    r"|/console\b|\bmatomo\b|\bpiwik\b"
)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s&"']+)"""
SECRETS = (
    re.compile(r"(?i)((?:token|passw|secret|api[_-]?key)[\w-]*[\"']?\s*[=: ]\s*)" + _VALUE),
    re.compile(r"(://[^/\s:@]+:)[^/\s@]+(?=@)"),  # https://user:password@host
    re.compile(r"(\s(?:-u|--user)[ =]?[^\s:]+:)\S+"),  # curl
    re.compile(r"(\s-p)\S+"),  # mysql
)
CRON_FILES = "/etc/crontab /etc/anacrontab /etc/cron.d/*".split()
CRON_SCRIPTS = [f"/etc/cron.{often}/*" for often in ("hourly", "daily", "weekly", "monthly")]
SPOOLS = ("/var/spool/cron/crontabs", "/var/spool/cron")
UNITS = [
    f"{folder}/*.{kind}"
    for folder in (
        "/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system",
        "/lib/systemd/system", "/usr/local/lib/systemd/system", "/etc/systemd/user",
        "/home/*/.config/systemd/user",
    )
    for kind in ("service", "timer")
]  # fmt: skip
SUPERVISOR = (
    "/etc/supervisord.conf /etc/supervisor/*.conf /etc/supervisor/conf.d/*.conf "
    "/etc/supervisord.d/*.ini /etc/supervisord.d/*.conf"
).split()
MANY = 200


def collect(asked: Facts, found: Facts) -> Facts:
    """Lists of ``{"where", "user", "line"}``; ``denied`` names what could not be looked into."""
    denied: list[str] = []
    return {
        "cron": cron(denied)[:MANY],
        "units": units(denied)[:MANY],
        "supervisor": supervisor(denied)[:MANY],
        "processes": processes()[:MANY],
        "sees_all_processes": os.geteuid() == 0 or os.path.isdir("/proc/1"),
        "denied": sorted(set(denied)),
    }


def hide(line: str) -> str:
    for secret in SECRETS:
        line = secret.sub(r"\1<hidden>", line)
    return line.strip()[:1000]


def read(path: str, denied: list[str]) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(100000)
    except PermissionError:
        denied.append(path)
    except OSError:
        pass
    return ""


def logical(text: str) -> list[str]:
    """Lines without comments, continued ones joined."""
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith(("#", ";"))]


def cron(denied: list[str]) -> list[Facts]:
    entries = []
    for path in expand(CRON_FILES):
        # cron passes over names like matomo.bak or matomo.dpkg-old in its folder.
        if "/cron.d/" in path and not re.match(r"^[A-Za-z0-9_-]+$", os.path.basename(path)):
            continue
        entries += crontab(path, read(path, denied), "", denied)
    for path in expand(CRON_SCRIPTS):
        entries += [
            {"where": path, "user": "root", "line": hide(line)}
            for line in logical(read(path, denied))
            if WORK.search(line)
        ]
    for user, text in user_crontabs(denied):
        entries += crontab(f"crontab of {user}", text, user, denied)
    return entries


def user_crontabs(denied: list[str]) -> list[list[str]]:
    for spool in SPOOLS:
        if os.access(spool, os.R_OK | os.X_OK) and os.geteuid() == 0:
            names = [n for n in sorted(os.listdir(spool)) if os.path.isfile(f"{spool}/{n}")]
            if names or spool == SPOOLS[0]:
                return [[name, read(f"{spool}/{name}", denied)] for name in names]
    if os.geteuid() == 0:
        return []
    denied.append("the crontabs of other users")
    try:
        mine = subprocess.run(
            ["crontab", "-l"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5
        )
        return [[pwd.getpwuid(os.getuid()).pw_name, mine.stdout.decode(errors="replace")]]
    except (OSError, subprocess.SubprocessError):
        return []


def crontab(where: str, text: str, user: str, denied: list[str]) -> list[Facts]:
    entries = []
    for line in logical(text):
        if re.match(r"^\w+\s*=", line):
            continue  # an environment setting
        fields = line.split(None, 1 if line.startswith("@") else 5)
        command = fields[-1]
        owner = user or command.split(None, 1)[0]
        inside = [] if WORK.search(command) else script(command, denied)
        if WORK.search(command) or inside:
            entry = {"where": where, "user": owner, "line": hide(line)}
            entries.append(dict(entry, script=inside) if inside else entry)
    return entries


def script(command: str, denied: list[str]) -> list[str]:
    """Lines of interest in the scripts that a command calls (one level, small text files)."""
    lines: list[str] = []
    for word in re.findall(r"(?<![\w>])/[\w./-]+", command)[:5]:
        try:
            if os.path.isfile(word) and os.path.getsize(word) < 65536:
                text = read(word, denied)
                if "\0" not in text:
                    lines += [hide(x) for x in logical(text) if WORK.search(x)]
        except OSError:
            continue
    return lines[:5]


def expand(patterns: list[str]) -> list[str]:
    paths = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
    return [path for path in dict.fromkeys(paths) if os.path.isfile(path)]


def units(denied: list[str]) -> list[Facts]:
    """Services whose command is of interest, and their timers; ``enabled``: linked to start."""
    services: dict[str, Facts] = {}
    timers: dict[str, str] = {}
    for path in expand(UNITS):
        name = os.path.basename(path)
        # A distribution's own hundreds of units are read only where the name or text fits.
        text = read(path, denied)
        if name.endswith(".timer"):
            match = re.search(r"(?m)^\s*Unit\s*=\s*(\S+)", text)
            unit = match.group(1) if match else name[:-6] + ".service"
            timers.setdefault(unit, path)
            continue
        for line in logical(text):
            if re.match(r"Exec\w*\s*=", line):
                inside = [] if WORK.search(line) else script(line, denied)
                if (WORK.search(line) or inside) and name not in services:
                    user = re.search(r"(?m)^\s*User\s*=\s*(\S+)", text)
                    services[name] = {
                        "where": path,
                        "user": user.group(1) if user else "root",
                        "line": hide(line),
                        "script": inside,
                        "enabled": is_enabled(name),
                    }
    for name, entry in services.items():
        if name in timers:
            entry["timer"] = timers[name]
            entry["enabled"] = is_enabled(os.path.basename(timers[name]))
    return list(services.values())


def is_enabled(unit: str) -> bool:
    return bool(glob.glob(f"/etc/systemd/system/*.wants/{unit}")) or bool(
        glob.glob(f"/etc/systemd/user/*.wants/{unit}")
    )


def supervisor(denied: list[str]) -> list[Facts]:
    entries: list[Facts] = []
    for path in expand(SUPERVISOR):
        program, user = "", ""
        for line in logical(read(path, denied)):
            section = re.match(r"\[program:([^\]]+)\]", line)
            if section or line.startswith("["):
                program, user = (section.group(1) if section else ""), ""
            match = re.match(r"(user|command)\s*=\s*(.*)", line)
            if program and match and match.group(1) == "user":
                user = match.group(2)
                for entry in entries:
                    if entry["program"] == program and entry["where"] == path:
                        entry["user"] = user
            elif program and match and (WORK.search(line) or script(line, denied)):
                entries.append(
                    {"where": path, "program": program, "user": user, "line": hide(match.group(2))}
                )
    return entries


def processes() -> list[Facts]:
    """Running PHP and shell commands of interest: pid, user, seconds since start, line."""
    found = []
    now, ticks = uptime(), os.sysconf("SC_CLK_TCK")
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(folder + "/cmdline", "rb") as file:
                line = file.read(8000).replace(b"\0", b" ").decode(errors="replace").strip()
            if int(folder[6:]) == os.getpid() or not WORK.search(line):
                continue
            with open(folder + "/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            user = os.stat(folder).st_uid
            found.append(
                {
                    "pid": int(folder[6:]),
                    "user": name_of(user),
                    "seconds": round(now - int(fields[19]) / ticks),
                    "line": hide(line),
                }
            )
        except (OSError, IndexError, ValueError):
            continue
    return sorted(found, key=lambda process: int(process["pid"]))


def uptime() -> float:
    try:
        with open("/proc/uptime") as file:
            return float(file.read().split()[0])
    except OSError:
        return time.monotonic()


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
