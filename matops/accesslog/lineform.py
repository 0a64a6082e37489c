"""Reading the lines of one log format as bytes: a quick way for tracking hits, a whole way for
any line.

The quick way is one compiled pattern that a tracking hit matches; it is for *clean* lines only:
ASCII, no backslash, no CONTROLS. What is not clean, or does not match, but names the tracker goes
the whole way, which knows how the server escapes.

Sources: Apache's mod_log_config (escapes by ap_escape_logitem: ``\\"``, ``\\\\``, ``\\xhh``,
``\\n``…), nginx' ngx_http_log_module (``\\xHH``; escape=json; escape=none).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional

from matops.accesslog import stamps
from matops.accesslog.lineroles import (
    APACHE_FIELD,
    NGINX_FIELD,
    SPLIT_STAMP,
    apache_role,
    nginx_role,
)

APACHE, NGINX, RAW = "apache", "nginx", "raw"


class Fields(NamedTuple):
    """One line, unescaped. '' where it is not logged or ``-``; ``stamp`` is as logged."""

    stamp: bytes
    method: bytes
    path: bytes
    query: bytes
    ip: bytes
    forwarded: bytes
    agent: bytes
    referer: bytes
    status: bytes
    size: bytes
    host: bytes


@dataclass(frozen=True)
class Form:
    """How to read one format. ``quick(clean line)`` gives a match whose ``order`` groups are
    Fields; ``whole(line)`` gives Fields for any line of the format, or None.

    ``bulk.findall(clean lines)`` gives the same groups for all lines at once; all are empty for
    a line that is no plain hit. It gives fewer tuples than there are lines
    where a broken line was read together with the next one: then line by line.
    """

    name: str
    quick: Optional[Callable[[bytes], Optional[re.Match[bytes]]]]
    bulk: Optional[re.Pattern[bytes]]
    order: tuple[int, ...]
    whole: Callable[[bytes], Optional[Fields]]
    stamp: Callable[[bytes], Optional[bytes]]
    has_client: bool = True
    has_query: bool = True
    has_forwarded: bool = False


COMBINED = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
_COMBINED_END = COMBINED[-20:]
BUILT_IN = (
    ("combined", COMBINED),
    ("vhost_combined", "%v:%p " + COMBINED),
    ("host_combined", "%v " + COMBINED),
    ("common", '%h %l %u %t "%r" %>s %b'),
    ("vhost_common", '%v:%p %h %l %u %t "%r" %>s %b'),
)
"""Tried where no configuration tells; what follows a combined line is not looked at."""

_WORDS = ("agent", "referer", "request", "target", "path", "query", "words")
# Of single characters: these run at memchr's speed, a set of them at a tenth of it.
_CLEAN = rb"[^\"]"
_NO_BLANK = rb"[^ ]*"
CONTROLS = bytes([*range(10), *range(11, 32), 127])
"""What no clean line holds."""
_STAMPS = b"(?:%b|%b|%b)" % (stamps.CLF, stamps.ISO, stamps.EPOCH)


def of_apache(text: str, tracker: bytes, name: str = "") -> Form:
    """From a LogFormat. ``tracker``: a pattern of the tracker's paths, without groups."""
    marked = SPLIT_STAMP.sub("%@", text)
    parts = [(m.start(), m.end(), apache_role(m), m[2] == "t" and not m[1])
             for m in APACHE_FIELD.finditer(marked)]  # fmt: skip
    return _form(name or text, marked, parts, tracker, APACHE)


def of_nginx(text: str, tracker: bytes, name: str = "", escape: str = NGINX) -> Form:
    """From a log_format (its pieces joined). ``escape``: NGINX or RAW (escape=none)."""
    parts = [(m.start(), m.end(), nginx_role(m[1] or m[2]), False)
             for m in NGINX_FIELD.finditer(text)]  # fmt: skip
    return _form(name or text, text, parts, tracker, escape)


Part = tuple[int, int, str, bool]


def _form(name: str, text: str, parts: Sequence[Part], tracker: bytes, escape: str) -> Form:
    roles = [part[2] for part in parts]
    quick, places = _pattern(text, parts, tracker)
    bulk, _ = _pattern(text, parts, tracker, bulk=True)
    whole, whole_places = _pattern(text, parts, None)
    until = roles.index("stamp") + 1 if "stamp" in roles else 0
    start = text[: parts[until - 1][1]] if until else ""
    prefix, prefix_places = _pattern(start, parts[:until], None, open_end=True)
    order = tuple(places.get(field, quick.groups) for field in Fields._fields)
    complete = {"stamp", "status"} <= set(roles)
    has_path = bool({"request", "target", "path"} & set(roles))

    def read(line: bytes) -> Optional[Fields]:
        found = whole.match(line)
        return _fields(found, whole_places, escape) if found else None

    def stamp(line: bytes) -> Optional[bytes]:
        found = prefix.match(line) if until else None
        return stamps.key(found[prefix_places["stamp"]]) if found else None

    return Form(
        name=name,
        quick=quick.match if complete and has_path else None,
        bulk=bulk if complete and has_path else None,
        order=order,
        whole=read,
        stamp=stamp,
        has_client=bool({"ip", "forwarded"} & set(roles)),
        has_query=bool({"request", "target", "query"} & set(roles)),
        has_forwarded="forwarded" in roles,
    )


def _pattern(
    text: str, parts: Sequence[Part], tracker: Optional[bytes], open_end: bool = False,
    bulk: bool = False,
) -> tuple[re.Pattern[bytes], dict[str, int]]:  # fmt: skip
    """The pattern and which group holds which field. ``tracker`` None: the whole way, where
    'request' and 'target' stay in one piece. The last group is always empty."""
    out: list[bytes] = []
    places: dict[str, int] = {}
    groups, end = 0, 0

    def group(role: str, body: bytes) -> bytes:
        nonlocal groups
        if role in ("", "word") or role in places:
            return b"(?:%b)" % body
        groups += 1
        places[role] = groups
        return b"(%b)" % body

    for start, stop, role, bracketed in parts:
        literal, after = text[end:start], text[stop : stop + 1]
        out.append(re.escape(literal.replace("%%", "%").encode()))
        end = stop
        quoted = literal.endswith('"') and after in ('"', "")
        if role == "stamp" and role not in places:
            body = group(role, rb"[^\]]*" if bulk and bracketed else _STAMPS)
            out.append(rb"\[%b\]" % body if bracketed else body)
        elif tracker is None:
            out.append(group("" if role == "words" else role, _body(quoted, after, role)))
        elif bulk:
            out.append(_bulk_body(role, quoted, after, tracker, group, first=not start))
        else:
            out.append(_quick_body(role, quoted, after, tracker, group))
    out.append(re.escape(text[end:].replace("%%", "%").encode()))
    if bulk:
        rest = rb"[^\n]*()" if text.endswith(_COMBINED_END) else b"()"
        return re.compile(b"(?:%b|[^\n]*)\n" % (b"".join(out) + rest)), places
    # Without its end, a short format would fit the beginning of any longer one.
    out.append(b"()" if text.endswith(_COMBINED_END) or open_end else rb"()\r?\Z")
    return re.compile(b"".join(out)), places


def _body(quoted: bool, after: str, role: str) -> bytes:
    if quoted:
        return rb'[^"\\]*(?:\\.[^"\\]*)*'
    if not after:  # the last field: of the words, to the end of the line
        return rb".*" if role in _WORDS else rb"[^\s\"]*"
    if role in ("", "words", "request"):  # may hold blanks; bounded, so that no line costs much
        return rb"[^\"\[]*?" if role != "request" else rb".*?"
    return b"[^%b]*" % re.escape(after.encode())


def _quick_body(
    role: str, quoted: bool, after: str, tracker: bytes, group: Callable[[str, bytes], bytes]
) -> bytes:
    """Nothing in it can match in two ways: a line that is no hit fails at once."""
    if role == "request":
        ways = group("method", rb"[A-Z]+") + b" " + group("path", tracker) + rb"\??"
        return ways + group("query", _NO_BLANK) + rb"(?: HTTP/[0-9.]{1,3})?"
    if role == "target":
        return group("path", tracker) + rb"\??" + group("query", _NO_BLANK)
    if role == "path":
        return group("path", tracker)
    if role == "query":
        return rb"\??" + group("query", _NO_BLANK)
    if role == "status":
        return group(role, rb"\d{3}|-")
    if quoted:
        return group("" if role == "words" else role, _CLEAN + b"*")
    if not after:
        return group("" if role == "words" else role, _CLEAN + b"*")
    own = _NO_BLANK if after == " " else b"[^%b ]*" % re.escape(after.encode())
    return group("" if role == "words" else role, own)


def _bulk_body(
    role: str, quoted: bool, after: str, tracker: bytes, group: Callable[[str, bytes], bytes], *,
    first: bool,
) -> bytes:  # fmt: skip
    """As ``_quick_body``; stricter, so that each step is one that runs at memchr's speed."""
    if role == "request":
        ways = group("method", rb"[A-Z]+") + b" " + group("path", tracker) + rb"\??"
        return ways + group("query", _NO_BLANK) + rb" HTTP/[0-9.]*"
    if role == "status":
        return group(role, rb"\d{3}")
    if role in ("target", "path", "query"):
        return _quick_body(role, quoted, after, tracker, group)
    named = "" if role == "words" else role
    stop = re.escape(after.encode())
    if quoted or not after:
        return group(named, _CLEAN + b"*" if quoted else rb"[^\"\n]*")
    if first:
        return group(named, b"[^%b \n]*" % stop)
    return group(named, _NO_BLANK if after == " " else b"[^%b ]*" % stop)


_APACHE_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_NGINX_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})()")
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f"}


def unescape(raw: bytes, escape: str) -> bytes:
    """What the server had before it wrote it into its log."""
    if b"\\" not in raw or escape == RAW:
        return raw
    pattern = _NGINX_ESCAPE if escape == NGINX else _APACHE_ESCAPE
    return pattern.sub(lambda m: bytes([int(m[1], 16)]) if m[1] else _LETTERS.get(m[2], m[2]), raw)


def _fields(found: re.Match[bytes], places: dict[str, int], escape: str) -> Fields:
    def value(role: str) -> bytes:
        raw = found[places[role]] if role in places else b""
        return b"" if raw == b"-" else unescape(raw, escape)

    method, path, query = value("method"), value("path"), value("query").lstrip(b"?")
    if "request" in places:
        method, path, query = split_request(value("request"))
    elif "target" in places:
        path, _, query = value("target").partition(b"?")
    return Fields(
        found[places["stamp"]] if "stamp" in places else b"", method, path, query, value("ip"),
        value("forwarded"), value("agent"), value("referer"), value("status"), value("size"),
        value("host"),
    )  # fmt: skip


_ADDRESS = re.compile(rb"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*")


def read(forms: Sequence[Form], line: bytes) -> Optional[Fields]:
    """By the first format that finds an address where one should be, else by the first that
    fits: a line with a virtual host before it fits a format without, shifted by one."""
    best = None
    for form in forms:
        fields = form.whole(line)
        if fields is not None:
            if sound(fields):
                return fields
            best = best or fields
    return best


def sound(fields: Fields) -> bool:
    """True where an address stands in the client's field."""
    return _ADDRESS.fullmatch(fields.ip) is not None


def split_request(request: bytes) -> tuple[bytes, bytes, bytes]:
    """``GET /a?b HTTP/1.1`` as method, path, query; a blank in the target stays in it."""
    method, _, rest = request.partition(b" ")
    target = re.sub(rb" HTTP/[0-9.]{1,3}$", b"", rest)
    path, _, query = target.partition(b"?")
    return method, path, query
