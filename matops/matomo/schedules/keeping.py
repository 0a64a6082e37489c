"""Holding and putting back, as called on the host; plain data in and out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from matops.errors import MatopsError
from matops.matomo.schedules import cron, scripts, supervisor, units
from matops.matomo.schedules.entry import CRON, SCRIPT, SUPERVISOR, UNIT, Entry
from matops.matomo.schedules.entry import find as _find
from matops.matomo.schedules.ledger import Ledger, save

_NO_TIMER = "whether it, or its timer, was running is not known: systemctl start it if need be"


def find(docroot: str, what: Sequence[str], keep: str = "") -> dict[str, Any]:
    """Schedules of this installation that do work of the kinds ``what`` (``words.ALL``).

    ``{"entries": [Entry as data, with "shown"], "hidden": [what could not be looked into]}``.
    ``keep``: where ledgers lie, for scripts and programs that are held: they do not show it.
    Only reads. MatopsError: a ledger that is damaged.
    """
    hidden: list[str] = []
    found = [{**one.data(), "shown": one.shown} for one in _find(docroot, what, hidden)]
    ours = _ledgers(keep)
    seen = {one["id"] for one in found}
    for one in found:
        holder = next((ledger for ledger in ours if one["id"] in ledger.entries), None)
        if holder and one["place"] == SUPERVISOR and not one["live"]:
            one["held"] = holder.who
    for ledger in ours:  # a script without its execute bit is no schedule any more
        found += [
            {**e, "held": ledger.who, "live": False} for key, e in ledger.entries.items()
            if key not in seen and e["place"] == SCRIPT and set(e["kinds"]) & set(what)
        ]  # fmt: skip
    return {"entries": found, "hidden": sorted(set(hidden))}


def _ledgers(keep: str) -> list[Ledger]:
    if not keep or not os.path.isdir(keep):
        return []
    names = [n[:-5] for n in sorted(os.listdir(keep)) if n.endswith(".json")]
    return [Ledger(keep, name) for name in names]


def held(docroot: str, keep: str, who: str) -> dict[str, Any]:
    """``{"since": ISO time, "entries": [as found]}`` of what ``who`` holds by its ledger."""
    del docroot
    ledger = Ledger(keep, who)
    return {"since": ledger.since, "entries": list(ledger.entries.values())}


def hold(
    docroot: str, what: Sequence[str], keep: str, who: str, stop: bool = False
) -> dict[str, Any]:
    """Holds all that ``find`` finds, is live, and is not held. Safe to repeat, after kill -9 too.

    ``stop``: services that run now are stopped; supervisor's programs are in any case, for there
    is no other way to hold them. ``{"held": [shown], "failed": [{"where", "why"}],
    "cron": a file of cron was changed}``.
    """
    hidden: list[str] = []
    entries = [e for e in _find(docroot, what, hidden) if not e.held and e.live and not e.why_not]
    ledger = Ledger(keep, who)
    if entries:
        ledger.add({e.id: {**e.data(), "shown": e.shown, "was": _before(e, keep)} for e in entries})
    done, failed = [], []
    for group in _together(entries):
        try:
            _hold(group, who, stop)
            done += [entry.shown for entry in group]
        except (MatopsError, OSError) as error:
            failed += [{"where": entry.shown, "why": _words(error)} for entry in group]
    cron.poke(_tables(list(ledger.entries.values())))  # also what a killed run has changed
    return {"held": done, "failed": failed, "cron": any(e.place == CRON for e in entries)}


def _before(entry: Entry, keep: str) -> dict[str, Any]:
    """What is to be put back; of a file that will be edited a copy is kept, too."""
    if entry.place == CRON:
        with open(entry.where, "rb") as file:
            data = cron.clean(file.read())
        copy = f"{keep}/{os.path.basename(entry.where)}.{cron.sha(data)[:12]}"
        os.makedirs(keep, mode=0o700, exist_ok=True)
        save(copy, data)
        return {"sha": cron.sha(data), "copy": copy}
    if entry.place == SCRIPT:
        return scripts.before(entry.where)
    return dict(entry.more)


def _tables(entries: Sequence[dict[str, Any]]) -> list[cron.Table]:
    return list({cron.Table(**e["more"]) for e in entries if e["place"] == CRON})


def _together(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The lines of one file are held in one writing."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.place, entry.where), []).append(entry)
    return list(groups.values())


def _hold(group: Sequence[Entry], who: str, stop: bool) -> None:
    entry = group[0]
    if entry.place == CRON:
        cron.comment(cron.Table(**entry.more), [one.id for one in group], who)
    elif entry.place == SCRIPT:
        scripts.hold(entry.where)
    elif entry.place == UNIT:
        units.hold(entry.where, who, entry.more["timers"], stop=stop)
    elif entry.place == SUPERVISOR:
        supervisor.hold(entry.more["processes"])


def release(docroot: str, keep: str, who: str) -> dict[str, Any]:
    """Puts back all that ``who`` holds. Safe to repeat, after kill -9 too.

    ``{"back": [shown], "notes": [what is not as it was, and why], "failed": [{"where", "why"}]}``.
    What failed stays in the ledger.
    """
    del docroot
    ledger = Ledger(keep, who)
    back: list[str] = []
    notes: list[str] = []
    failed: list[dict[str, str]] = []
    tables = _tables(list(ledger.entries.values()))
    for key, entry in list(ledger.entries.items()):
        try:
            note = _release(entry, who)
        except (MatopsError, OSError) as error:
            failed.append({"where": entry["shown"], "why": _words(error)})
            continue
        if note:
            notes.append(f"{entry['shown']}: {note}{_copy_of(entry)}")
        else:
            _drop_copy(ledger, entry)
        back.append(entry["shown"])
        ledger.drop(key)
    left = {entry["where"] for entry in ledger.entries.values()}  # they have failed just now
    for table, line in _marked(who):  # by no ledger: it was lost
        if table.path in left:
            continue
        with open(table.path, "rb") as file:
            cron.uncomment(table, who, cron.sha(cron.clean(file.read())))
        tables.append(table)
        back.append(f"{table.path} line {line.number}, found by its marker")
    for name in set(units.marked(who)) - left:
        notes += [f"{name}: {units.release(name, who, [], start=False) or _NO_TIMER}"]
        back.append(f"{name}, found by its drop-in")
    cron.poke(tables)
    return {"back": back, "notes": notes, "failed": failed}


def _marked(who: str) -> Iterator[tuple[cron.Table, cron.Line]]:
    """Lines of cron that are still held."""
    for table in cron.tables([]):
        yield from ((table, line) for line in cron.lines(table, []) if line.held == who)


def _release(entry: dict[str, Any], who: str) -> str:
    place, was = entry["place"], entry["was"]
    if place == CRON:
        return _release_line(entry, who)
    if place == SCRIPT:
        return scripts.release(entry["where"], was)
    if place == UNIT:
        return units.release(entry["where"], who, was["timers"], start=was["active"])
    return supervisor.release(was["processes"])


def _release_line(entry: dict[str, Any], who: str) -> str:
    table = cron.Table(**entry["more"])
    if not os.path.exists(table.path):
        return "the file is gone: somebody removed it while its line was held"
    cron.uncomment(table, who, entry["was"]["sha"])  # all lines of this holder in the file
    with open(table.path, "rb") as file:
        data = file.read()
    if cron.sha(cron.clean(data)) == entry["was"]["sha"]:
        return ""
    if any(line.id == entry["id"] for line in cron.parse(table, data)):
        return "the line is back; somebody else changed the file meanwhile, their change is kept"
    return "somebody changed the line, or removed it, while it was held: left as they made it"


def _copy_of(entry: dict[str, Any]) -> str:
    copy = entry["was"].get("copy", "")
    return f" (as it was: {copy})" if copy else ""


def _drop_copy(ledger: Ledger, entry: dict[str, Any]) -> None:
    copy = entry["was"].get("copy", "")
    others = [e for e in ledger.entries.values() if e is not entry and e["was"].get("copy") == copy]
    if copy and not others and os.path.exists(copy):
        os.unlink(copy)


def _words(error: Exception) -> str:
    return error.line() if isinstance(error, MatopsError) else str(error)
