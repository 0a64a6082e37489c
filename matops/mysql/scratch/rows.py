"""Which rows go into the scratch database, and how: the small tables that migrations read.

Never raw data, archives, queues, sessions or logs. What is too large is left empty, and said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from matops.mysql.scratch.database import Scratch
from matops.mysql.scratch.shapes import Shape
from matops.mysql.session import DatabaseError
from matops.units import show_size

MOST_ROWS = 20_000
MOST_BYTES = 32 << 20
MOST_OPTION = 64 << 10
"""Bytes of one option: larger ones are caches of plugins."""

NEVER = ("log_", "archive_", "queuedtracking_", "tracking_failure", "brute_force_log",
         "logger_message", "session", "locks")  # fmt: skip
"""Raw data, archives, requests that wait, log-ins, logs; ``locks``: those of live processes
would make a migration wait for them."""

SECRETS = ("marketplace_license_key",)
"""Options emptied in the copy: nothing may be licensed, or sent, in the live system's name."""

_STATEMENT_BINLOG = 1665  # READ COMMITTED cannot be logged as statements


@dataclass
class Copied:
    """What was copied: rows by table; ``left``: lines about what was not."""

    rows: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def wanted(name: str, prefix: str) -> bool:
    """True where this table's rows may be copied. Pure."""
    return not name[len(prefix) :].startswith(NEVER)


def copy_rows(scratch: Scratch, shapes: Iterable[Shape]) -> Copied:
    """Copies the rows of the small tables and all usual options. Raises DatabaseError.

    The live rows are not locked, but where the binary log is kept as statements.
    """
    done = Copied()
    for shape in shapes:
        if not wanted(shape.name, scratch.prefix):
            continue
        if shape.name == f"{scratch.prefix}option":
            _copy_options(scratch, shape.name, done)
        elif shape.generated:
            done.left.append(f"{shape.name}: left empty, it has generated columns")
        elif shape.bytes > MOST_BYTES or shape.rows > MOST_ROWS * 2:
            done.left.append(f"{shape.name}: left empty, {show_size(shape.bytes)}")
        else:
            _copy_table(scratch, shape.name, done)
    return done


def plant(scratch: Scratch, name: str) -> None:
    """Writes the sentinel's token where Matomo's own code reads options: as option ``name``."""
    scratch.session.execute(
        "scratch_option_put", (name, scratch.token),
        scratch=scratch.name, table=f"{scratch.prefix}option",
    )  # fmt: skip


def _copy_table(scratch: Scratch, name: str, done: Copied) -> None:
    count = _insert(scratch, "scratch_rows", MOST_ROWS, name)
    done.rows[name] = count
    if count >= MOST_ROWS:
        done.left.append(f"{name}: only {MOST_ROWS} rows of it")


def _copy_options(scratch: Scratch, name: str, done: Copied) -> None:
    done.rows[name] = _insert(scratch, "scratch_options", MOST_OPTION, name)
    large = int(scratch.session.value(
        "scratch_options_left", (MOST_OPTION,), live=scratch.live, table=name
    ))  # fmt: skip
    if large:
        done.left.append(f"{name}: {large} options larger than {show_size(MOST_OPTION)}")
    for option in SECRETS:
        scratch.session.execute("scratch_option_clear", (option,), scratch=scratch.name, table=name)


def _insert(scratch: Scratch, statement: str, limit: int, name: str) -> int:
    names = {"scratch": scratch.name, "live": scratch.live, "table": name}
    try:
        return scratch.session.execute(statement, (limit,), **names)
    except DatabaseError as error:
        if error.number != _STATEMENT_BINLOG:
            raise
    scratch.session.execute("scratch_isolation_usual")
    return scratch.session.execute(statement, (limit,), **names)
