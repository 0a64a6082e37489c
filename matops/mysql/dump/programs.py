"""Views, triggers and routines: what Matomo itself has none of, but a site may have added.

Whoever restores becomes their definer: naming another one needs rights that Matomo's account has
not. Who it was stands above each. What cannot work where only Matomo's tables are (a view that
is broken already, one of another application) is left out: it would end the restore.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Optional

from matops.mysql.dump.source import Source
from matops.mysql.privileges import account
from matops.mysql.quote import quote
from matops.mysql.session import DatabaseError, Row

_REFUSED = (1044, 1045, 1142, 1143, 1227, 1345, 1370, 1356, 1305)
_BROKEN = 1356
_NAME = r"""(?:`(?:[^`]|``)*`|"(?:[^"]|"")*"|'[^']*'|[\w.%]+)"""
_DEFINER = re.compile(rf"\sDEFINER\s*=\s*({_NAME}@{_NAME})")


@dataclass
class Programs:
    """Statements in the order in which they can be run; what could not be read, with its GRANT."""

    text: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    count: int = 0


def read(source: Source, schema: str, absent: Collection[str] = ()) -> Programs:
    """Everything of ``schema`` that is no table. DatabaseError for a lost connection.

    ``absent``: tables that are not in the dump, nor is then what needs them.
    """
    found = Programs()
    _views(source, schema, found, set(absent))
    _triggers(source, schema, found, absent)
    _routines(source, schema, found)
    events = int(source.value("backup_events", (schema,)) or 0)
    if events:
        found.notes.append(f"{events} scheduled events are not in the backup")
    return found


def _views(source: Source, schema: str, found: Programs, absent: set[str]) -> None:
    texts: dict[str, str] = {}
    for row in source.rows("backup_views", (schema,)):
        name = str(row["name"])
        if "VIEW" not in str(row["kind"]):
            found.notes.append(f"{name} ({row['kind']}) is not in the backup")
            continue
        text = _show(source, "backup_view", name, "Create View")
        if text is None:
            grant = f"GRANT SHOW VIEW ON {quote(schema)}.* TO {account(source)};"
            found.notes.append(f"view {name} cannot be read and is not in the backup: {grant}")
        elif _broken(source, schema, name):
            found.notes.append(f"view {name} is broken (error {_BROKEN}) and is not in the backup")
        else:
            texts[name] = text
    for name in _lost(texts, absent):
        del texts[name]
        found.notes.append(f"view {name} reads what is not Matomo's and is not in the backup")
    for name in texts:
        columns = source.rows("backup_columns", (schema, name))
        # A view may read another that is not there yet: first all as stand-ins, then for real.
        values = ", ".join(f"1 AS {quote(str(column['name']))}" for column in columns)
        found.text.append(f"CREATE VIEW {quote(name)} AS SELECT {values};")
    for text in texts.values():
        found.text.append(_anybody(text.replace("CREATE", "CREATE OR REPLACE", 1)) + ";")
    found.count += len(texts)


def _broken(source: Source, schema: str, name: str) -> bool:
    try:
        source.rows("backup_view_works", schema=schema, object=name)
    except DatabaseError as error:
        return error.number == _BROKEN
    return False


def _lost(texts: dict[str, str], absent: set[str]) -> list[str]:
    """The views that read one of ``absent``, or such a view. Pure; adds them to ``absent``.

    The server writes every name in backticks: a column of that name counts, too.
    """
    lost: list[str] = []
    while True:
        more = [
            name for name, text in texts.items()
            if name not in lost and any(quote(each) in text for each in absent)
        ]  # fmt: skip
        if not more:
            return lost
        lost += more
        absent.update(more)


def _triggers(source: Source, schema: str, found: Programs, absent: Collection[str]) -> None:
    if _may_see_triggers(source, schema) is False:
        grant = f"GRANT TRIGGER ON {quote(schema)}.* TO {account(source)};"
        found.notes.append(f"triggers, if there are any, are not in the backup: {grant}")
        return
    for row in source.rows("backup_triggers", (schema,)):
        if row["on_table"] not in absent:
            column = "SQL Original Statement"
            _program(source, found, "trigger", str(row["name"]), column)


def _may_see_triggers(source: Source, schema: str) -> Optional[bool]:
    try:
        source.rows("probe_trigger", schema=schema, table=f"matops_asks_{secrets.token_hex(6)}")
    except DatabaseError as error:
        return False if error.number in (1142, 1044) else None
    return True


def _routines(source: Source, schema: str, found: Programs) -> None:
    for row in source.rows("backup_routines", (schema,)):
        kind, name = str(row["kind"]), str(row["name"])
        _program(source, found, kind, name, f"Create {kind.capitalize()}")


def _program(source: Source, found: Programs, kind: str, name: str, column: str) -> None:
    row = _row(source, f"backup_{kind}", name)
    if row is None or row[column] is None:
        found.notes.append(f"{kind} {name} cannot be read and is not in the backup")
        return
    # It means what it meant under the mode it was made in (|| and "…"), and runs under that.
    modes = [m for m in str(row["sql_mode"]).split(",") if m != "NO_AUTO_CREATE_USER"]
    found.text.append(f"SET SESSION sql_mode = '{','.join(modes)}';")
    # Its body may hold ; and the client must not cut it there.
    found.text.append(f"DELIMITER ;;\n{_anybody(str(row[column]))}\n;;\nDELIMITER ;")
    found.count += 1


def _show(source: Source, statement: str, name: str, column: str) -> Optional[str]:
    row = _row(source, statement, name)
    return None if row is None or row[column] is None else str(row[column])


def _row(source: Source, statement: str, name: str) -> Optional[Row]:
    try:
        return source.rows(statement, object=name)[0]
    except DatabaseError as error:
        if error.number in _REFUSED:
            return None
        raise


def _anybody(text: str) -> str:
    """Without its definer, who is told in a comment. Pure."""
    found = _DEFINER.search(text)
    if not found:
        return text
    who = found[1].replace("*/", "* /")
    return f"/* its definer was {who} */ " + text[: found.start()] + text[found.end() :]
