"""Facts of the machine: clock, memory, tools, users, disks. Runs on the host, stdlib only.

asked: ``paths`` (folders whose disk is wanted).
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
import sys
import time
from typing import Any

Facts = dict[str, Any]

TOOLS = (
    "php curl gpgv unzip rsync flock setsid runuser sudo pgrep crontab "
    "apache2ctl nginx systemctl logrotate redis-cli"
).split()


def collect(asked: Facts, found: Facts) -> Facts:
    """See the module; every size in bytes, every time in seconds since 1970 (UTC)."""
    return {
        "clock": time.time(),
        "zone": time.strftime("%Z"),
        "hostname": os.uname().nodename,
        "kernel": os.uname().release,
        "system": system(),
        "python": list(sys.version_info[:3]),
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "login": os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name,
        "home": home(),
        "cpus": os.cpu_count(),
        "memory": memory(),
        "tools": {name: shutil.which(name, path=search_path()) for name in TOOLS},
        "disks": {path: disk(path) for path in asked.get("paths", [])},
        "selinux": selinux(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "kill_user_processes": kill_user_processes(),
    }


def search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin"


def home() -> str:
    login = os.environ.get("SUDO_USER")
    return pwd.getpwnam(login).pw_dir if login else os.path.expanduser("~")


def system() -> str:
    try:
        with open("/etc/os-release") as file:
            pairs = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
        return pairs.get("PRETTY_NAME", "").strip('"')
    except OSError:
        return ""


def memory() -> Facts:
    """Bytes of MemTotal, MemAvailable, SwapTotal."""
    sizes = {}
    with open("/proc/meminfo") as file:
        for line in file:
            match = re.match(r"(MemTotal|MemAvailable|SwapTotal):\s+(\d+) kB", line)
            if match:
                sizes[match.group(1)] = int(match.group(2)) * 1024
    return sizes


def disk(path: str) -> Facts:
    """Free and total bytes and inodes of the filesystem that holds (or would hold) path."""
    there = path
    while not os.path.exists(there) and there not in ("", "/"):
        there = os.path.dirname(there)
    data = os.statvfs(there or "/")
    return {
        "device": os.stat(there or "/").st_dev,
        "free": data.f_bavail * data.f_frsize,
        "total": data.f_blocks * data.f_frsize,
        "free_inodes": data.f_favail,
        "total_inodes": data.f_files,
        "read_only": bool(data.f_flag & os.ST_RDONLY),
        "exists": there == path,
    }


def selinux() -> str:
    """'enforcing', 'permissive', or '' where there is none."""
    try:
        with open("/sys/fs/selinux/enforce") as file:
            return "enforcing" if file.read().strip() == "1" else "permissive"
    except OSError:
        return ""


def kill_user_processes() -> str:
    """The value set for logind, or '' (systemd's default is no)."""
    value = ""
    places = ["/etc/systemd/logind.conf"]
    for folder in ("/usr/lib/systemd", "/run/systemd", "/etc/systemd"):
        places += sorted(glob.glob(folder + "/logind.conf.d/*.conf"))
    for place in places:
        try:
            with open(place) as file:
                for line in file:
                    match = re.match(r"\s*KillUserProcesses\s*=\s*(\S+)", line)
                    value = match.group(1) if match else value
        except OSError:
            continue
    return value
