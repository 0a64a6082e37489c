"""Reads a migration's statement: what kind it is, which tables it touches, what it alters.

For reading and estimating, never as a safety gate. What is not understood is ``other`` with
``known`` False, and is to be treated as the worst.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matops.mysql.ddl import clauses
from matops.mysql.ddl.clauses import Clause
from matops.mysql.ddl.words import NAME, RUN, WORD, Word, split_at, words
from matops.mysql.quote import quote

ALTER, CREATE, DROP, RENAME, TRUNCATE = "alter", "create", "drop", "rename", "truncate"
INSERT, UPDATE, DELETE, SELECT = "insert", "update", "delete", "select"
CONSOLE, OTHER = "console", "other"
ROWS = (INSERT, UPDATE, DELETE)
"""Kinds whose cost is the rows they touch."""

# ``./console [--matomo-domain="…"] core:invalidate-report-data …`` (core/Updater/Migration/*).
_CONSOLE = re.compile(r"""^\W*(?:\S*php\S*\s+)?\S*\bconsole\s+(?:--\S+\s+)*([\w-]+(?::[\w-]+)+)""")


@dataclass(frozen=True)
class Statement:
    """One statement, or one console command.

    ``tables``: as they are written, without quotes, the changed one first; ``schemas``: names of
    other databases it names. ``clauses``: of an ALTER; an ALTER without any does nothing.
    ``command``: of a console migration.
    """

    text: str
    kind: str
    tables: tuple[str, ...] = ()
    clauses: tuple[Clause, ...] = ()
    schemas: tuple[str, ...] = ()
    command: str = ""
    known: bool = True

    @property
    def table(self) -> str:
        """The table that is changed; '' where it is not known."""
        return self.tables[0] if self.tables else ""

    @property
    def changes(self) -> tuple[Clause, ...]:
        """The clauses that change something (not ALGORITHM and LOCK)."""
        return tuple(clause for clause in self.clauses if clause.kind != clauses.HOW)

    @property
    def additive(self) -> bool:
        """An ALTER that only adds what the old code can do without."""
        changes = self.changes
        return self.kind == ALTER and self.known and all(c.additive for c in changes)

    @property
    def shown(self) -> str:
        """On one line, shortened."""
        line = " ".join(self.text.split()).rstrip("; ")
        return line if len(line) <= 100 else line[:99] + "…"


def read(text: str) -> list[Statement]:
    """The statements of a text, which may be several with ``;`` between them. Pure."""
    command = _CONSOLE.match(text.strip())
    if command:
        return [Statement(text.strip(), CONSOLE, command=command[1])]
    parts = split_at(words(text), ";")
    return [_statement(text[part[0].begin : part[-1].end], part, text) for part in parts]


def parse(text: str) -> Statement:
    """The one statement of a text; several of them, or none, are ``other`` and not known."""
    found = read(text)
    return found[0] if len(found) == 1 else Statement(text.strip(), OTHER, known=False)


def with_algorithm(statement: Statement, algorithm: str, lock: str = "") -> str:
    """The ALTER with ``ALGORITHM=…`` (and ``LOCK=…``) in the place of any that it has.

    ValueError for a statement that is no ALTER.
    """
    if statement.kind != ALTER:
        raise ValueError("not an ALTER TABLE")
    how = [f"ALGORITHM={algorithm}", *([f"LOCK={lock}"] if lock else [])]
    body = ", ".join([*(clause.text for clause in statement.changes), *how])
    return f"ALTER TABLE {_quoted(statement)} {body}"


def _quoted(statement: Statement) -> str:
    return ".".join(quote(name) for name in (*statement.schemas[:1], statement.table))


def _statement(shown: str, found: list[Word], text: str) -> Statement:
    upper = [word.upper for word in found]
    if found[0].kind == RUN or not upper[0]:
        return Statement(shown, OTHER, known=False)
    hidden = any(word.kind == RUN for word in found)
    made = _of_kind(shown, found, upper, text)
    if hidden:
        return Statement(shown, made.kind, made.tables, made.clauses, made.schemas, known=False)
    return made


def _of_kind(shown: str, found: list[Word], upper: list[str], text: str) -> Statement:
    first = upper[0]
    if first == "ALTER":
        return _alter(shown, found, upper, text)
    if first in ("CREATE", "DROP") and "INDEX" in upper[1:4] and "TABLE" not in upper[:3]:
        return _index(shown, found, upper, text)
    if first in ("CREATE", "DROP") and "TABLE" in upper[:4] and "VIEW" not in upper[:4]:
        start = upper.index("TABLE") + 1
        names, schemas = _list(found[start:])
        names = names[:1] if first == "CREATE" else names
        return Statement(shown, CREATE if first == "CREATE" else DROP, names, (), schemas,
                         known=bool(names))  # fmt: skip
    if first == "RENAME" and upper[1:2] == ["TABLE"]:
        names, schemas = _list(found[2:])
        return Statement(shown, RENAME, names, (), schemas, known=bool(names))
    if first == "TRUNCATE":
        names, schemas = _list(found[2:] if upper[1:2] == ["TABLE"] else found[1:])
        return Statement(shown, TRUNCATE, names, (), schemas, known=bool(names))
    kind = {"INSERT": INSERT, "REPLACE": INSERT, "UPDATE": UPDATE, "DELETE": DELETE,
            "SELECT": SELECT}.get(first, OTHER)  # fmt: skip
    if kind == OTHER:
        return Statement(shown, OTHER, known=False)
    names, schemas = _mentioned(found, upper)
    return Statement(shown, kind, names, (), schemas, known=bool(names) or kind == SELECT)


def _alter(shown: str, found: list[Word], upper: list[str], text: str) -> Statement:
    at = next((i for i, word in enumerate(upper[:4]) if word == "TABLE"), 0)
    if not at:
        return Statement(shown, OTHER, known=False)
    rest = found[at + 1 :]
    while rest and rest[0].upper in ("IF", "EXISTS"):
        rest = rest[1:]
    name, schema, used = _name(rest)
    rest = rest[used:]
    if rest[:1] and rest[0].upper in ("WAIT", "NOWAIT"):
        rest = rest[1 if rest[0].upper == "NOWAIT" else 2 :]
    if not name:
        return Statement(shown, OTHER, known=False)
    read_clauses = tuple(clauses.read(part, text) for part in split_at(rest, ","))
    known = all(clause.kind != clauses.UNKNOWN for clause in read_clauses)
    return Statement(shown, ALTER, (name,), read_clauses, schema, known=known)


def _index(shown: str, found: list[Word], upper: list[str], text: str) -> Statement:
    """CREATE INDEX and DROP INDEX as the ALTER TABLE that they are."""
    if "ON" not in upper:
        return Statement(shown, OTHER, known=False)
    on = upper.index("ON")
    name, schema, used = _name(found[on + 1 :])
    head = "".join(text[w.begin : w.end] + " " for w in found[1:on]).strip()
    rest = found[on + 1 + used :]
    tail = text[rest[0].begin : rest[-1].end] if rest else ""
    if not name or upper[1] in ("OR", "ONLINE", "OFFLINE"):
        return Statement(shown, OTHER, known=False)
    body = f"ADD {head} {tail}" if upper[0] == "CREATE" else f"DROP {head}"
    made = parse(f"ALTER TABLE x {body}")
    return Statement(shown, ALTER, (name,), made.clauses, schema, known=made.known)


def _name(found: Sequence[Word]) -> tuple[str, tuple[str, ...], int]:
    """(table, (schema,) or (), words used) of a name at the beginning."""
    if not found or found[0].kind not in (NAME, WORD):
        return "", (), 0
    if len(found) > 2 and found[1].is_sign(".") and found[2].kind in (NAME, WORD):
        return found[2].name, (found[0].name,), 3
    return found[0].name, (), 1


def _list(found: list[Word]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names between commas (and TO), after IF [NOT] EXISTS."""
    while found and found[0].upper in ("IF", "NOT", "EXISTS"):
        found = found[1:]
    names: list[str] = []
    schemas: list[str] = []
    while found:
        name, schema, used = _name(found)
        if not used:
            break
        names.append(name)
        schemas += schema
        found = found[used:]
        if not found or not (found[0].is_sign(",") or found[0].upper == "TO"):
            break
        found = found[1:]
    return tuple(names), tuple(schemas)


_BEFORE_A_TABLE = {"FROM", "JOIN", "INTO", "UPDATE", "INSERT", "REPLACE"}
_ENDS = set(
    "SET WHERE JOIN LEFT INNER ON USING ORDER LIMIT VALUES SELECT GROUP CROSS RIGHT STRAIGHT_JOIN "
    "UNION FORCE USE".split()
)
_FILLERS = {"LOW_PRIORITY", "IGNORE", "DELAYED", "HIGH_PRIORITY", "QUICK", "INTO", "ONLY"}


def _mentioned(found: list[Word], upper: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every table after FROM, JOIN, INTO, UPDATE; the one that is changed comes first."""
    names: list[str] = []
    schemas: list[str] = []
    for i, word in enumerate(upper):
        if word not in _BEFORE_A_TABLE or (word in ("UPDATE", "REPLACE") and i):
            continue
        at = i + 1
        while at < len(found) and upper[at] in _FILLERS:
            at += 1
        while True:
            name, schema, used = _name(found[at:])
            if not used or upper[at] in ("SELECT", "VALUES", "SET", "FROM"):
                break
            names.append(name)
            schemas += schema
            at = _after_alias(found, upper, at + used)
            if word not in ("FROM", "UPDATE") or at >= len(found) or not found[at].is_sign(","):
                break
            at += 1
    return tuple(dict.fromkeys(names)), tuple(dict.fromkeys(schemas))


def _after_alias(found: list[Word], upper: list[str], at: int) -> int:
    if at < len(found) and upper[at] == "AS":
        return at + 2
    if at < len(found) and found[at].kind in (NAME, WORD) and upper[at] not in _ENDS:
        return at + 1
    return at


__all__ = ["Clause", "Statement", "parse", "read", "with_algorithm"]
