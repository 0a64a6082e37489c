"""The configuration of a private copy of a staged tree: the live one, made harmless. Pure.

Lines are taken over as they stand (passwords with odd characters, lists, values of many lines);
what could lead anywhere live is left out and set anew. The console of the copy then says what it
read (``staged_console``): that, not this, is the proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Optional

from matops.matomo import ini
from matops.matomo.staged_php import PLUGIN

DROPPED = {
    "database_reader": "a second database for reading",
    "database_tests": "",
    "RedisCache": "the live cache in Redis",
    "ChainedCache": "",
    "Cache": "",
    "mail": "the mail server",
    "log": "live log files",
    "proxy": "the way out to the internet",
    "Development": "",
    "Debug": "",
    "DebugTests": "",
    "tests": "",
    "QueuedTracking": "the live queue",
}
"""Sections left out, and what they would have led to ('' = not worth a word)."""

_GENERAL = {
    "tmp_path": "/tmp",
    "emails_enabled": "0",
    "default_language": "en",
    "enable_browser_archiving_triggering": "0",
    "browser_archiving_disabled_enforce": "1",
    "force_ssl": "0",
}
_GENERAL_GONE = ("instance_id", "session_save_handler", "maintenance_mode", "hostname")
_QUEUE = {
    "backend": "mysql", "queueEnabled": "0", "processDuringTrackingRequest": "0",
    "redisHost": "127.0.0.1", "redisPort": "1", "redisPassword": "",
    "useWhatRedisBackendType": "1", "sentinelMasterName": "",
}  # fmt: skip
_ENTRY = re.compile(r"^\s*([^=;\[\]\s]+)\s*(?:\[[^\]]*\])?\s*=\s*(.*)$")
_SECTION = re.compile(r"^\s*\[([^\]]+)\]\s*(?:;.*)?$")
_HEADER = "; <?php exit; ?> DO NOT REMOVE THIS LINE\n; of a rehearsal by matops\n"


@dataclass(frozen=True)
class Entry:
    """One setting as it stands in a file: all its lines."""

    section: str
    key: str
    raw: str


def entries(text: str) -> Iterator[Entry]:
    """The settings of an INI file, in order; comments and blank lines are passed over."""
    section, lines = "", iter(text.splitlines())
    for line in lines:
        if found := _SECTION.match(line):
            section = found[1].strip()
        elif not line.lstrip().startswith(";") and (found := _ENTRY.match(line)):
            raw = line
            while _open(raw):
                more = next(lines, None)
                if more is None:
                    break
                raw += f"\n{more}"
            yield Entry(section, found[1], raw)


def _open(raw: str) -> bool:
    # A value in double quotes may go on for lines, as a key in PEM does.
    value = raw.partition("=")[2].lstrip()
    return value.startswith('"') and not re.match(r'"(?:[^\\"]|\\.)*"', value, re.DOTALL)


def encoded(value: str) -> str:
    """As Matomo's IniFileChain writes a text: HTML entities, in double quotes."""
    for char, entity in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;"),
                         ("$", "&#36;")):  # fmt: skip
        value = value.replace(char, entity)
    return f'"{value}"'


def private(
    local: str, common: Optional[str], commands: str, database: Mapping[str, str]
) -> tuple[str, str]:
    """(config.ini.php, common.config.ini.php) of the copy; the second is '' without one.

    ``database``: what is set anew in [database], ``dbname`` at least. ``commands``: plugins whose
    console commands are loaded in any case by the live configuration. In both files everything
    of DROPPED is gone; [database] stands whole in the first, so that nothing redirects it.
    """
    mine, theirs = list(entries(local)), list(entries(common or ""))
    whole = [each for each in mine if each.section == "database"]
    known = {each.key for each in whole}
    whole += [each for each in theirs if each.section == "database" and each.key not in known]
    loaded = ",".join(name for name in (commands, PLUGIN) if name)
    general = {**_GENERAL, "always_load_commands_from_plugin": loaded}
    sections: dict[str, list[str]] = {"database": []}
    for each in [*whole, *(one for one in mine if one.section != "database")]:
        if _kept(each, database, general):
            sections.setdefault(each.section, []).append(each.raw)
    _set(sections, "database", database)
    _set(sections, "General", general)
    _set(sections, "Cache", {"backend": "file"})
    _set(sections, "QueuedTracking", _QUEUE)
    sections["log"] = ['log_writers[] = "screen"', 'logger_file_path = "tmp/logs/matomo.log"']
    return _written(sections), _common(theirs, general)


def _common(theirs: list[Entry], general: Mapping[str, str]) -> str:
    sections: dict[str, list[str]] = {}
    for each in theirs:
        if each.section != "database" and _kept(each, {}, general):
            sections.setdefault(each.section, []).append(each.raw)
    return _written(sections) if theirs else ""


def _kept(each: Entry, database: Mapping[str, str], general: Mapping[str, str]) -> bool:
    if each.section in DROPPED or not each.section:
        return False
    if each.section == "database":
        return each.key not in database
    gone = each.section == "General" and (each.key in general or each.key in _GENERAL_GONE)
    return not gone


def _set(sections: dict[str, list[str]], name: str, values: Mapping[str, str]) -> None:
    lines = [f"{key} = {encoded(value)}" for key, value in values.items()]
    sections[name] = [*sections.get(name, []), *lines]


def _written(sections: Mapping[str, list[str]]) -> str:
    blocks = [f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items()]
    return _HEADER + "\n".join(blocks)


def left_out(*texts: str) -> list[str]:
    """What of the live settings the copy does not have, in words for the report."""
    found = {each.section for text in texts for each in entries(text)}
    return [f"[{name}] ({why})" for name, why in DROPPED.items() if why and name in found]


def changes(before: str, after: str, defaults: str = "") -> list[str]:
    """What core:update changed in the file, a line each; values of secrets are not shown.

    ``defaults``: the release's global.ini.php: Matomo drops what equals it whenever it saves.
    """
    old, new, usual = ini.parse(before), ini.parse(after), ini.parse(defaults)
    lines = []
    for section in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(section, {}), new.get(section, {})
        for key in [*now, *(name for name in was if name not in now)]:
            if was.get(key) == now.get(key) or section in ("Cache", "log", "QueuedTracking"):
                continue
            if key not in now and was[key] == usual.get(section, {}).get(key):
                continue
            lines.append(f"[{section}] {key}: {_shown(key, was.get(key), now.get(key))}")
    return lines


def _shown(key: str, was: Optional[ini.Value], now: Optional[ini.Value]) -> str:
    if re.search(r"(?i)pass|salt|token|secret|key|licen", key):
        return "changed"
    if isinstance(now, list) and isinstance(was, (list, type(None))):
        added = [each for each in now if each not in (was or [])]
        gone = [each for each in was or [] if each not in now]
        return (
            ", ".join([*(f"+{each}" for each in added), *(f"-{each}" for each in gone)]) or "order"
        )
    if now is None:
        return "removed"
    return f"set to {now}"
