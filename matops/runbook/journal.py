"""The journal: what was done to this installation, one JSON line an event, kept on the host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from matops.matomo.site import Site
from matops.units import utc_now

VERSION = 1
_KEEP = 1 << 20  # bytes read back at the most: the youngest


@dataclass(frozen=True)
class Entry:
    """One event of one step: ``started``, ``done`` or ``failed``. ``at`` is UTC, ISO 8601."""

    at: str
    run: str
    step: str
    event: str
    by: str = ""
    fence: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


class Journal:
    """``<state_dir>/journal.jsonl`` on the host of ``site``."""

    def __init__(self, site: Site, run: str, by: str) -> None:
        self._site = site
        self._run = run
        self._by = by

    def write(self, step: str, event: str, fence: int = 0, **facts: Any) -> None:
        """Appends one line and makes the folder (0700) if it is not there. One round trip."""
        line = {
            "v": VERSION,
            "at": utc_now().isoformat(timespec="seconds"),
            "run": self._run,
            "by": self._by,
            "step": step,
            "event": event,
            "fence": fence,
            "facts": facts,
        }
        self._site.host.run(
            'umask 077; mkdir -p -- "$1" && cat >> "$1/journal.jsonl"',
            self._site.state_dir,
            user=self._site.keeper,
            stdin=json.dumps(line, default=str).encode() + b"\n",
            what="write the journal",
        )


def read(site: Site) -> list[Entry]:
    """The youngest entries, the oldest of them first; [] where there is no journal yet.

    Lines of a later version are kept as far as they are understood; half a line (the machine
    went down, or the piece read begins in it) is passed over.
    """
    result = site.host.run(
        '[ ! -e "$1" ] || exec tail -c "$2" -- "$1"',
        f"{site.state_dir}/journal.jsonl",
        str(_KEEP),
        user=site.keeper,
        cap=_KEEP,
        what="read the journal",
    )
    return parse(result.text)


def parse(text: str) -> list[Entry]:
    """Entries from the journal's text."""
    entries = []
    for line in text.splitlines():
        try:
            data = json.loads(line)
            entries.append(Entry(**{k: data[k] for k in Entry.__dataclass_fields__ if k in data}))
        except (ValueError, TypeError):
            continue
    return entries
