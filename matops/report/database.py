"""How ``db.sizes`` and ``db.locks`` look to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

from matops.units import show_duration, show_epoch, show_size

SIZE_HEADERS = ("table", "rows ~", "data", "index", "file", "reclaimable", "by", "rebuilt (UTC)")
GROUP_HEADERS = ("family", "tables", "rows ~", "data", "index", "file", "reclaimable", "looked at")

_WIDEST = 200


def size_row(table: dict[str, Any]) -> Sequence[Any]:
    """One table of ``db.sizes``; a file size that is only known from statistics has a ~."""
    made = table["estimate"]
    return (
        table["name"]
        if table["engine"].lower() == "innodb"
        else f"{table['name']} ({table['engine']})",
        table["rows"],
        show_size(table["data_bytes"]),
        show_size(table["index_bytes"]),
        ("" if table["file_known"] else "~ ") + show_size(table["file_bytes"]),
        _gain(made, table["file_bytes"]),
        made["method"] if made else "",
        "" if table["rebuilt"] is None else show_epoch(table["rebuilt"])[:16],
    )


def _gain(made: Optional[dict[str, Any]], size: int) -> str:
    if made is None or made["method"] == "none":
        return ""
    share = 100 * made["reclaim_bytes"] / size if size else 0
    return f"{show_size(made['reclaim_bytes'])} ± {show_size(made['error_bytes'])} ({share:.0f} %)"


def group_row(group: dict[str, Any]) -> Sequence[Any]:
    """One family, or the total."""
    return (
        group["name"],
        group["tables"],
        group["rows"],
        show_size(group["data_bytes"]),
        show_size(group["index_bytes"]),
        show_size(group["file_bytes"]),
        show_size(group["reclaim_bytes"]) if group["estimated"] else "",
        f"{group['estimated']} of {group['tables']}",
    )


def size_notes(found: dict[str, Any]) -> Iterator[str]:
    """What a reader must know about the figures."""
    if found["left_out"]:
        yield (f"{found['left_out']} large tables were not looked into for lack of time: "
               "give --budget more")  # fmt: skip
    if any(not table["file_known"] for table in found["tables"]):
        yield "~ files: data + index + free extents; this account may not ask (db.privileges)"
    notes = {t["estimate"]["note"] for t in found["tables"] if t["estimate"]}
    if any("blind" in note for note in notes):
        yield "'free extents' does not see scattered deletes: the truth may be far more"
    history = found["history_length"]
    if history is not None and history > 1000:
        yield (f"purge is behind by {history} transactions (history list): what it still has to "
               "remove is not counted as reclaimable")  # fmt: skip


def lock_lines(picture: dict[str, Any]) -> Iterator[str]:
    """Who waits for whom, as trees: who holds everything up first, the waiting below."""
    waits = picture["waits"]
    if not waits:
        yield f"{picture['server']}: nobody waits for a lock"
    shown: set[int] = set()
    for root in picture["roots"]:
        yield f"{_who(root)} holds up:"
        yield from _below(root["id"], waits, shown, 1)
    for i, wait in enumerate(waits):
        if i not in shown:
            shown.add(i)
            yield _waits(wait)
            for blocker in wait["blockers"]:
                sure = "for" if blocker["sure"] else "perhaps for"
                yield f"    {sure} {_who(blocker['who'])}"
    for note in picture["notes"]:
        yield f"note: {note}"


def _below(number: int, waits: list[dict[str, Any]], shown: set[int], depth: int) -> Iterator[str]:
    for i, wait in enumerate(waits):
        held = [b for b in wait["blockers"] if b["who"]["id"] == number]
        if not held or i in shown:
            continue
        shown.add(i)
        verb = "waits too, with" if held[0]["waits_too"] else "with"
        yield f"{'    ' * depth}{_waits(wait)} [{verb} {held[0]['mode']}]"
        yield from _below(wait["who"]["id"], waits, shown, depth + 1)


def _waits(wait: dict[str, Any]) -> str:
    who = wait["who"]
    return (
        f"connection {who['id']} ({who['user']}@{who['host']}) waits "
        f"{show_duration(who['seconds'])} for {wait['mode']} on {wait['object']} "
        f"({wait['kind']} lock): {_cut(who['statement'])}"
    )


def _who(who: dict[str, Any]) -> str:
    parts = [f"connection {who['id']} ({who['user'] or '?'}@{who['host'] or '?'})"]
    idle = who["command"] == "Sleep"
    if who["seconds"] is not None:
        parts.append(f"{'idle' if idle else 'busy'} {show_duration(who['seconds'])}")
    if who["trx_seconds"] is not None:
        parts.append(f"transaction open {show_duration(who['trx_seconds'])}")
        parts.append(f"{who['rows_changed']} rows changed")
    if who["statement"]:
        parts.append(f"{'last' if idle else 'runs'}: {_cut(who['statement'])}")
    return ", ".join(parts)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
