"""``matomo.js`` and ``piwik.js``: the release's own, with what plugins of this installation add.

Matomo makes them of ``js/piwik.min.js`` and the tracker files of active plugins
(CustomJsTracker/TrackingCode/PiwikJsManipulator.php). Here the old file is first explained to the
byte, from the old tree; then the same is done with the new tree. No PHP runs and the database is
not asked: until core:update has run, new code must not be. After it Matomo makes them itself
(``CoreUpdater.update.end``), and tag-manager containers, which come along as they are, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

HOOK = "/*!!! pluginTrackerHook */"
SOURCE = "js/piwik.min.js"
TRACKERS = re.compile(r"plugins/[^/]+/tracker(\.min)?\.js")
Reader = Callable[[str], Optional[bytes]]
"""A file of a tree by its path below it; None where it is not there."""

_BLOCK = re.compile(
    r"\n\n/\* GENERATED: (?P<name>[\w.]+) \*/\n(?P<body>.*?)\n/\* END GENERATED: (?P=name) \*/\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Made:
    """``text``: the new file; None: the release's own is right. ``line`` says what was done."""

    text: Optional[bytes]
    line: str = ""


def blocks(text: str) -> list[tuple[str, str]]:
    """(file name, content) of what plugins added, the first one first. Pure."""
    _, hook, rest = text.partition(HOOK)
    found = []
    while hook and (each := _BLOCK.match(rest)):
        found.append((each["name"], each["body"]))
        rest = rest[each.end() :]
    return found


def assembled(base: str, parts: list[tuple[str, str]]) -> str:
    """``base`` with these blocks behind its hook. Pure."""
    text = "".join(
        f"\n\n/* GENERATED: {name} */\n{body}\n/* END GENERATED: {name} */\n"
        for name, body in parts
    )
    return base.replace(HOOK, HOOK + text, 1)


def remade(name: str, old: Reader, new: Reader, trackers: Sequence[str]) -> Made:
    """The file ``name`` of the new tree, by what it was in the old one.

    ``trackers``: paths of the old tree that plugins may have added (``TRACKERS``). Where the old
    one cannot be explained it is kept: no visitor's page changes then, and an older matomo.js
    works with a newer Matomo (browsers hold older ones for days anyway).
    """
    there, base = _text(old(name)), _text(old(SOURCE))
    if there is None:
        return Made(None, f"{name} was not in the docroot; the release's is there now")
    if there == base or there == _text(new(name)):
        return Made(None)
    parts = _explained(there, base, old, trackers) if base is not None else None
    source = _text(new(SOURCE))
    if parts is None or source is None or HOOK not in source:
        line = f"{name} is kept as it was: it is not {SOURCE} and plugins' tracker.js (edited?)"
        return Made(there.encode("latin-1"), line)
    now = [(path, body) for path in parts if (body := _text(new(path))) is not None]
    text = assembled(source, [(path.rpartition("/")[2], body) for path, body in now])
    line = f"{name} was made anew with {', '.join(path for path, _ in now) or 'nothing'}"
    lost = [path for path in parts if new(path) is None]
    if lost:
        line += f"; gone with the new release: {', '.join(lost)}"
    return Made(text.encode("latin-1"), line)


def _explained(text: str, base: str, old: Reader, trackers: Sequence[str]) -> Optional[list[str]]:
    """The plugins' files of which ``text`` is made, to the byte; None where it is not."""
    parts = blocks(text)
    if assembled(base, parts) != text:
        return None
    there = {path: _text(old(path)) for path in trackers}
    found = []
    for name, body in parts:
        fitting = [path for path, data in there.items() if data == body and path.endswith(name)]
        if not fitting:
            return None
        found.append(fitting[0])
    return found


def read(path: Path) -> Optional[bytes]:
    """The file; None where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _text(data: Optional[bytes]) -> Optional[str]:
    return None if data is None else data.decode("latin-1")  # byte for byte
