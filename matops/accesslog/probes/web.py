"""Facts of the web server and its access logs. Runs on the host, stdlib only.

asked: ``access_logs`` (globs; empty = found in the server's configuration). Raw lines come
back, for ``matops.accesslog.discover`` to understand; the few paths needed to look at the log
files themselves are read here, roughly. Logs may be tens of GB: only their size, their age and
the first stamp in their first 4 KB are read. No line of a log leaves the host.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import os
import pwd
import re
from typing import Any

Facts = dict[str, Any]

APACHE = (
    "/etc/apache2/apache2.conf /etc/httpd/conf/httpd.conf /etc/apache2/httpd.conf "
    "/usr/local/apache2/conf/httpd.conf"
).split()
NGINX = ("/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf")
USUAL = (
    "/var/log/apache2/*access*log /var/log/httpd/*access*log /var/log/nginx/*access*log"
).split()
APACHE_KEEP = re.compile(
    r"(?i)^(</?VirtualHost|ServerName|ServerAlias|ServerRoot|DocumentRoot|Alias|Define|LogFormat"
    r"|CustomLog|TransferLog|GlobalLog|BufferedLogs|RemoteIPHeader|RemoteIPInternalProxy|SetEnvIf)"
)
# Whole one-line statements that cannot matter; a log_format may span many lines.
NGINX_KEEP = (
    "log_format access_log server_name listen root alias real_ip_header set_real_ip_from"
).split()
SERVERS = re.compile(r"^(apache2|httpd|nginx|lighttpd|caddy|litespeed|lshttpd|php-fpm[\d.]*)$")
STAMP = re.compile(
    rb"\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}"
    rb"|\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})"
)
MANY, LONG = 400, 300000  # log files looked at; bytes of configuration sent
OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}


def collect(asked: Facts, found: Facts) -> Facts:
    """See the module. ``logs``: live logs; ``files``: these and what was rotated away."""
    denied: list[str] = []
    apache_facts = apache(denied)
    nginx_facts = nginx(denied)
    logs = live_logs(asked.get("access_logs") or [], apache_facts, nginx_facts, denied)
    return {
        "running": running(),
        "apache": apache_facts,
        "nginx": nginx_facts,
        "logrotate": logrotate(denied),
        "logs": logs,
        "files": {path: log_file(path) for path in with_siblings(logs)},
        "denied": sorted(set(denied)),
    }


def read(path: str, denied: list[str]) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(LONG)
    except PermissionError:
        denied.append(path)
    except OSError:
        pass
    return ""


def running() -> dict[str, list[str]]:
    """Web servers and PHP pools that run: name => users of their processes."""
    users: dict[str, set[str]] = {}
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(folder + "/comm") as file:
                name = file.read().strip()
            if SERVERS.match(name):
                user = pwd.getpwuid(os.stat(folder).st_uid).pw_name
                users.setdefault(name, set()).add(user)
        except (OSError, KeyError):
            continue
    return {name: sorted(names) for name, names in users.items()}


def apache(denied: list[str]) -> Facts | None:
    """The relevant lines of Apache's configuration, in the order in which Apache reads them."""
    root = next((path for path in APACHE if os.path.isfile(path)), "")
    if not root:
        return None
    base = os.path.dirname(root)
    variables = {"APACHE_LOG_DIR": "/var/log/apache2"} if base == "/etc/apache2" else {}
    for line in read(os.path.join(base, "envvars"), denied).splitlines():
        match = re.match(r"\s*export\s+(\w+)=(\S*)", line)
        if match:
            variables[match.group(1)] = match.group(2).strip("'\"").replace("$SUFFIX", "")
    facts: Facts = {"root": root, "server_root": base, "variables": variables, "lines": []}
    text = re.search(r'(?im)^\s*ServerRoot\s+"?([^"\s]+)', read(root, denied))
    facts["server_root"] = text.group(1) if text else base
    walk_apache(root, facts, denied, 0)
    return facts


def walk_apache(path: str, facts: Facts, denied: list[str], depth: int) -> None:
    text = read(path, denied).replace("\\\n", " ")
    for raw in text.splitlines():
        line = raw.strip()
        include = re.match(r'(?i)Include(?:Optional)?\s+"?([^"]+?)"?\s*$', line)
        if include and depth < 8:
            pattern = os.path.join(
                facts["server_root"], expand(include.group(1), facts["variables"])
            )
            if os.path.isdir(pattern):
                pattern += "/*"
            for name in sorted(glob.glob(pattern)):
                if os.path.isfile(name) or not os.access(name, os.R_OK):
                    walk_apache(name, facts, denied, depth + 1)
        elif APACHE_KEEP.match(line) and len(facts["lines"]) < 5000:
            define = re.match(r'(?i)Define\s+(\w+)\s+"?([^"\s]+)', line)
            if define:
                facts["variables"][define.group(1)] = define.group(2)
            facts["lines"].append([path, line[:2000]])


def expand(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda m: variables.get(m.group(1), m.group(0)), text)


def nginx(denied: list[str]) -> Facts | None:
    """nginx' configuration with its includes in place, without what cannot matter."""
    root = next((path for path in NGINX if os.path.isfile(path)), "")
    if not root:
        return None
    return {"root": root, "text": flatten(root, os.path.dirname(root), denied, 0)[:LONG]}


def flatten(path: str, base: str, denied: list[str], depth: int) -> str:
    kept = []
    for line in read(path, denied).splitlines():
        line = re.sub(r"(^|\s)#.*", "", line)
        include = re.match(r"\s*include\s+[\"']?([^;\"']+)[\"']?\s*;", line)
        single = re.match(r"\s*(\w+)\s[^{}]*;\s*$", line)
        if include and depth < 8:
            for name in sorted(glob.glob(os.path.join(base, include.group(1).strip()))):
                kept.append(flatten(name, base, denied, depth + 1))
        elif line.strip() and (not single or single.group(1) in NGINX_KEEP):
            kept.append(line)
    return "\n".join(kept)


SCRIPTS = re.compile(
    r"(?ms)^\s*(?:prerotate|postrotate|firstaction|lastaction|preremove)\b.*?^\s*endscript"
)


def logrotate(denied: list[str]) -> Facts:
    """logrotate's configuration files: path => text, without the scripts in them."""
    main = "/etc/logrotate.conf"
    files = {main: read(main, denied)} if os.path.isfile(main) else {}
    places = re.findall(r"(?m)^\s*include\s+(\S+)", files.get(main, "")) or ["/etc/logrotate.d"]
    for place in places:
        for path in sorted(glob.glob(place + "/*" if os.path.isdir(place) else place)):
            if os.path.isfile(path):
                files[path] = SCRIPTS.sub("", read(path, denied))[:20000]
    return {"main": main, "files": files}


def live_logs(asked: list[str], apache: Any, nginx: Any, denied: list[str]) -> list[str]:
    """The files that are written to now, as far as the configuration shows them."""
    patterns = list(asked)
    if not asked:
        patterns += USUAL
        for _, line in (apache or {"lines": []})["lines"]:
            match = re.match(r"(?i)(?:CustomLog|TransferLog|GlobalLog)\s+(\"[^\"]*\"|\S+)", line)
            if match:
                patterns.append(apache_path(match.group(1).strip('"'), apache))
        for path in re.findall(r"\baccess_log\s+([^\s;]+)", (nginx or {"text": ""})["text"]):
            if path != "off" and not path.startswith(("syslog:", "memory:")):
                patterns.append(re.sub(r"\$\{?\w+\}?", "*", path))
    logs = []
    for pattern in dict.fromkeys(p for p in patterns if p):
        folder = os.path.dirname(pattern)
        if not os.access(folder, os.X_OK | os.R_OK) and os.path.isdir(folder):
            denied.append(folder)
        logs += sorted(glob.glob(pattern)) or ([pattern] if "*" not in pattern else [])
    plain = [p for p in dict.fromkeys(logs) if not re.search(r"\.(gz|bz2|xz|zst|\d+)$", p)]
    return plain[:MANY]


def apache_path(text: str, facts: Facts) -> str:
    """The file behind a CustomLog; of a pipe, the argument that looks like a log's path."""
    text = expand(text, facts["variables"])
    if text.startswith("|"):
        words = [w for w in text.strip("|$ ").split()[1:] if w.startswith("/")]
        return re.sub(r"%[A-Za-z]", "*", words[-1]) if words else ""
    return os.path.join(facts["server_root"], text)


def with_siblings(logs: list[str]) -> list[str]:
    paths = list(logs)
    for path in logs:
        stem = re.sub(r"\.log$", "", path)
        paths += sorted(glob.glob(glob.escape(stem) + "*"))
    return list(dict.fromkeys(paths))[:MANY]


def log_file(path: str) -> Facts:
    """Size, age and first stamp (as written in the log) of one log; ``error`` if unreadable."""
    try:
        data = os.stat(path)
        facts: Facts = {"size": data.st_size, "mtime": data.st_mtime, "inode": data.st_ino}
        facts["real"] = os.path.realpath(path)
        with open(path, "rb") as plain:
            opener = OPENERS.get(plain.read(2))
        with (opener or open)(path, "rb") as file:
            stamp = STAMP.search(file.read(4096))
        facts["stamp"] = stamp.group(0).decode() if stamp else ""
        return facts
    except FileNotFoundError:
        return {"error": "not there"}
    except (OSError, EOFError, lzma.LZMAError) as error:
        return {"error": getattr(error, "strerror", None) or type(error).__name__}
