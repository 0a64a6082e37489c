"""What a log format of Apache or nginx puts where. Pure functions.

Sources: Apache's mod_log_config and nginx' ngx_http_log_module documentation.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Optional

COMMON = '%h %l %u %t "%r" %>s %b'
NGINX_COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" '
    '$status $body_bytes_sent "$http_referer" "$http_user_agent"'
)

# What a field tells about: the client's address, one handed on by a proxy, the query string…
_APACHE_ROLES = {
    "h": "client", "a": "client", "r": "request", "q": "query", "U": "path",
    "t": "stamp", "s": "status", "m": "method", "v": "host", "V": "host",
}  # fmt: skip
_NGINX_ROLES = {
    "remote_addr": "client", "binary_remote_addr": "client", "request": "request",
    "request_uri": "request", "args": "query", "query_string": "query", "uri": "path",
    "document_uri": "path", "time_local": "stamp", "time_iso8601": "stamp", "msec": "stamp",
    "status": "status", "request_method": "method", "host": "host", "server_name": "host",
    "realip_remote_addr": "peer", "proxy_protocol_addr": "forwarded",
}  # fmt: skip
_FORWARDED = re.compile(
    r"(?i)^(x[-_]forwarded[-_]for|x[-_]real[-_]ip|forwarded|true[-_]client[-_]ip|client[-_]ip"
    r"|cf[-_]connecting[-_]ip|x[-_]client[-_]ip|x[-_]cluster[-_]client[-_]ip)$"
)
_AGENT = re.compile(r"(?i)^user[-_]agent$")
_APACHE_FIELD = re.compile(r"%(?:[!\d,]*)[<>]?(?:\{([^}]*)\})?(\^[A-Za-z]{2}|[A-Za-z%])")
_NGINX_FIELD = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class LineFormat:
    """A format understood: ``roles`` in the order of the line, and a pattern for whole lines.

    Roles: client, forwarded, peer, request, query, path, stamp, status, method, host, agent;
    '' for anything else.
    """

    text: str
    roles: tuple[str, ...]
    pattern: re.Pattern[str] = field(repr=False)

    @property
    def has_query(self) -> bool:
        """True where a replay finds the tracking parameters in it."""
        return "request" in self.roles or "query" in self.roles

    @property
    def has_client(self) -> bool:
        """True where some field may hold the visitor's address."""
        return "client" in self.roles or "forwarded" in self.roles

    @property
    def has_stamp(self) -> bool:
        """True where a field tells when."""
        return "stamp" in self.roles

    def read(self, line: str) -> Optional[dict[str, str]]:
        """The first field of each role, or None where the line is of another format."""
        found = self.pattern.fullmatch(line.rstrip("\r\n"))
        if not found:
            return None
        values: dict[str, str] = {}
        for role, value in zip(self.roles, found.groups()):
            if role:
                values.setdefault(role, value)
        return values


@functools.lru_cache(maxsize=200)
def apache(text: str) -> LineFormat:
    """Understands an Apache ``LogFormat``."""
    return _compile(text, _APACHE_FIELD, _apache_role)


@functools.lru_cache(maxsize=200)
def nginx(text: str) -> LineFormat:
    """Understands an nginx ``log_format`` (its quoted pieces joined)."""
    return _compile(text, _NGINX_FIELD, _nginx_role)


def _apache_role(found: re.Match[str]) -> str:
    argument, letter = found[1] or "", found[2]
    if letter == "i":
        if _FORWARDED.match(argument):
            return "forwarded"
        return "agent" if _AGENT.match(argument) else ""
    if letter == "a" and argument == "c":
        return "peer"
    return _APACHE_ROLES.get(letter, "")


def _nginx_role(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    header = name[5:] if name.startswith("http_") else ""
    if header and _FORWARDED.match(header):
        return "forwarded"
    if header and _AGENT.match(header):
        return "agent"
    return _NGINX_ROLES.get(name, "")


def _compile(text: str, fields: re.Pattern[str], role_of) -> LineFormat:  # type: ignore[no-untyped-def]
    roles, pieces, end = [], [], 0
    for found in fields.finditer(text):
        literal = text[end : found.start()]
        pieces.append(re.escape(literal))
        end = found.end()
        if found[0] == "%%":
            pieces.append("%")
            continue
        roles.append(role_of(found))
        # Apache writes %t in brackets of its own.
        stamp = found[0].startswith("%") and found[2] == "t" and not found[1]
        quoted = literal.endswith('"')
        pieces.append(r"(\[[^\]]*\])" if stamp else r'((?:[^"\\]|\\.)*)' if quoted else r"(.*?)")
    pieces.append(re.escape(text[end:]))
    return LineFormat(text, tuple(roles), re.compile("".join(pieces)))
