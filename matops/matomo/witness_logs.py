"""Where requests to the tracker are logged, proven with marker requests. Runs on the host.

A marker is an OPTIONS preflight (``accesslog/probes/marker.py`` says why it changes nothing)
with a nonce in its query string and its user agent. One goes through the public name, and one
to each socket of this very server for each name: so every log that the tracker writes to here
gets one, and a log without one is not the tracker's.
"""

from __future__ import annotations

import binascii
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from matops.accesslog.discover import stamp_epoch
from matops.accesslog.probes import web
from matops.matomo import witness_http as http

Facts = dict[str, Any]

APPEAR, OTHERS = 2.0, 0.15  # seconds: for the first line to appear; then for the others
_TAIL = 4 << 20  # bytes written since the marker was sent that are searched, at most

HEALTH = re.compile(
    r"ELB-HealthChecker|kube-probe|GoogleHC|GoogleStackdriver|HAProxy|haproxy"
    r"|Route ?53[- ]Health|Edge Health Probe|Load Balancer Agent|Consul Health Check|F5[ -]"
)
"""User agents of load balancers' health checks, as their vendors document them."""
_REQUEST = re.compile(r'"(GET|HEAD|OPTIONS) (\S+) HTTP/[\d.]+" (\d{3})')
_READ = 512 * 1024  # bytes at the end of each log


def live_logs(access_logs: Sequence[str]) -> list[str]:
    """The logs that a web server of this machine writes to now (the setting goes first)."""
    found: list[str] = web.collect({"access_logs": list(access_logs)}, {})["logs"]
    return [path for path in found if os.access(path, os.R_OK)]


def mark(docroot: str, url: str, access_logs: Sequence[str], patience: float = APPEAR) -> Facts:
    """Sends markers and finds them again, within ``patience`` seconds.

    ``{"nonce", "at": {"before", "after"} (this server's clock around the sending), "sent":
    [{url, where, public, status, error}], "logs": [{path, inode, offset (of the marker's line,
    bytes), size, stamp (as written), epoch, how (query|agent), public (got the
    one through the public name), local (got one sent here)}], "searched": [paths]}``
    """
    logs = live_logs(access_logs)
    nonce = "matops-" + binascii.hexlify(os.urandom(8)).decode()
    begun = {path: _seen(path) for path in logs}
    before = time.time()
    sent = [_send(target, f"{nonce}-{i}") for i, target in enumerate(_targets(docroot, url))]
    after = time.time()
    answered = any(each["status"] for each in sent)
    found = _search(begun, nonce, len(sent), patience) if answered else []
    for each in found:
        numbers = each.pop("numbers")
        each["public"] = any(sent[i]["public"] for i in numbers)
        each["local"] = any(not sent[i]["public"] for i in numbers)
    return {"nonce": nonce, "at": {"before": before, "after": after}, "sent": sent, "logs": found,
            "searched": logs}  # fmt: skip


def _targets(docroot: str, url: str) -> list[http.Target]:
    return http.targets(url, config_text(docroot))


def config_text(docroot: str) -> str:
    """config.ini.php as it is, for the names in it; '' where it cannot be read."""
    try:
        return (Path(docroot) / "config" / "config.ini.php").read_text(errors="replace")
    except OSError:
        return ""


def _send(target: http.Target, nonce: str) -> Facts:
    answer = http.follow(
        target, f"matomo.php?matops_check={nonce}", method="OPTIONS", agent=nonce, timeout=5,
        headers={"Access-Control-Request-Method": "POST", "Origin": f"http://{target['name']}"},
    )  # fmt: skip
    return {key: answer[key] for key in ("url", "where", "public", "status", "error")}


def _seen(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_size


def _search(
    begun: dict[str, tuple[int, int]], nonce: str, many: int, patience: float
) -> list[Facts]:
    hits: dict[str, Facts] = {}
    deadline = time.monotonic() + patience
    quiet = False
    while time.monotonic() < deadline:
        for path, (inode, size) in begun.items():
            if hit := _look(path, inode, size, nonce):
                hits[path] = hit
        if not quiet and hits and len({n for hit in hits.values() for n in hit["numbers"]}) == many:
            quiet, deadline = True, min(deadline, time.monotonic() + OTHERS)
        time.sleep(0.03)
    return [hits[path] for path in sorted(hits)]


def _look(path: str, inode: int, size: int, nonce: str) -> Optional[Facts]:
    """The *first* marker's line in this log: from there on, every line came after it."""
    try:
        with open(path, "rb") as file:
            now = os.fstat(file.fileno())
            begin = size if now.st_ino == inode and now.st_size >= size else 0
            file.seek(begin)
            data = file.read(_TAIL)
    except OSError:
        return None
    found = list(re.finditer(rb"(matops_check=)?" + nonce.encode() + rb"-(\d+)", data))
    if not found:
        return None
    start = data.rfind(b"\n", 0, found[0].start()) + 1
    line = data[start:].split(b"\n", 1)[0].decode(errors="replace")
    stamp = web.STAMP.search(line.encode(errors="replace"))
    text = stamp.group(0).decode() if stamp else ""
    return {
        "path": path, "inode": now.st_ino, "offset": begin + start, "size": now.st_size,
        "stamp": text, "epoch": stamp_epoch(text) if text else None,
        "how": "query" if any(m[1] for m in found) else "agent",
        "numbers": sorted({int(m[2]) for m in found}),
    }  # fmt: skip


def health_checks(access_logs: Sequence[str], asked: Sequence[str] = ()) -> list[Facts]:
    """Health checks in the last lines of the live logs, and those that were ``asked`` for.

    ``{"agent", "method", "path", "status" (the last one seen, 0 = not seen), "times"}``
    """
    found: dict[tuple[str, str, str], Facts] = {
        ("", "GET", path): {"agent": "", "method": "GET", "path": path, "status": 0, "times": 0}
        for path in asked
    }
    for path in live_logs(access_logs):
        for line in _last_lines(path):
            check = health_check(line)
            if check is None:
                continue
            key = (check["agent"], check["method"], check["path"])
            times = found.get(key, {"times": 0})["times"]
            found[key] = {**check, "times": times + 1}
    return list(found.values())


def health_check(line: str) -> Optional[Facts]:
    """The health check that a line of a log is, or None. Pure."""
    request = _REQUEST.search(line)
    if not request:
        return None
    agent = HEALTH.search(line)
    # HAProxy's plain `option httpchk`: OPTIONS / with no user agent at all.
    bare = request[1] == "OPTIONS" and request[2] == "/" and line.rstrip().endswith('"-"')
    if not agent and not bare:
        return None
    word = re.search(rf'"([^"]*{re.escape(agent[0])}[^"]*)"', line) if agent else None
    return {"agent": word[1] if word else agent[0] if agent else "", "method": request[1],
            "path": request[2], "status": int(request[3])}  # fmt: skip


def _last_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _READ))
            return file.read(_READ).decode(errors="replace").splitlines()[-2000:]
    except OSError:
        return []
