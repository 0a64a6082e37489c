"""The gap once more, slowly and obviously right: for ``bench.gap`` to compare with.

Every line of every file is looked at, one by one, with ``datetime``; nothing is skipped, nothing
remembered. It knows how these logs were made (``gap_logs``), and uses nothing of matops.
"""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from tests.bench.gap_logs import END, OVERLAP, START, Made

LINE = re.compile(
    rb'(?:(\S+):\d+ )?(\S+) - - \[([^\]]+)\] "([A-Z]+) (.*?) HTTP/1\.1" (\d+) (\d+) '
    rb'"((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"'
)
ESCAPE = re.compile(rb"\\x([0-9a-f]{2})|\\(.)")


def lines_of(path: Path) -> Iterator[bytes]:
    """Its lines, up to where it is cut off."""
    rest = b""
    with path.open("rb") as file:
        decoder = zlib.decompressobj(31)
        while data := file.read(1 << 16):
            if path.suffix != ".gz":
                rest += data
            else:
                while data:
                    rest += decoder.decompress(data)
                    data = decoder.unused_data
                    if decoder.eof:
                        decoder = zlib.decompressobj(31)
            *whole, rest = rest.split(b"\n")
            yield from whole


def gap(made: Made) -> list[bytes]:
    """The lines of the gap file, without the number of the log and the offset."""
    found = []
    for number, path in enumerate(made.paths):
        skip = OVERLAP if path.name == "access.log.1.gz" else 0
        for place, line in enumerate(lines_of(path)):
            hit = None if place < skip else read(line)
            if hit:
                found.append((hit[0], number, place, b"\t".join(hit)))
    return [hit for *_, hit in sorted(found)]


def read(line: bytes) -> list[bytes]:
    """The fields of a hit that was not recorded; [] for anything else."""
    found = LINE.fullmatch(line)
    if not found:
        return []
    host, ip, stamp, method, target, status, size, referer, agent = found.groups()
    moment = dt.datetime.strptime(stamp.decode(), "%d/%b/%Y:%H:%M:%S %z").timestamp()
    path, _, query = target.partition(b"?")
    if path not in (b"/matomo.php", b"/piwik.php") or method == b"OPTIONS" or status == b"302":
        return []
    if b"idsite=" not in query or not START <= moment < END or status == b"200":
        return []
    query = re.sub(rb"[^\x21-\x7e]", lambda m: b"%%%02X" % m[0][0], unescaped(query))
    return [b"%.3f" % moment, method, path, query, ip, safe(unescaped(agent)),
            safe(unescaped(referer)), status, size, host or b""]  # fmt: skip


def unescaped(raw: bytes) -> bytes:
    """As Apache had it."""
    return ESCAPE.sub(lambda m: bytes([int(m[1], 16)]) if m[1] else m[2], raw)


def safe(raw: bytes) -> bytes:
    """As the gap file has it."""
    if raw == b"-":
        return b""
    return b"".join(bytes([c]) if 32 <= c < 127 and c != 92 else
                    b"\\\\" if c == 92 else b"\\x%02x" % c for c in raw)  # fmt: skip
