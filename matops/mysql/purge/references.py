"""What refers to an action: every column of the schema that may hold an idaction.

Matomo's own list (core/Plugin/Dimension/DimensionMetadataProvider.php) is made of names with
``idaction`` in them, in log_link_visit_action, log_visit, log_conversion and log_conversion_item;
plugins add theirs (event Db.getActionReferenceColumnsByTable). Taken is every integer column with
such a name, in any table of Matomo's, and every column a plugin's source names there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matops.errors import Refused
from matops.mysql.purge.tables import shape_of
from matops.mysql.session import Session


@dataclass(frozen=True)
class Reference:
    """One table: its columns with idactions, and the integer its primary key begins with.

    ``grows``: rows are only ever added behind, and their idactions never change: the page views.
    """

    table: str
    pk: str
    columns: tuple[str, ...]
    grows: bool = False


def look(session: Session, prefix: str, more: Sequence[str] = ()) -> list[Reference]:
    """All of them. Refused for a table that cannot be gone through in pieces."""
    schema = session.address.schema
    pattern = prefix.replace("\\", "\\\\").replace("_", r"\_").replace("%", r"\%") + "%"
    columns: dict[str, list[str]] = {}
    for row in session.rows("purge_action_columns", (schema, pattern, list(more) or [""])):
        name = str(row["table_name"])
        if name.startswith(prefix) and name != f"{prefix}log_action":
            columns.setdefault(name, []).append(str(row["column_name"]))
    return [_reference(session, prefix, name, cols) for name, cols in columns.items()]


def _reference(session: Session, prefix: str, name: str, columns: list[str]) -> Reference:
    shape = shape_of(session, session.address.schema, name, "")
    key = shape.indexes.get("PRIMARY", ("",))[0]
    if "int" not in shape.columns.get(key, ""):
        raise Refused(
            f"{name} refers to actions ({', '.join(columns)}), and its primary key does not begin "
            "with an integer: it cannot be gone through in pieces",
            state="No action was touched",
            next="purge without --actions",
        )
    grows = name == f"{prefix}log_link_visit_action" and shape.pk == "idlink_va"
    return Reference(name, key, tuple(columns), grows)
