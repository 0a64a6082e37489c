"""What a table looks like, as the server itself writes it, and where two of them differ.

``SHOW CREATE TABLE`` says everything that the server knows of a table: types, defaults, character
sets, indexes, constraints, options, partitions. Only the counter of AUTO_INCREMENT is not schema.
The order of columns counts, too: whole statements run in their order end with the same order, so
another one means that something was not as foreseen.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Optional

from matops.mysql.ahead.grammar import Added, Additive
from matops.mysql.session import DatabaseError, Session

NO_SUCH_TABLE = (1146, 1051)
_NAME = re.compile(r"`((?:[^`]|``)+)`")
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")


@dataclass(frozen=True)
class Picture:
    """One table. ``columns`` in order and ``keys`` (indexes, constraints): name → definition."""

    columns: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    options: str = ""

    def of(self, added: Added) -> str:
        """The definition of what a clause adds; '' where it is not there."""
        if added.kind == "column":
            return _of(self.columns, added.name)
        if added.name:
            return _of(self.keys, added.name)
        return next((d for d in self.keys.values() if _columns(d) == added.columns), "")


class There(enum.Enum):
    """How much of a statement is on the table already."""

    NOT = "not there"
    PARTLY = "partly there"
    ALL = "there"


def parse(text: str) -> Picture:
    """From the text of SHOW CREATE TABLE. Pure."""
    columns: dict[str, str] = {}
    keys: dict[str, str] = {}
    options: list[str] = []
    for line in text.splitlines()[1:]:
        if options or line.startswith(")"):
            options.append(line.strip())
            continue
        body = line.strip().rstrip(",")
        name = _NAME.search(body)
        if body.startswith("`") and name:
            columns[name[1].replace("``", "`")] = body[name.end() :].strip()
        else:
            key = "PRIMARY" if body.startswith("PRIMARY KEY") or not name else name[1]
            keys[key.replace("``", "`")] = body
    return Picture(columns, keys, _COUNTER.sub("", " ".join(options)))


def look(session: Session, table: str, schema: str = "") -> Optional[Picture]:
    """A table of ``schema`` ('' = the session's own); None where there is none. DatabaseError."""
    try:
        rows = session.rows(
            "ahead_create_statement", table=table, schema=schema or session.address.schema
        )
    except DatabaseError as error:
        if error.number in NO_SUCH_TABLE:
            return None
        raise
    return parse(str(rows[0].get("Create Table") or ""))


def look_all(session: Session, tables: Iterable[str], schema: str = "") -> dict[str, Picture]:
    """Those of the tables that are there. A small statement for each."""
    found = {table: look(session, table, schema) for table in tables}
    return {table: picture for table, picture in found.items() if picture is not None}


def there(picture: Picture, statement: Additive) -> There:
    """How much of what the statement adds is there, by name. Pure."""
    found = [bool(picture.of(added)) for added in statement.added]
    if all(found):
        return There.ALL
    return There.PARTLY if any(found) else There.NOT


def wrong(live: Picture, wanted: Picture, statement: Additive) -> list[str]:
    """What the statement should have added and did not, or not so. Pure."""
    return [
        f"{added.shown} is {live.of(added) or 'not there'}, not {wanted.of(added)}"
        for added in statement.added
        if live.of(added) != wanted.of(added)
    ]


def differences(plain: Mapping[str, Picture], ahead: Mapping[str, Picture]) -> list[str]:
    """Where the schema after an upgrade with something done ahead is not that of a plain one.

    One sentence for each difference, by table; [] = the same. Pure.
    """
    found = [f"table {name} is missing" for name in sorted(set(plain) - set(ahead))]
    found += [f"table {name} is there besides" for name in sorted(set(ahead) - set(plain))]
    for name in sorted(set(plain) & set(ahead)):
        found += [f"{name}: {words}" for words in _one(plain[name], ahead[name])]
    return found


def _one(plain: Picture, ahead: Picture) -> list[str]:
    found = _mapped("column", plain.columns, ahead.columns)
    if not found and list(plain.columns) != list(ahead.columns):
        moved = next(a for p, a in zip(plain.columns, ahead.columns) if p != a)
        found.append(f"the columns stand in another order, from {moved} on")
    found += _mapped("key", plain.keys, ahead.keys)
    if plain.options != ahead.options:
        found.append(f"its options are '{ahead.options}', not '{plain.options}'")
    return found


def _mapped(kind: str, plain: Mapping[str, str], ahead: Mapping[str, str]) -> list[str]:
    names = list(dict.fromkeys([*plain, *ahead]))
    return [
        f"{kind} {name} is '{ahead.get(name, 'not there')}', not '{plain.get(name, 'not there')}'"
        for name in names
        if plain.get(name) != ahead.get(name)
    ]


def _of(found: Mapping[str, str], name: str) -> str:
    # Names of columns and indexes are the same in any case of letters, on both servers.
    return next((text for key, text in found.items() if key.lower() == name.lower()), "")


def _columns(definition: str) -> tuple[str, ...]:
    inner = definition.partition("(")[2]
    return tuple(name.replace("``", "`") for name in _NAME.findall(inner))
