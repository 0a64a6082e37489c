"""The clauses of an ALTER TABLE: what each does, and whether old code can live with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matops.mysql.ddl.words import NAME, RUN, WORD, Word, split_at

ADD_COLUMN, ADD_INDEX, ADD_UNIQUE = "add column", "add index", "add unique"
ADD_PRIMARY, ADD_FULLTEXT = "add primary key", "add fulltext"
DROP_COLUMN, DROP_INDEX = "drop column", "drop index"
DROP_PRIMARY, MODIFY, CHANGE, DEFAULT = "drop primary key", "modify", "change", "default"
RENAME_COLUMN, RENAME_INDEX, RENAME = "rename column", "rename index", "rename"
CONVERT, ENGINE, OPTION, HOW, UNKNOWN = "convert", "engine", "option", "how", "unknown"

TRIED = frozenset(
    (ADD_COLUMN, ADD_INDEX, ADD_UNIQUE, ADD_PRIMARY, ADD_FULLTEXT, DROP_COLUMN, DROP_INDEX,
     DROP_PRIMARY, MODIFY, CHANGE, DEFAULT, RENAME_COLUMN, RENAME_INDEX, CONVERT, ENGINE, OPTION,
     HOW)
)  # fmt: skip
"""Clauses that touch the named table only: these may be tried on a probe table."""

_INDEX_ONLY = frozenset((ADD_INDEX, ADD_UNIQUE, ADD_FULLTEXT, DROP_INDEX, RENAME_INDEX,
                         RENAME_COLUMN, DEFAULT, HOW))  # fmt: skip
_OPTIONS = frozenset(
    "ROW_FORMAT AUTO_INCREMENT COMMENT KEY_BLOCK_SIZE STATS_PERSISTENT STATS_AUTO_RECALC "
    "STATS_SAMPLE_PAGES DEFAULT CHARACTER CHARSET COLLATE FORCE PAGE_COMPRESSED COMPRESSION "
    "AVG_ROW_LENGTH MAX_ROWS MIN_ROWS CHECKSUM PACK_KEYS DELAY_KEY_WRITE INSERT_METHOD".split()
)
_NOT_ADDITIVE = frozenset("AUTO_INCREMENT PRIMARY UNIQUE REFERENCES GENERATED AS".split())


@dataclass(frozen=True)
class Clause:
    """One clause. ``names``: the columns or the index it is about. ``additive``: code that does
    not know of it goes on working: a column that may be left out of an INSERT, a plain index."""

    kind: str
    text: str
    names: tuple[str, ...] = ()
    additive: bool = False

    @property
    def index_only(self) -> bool:
        """By the documentation of both servers, in place and without a rebuild of the rows."""
        return self.kind in _INDEX_ONLY


def read(found: Sequence[Word], text: str) -> Clause:
    """One clause from its words; UNKNOWN where it is none that we know. Pure."""
    shown = text[found[0].begin : found[-1].end]
    if any(word.kind == RUN for word in found):
        return Clause(UNKNOWN, shown)
    words = [word.upper for word in found]
    kind, names, additive = _read(list(found), words)
    return Clause(kind, shown, names, additive)


def _read(found: list[Word], words: list[str]) -> tuple[str, tuple[str, ...], bool]:
    first = words[0]
    if first == "ADD":
        return _add(found[1:], words[1:])
    if first == "DROP":
        return (*_drop(found[1:], words[1:]), False)
    if first in ("MODIFY", "CHANGE"):
        kind = MODIFY if first == "MODIFY" else CHANGE
        return kind, _names(_skip(found[1:], "COLUMN IF EXISTS"), 1), False
    if first == "ALTER":
        rest = _skip(found[1:], "COLUMN")
        known = any(word in ("SET", "DROP") for word in words) and "INDEX" not in words[1:2]
        return (DEFAULT if known and "DEFAULT" in words else UNKNOWN), _names(rest, 1), False
    if first == "RENAME":
        return (*_rename(found[1:], words[1:]), False)
    return (*_other(words), False)


def _other(words: list[str]) -> tuple[str, tuple[str, ...]]:
    first = words[0]
    if first in ("ALGORITHM", "LOCK"):
        return HOW, ()
    if first == "CONVERT":
        return CONVERT, ()
    if first in ("ENGINE", *_OPTIONS):
        # Options need no commas between them: one that we do not know may hide behind another.
        strange = {"PARTITION", "TABLESPACE", "UNION", "DIRECTORY", "EXCHANGE", "IMPORT",
                   "DISCARD", "RENAME", "ADD", "DROP"}  # fmt: skip
        if strange & set(words):
            return UNKNOWN, ()
        return (ENGINE if "ENGINE" in words else OPTION), ()
    return UNKNOWN, ()


def _add(found: list[Word], words: list[str]) -> tuple[str, tuple[str, ...], bool]:
    if words[:1] == ["CONSTRAINT"]:
        skip = 1 if words[1:2] and words[1] in ("UNIQUE", "PRIMARY", "FOREIGN", "CHECK") else 2
        found, words = found[skip:], words[skip:]
    first = words[0] if words else ""
    if first in ("INDEX", "KEY"):
        return ADD_INDEX, _names(_skip(found[1:], "IF NOT EXISTS"), 1), True
    if first == "UNIQUE":
        return ADD_UNIQUE, _names(_skip(found[1:], "INDEX KEY IF NOT EXISTS"), 1), False
    if first == "FULLTEXT":
        return ADD_FULLTEXT, _names(_skip(found[1:], "INDEX KEY IF NOT EXISTS"), 1), False
    if first == "PRIMARY":
        return ADD_PRIMARY, (), False
    quoted = bool(found) and (found[0].kind == NAME or found[0].is_sign("("))
    if not quoted and first in ("SPATIAL", "FOREIGN", "CHECK", "PARTITION", "SYSTEM", "PERIOD",
                                "VECTOR", ""):  # fmt: skip
        return UNKNOWN, (), False
    return _add_columns(_skip(found, "COLUMN IF NOT EXISTS"))


def _add_columns(found: list[Word]) -> tuple[str, tuple[str, ...], bool]:
    columns = [found]
    if found and found[0].is_sign("("):
        if not found[-1].is_sign(")"):
            return UNKNOWN, (), False
        columns = split_at(found[1:-1], ",")
    names = tuple(column[0].name for column in columns if column)
    if not names or any(column[0].kind not in (NAME, WORD) for column in columns):
        return UNKNOWN, (), False
    return ADD_COLUMN, names, all(_may_be_left_out(column) for column in columns)


def _may_be_left_out(column: list[Word]) -> bool:
    """A column that an INSERT of the old code, which does not name it, can do without."""
    words = [word.upper for word in column[1:]]
    if _NOT_ADDITIVE & set(words):
        return False
    not_null = any(a == "NOT" and b == "NULL" for a, b in zip(words, words[1:]))
    return not not_null or "DEFAULT" in words


def _drop(found: list[Word], words: list[str]) -> tuple[str, tuple[str, ...]]:
    first = words[0] if words else ""
    if first in ("INDEX", "KEY"):
        return DROP_INDEX, _names(_skip(found[1:], "IF EXISTS"), 1)
    if first == "PRIMARY":
        return DROP_PRIMARY, ()
    quoted = bool(found) and found[0].kind == NAME
    if not quoted and first in ("FOREIGN", "CHECK", "CONSTRAINT", "PARTITION", "SYSTEM", "PERIOD",
                                ""):  # fmt: skip
        return UNKNOWN, ()
    return DROP_COLUMN, _names(_skip(found, "COLUMN IF EXISTS"), 1)


def _rename(found: list[Word], words: list[str]) -> tuple[str, tuple[str, ...]]:
    if words[:1] == ["COLUMN"]:
        return RENAME_COLUMN, _names(found[1:], 3)[::2]
    if words[:1] in (["INDEX"], ["KEY"]):
        return RENAME_INDEX, _names(found[1:], 3)[::2]
    return RENAME, _names(_skip(found, "TO AS"), 1)


def _skip(found: list[Word], optional: str) -> list[Word]:
    """Without leading words that may be left out."""
    allowed = optional.split()
    at = 0
    while at < len(found) and found[at].upper in allowed:
        at += 1
    return found[at:]


def _names(found: list[Word], count: int) -> tuple[str, ...]:
    return tuple(w.name for w in found[:count] if w.kind in (NAME, WORD))
