"""What will put rows into the queue by itself: two kinds of rows in Matomo's option table.

``ReArchiveList``: one option, a list of reports to be built anew through past months, made by
upgrades and by new plugins, goals and custom reports (ArchiveInvalidator::scheduleReArchiving).
``<xxxx>_report_to_invalidate_<site>_<day>_<pid>``: one option for each site and past day that a
tracking request touched; each becomes rows for day, week, month and year, with every segment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.mysql.invalidations.shape import like
from matops.mysql.session import Session

LIST = "ReArchiveList"
REMEMBERED = "report_to_invalidate_"
MOST = 100_000
"""Names of options read at most: some 10 MB."""
_NAME = re.compile(r"report_to_invalidate_(\d+)_(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class Entry:
    """One entry of ReArchiveList. ``sites``: ``all`` or numbers; ``since``: epoch or None."""

    sites: str
    plugin: str
    report: str
    since: Optional[int]
    segment: str


@dataclass
class Refill:
    """What waits to become rows."""

    entries: list[Entry] = field(default_factory=list)
    unreadable: int = 0
    """Entries of the list that are not what Matomo writes there, or cannot be read at all."""
    days: int = 0
    """Different (site, day) that tracking requests touched."""
    sites: int = 0
    first: str = ""
    last: str = ""
    more: bool = False
    """There are more than were read."""

    @property
    def any(self) -> bool:
        """Something waits."""
        return bool(self.entries or self.days)


def look(session: Session, prefix: str) -> Refill:
    """Two small statements; the second reads the option table through. DatabaseError."""
    option = f"{prefix}option"
    value = session.value("option_read", (LIST,), option=option)
    found = Refill()
    listed = value if isinstance(value, bytes) else str(value or "").encode()
    read = list(items(listed))
    found.entries = [entry for entry in map(parse, read) if entry]
    found.unreadable = declared(listed, len(read)) - len(found.entries)
    pattern = f"%{like(REMEMBERED)}%"
    rows = session.rows("invalidations_size_options", (pattern, MOST + 1), option=option)
    found.more = len(rows) > MOST
    touched = {match.groups() for row in rows if (match := _NAME.search(str(row["name"])))}
    days = sorted(day for _, day in touched)
    found.days, found.sites = len(touched), len({site for site, _ in touched})
    found.first, found.last = (days[0], days[-1]) if days else ("", "")
    return found


def items(serialized: bytes) -> Iterator[str]:
    """The strings of a list as PHP serializes it: ``a:1:{i:0;s:5:"abcde";}``. Lengths are bytes.

    Ends where the text is not of that form (cut off, or other types). Pure.
    """
    head = re.match(rb"a:\d+:\{", serialized)
    at = head.end() if head else len(serialized)
    while True:
        lead = re.compile(rb'(?:i:-?\d+;|s:\d+:"[^"]*";)s:(\d+):"').match(serialized, at)
        if not lead:
            return
        end = lead.end() + int(lead[1])
        if serialized[end : end + 2] != b'";':
            return
        yield serialized[lead.end() : end].decode(errors="replace")
        at = end + 2


def declared(serialized: bytes, read: int) -> int:
    """How many entries the list says it has, at least ``read``; 1 for a text of another form. Pure.

    ``false``, ``null`` and nothing are empty lists to Matomo (DistributedList.php).
    """
    head = re.match(rb"a:(\d+):\{", serialized)
    if head:
        return max(int(head[1]), read)
    return 0 if serialized.strip() in (b"", b"b:0;", b"N;") else 1


def parse(item: str) -> Optional[Entry]:
    """One entry; None where it is not what scheduleReArchiving writes. Pure."""
    try:
        data: Any = json.loads(item)
    except ValueError:
        return None
    if not isinstance(data, dict) or "idSites" not in data:
        return None
    sites = data["idSites"]
    listed = ",".join(map(str, sites)) if isinstance(sites, list) else str(sites)
    since = data.get("startDate")
    return Entry(
        sites=listed[:200],
        plugin=str(data.get("pluginName") or ""),
        report=str(data.get("report") or ""),
        since=int(since) if isinstance(since, int) else None,
        segment=str(data.get("segment") or "")[:200],
    )
