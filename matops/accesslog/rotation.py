"""How long rotated logs are kept: a parser of logrotate's configuration. Pure functions.

Source: logrotate(8), and logrotate.c for the defaults: rotate 0, by size, 1 MB.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Optional

DAY = 86400
_INTERVALS = {
    "hourly": 3600, "daily": DAY, "weekly": 7 * DAY, "monthly": 30 * DAY, "yearly": 365 * DAY,
}  # fmt: skip
_SCRIPTS = ("prerotate", "postrotate", "firstaction", "lastaction", "preremove")
_FOREVER = 10 * 365 * DAY


@dataclass(frozen=True)
class Rotation:
    """One block: what it rotates, how often, how many it keeps. Sizes and times as given.

    ``interval``: seconds, None = by size alone. ``maxage``: days, None = no limit.
    ``by_size``: a size may rotate it earlier (size, maxsize), so a count says nothing sure.
    """

    patterns: tuple[str, ...] = ()
    where: str = ""
    interval: Optional[int] = None
    rotate: int = 0
    maxage: Optional[int] = None
    by_size: str = ""
    olddir: str = ""
    minimum: str = ""

    @property
    def kept(self) -> Optional[int]:
        """Seconds for which a line is kept at least; None where that depends on the traffic."""
        if self.interval is None or self.by_size:
            return None
        seconds = _FOREVER if self.rotate < 0 else self.rotate * self.interval
        return seconds if self.maxage is None else min(seconds, self.maxage * DAY)

    @property
    def shown(self) -> str:
        """``daily, rotate 14``: as the operator would find it in the file."""
        often = next((k for k, v in _INTERVALS.items() if v == self.interval), "")
        words = [self.by_size or often or "by size", f"rotate {self.rotate}"]
        if self.by_size and often:
            words.insert(0, often)
        if self.maxage is not None:
            words.append(f"maxage {self.maxage}")
        return ", ".join(words)

    def covers(self, path: str) -> bool:
        """True where one of the patterns means this file."""
        return any(
            fnmatch.fnmatchcase(path, one) and path.count("/") == one.count("/")
            for pattern in self.patterns
            for one in braces(pattern)
        )


def parse(files: Mapping[str, str], main: str) -> list[Rotation]:
    """The blocks of ``main`` and of what it includes, global settings applied to what follows."""
    state = _State(files)
    state.read(main if main in files else next(iter(files), ""))
    if main not in files:
        for path in list(files)[1:]:
            state.read(path)
    return state.blocks


def find(rotations: list[Rotation], *paths: str) -> Optional[Rotation]:
    """The block for a log, by any of its names (a path and what it resolves to)."""
    return next((r for r in rotations for path in paths if path and r.covers(path)), None)


class _State:
    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.defaults = Rotation()
        self.blocks: list[Rotation] = []
        self.seen: set[str] = set()

    def read(self, path: str) -> None:
        if path in self.seen:
            return
        self.seen.add(path)
        lines = iter(_lines(self.files.get(path, "")))
        header = ""
        for line in lines:
            if header or line[:1] in "/\"'~*{":
                header = f"{header} {line}"
                if "{" in _outside_braces(header):
                    self._block(path, header, lines)
                    header = ""
            elif line.startswith("include"):
                self._include(line.split(None, 1)[-1].strip("\"' "))
            else:
                self.defaults = _apply(self.defaults, line)

    def _include(self, place: str) -> None:
        for path in sorted(self.files):
            inside = path.rpartition("/")[0] == place.rstrip("/")
            if path == place or inside or fnmatch.fnmatchcase(path, place):
                self.read(path)

    def _block(self, path: str, header: str, lines: Iterator[str]) -> None:
        patterns, _, rest = header.rpartition("{")
        words = [word.strip("\"'") for word in re.findall(r'"[^"]*"|\'[^\']*\'|\S+', patterns)]
        block = replace(self.defaults, patterns=tuple(words), where=path)
        line: Optional[str] = rest.strip() or next(lines, None)
        while line is not None and not line.startswith("}"):
            if line.split()[0] in _SCRIPTS:
                for line in lines:
                    if line.startswith("endscript"):
                        break
            else:
                block = _apply(block, line.rstrip("}").strip())
                if line.endswith("}"):
                    break
            line = next(lines, None)
        self.blocks.append(block)


def _lines(text: str) -> list[str]:
    lines = (line.split(" #", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _outside_braces(header: str) -> str:
    # /var/log/{apache2,nginx}/*.log is a pattern; the brace that opens a block stands alone.
    return re.sub(r"\{[^{}\s]*,[^{}]*\}", "", header)


def _apply(rotation: Rotation, line: str) -> Rotation:
    words = re.split(r"[\s=]+", line.strip())
    key, value = words[0].lower(), words[1] if len(words) > 1 else ""
    number = int(value) if re.fullmatch(r"-?\d+", value) else None
    if key in _INTERVALS:
        return replace(rotation, interval=_INTERVALS[key], by_size="")
    if key == "rotate" and number is not None:
        return replace(rotation, rotate=number)
    if key == "maxage" and number is not None:
        return replace(rotation, maxage=number)
    if key == "size":  # it switches the interval off
        return replace(rotation, interval=None, by_size=f"size {value}")
    if key == "maxsize":
        return replace(rotation, by_size=f"maxsize {value}")
    if key == "minsize":
        return replace(rotation, minimum=value)
    if key in ("olddir", "noolddir"):
        return replace(rotation, olddir=value if key == "olddir" else "")
    return rotation


def braces(pattern: str) -> list[str]:
    """``/var/log/{a,b}/*.log`` as one pattern each."""
    found = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if not found:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    return [text for part in found[1].split(",") for text in braces(head + part + tail)]
