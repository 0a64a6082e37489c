"""Reads Matomo's ``config.ini.php`` and its defaults. A pure parser; never writes.

The format is PHP's INI with its own habits: a first line ``; <?php exit; ?>``, repeated
``key[] = …`` lines that make a list, values in double quotes with HTML entities in them
(Matomo encodes on saving, core/Config). configupdater and configparser fail on the lists.
"""

from __future__ import annotations

import html
import re
from typing import Union

Value = Union[str, list[str]]
Sections = dict[str, dict[str, Value]]

_SECTION = re.compile(r"^\s*\[([^\]]+)\]\s*(?:;.*)?$")
_QUOTED = {q: rf"(?:[^\\{q}]|\\.)*" for q in "\"'"}  # up to the quote; \\" is not the end
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|\w+);")
_PAIR = re.compile(r"^\s*([^=;\[\]\s]+)\s*(\[[^\]]*\])?\s*=\s*(.*?)\s*$")


def parse(text: str) -> Sections:
    """``{section: {key: value or list of values}}``; lines that are neither are passed over."""
    sections: Sections = {}
    current: dict[str, Value] = {}
    for line in text.splitlines():
        if found := _SECTION.match(line):
            current = sections[found[1].strip()] = {}  # PHP: the last one of a name replaces
        elif not line.lstrip().startswith(";") and (found := _PAIR.match(line)):
            _put(current, found[1], bool(found[2]), _value(found[3]))
    return sections


def _put(section: dict[str, Value], key: str, is_list: bool, value: str) -> None:
    if not is_list:
        section[key] = value
        return
    existing = section.get(key)
    section[key] = [*existing, value] if isinstance(existing, list) else [value]


def _value(raw: str) -> str:
    if raw[:1] in ('"', "'"):
        inner = re.match(_QUOTED[raw[0]], raw[1:])
        text = inner[0] if inner else raw[1:]
        return _decoded(text.replace("\\" + raw[0], raw[0]))
    return _decoded(raw.split(";", 1)[0].strip())


def _decoded(text: str) -> str:
    # Whole entities only, as PHP's html_entity_decode: html.unescape alone takes "&lt5" too.
    # Twice, as Matomo does (IniFileChain::reload), and without the single quote (ENT_COMPAT).
    for _ in range(2):
        text = _ENTITY.sub(_entity, text)
    return text


def _entity(found: re.Match[str]) -> str:
    text = html.unescape(found[0])
    return found[0] if text == "'" else text


def merge(*layers: Sections) -> Sections:
    """Later layers go before earlier ones, key by key; a list replaces a list whole."""
    merged: Sections = {}
    for layer in layers:
        for name, section in layer.items():
            merged.setdefault(name, {}).update(section)
    return merged


def text_of(sections: Sections, section: str, key: str, default: str = "") -> str:
    """One value as text; the first of a list."""
    value = sections.get(section, {}).get(key, default)
    return (value[0] if value else default) if isinstance(value, list) else value


def list_of(sections: Sections, section: str, key: str) -> list[str]:
    """One value as a list."""
    value = sections.get(section, {}).get(key, [])
    return value if isinstance(value, list) else [value]
