"""Which access logs a web server writes, in which format. Pure parsers of its configuration.

The raw lines come from ``probes/web.py``; Apache's in the order in which Apache reads them,
nginx' with its includes in place.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from matops.accesslog import logformat
from matops.accesslog.logformat import LineFormat

_COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst|Z)$")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|(\S+)')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[{};]|[^\s{};"\']+')


@dataclass(frozen=True)
class AccessLog:
    """One place that requests are logged to.

    ``path``: the file, '' where there is none (a pipe or syslog: ``program``; ``off``).
    ``names`` and ``docroot`` of the virtual host, empty for the main server. ``condition``:
    only requests with it are logged. ``buffered``: lines may appear late.
    """

    kind: str
    path: str
    format: LineFormat
    names: tuple[str, ...] = ()
    docroot: str = ""
    condition: str = ""
    program: str = ""
    off: bool = False
    buffered: bool = False


def apache_logs(
    lines: Sequence[Sequence[str]], variables: Mapping[str, str], server_root: str
) -> list[AccessLog]:
    """The logs of every virtual host and of the main server. ``lines``: ``[file, line]``."""
    names: dict[str, str] = {}
    hosts: list[_Host] = [_Host()]
    current = hosts[0]
    buffered = False
    for _, line in lines:
        key, rest = ([*line.split(None, 1), ""])[:2]
        words = _words(rest)
        lower = key.lower()
        if lower.startswith("<virtualhost"):
            current = _Host()
            hosts.append(current)
        elif lower.startswith("</virtualhost"):
            current = hosts[0]
        elif lower in ("servername", "serveralias"):
            current.names += words
        elif lower == "documentroot" and words:
            current.docroot = _expand(words[0], variables)
        elif lower == "bufferedlogs":
            buffered = words[:1] == ["On"] or words[:1] == ["on"]
        elif lower == "logformat" and words:
            names[words[1] if len(words) > 1 else ""] = words[0]
        elif lower in ("customlog", "transferlog", "globallog") and words:
            nickname = words[1] if lower != "transferlog" and len(words) > 1 else ""
            condition = next((w for w in words[2:] if w.startswith(("env=", "expr="))), "")
            target = current if lower != "globallog" else hosts[0]
            target.logs.append((_expand(words[0], variables), nickname, condition))
    return list(_apache_logs(hosts, names, server_root, buffered))


class _Host:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.docroot = ""
        self.logs: list[tuple[str, str, str]] = []


def _apache_logs(
    hosts: list[_Host], names: dict[str, str], server_root: str, buffered: bool
) -> Iterator[AccessLog]:
    for host in hosts:
        # A virtual host with no log of its own writes to the main server's.
        for target, nickname, condition in host.logs or hosts[0].logs:
            # A word that is no nickname is itself the format (mod_log_config).
            text = names.get(nickname, nickname or logformat.COMMON)
            piped = target.startswith("|")
            yield AccessLog(
                kind="apache",
                path=_piped_path(target) if piped else os.path.join(server_root, target),
                format=logformat.apache(text),
                names=tuple(host.names),
                docroot=host.docroot,
                condition=condition,
                program=target if piped else "",
                buffered=buffered,
            )


def _piped_path(command: str) -> str:
    """The file that rotatelogs or cronolog writes: a glob where its name holds a date."""
    words = [word for word in command.lstrip("|$ ").split()[1:] if word.startswith("/")]
    return re.sub(r"%[A-Za-z]", "*", words[-1]) if words else ""


def _words(text: str) -> list[str]:
    words = []
    for found in _WORD.finditer(text):
        quoted = next((g for g in (found[1], found[2]) if g is not None), None)
        words.append(found[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
    return words


def _expand(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: variables.get(found[1], found[0]), text)


def nginx_logs(text: str) -> list[AccessLog]:
    """The logs of every server and location, inherited ones included."""
    formats = {"combined": logformat.NGINX_COMBINED}
    root = _Block("", None)
    block = root
    words: list[str] = []
    for token in _TOKEN.findall(text):
        if token == "{":
            block = _Block(words[0] if words else "", block)
            words = []
        elif token == "}":
            block, words = block.parent or root, []
        elif token == ";":
            if words[:1] == ["log_format"] and len(words) > 2:
                pieces = [w for w in words[2:] if not w.startswith("escape=")]
                formats[words[1]] = "".join(pieces)
            elif words:
                block.statements.append(words)
            words = []
        else:
            words.append(_plain(token))
    return [log for found in root.walk() for log in found.logs(formats)]


def _plain(token: str) -> str:
    if token[:1] in "\"'" and len(token) > 1:
        return re.sub(r"\\([\"'\\])", r"\1", token[1:-1])
    return token


class _Block:
    def __init__(self, name: str, parent: Optional[_Block]) -> None:
        self.name = name
        self.parent = parent
        self.statements: list[list[str]] = []
        self.children: list[_Block] = []
        if parent is not None:
            parent.children.append(self)

    def walk(self) -> Iterator[_Block]:
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, key: str) -> list[list[str]]:
        """The statements in force here: a block's own replace all of its parent's."""
        own = [words for words in self.statements if words[0] == key]
        return own or (self.parent.find(key) if self.parent else [])

    def logs(self, formats: Mapping[str, str]) -> Iterator[AccessLog]:
        own = any(words[0] == "access_log" for words in self.statements)
        if not (self.name == "server" or (own and self.name == "location")):
            return
        names = [name for words in self.find("server_name") for name in words[1:]]
        docroot = next((words[1] for words in self.find("root") if len(words) > 1), "")
        for words in self.find("access_log") or [["access_log", "logs/access.log"]]:
            options = words[2:]
            style = next((w for w in options if "=" not in w), "combined")
            target = words[1] if len(words) > 1 else "off"
            is_file = target != "off" and not target.startswith(("syslog:", "memory:"))
            yield AccessLog(
                kind="nginx",
                path=re.sub(r"\$\{?\w+\}?", "*", target) if is_file else "",
                format=logformat.nginx(formats.get(style, logformat.NGINX_COMBINED)),
                names=tuple(names),
                docroot=docroot,
                condition=next((w for w in options if w.startswith("if=")), ""),
                program="" if is_file or target == "off" else target,
                off=target == "off",
                buffered=any(w.startswith(("buffer=", "gzip")) for w in options),
            )


def family(path: str) -> str:
    """The same name for a log and all that was rotated away from it.

    ``access.log``, ``access.log.3.gz``, ``access.log-20260101`` and ``access-20260101.log``
    belong together.
    """
    folder, _, name = _COMPRESSED.sub("", path).rpartition("/")
    return f"{folder}/{re.sub(r'[-._]?[0-9][0-9_-]*', '', name)}"


def stamp_epoch(text: str) -> Optional[float]:
    """Seconds since 1970 from ``22/Nov/2026:12:45:42 +0000`` or ISO 8601 with a zone."""
    fixed = re.sub(r"Z$", "+0000", text.strip())
    fixed = re.sub(r"([+-]\d{2}):(\d{2})$", r"\1\2", fixed).replace("T", " ", 1)
    fixed = re.sub(r"\.\d+(?=[+-]\d{4}$)", "", fixed)
    for layout in ("%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S%z"):
        try:
            return dt.datetime.strptime(fixed, layout).timestamp()
        except ValueError:
            continue
    return None
