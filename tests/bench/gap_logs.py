"""Six access logs of one server, as hostile as real ones, for ``bench.gap``. Deterministic."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

HOUR = 3600
# Central European time goes back on 25 October 2026 at 01:00 UTC: +0200 becomes +0100.
CHANGE = int(dt.datetime(2026, 10, 25, 1, tzinfo=dt.timezone.utc).timestamp())
BEGIN = CHANGE - 90 * HOUR
# Ends of the files in hours since BEGIN; the window lies over the last change of the clocks.
ENDS = (24, 48, 70, 88, 92, 120)
NAMES = ("access.log.5.gz", "access.log.4.gz", "access.log.3.gz", "access.log.2.gz",
         "access.log.1.gz", "access.log")  # fmt: skip
START, END = BEGIN + 86 * HOUR, BEGIN + 92 * HOUR
QUERY = (
    b"action_name=Page%%20%d&idsite=%d&rec=1&r=%06d&h=3&m=2&s=1&url=%s&_id=%016x&_idn=0"
    b"&send_image=%d&cookie=1&res=1920x1080&pv_id=%06x&pf_net=12&pf_srv=30"
)
OVERLAP = 40  # lines that copytruncate left in two files


@dataclass
class Made:
    """Where they are, and what is in them. Sizes in bytes, uncompressed."""

    folder: Path
    raw: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    tracking: int = 0

    @property
    def paths(self) -> list[Path]:
        """All, the oldest first."""
        return [self.folder / name for name in NAMES]

    @property
    def needed(self) -> list[Path]:
        """Those that hold lines of the window."""
        return self.paths[3:]


def make(folder: Path, size: int) -> Made:
    """Logs of about ``size`` bytes uncompressed."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Made(folder)
    random.seed(7)
    per_hour = size / ENDS[-1] / 375  # bytes of a line
    source = _Source(per_hour)
    start, shared = 0, b""
    for name, end in zip(NAMES, ENDS):
        path = folder / name.removesuffix(".gz")
        with path.open("wb") as file:
            file.write(shared)
            shared = source.write(file, BEGIN + start * HOUR, BEGIN + end * HOUR, made)
            if name != "access.log.2.gz":
                shared = b""
        made.raw[name] = path.stat().st_size
        if name.endswith(".gz"):
            _pack(path, joined=name == "access.log.2.gz")
            if name == NAMES[0]:  # cut off, far from the window
                os.truncate(folder / name, (folder / name).stat().st_size - 5000)
        os.utime(folder / name, (BEGIN + end * HOUR,) * 2)
        start = end
    return made


def _pack(path: Path, *, joined: bool) -> None:
    tool = next((t for t in ("igzip", "pigz", "gzip") if shutil.which(t)), "")
    halves = [path]
    if joined:  # logs of two rotations, appended to each other
        halves = [path.with_suffix(".a"), path.with_suffix(".b")]
        with path.open("rb") as whole:
            middle = path.stat().st_size // 2
            for half, length in zip(halves, (middle, -1)):
                with half.open("wb") as out:
                    while data := whole.read(min(1 << 20, length) if length >= 0 else 1 << 20):
                        out.write(data)
                        length -= len(data) if length >= 0 else 0
                        if not length:
                            break
    with open(f"{path}.gz", "wb") as out:
        for half in halves:
            if tool:
                subprocess.run([tool, "-1", "-c", str(half)], stdout=out, check=True)
            else:
                out.write(gzip.compress(half.read_bytes(), 1))
            half.unlink()
    if joined:
        path.unlink()


class _Source:
    """Lines of a busy server. 70 % name the tracker."""

    def __init__(self, per_hour: float) -> None:
        self._gap = HOUR / per_hour
        self._ips = [b"%d.%d.%d.%d" % tuple(random.randrange(1, 255) for _ in range(4))
                     for _ in range(4000)] + [b"2001:db8::%x" % i for i in range(400)]  # fmt: skip
        agents = [b"Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0" % (i, i)
                  for i in range(90, 140)]  # fmt: skip
        self._agents = agents * 8 + [
            b"caf\xe9 \x80\xff",
            b'a \\"quoted\\" one',
            b"\\xc3\\xa9",
            b"-",
        ]
        page = b"https%%3A%%2F%%2Fshop%d.example%%2F%s"
        words = [b"%x" % random.getrandbits(4 * n + 4) for n in range(150) for _ in range(20)]
        self._pages = [page % (i % 30, word) for i, word in enumerate(words)]
        self._number = 0

    def write(self, file: object, start: int, end: int, made: Made) -> bytes:
        """Lines of [start, end); the last OVERLAP ones."""
        now, late, block = float(start), [], []
        write = file.write  # type: ignore[attr-defined]
        last: list[bytes] = []
        while now < end:
            now += random.random() * 2 * self._gap
            line = self._line(now, made)
            made.lines += 1
            if self._number % 400 == 0:  # a slow request: written when it ends
                late.append((now + random.random() * 300, line))
            else:
                block.append(line)
                if self._number % 5000 == 0:  # two equal requests in one second, both real
                    block.append(line)
            while late and late[0][0] <= now:
                block.append(late.pop(0)[1])
            if len(block) > 5000:
                write(b"".join(block))
                block = []
        block += [line for _, line in late]
        last = block[-OVERLAP:]
        write(b"".join(block))
        return b"".join(last)

    def _line(self, now: float, made: Made) -> bytes:
        self._number += 1
        n, pick = self._number, random.random()
        moment = int(now)
        shift = 2 if moment < CHANGE else 1
        stamp = _stamp(moment, shift)
        ip, agent = random.choice(self._ips), random.choice(self._agents)
        if pick > 0.7:
            return b'%s - - [%s] "GET /img/%d.png?v=%d HTTP/1.1" 200 %d "https://shop.example/" ' \
                   b'"%s"\n' % (ip, stamp, n % 977, n, n % 9999, agent)  # fmt: skip
        made.tracking += 1
        off = START <= moment < END
        beacon = n % 3 == 0
        status = (b"204" if beacon else b"503") if off else (b"204" if beacon else b"200")
        query = QUERY % (
            n, n % 5 + 1, n % 999983, random.choice(self._pages), n % 50021,
            0 if beacon else 1, n,
        )  # fmt: skip
        method, path = (
            b"POST" if beacon else b"GET",
            b"/piwik.php" if n % 7 == 0 else b"/matomo.php",
        )
        if pick < 0.01:
            query, status, method = query + b"&search=%E4\\xf6 blank", status, b"GET"
        elif pick < 0.02:
            query, method = b"", b"POST"
        elif pick < 0.025:
            method = b"OPTIONS"
        elif pick < 0.03:
            status = b"302"
        target = path + b"?" + query if query else path
        prefix = b"stats.example:443 " if pick > 0.65 else b""
        return b'%s%s - - [%s] "%s %s HTTP/1.1" %s 43 "https://shop%d.example/" "%s"\n' % (
            prefix, ip, stamp, method, target, status, n % 30, agent)  # fmt: skip


_known: dict[tuple[int, int], bytes] = {}


def _stamp(moment: int, shift: int) -> bytes:
    found = _known.get((moment, shift))
    if found is None:
        zone = dt.timezone(dt.timedelta(hours=shift))
        shown = dt.datetime.fromtimestamp(moment, zone).strftime("%d/%b/%Y:%H:%M:%S %z")
        if len(_known) > 5000:
            _known.clear()
        found = _known[moment, shift] = shown.encode()
    return found
