"""From the web server's configuration (``probes/web.py``) to the logs to read, their formats."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matops.accesslog import discover, jsonform, keeping, lineform, logfiles, rotation
from matops.accesslog.discover import AccessLog
from matops.accesslog.lineform import Form
from matops.accesslog.logfiles import Family
from matops.errors import MatopsError

Facts = Mapping[str, Any]


def configured(web: Facts) -> list[AccessLog]:
    """What the configurations of all web servers say, running or not."""
    logs: list[AccessLog] = []
    apache, nginx = web.get("apache"), web.get("nginx")
    if apache:
        logs += discover.apache_logs(apache["lines"], apache["variables"], apache["server_root"])
    if nginx:
        logs += discover.nginx_logs(nginx["text"])
    return logs


def forms_of(logs: Sequence[AccessLog], tracker: bytes) -> list[Form]:
    """Readers of these formats and of the usual ones, each once, the configured first."""
    found: dict[tuple[str, str], Form] = {}
    for log in logs:
        text = log.format.text
        if not log.format.has_stamp or (log.kind, text) in found:
            continue
        if log.kind == "apache":
            form = lineform.of_apache(text, tracker)
        elif text.lstrip().startswith("{"):
            form = jsonform.of_nginx(text)
        else:
            form = lineform.of_nginx(text, tracker)
        found[log.kind, text] = form
    for name, text in lineform.BUILT_IN:
        found.setdefault(("apache", text), lineform.of_apache(text, tracker, name))
    return [*found.values(), jsonform.usual()]


def elsewhere(logs: Sequence[AccessLog], web: Facts, docroot: str) -> frozenset[bytes]:
    """Names of virtual hosts that serve another folder than Matomo's.

    None where some alias leads to Matomo: then any host may.
    """
    root = os.path.realpath(docroot)
    for _, line in (web.get("apache") or {"lines": []})["lines"]:
        alias = re.match(r'(?i)Alias\s+\S+\s+"?([^"\s]+)', line)
        if alias and _within(root, os.path.realpath(alias[1])):
            return frozenset()
    if re.search(rf"\balias\s+{re.escape(root)}", (web.get("nginx") or {"text": ""})["text"]):
        return frozenset()
    here = {name for log in logs if _serves(log, root) for name in log.names}
    other = {name for log in logs if not _serves(log, root) for name in log.names}
    return frozenset(re.sub(r":\d+$", "", name).encode() for name in other - here)


def _serves(log: AccessLog, root: str) -> bool:
    # Without a folder of its own it is a proxy, or the main server: it may lead anywhere.
    return not log.docroot or _within(root, os.path.realpath(log.docroot))


def _within(root: str, folder: str) -> bool:
    return root == folder or root.startswith(folder.rstrip("/") + "/") or folder.startswith(
        root + "/")  # fmt: skip


def families(
    web: Facts, docroot: str, asked: Sequence[str], tracker: bytes, kept: str = ""
) -> list[Family]:
    """The logs of this server, with the paths of their files. ``asked``: globs; then only these.
    ``kept``: where ``logs.retention --hold`` keeps rotated files.

    MatopsError: there is none, or none may be read.
    """
    logs = configured(web)
    live = [path for path in web.get("logs", []) if asked or not _foreign(path, logs, docroot)]
    groups: dict[str, list[str]] = {}
    for path in live:
        pattern = next((log.path for log in logs if "*" in log.path
                        and logfiles.matches(log.path, path)), "")  # fmt: skip
        groups.setdefault(pattern or path, []).append(path)
    olddirs = _olddirs(web)

    def places(log: str) -> list[str]:
        return [*olddirs, keeping.place(kept, log)] if kept else olddirs

    found = logfiles.assign(list(groups), places)
    for name, paths in groups.items():
        merged = dict.fromkeys([*found.get(name, []), *(p for p in paths if os.path.isfile(p))])
        found[name] = list(merged)
    result = []
    for name, paths in found.items():
        own = [log for log in logs if log.path and logfiles.matches(log.path, name)]
        if paths:
            result.append(_family(name, paths, forms_of(own or logs, tracker)))
    if not result:
        raise _none(web, asked)
    return result


def shipped(folder: str, server: str, web: Facts, tracker: bytes) -> list[Family]:
    """As ``families``, for logs that were copied to ``folder``. MatopsError: none is there."""
    forms = forms_of(configured(web), tracker)
    found = logfiles.shipped(folder, server)
    if not found:
        raise MatopsError(f"no file is in {folder}", next="name the folder with --logs DIR")
    return [_family(name, paths, forms) for name, paths in found.items()]


def _family(name: str, paths: Sequence[str], forms: Sequence[Form]) -> Family:
    files = [logfiles.look(path, forms) for path in paths]
    # A file under two names (a link, /var/log and where it leads) is one file.
    unique = {file.inode: file for file in reversed(files)}
    files = [file for file in files if unique.get(file.inode) is file or file.inode == (0, 0)]
    files.sort(key=lambda file: (file.first or b"9", file.mtime))
    lines = [line for file in files[-4:] for line in logfiles.sample(file)]
    return Family(name, logfiles.rank(forms, lines), files)


def _foreign(path: str, logs: Sequence[AccessLog], docroot: str) -> bool:
    writers = [log for log in logs if log.path and logfiles.matches(log.path, path)]
    root = os.path.realpath(docroot)
    return bool(writers) and not any(_serves(log, root) for log in writers)


def _olddirs(web: Facts) -> list[str]:
    seen = web.get("logrotate") or {"files": {}, "main": ""}
    rules = rotation.parse(seen["files"], seen["main"])
    return sorted({rule.olddir for rule in rules if rule.olddir.startswith("/")})


def _none(web: Facts, asked: Sequence[str]) -> MatopsError:
    denied = ", ".join(web.get("denied", [])[:3])
    if denied:
        return MatopsError(f"the access logs may not be read ({denied})",
                           next="give this account sudo")  # fmt: skip
    if asked:
        return MatopsError(f"no file matches access_logs ({', '.join(asked)})",
                           next="correct it in config/matops.yaml")  # fmt: skip
    return MatopsError("no access log was found on this server",
                       next="name the logs: access_logs in config/matops.yaml, or --logs DIR "
                       "where they were copied to")  # fmt: skip
