"""Which tables a release makes: read from its PHP. Pure but for reading files.

Core names its tables in one list (core/Db/Schema/Mysql.php, getTablesCreateSql). A plugin makes
its own in ``install()``, by ``DbHelper::createTable(name, …)``, with the name as a literal, a
constant, a property or a method of the same class. What cannot be told is left out.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_CORE = re.compile(r"'(\w+)'\s*=>\s*\"CREATE TABLE")
_TEMPLATES = ("archive_numeric", "archive_blob")
"""Models of the tables of each month: they have no table of their own."""
_CREATE = re.compile(r"DbHelper::createTable\(\s*([^,]+?)\s*,")
_LITERAL = re.compile(r"^['\"](\w+)['\"]$")
_LAST_NAME = re.compile(r"(\w+)\s*(?:\(\s*\))?$")
_LEFT_OUT = ("tests", "vendor", "Updates", "Commands")


def core_tables(docroot: str) -> list[str]:
    """Names without prefix; [] where the file is not there."""
    with contextlib.suppress(OSError):
        text = Path(docroot, "core", "Db", "Schema", "Mysql.php").read_text(errors="replace")
        return [name for name in _CORE.findall(text) if name not in _TEMPLATES]
    return []


def plugin_tables(docroot: str, plugin: str) -> list[str]:
    """Names without prefix of the tables that the plugin makes when it is installed."""
    folder = Path(docroot, "plugins", plugin)
    found: list[str] = []
    for path in sorted(folder.rglob("*.php")):
        if set(path.relative_to(folder).parts[:-1]).intersection(_LEFT_OUT):
            continue
        with contextlib.suppress(OSError):
            text = path.read_text(errors="replace")
            if "DbHelper::createTable" in text:
                found += [name for name in created(text) if name not in found]
    return found


def created(text: str) -> list[str]:
    """The tables that one PHP file creates. Pure."""
    names = [_resolve(argument, text) for argument in _CREATE.findall(text)]
    return [name for name in dict.fromkeys(names) if name]


def _resolve(argument: str, text: str, depth: int = 0) -> str:
    """The literal behind an expression; '' where it cannot be told."""
    literal = _LITERAL.match(argument)
    if literal:
        return literal[1]
    prefixed = re.match(r"(?:Common::)?(?:un)?prefixTable\((.*)\)$", argument)
    if prefixed:
        return _resolve(prefixed[1].strip(), text, depth + 1)
    last = _LAST_NAME.search(argument)
    if not last or depth > 4:
        return ""
    name = re.escape(last[1])
    if argument.endswith(")"):
        body = re.search(rf"function\s+{name}\s*\([^{{]*\{{\s*return\s+([^;]+);", text)
    else:
        body = re.search(rf"(?<!\w){name}\s*=\s*([^;=]+);", text)
    return _resolve(body[1].strip(), text, depth + 1) if body else ""
