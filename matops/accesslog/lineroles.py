"""What the fields of an Apache LogFormat and of an nginx log_format tell: their roles."""

from __future__ import annotations

import re

# One stamp in three fields: the usual way to get milliseconds from Apache.
SPLIT_STAMP = re.compile(r"%\{%d/%b/%Y:%H:%M:%S\}t\.%\{[mu]sec_frac\}t %\{%z\}t")
APACHE_FIELD = re.compile(r"%(?:[!\d,]*)[<>]?(?:\{([^}]*)\})?(\^[A-Za-z]{2}|[A-Za-z%@])")
NGINX_FIELD = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_APACHE_ROLES = {
    "h": "ip", "a": "ip", "r": "request", "q": "query", "U": "path", "m": "method", "t": "stamp",
    "s": "status", "b": "size", "B": "size", "O": "size", "v": "host", "V": "host", "l": "word",
    "u": "words", "@": "stamp", "f": "words", "e": "words",
}  # fmt: skip
_NGINX_ROLES = {
    "remote_addr": "ip", "request": "request", "request_uri": "target", "uri": "path",
    "document_uri": "path", "args": "query", "query_string": "query", "request_method": "method",
    "time_local": "stamp", "time_iso8601": "stamp", "msec": "stamp", "status": "status",
    "body_bytes_sent": "size", "bytes_sent": "size", "host": "host", "server_name": "host",
    "http_host": "host", "remote_user": "words", "http_referer": "referer",
    "http_user_agent": "agent", "proxy_protocol_addr": "forwarded",
}  # fmt: skip
FORWARDED = re.compile(
    r"(?i)(http_)?(x[-_]forwarded[-_]for|x[-_]real[-_]ip|forwarded|true[-_]client[-_]ip"
    r"|client[-_]ip|cf[-_]connecting[-_]ip|x[-_]client[-_]ip|x[-_]cluster[-_]client[-_]ip)"
)


def apache_role(found: re.Match[str]) -> str:
    """Of a match of APACHE_FIELD; '' where it matters to nobody."""
    argument, letter = (found[1] or "").lower(), found[2]
    if letter == "i":
        if FORWARDED.fullmatch(argument):
            return "forwarded"
        return {"user-agent": "agent", "referer": "referer", "host": "host"}.get(argument, "")
    if letter == "a" and argument == "c":
        return ""
    zoned = r"(begin:|end:)?(sec|msec|usec)|.*%[sz].*"
    if letter == "t" and argument and not re.fullmatch(zoned, argument):
        return ""  # a wall clock without a zone
    return _APACHE_ROLES.get(letter, "")


def nginx_role(name: str) -> str:
    """What a variable tells."""
    return "forwarded" if FORWARDED.fullmatch(name) else _NGINX_ROLES.get(name, "")
