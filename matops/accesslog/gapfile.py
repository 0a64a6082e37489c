"""The gap file: one tracking hit a line, pure ASCII, in the order of time. Reader and writer.

A line has FIELDS, separated by tabs. The first four have a fixed width, so that the plain order
of bytes is the order (epoch, server, file, offset): ``sort -c`` of a gap file says yes, and
files of several servers are merged by ``heapq.merge`` of their lines. The first line, HEADER,
names the version. No value holds a tab, a line feed or a byte above 0x7e:

* ``query`` is as it was logged, but what is no printable ASCII, a blank and a quote stand as
  ``%HH``; the value of ``token_auth`` is replaced by ``~`` and a key (see ``tokens``).
* ``path``, ``agent``, ``referer``, ``host``: bytes that are no printable ASCII are ``\\xHH``, a
  backslash is ``\\\\``, whatever the web server's own way of escaping is; ``unescape`` gives the
  bytes back.

A value that was not logged, or logged as ``-``, is empty.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Union

from matops.errors import MatopsError

VERSION = 1
HEADER = b"#matops-gap 1\n"
FIELDS = (
    "epoch", "server", "file", "offset", "flags", "method", "path", "query", "ip", "agent",
    "referer", "status", "size", "host",
)  # fmt: skip
"""epoch: seconds since 1970 with three decimals (.000 where the log has none). file: number of
the log in the manifest. offset: of the line in that log's uncompressed bytes."""

EDGE, ASKED, TOKEN, FORWARDED = "E", "D", "T", "F"
"""Flags. E: near an edge. D: the database was asked and does not have it. T: the query held a
token_auth. F: ``ip`` comes from a forwarded-for field."""

_ESCAPED = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))")
_SLIPPERY = re.compile(rb"[^\x20-\x5b\x5d-\x7e]")  # a backslash, too
_NO_QUERY = re.compile(rb"[^\x21\x23-\x7e]")  # a quote, too: readers of logs trip over it


class Hit(NamedTuple):
    """One line. ``epoch`` in seconds; the other times of day are nobody's business here."""

    epoch: float
    server: str
    file: int
    offset: int
    flags: str
    method: str
    path: str
    query: str
    ip: str
    agent: str
    referer: str
    status: int
    size: str
    host: str

    @property
    def id(self) -> tuple[str, int, int]:
        """Where the log has it: the same hit cut twice has the same one within one cut."""
        return self.server, self.file, self.offset


def parse(line: bytes) -> Hit:
    """A hit from its line. MatopsError where it is none."""
    parts = line.decode("ascii", "replace").rstrip("\n").split("\t")
    if len(parts) != len(FIELDS):
        raise MatopsError(f"not a line of a gap file ({len(parts)} fields of {len(FIELDS)})")
    try:
        epoch, server, file, offset, flags, method, target, query, ip, agent, referer = parts[:11]
        status, size, host = parts[11:]
        return Hit(float(epoch), server, int(file), int(offset), flags, method, target, query,
                   ip, agent, referer, int(status or 0), size, host)  # fmt: skip
    except ValueError:
        raise MatopsError("not a line of a gap file: its numbers are none") from None


def line(key: bytes, flags: bytes, *values: bytes) -> bytes:
    """The line: ``key`` from ``sort_key``; ``values`` method … host, safe already."""
    return b"\t".join((key, flags, *values)) + b"\n"


def sort_key(epoch: bytes, server: bytes, file: int, offset: int) -> bytes:
    """The first four fields; ``epoch`` as ``stamp`` writes it."""
    return b"%b\t%b\t%05d\t%014d" % (epoch, server, file, offset)


def stamp(epoch: float) -> bytes:
    """``1763800000.000``."""
    return b"%014.3f" % epoch


def escape(raw: bytes) -> bytes:
    """Any bytes as printable ASCII. NULs are left out: they stand for nothing in a log."""
    clean = raw.replace(b"\0", b"")
    return _SLIPPERY.sub(lambda m: b"\\\\" if m[0] == b"\\" else b"\\x%02x" % m[0][0], clean)


def escape_query(raw: bytes) -> bytes:
    """Any bytes as the printable ASCII of a URL's query; ``%HH`` for what is none."""
    return _NO_QUERY.sub(lambda m: b"%%%02X" % m[0][0], raw.replace(b"\0", b""))


def unescape(text: str) -> bytes:
    """The bytes behind ``agent``, ``referer``, ``path`` or ``host``."""
    if "\\" not in text:
        return text.encode("ascii", "replace")
    return _ESCAPED.sub(
        lambda m: bytes([int(m[1], 16)]) if m[1] else m[2], text.encode("ascii", "replace")
    )


def text(value: str) -> str:
    """The characters behind it: UTF-8 where it is that, else Latin-1. Never fails."""
    raw = unescape(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def lines(path: Union[str, Path], position: int = 0) -> Iterator[tuple[int, bytes]]:
    """``(position, line)`` from byte ``position`` on (0 = the first hit). MatopsError: no gap
    file, or one whose end is missing. The ``position`` of the next line is where to go on."""
    with open(path, "rb") as file:
        if file.read(len(HEADER)) != HEADER:
            raise MatopsError(f"{path} is not a gap file of version {VERSION}")
        at = max(position, len(HEADER))
        file.seek(at)
        for found in file:
            if not found.endswith(b"\n"):
                raise MatopsError(f"{path} ends in the middle of a line: it is not whole")
            yield at, found
            at += len(found)


def read(path: Union[str, Path], position: int = 0) -> Iterator[tuple[int, Hit]]:
    """As ``lines``, parsed."""
    for at, found in lines(path, position):
        yield at, parse(found)


_QUOTE = str.maketrans({'"': "'"})


def combined(hit: Hit) -> bytes:
    """The hit as a line of Apache's combined format, in UTC, that cannot trip a reader of such
    logs: ASCII, no quote within a value, one format, ``-`` for what is not there."""
    when = dt.datetime.fromtimestamp(int(hit.epoch), dt.timezone.utc)
    month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[when.month - 1]
    target = f"{hit.path}?{hit.query}".translate(_QUOTE).replace(" ", "%20")
    agent, referer = (v.translate(_QUOTE) or "-" for v in (hit.agent, hit.referer))
    return (
        f"{hit.ip or '-'} - - [{when.day:02d}/{month}/{when:%Y:%H:%M:%S} +0000] "
        f'"{hit.method} {target} HTTP/1.1" {hit.status or 200} {hit.size or 0} '
        f'"{referer}" "{agent}"\n'
    ).encode("ascii")


def export(source: Union[str, Path], target: IO[bytes], position: int = 0) -> int:
    """Writes the hits from ``position`` on in combined format; how many."""
    count = 0
    for count, (_, hit) in enumerate(read(source, position), 1):  # noqa: B007
        target.write(combined(hit))
    return count
