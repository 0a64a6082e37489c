"""Views, triggers and routines: what Matomo itself has none of, but a site may have added.

Whoever restores becomes their definer: naming another one needs rights that Matomo's account has
not. Who it was stands above each.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Optional

from matops.mysql.dump.source import Source
from matops.mysql.privileges import account
from matops.mysql.quote import quote
from matops.mysql.session import DatabaseError

_REFUSED = (1044, 1045, 1142, 1143, 1227, 1345, 1370, 1356, 1305)
_NAME = r"(?:`(?:[^`]|``)*`|'[^']*'|[\w.%]+)"
_DEFINER = re.compile(rf"\sDEFINER\s*=\s*({_NAME}@{_NAME})")


@dataclass
class Programs:
    """Statements in the order in which they can be run; what could not be read, with its GRANT."""

    text: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    count: int = 0


def read(source: Source, schema: str) -> Programs:
    """Everything of ``schema`` that is no table. DatabaseError for a lost connection."""
    found = Programs()
    _views(source, schema, found)
    _triggers(source, schema, found)
    _routines(source, schema, found)
    events = int(source.value("backup_events", (schema,)) or 0)
    if events:
        found.notes.append(f"{events} scheduled events are not in the backup")
    return found


def _views(source: Source, schema: str, found: Programs) -> None:
    rows = source.rows("backup_views", (schema,))
    views = [str(row["name"]) for row in rows if "VIEW" in str(row["kind"])]
    for row in rows:
        if "VIEW" not in str(row["kind"]):
            found.notes.append(f"{row['name']} ({row['kind']}) is not in the backup")
    made = []
    for name in views:
        text = _show(source, "backup_view", name, "Create View")
        if text is None:
            grant = f"GRANT SHOW VIEW ON {quote(schema)}.* TO {account(source)};"
            found.notes.append(f"view {name} cannot be read and is not in the backup: {grant}")
            continue
        columns = source.rows("backup_columns", (schema, name))
        # A view may read another that is not there yet: first all as stand-ins, then for real.
        values = ", ".join(f"1 AS {quote(str(column['name']))}" for column in columns)
        found.text.append(f"CREATE VIEW {quote(name)} AS SELECT {values};")
        made.append(_anybody(text).replace("CREATE", "CREATE OR REPLACE", 1) + ";")
    found.text += made
    found.count += len(made)


def _triggers(source: Source, schema: str, found: Programs) -> None:
    if _may_see_triggers(source, schema) is False:
        grant = f"GRANT TRIGGER ON {quote(schema)}.* TO {account(source)};"
        found.notes.append(f"triggers, if there are any, are not in the backup: {grant}")
        return
    for row in source.rows("backup_triggers", (schema,)):
        name = str(row["name"])
        text = _show(source, "backup_trigger", name, "SQL Original Statement")
        _program(found, "trigger", name, text)


def _may_see_triggers(source: Source, schema: str) -> Optional[bool]:
    try:
        source.rows("probe_trigger", schema=schema, table=f"matops_asks_{secrets.token_hex(6)}")
    except DatabaseError as error:
        return False if error.number in (1142, 1044) else None
    return True


def _routines(source: Source, schema: str, found: Programs) -> None:
    for row in source.rows("backup_routines", (schema,)):
        kind, name = str(row["kind"]), str(row["name"])
        column = f"Create {kind.capitalize()}"
        _program(found, kind, name, _show(source, f"backup_{kind}", name, column))


def _program(found: Programs, kind: str, name: str, text: Optional[str]) -> None:
    if text is None:
        found.notes.append(f"{kind} {name} cannot be read and is not in the backup")
        return
    # Its body may hold ; and the client must not cut it there.
    found.text.append(f"DELIMITER ;;\n{_anybody(text)} ;;\nDELIMITER ;")
    found.count += 1


def _show(source: Source, statement: str, name: str, column: str) -> Optional[str]:
    try:
        row = source.rows(statement, object=name)[0]
    except DatabaseError as error:
        if error.number in _REFUSED:
            return None
        raise
    return None if row[column] is None else str(row[column])


def _anybody(text: str) -> str:
    """Without its definer, who is told in a comment. Pure."""
    found = _DEFINER.search(text)
    if not found:
        return text
    who = found[1].replace("*/", "* /")
    return f"/* its definer was {who} */ " + text[: found.start()] + text[found.end() :]
