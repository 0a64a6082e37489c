"""Which tables hold raw log rows, and how each is reached from a visit: read from the schema.

Matomo's own plugins and others add log tables. ``core:delete-logs-data`` asks each active plugin
how its table is joined (core/Tracker/LogTable.php: getColumnToJoinOnIdVisit,
getWaysToJoinToOtherLogTables). The same is seen from the columns:

* a ``<prefix>log_*`` table with ``idvisit`` belongs to visits (log_media, log_hsr, log_form, …);
* one without it that has the single-column primary key of such a table belongs to that table's
  rows (log_hsr_event by idloghsr, log_form_field by idlogform, log_media_plays by idview);
* others belong to no visit: log_action, log_profiling, log_bot_request. They are left alone.

Tables of plugins that are switched off are taken, too: their rows would belong to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from matops.errors import Refused
from matops.mysql.session import Session

VISIT = "idvisit"
_WEIGHT = "visit_total_actions"
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
# Too common to say which table's row is meant.
_NO_LINK = ("id", VISIT, "idsite", "idvisitor", "idaction", "idgoal", "idorder")


@dataclass(frozen=True)
class Shape:
    """One log table as the schema has it. ``indexes``: the columns of each, in order."""

    name: str
    engine: str
    columns: dict[str, str]
    indexes: dict[str, tuple[str, ...]]

    @property
    def pk(self) -> str:
        """The primary key where it is one integer column, else ''."""
        key = self.indexes.get("PRIMARY", ())
        return key[0] if len(key) == 1 and self.columns.get(key[0]) in _INTEGERS else ""

    @property
    def single_key(self) -> str:
        """The primary key where it is one column of whatever type, else ''."""
        key = self.indexes.get("PRIMARY", ())
        return key[0] if len(key) == 1 else ""

    def index_on(self, *columns: str) -> str:
        """The name of the index that begins with these columns, the shortest; '' = none."""
        found = [n for n, cols in self.indexes.items() if cols[: len(columns)] == columns]
        return min(found, key=lambda n: (n != "PRIMARY", len(self.indexes[n])), default="")


@dataclass(frozen=True)
class Table:
    """A table whose rows go with their visits.

    ``key``: the column by which its rows are found (idvisit, or the key of ``parent``, the table
    between). ``index``: one that begins with it, '' = none: gone through once by ``pk``.
    """

    name: str
    key: str
    index: str
    pk: str
    parent: str = ""
    parent_index: str = ""

    @property
    def slow(self) -> bool:
        """No index leads to its rows."""
        return not self.index

    @property
    def by_key(self) -> bool:
        """Its rows are deleted by its own integer key, in the order of the table."""
        return bool(self.index and self.pk and not self.parent and self.index != "PRIMARY")

    @property
    def how(self) -> str:
        """For the plan."""
        way = f"{self.key} through {self.parent}" if self.parent else self.key
        return f"by {way}" + (", no index: gone through once" if self.slow else "")


@dataclass(frozen=True)
class Tables:
    """All of them: ``children`` in the order of deletion, the visits' own table last.

    ``left``: log tables that belong to no visit. ``weight``: the column of log_visit that tells
    about how many rows a visit has, '' = none.
    """

    visit: str
    time_index: str
    weight: str
    children: tuple[Table, ...]
    left: tuple[str, ...]

    @property
    def quick(self) -> list[Table]:
        """Those that go with each chunk."""
        return [table for table in self.children if not table.slow]

    @property
    def slow(self) -> list[Table]:
        """Those that are gone through once, before."""
        return [table for table in self.children if table.slow]

    @property
    def names(self) -> list[str]:
        """In the order of deletion."""
        return [*(table.name for table in self.children), self.visit]


def look(session: Session, prefix: str) -> Tables:
    """Finds them. Refused where they are not Matomo's, or one cannot be dealt with safely."""
    schema = session.address.schema
    pattern = _literal(f"{prefix}log_") + "%"
    shapes = []
    for row in session.rows("purge_tables", (schema, pattern)):
        name = str(row["name"])
        if name.startswith(f"{prefix}log_"):  # LIKE ignores case
            shapes.append(shape_of(session, schema, name, str(row["engine"] or "")))
    return classify(shapes, prefix, schema)


def classify(shapes: Sequence[Shape], prefix: str, schema: str = "") -> Tables:
    """The same from shapes at hand. Pure. Refused."""
    visit = next((one for one in shapes if one.name == f"{prefix}log_visit"), None)
    if visit is None:
        raise _refused(
            f"there is no table {prefix}log_visit in {schema or 'this schema'}",
            "check [database] tables_prefix in config.ini.php",
        )
    time_index = visit.index_on("idsite", "visit_last_action_time")
    if visit.pk != VISIT or not time_index:
        raise _refused(
            f"{visit.name} is not as Matomo made it: it lacks "
            + ("the index (idsite, visit_last_action_time)" if time_index == "" else "its key"),
            f"compare it with Matomo's: SHOW CREATE TABLE {visit.name}",
        )
    direct = [one for one in shapes if VISIT in one.columns and one is not visit]
    through = [(one, parent) for one in shapes if (parent := _parent(one, direct, visit))]
    children = [_through(one, parent) for one, parent in through]
    # What hangs on a table goes before it; page views last but for the visits, as Matomo does.
    direct.sort(key=lambda one: (one.name == f"{prefix}log_link_visit_action", one.name))
    children += [Table(one.name, VISIT, one.index_on(VISIT), one.pk) for one in direct]
    taken = {table.name for table in children} | {visit.name}
    for one in shapes:
        if one.name in taken and one.engine.lower() != "innodb":
            raise _refused(
                f"{one.name} is {one.engine or 'of no engine'}, not InnoDB: a visit and what "
                "belongs to it could not be deleted together",
                f"ALTER TABLE {one.name} ENGINE=InnoDB, or use logs.delete",
            )
    for table in children:
        _check_slow(table)
    weight = _WEIGHT if _WEIGHT in visit.columns else ""
    left = tuple(one.name for one in shapes if one.name not in taken)
    return Tables(visit.name, time_index, weight, tuple(children), left)


def _parent(one: Shape, direct: Sequence[Shape], visit: Shape) -> Optional[Shape]:
    if VISIT in one.columns or one is visit:
        return None
    for parent in direct:
        key = parent.single_key
        if key.startswith("id") and key not in _NO_LINK and key in one.columns:
            return parent
    return None


def _through(one: Shape, parent: Shape) -> Table:
    key, parent_index = parent.single_key, parent.index_on(VISIT)
    index = one.index_on(key) if parent_index else ""
    return Table(one.name, key, index, one.pk, parent.name, parent_index)


def _check_slow(table: Table) -> None:
    if not table.slow or table.pk:
        return
    raise _refused(
        f"{table.name} has no index on {table.key}, and no integer primary key to go through it by",
        f"ALTER TABLE {table.name} ADD INDEX ({table.key}), ALGORITHM=INPLACE, LOCK=NONE",
    )


def shape_of(session: Session, schema: str, name: str, engine: str) -> Shape:
    """A table as the schema has it."""
    columns = {
        str(row["name"]): str(row["type"]).lower()
        for row in session.rows("table_columns", (schema, name))
    }
    indexes: dict[str, list[str]] = {}
    for row in session.rows("table_indexes", (schema, name)):
        usable = str(row["type"]).upper() == "BTREE" and row["prefix_length"] is None
        indexes.setdefault(str(row["name"]), []).append(str(row["column_name"]) if usable else "?")
    return Shape(name, engine, columns, {n: tuple(cols) for n, cols in indexes.items()})


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("_", r"\_").replace("%", r"\%")


def _refused(what: str, next: str) -> Refused:
    return Refused(what, state="Nothing was changed", next=next)
