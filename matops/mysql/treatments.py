"""How each kind of table is rebuilt, or why it is not. One look at a table decides.

Nothing falls back silently to a copy that blocks writers: what cannot be rebuilt online is done
only when the operator allows blocking.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Optional

from matops.mysql.quote import quote
from matops.mysql.session import Session

ONLINE = "online"
"""Clients read and write while it is rebuilt."""
BLOCKING = "blocking"
"""Writers wait for the whole run."""
LEFT = "left"
"""Not rebuilt; ``why`` says why."""


@dataclass(frozen=True)
class Shape:
    """What decides. Sizes in bytes; ``created`` changes with every rebuild."""

    type: str
    engine: str
    options: str = ""
    created: Optional[dt.datetime] = None
    data_bytes: int = 0
    index_bytes: int = 0
    partitions: tuple[tuple[str, int], ...] = ()
    special: tuple[str, ...] = ()
    """FULLTEXT, SPATIAL, where it has such an index."""
    row_bytes: int = 0
    age: float = 1e9
    """Seconds since ``created``, by the server's clock."""


@dataclass(frozen=True)
class Options:
    """``statement``: alter or optimize. ``allow_blocking``: what cannot be done online is done
    while writers wait. ``one_partition_at_a_time``: needs the space of one only, but blocks."""

    statement: str = "alter"
    allow_blocking: bool = False
    one_partition_at_a_time: bool = False


@dataclass(frozen=True)
class Part:
    """One statement: a file of ``sql/`` and the partition it is for."""

    statement: str
    partition: str = ""

    def marks(self, table: str) -> dict[str, str]:
        """What fills the statement's marks; the schema is the session's own."""
        return {"table": table, **({"partition": self.partition} if self.partition else {})}


@dataclass(frozen=True)
class Treatment:
    """``how`` it is rebuilt, by which statements, and ``why`` so."""

    how: str
    why: str
    parts: tuple[Part, ...] = ()


def look(session: Session, schema: str, table: str) -> Optional[Shape]:
    """The table as it is now; None where there is none. Three metadata look-ups.

    Raises DatabaseError.
    """
    rows = session.rows("table_shape", (schema, table))
    if not rows:
        return None
    row = rows[0]
    options = str(row["options"] or "")
    partitions: tuple[tuple[str, int], ...] = ()
    if "partitioned" in options.lower():
        found = session.rows("table_partitions", (schema, table))
        partitions = tuple((str(p["name"]), int(p["bytes"] or 0)) for p in found)
    special = session.rows("table_special_indexes", (schema, table))
    return Shape(
        type=str(row["type"]),
        engine=str(row["engine"] or ""),
        options=options,
        created=row["created"],
        data_bytes=int(row["data_bytes"] or 0),
        index_bytes=int(row["index_bytes"] or 0),
        partitions=partitions,
        special=tuple(sorted(str(s["type"]) for s in special)),
        row_bytes=int(row["row_bytes"] or 0),
        age=1e9 if row["age_seconds"] is None else float(row["age_seconds"]),
    )


def choose(shape: Shape, options: Options, *, system_space: bool = False) -> Treatment:
    """The treatment of a table of that shape. Pure."""
    if "VIEW" in shape.type:
        return Treatment(LEFT, "a view: it has no space of its own")
    if shape.type not in ("BASE TABLE", "SYSTEM VERSIONED"):
        return Treatment(LEFT, f"a {shape.type.lower()}: nothing to rebuild")
    engine = shape.engine.lower()
    if engine == "memory":
        return Treatment(LEFT, "MEMORY: it is not on disk")
    if engine in ("myisam", "aria"):
        return _other_engine(shape, options)
    if engine != "innodb":
        return Treatment(LEFT, f"engine {shape.engine or 'unknown'}: no treatment is known")
    if system_space:
        return Treatment(LEFT, "in a shared tablespace: that file never shrinks")
    if shape.special:
        return _special(shape, options)
    if shape.partitions and options.one_partition_at_a_time:
        return _partitions(shape, options)
    return _innodb(shape, options)


def _innodb(shape: Shape, options: Options) -> Treatment:
    name = "rebuild_optimize" if options.statement == "optimize" else "rebuild_online"
    count = len(shape.partitions)
    why = f"InnoDB, {count} partitions in one statement" if count else "InnoDB"
    return Treatment(ONLINE, f"{why}: rebuilt online", (Part(name),))


def _partitions(shape: Shape, options: Options) -> Treatment:
    # Measured on both servers: REBUILD PARTITION is refused with LOCK=NONE (1845), while the
    # whole partitioned table is rebuilt online by one statement.
    if not options.allow_blocking:
        return Treatment(
            LEFT,
            "partition by partition blocks writers: add --allow-blocking, or leave out "
            "--one-partition-at-a-time to rebuild it whole and online",
        )
    parts = tuple(Part("rebuild_partition", name) for name, _ in shape.partitions)
    return Treatment(BLOCKING, f"{len(parts)} partitions one by one; writers wait", parts)


def _special(shape: Shape, options: Options) -> Treatment:
    kinds = " and ".join(shape.special)
    if not options.allow_blocking:
        return Treatment(
            LEFT, f"has a {kinds} index: writers would wait for the whole run (--allow-blocking)"
        )
    return Treatment(BLOCKING, f"has a {kinds} index; writers wait", (Part("rebuild_shared"),))


def _other_engine(shape: Shape, options: Options) -> Treatment:
    if not options.allow_blocking:
        return Treatment(
            LEFT, f"{shape.engine}: locked for the whole run (--allow-blocking does it)"
        )
    return Treatment(
        BLOCKING, f"{shape.engine}; readers and writers wait", (Part("rebuild_optimize"),)
    )


def shown(table: str) -> str:
    """A table's name for messages: quoted only where it is unusual."""
    plain = table.replace("_", "").isalnum() and table.isascii()
    return table if plain else quote(table)
