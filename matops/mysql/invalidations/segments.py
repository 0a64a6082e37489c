"""What an archive's name says: ``done``, ``done<segment's hash>``, each perhaps ``.<plugin>``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from matops.mysql.invalidations.again import NO_SUCH_TABLE
from matops.mysql.session import DatabaseError, Session

_NAME = re.compile(r"done([0-9a-zA-Z]*)(?:\.(.+))?$")
_NO_COLUMN = 1054


@dataclass(frozen=True)
class Segment:
    """One segment. ``auto``: the archiver builds it by itself; else it is built when looked at."""

    name: str
    auto: bool
    deleted: bool = False


Segments = Mapping[str, Segment]
"""By hash."""


def look(session: Session, prefix: str) -> dict[str, Segment]:
    """All segments ever made. {} where the SegmentEditor plugin has no table (of our kind)."""
    try:
        rows = session.rows("invalidations_segments", segment=f"{prefix}segment")
    except DatabaseError as error:
        if error.number in (NO_SUCH_TABLE, _NO_COLUMN):
            return {}
        raise
    found: dict[str, Segment] = {}
    for row in rows:
        one = Segment(str(row["name"]), bool(row["auto_archive"]), bool(row["deleted"]))
        before = found.get(str(row["hash"]))
        # The same definition may be kept by several users: it is built if one of them wants it.
        if before is None or (not one.deleted and (before.deleted or one.auto > before.auto)):
            found[str(row["hash"])] = one
    return found


def split(name: str) -> tuple[str, str]:
    """(segment's hash or '', plugin or '') of an archive's name; ('?', '') for a strange one."""
    found = _NAME.match(name)
    return (found[1], found[2] or "") if found else ("?", "")


def whole(name: str) -> str:
    """The name of the archive of all plugins with the same segment."""
    return name.partition(".")[0]


def built_by_archiver(name: str, known: Segments) -> bool:
    """True for all visits, and for segments that are archived ahead (Rules.php)."""
    segment = split(name)[0]
    return not segment or (segment in known and known[segment].auto and not known[segment].deleted)


def shown(name: str, known: Segments) -> str:
    """For people: ``all visits``, ``segment 'Mobile'``, each perhaps ``, plugin Goals``."""
    segment, plugin = split(name)
    if segment == "?":
        text = name
    elif not segment:
        text = "all visits"
    elif segment in known:
        text = f"segment '{known[segment].name}'"
        text += " (deleted)" if known[segment].deleted else ""
    else:
        text = f"segment {segment[:8]}… (not stored)"
    return f"{text}, plugin {plugin}" if plugin else text
