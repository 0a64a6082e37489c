"""Access logs of one JSON object a line: nginx with escape=json, Caddy, Traefik and the like.

Which key holds what is read from nginx' own log_format where it is known; else the usual names
are tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Optional

from matops.accesslog import stamps
from matops.accesslog.lineform import Fields, Form, split_request
from matops.accesslog.lineroles import nginx_role

_USUAL = {
    "stamp": "ts time_iso8601 time_local msec @timestamp timestamp time StartUTC datetime date",
    "method": "request.method request_method RequestMethod method",
    "target": "request.uri request_uri RequestPath uri url path",
    "query": "args query_string query",
    "request": "request request_line",
    "ip": "request.client_ip request.remote_ip remote_addr ClientHost client_ip clientip "
          "remote_ip ip client remote_host",
    "forwarded": "request.headers.X-Forwarded-For http_x_forwarded_for x_forwarded_for "
                 "X-Forwarded-For request_X-Forwarded-For",
    "agent": "request.headers.User-Agent http_user_agent request_User-Agent user_agent agent "
             "useragent userAgent",
    "referer": "request.headers.Referer http_referer http_referrer request_Referer referer "
               "referrer",
    "status": "status DownstreamStatus status_code code",
    "size": "size body_bytes_sent bytes_sent DownstreamContentSize bytes",
    "host": "request.host host http_host server_name RequestHost vhost",
}  # fmt: skip
_PAIR = re.compile(r'"([^"]+)"\s*:\s*"?\$\{?(\w+)\}?"?')
_STAMP = re.compile(b'"(%b|%b)"|: ?(%b)(?=[,}])' % (stamps.CLF, stamps.ISO, stamps.EPOCH))


def of_nginx(text: str, name: str = "") -> Form:
    """From a log_format that is a JSON object."""
    keys: dict[str, list[str]] = {}
    for key, variable in _PAIR.findall(text):
        role = nginx_role(variable)
        if role:
            keys.setdefault({"path": "target"}.get(role, role), []).append(key)
    return _form(name or "JSON of nginx", keys)


def usual() -> Form:
    """By the usual names of the keys."""
    return _form("JSON", {role: names.split() for role, names in _USUAL.items()})


def _form(name: str, keys: Mapping[str, list[str]]) -> Form:
    def whole(line: bytes) -> Optional[Fields]:
        data = _object(line)
        return None if data is None else _fields(data, keys)

    def stamp(line: bytes) -> Optional[bytes]:
        data = _object(line)
        return None if data is None else stamps.key(_find(data, keys.get("stamp", [])))

    return Form(
        name=name, quick=None, bulk=None, order=(), whole=whole, stamp=stamp,
        has_client=bool(keys.get("ip") or keys.get("forwarded")),
        has_query=bool(keys.get("request") or keys.get("target") or keys.get("query")),
        has_forwarded=bool(keys.get("forwarded")),
    )  # fmt: skip


def _object(line: bytes) -> Optional[dict[str, Any]]:
    start = line.find(b"{")  # syslog and containers write something before it
    if start < 0:
        return None
    try:  # nginx leaves bytes above 0x7f as they are
        data = json.loads(line[start:].decode("utf-8", "surrogateescape"), strict=False)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _find(data: Mapping[str, Any], names: list[str]) -> bytes:
    for name in names:
        value: Any = data.get(name)
        if value is None and "." in name:
            value = data
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, float):
            return b"%.3f" % value
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            raw = _bytes(str(value))
            return b"" if raw == b"-" else raw
    return b""


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _fields(data: Mapping[str, Any], keys: Mapping[str, list[str]]) -> Fields:
    def value(role: str) -> bytes:
        return _find(data, keys.get(role, []))

    method, target = value("method"), value("target")
    path, _, query = target.partition(b"?")
    if not target:
        method, path, query = split_request(value("request"))
    return Fields(
        value("stamp"), method, path, query or value("query").lstrip(b"?"), value("ip"),
        value("forwarded"), value("agent"), value("referer"), value("status"), value("size"),
        value("host"),
    )  # fmt: skip
