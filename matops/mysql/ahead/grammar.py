"""Reads one ``ALTER TABLE`` strictly: what is not in this small grammar is not run ahead.

This is the safety gate, so it is a list of what is allowed, not of what is forbidden. Allowed:
``ADD [COLUMN] name type …`` where rows written by code that does not know the column are right
(NULL allowed, or a constant DEFAULT), and ``ADD INDEX|KEY`` that is not unique. A column that is
filled by the server (AUTO_INCREMENT, CURRENT_TIMESTAMP, generated), that checks (UNIQUE, CHECK,
REFERENCES), or of an unknown type: left for the outage, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|`(?P<name>(?:[^`\0]|``)+)`"
    r"|(?P<string>'(?:[^'\\\0]|''|\\.)*'"
    r'|"(?:[^"\\\0]|""|\\.)*")'
    r"|(?P<number>\d+(?:\.\d+)?)(?![\w$])"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>[(),;.-])"
    r"|(?P<other>.)",
    re.DOTALL,
)
_TYPES = frozenset(
    "TINYINT SMALLINT MEDIUMINT INT INTEGER BIGINT FLOAT DOUBLE REAL DECIMAL NUMERIC BOOL BOOLEAN "
    "CHAR VARCHAR BINARY VARBINARY TINYTEXT TEXT MEDIUMTEXT LONGTEXT TINYBLOB BLOB MEDIUMBLOB "
    "LONGBLOB DATE TIME DATETIME TIMESTAMP YEAR JSON ENUM SET".split()
)
_CONSTRAINTS = frozenset("CONSTRAINT UNIQUE PRIMARY FOREIGN CHECK".split())
_INDEXES = frozenset(["INDEX", "KEY"])
_SPECIAL = frozenset("FULLTEXT SPATIAL VECTOR".split())


class NotTaken(Exception):
    """Why a statement is left for the outage; the message is for the operator."""


@dataclass(frozen=True)
class Added:
    """One clause: a column, or an index (``kind``); its name ('' = the server names the index).

    ``columns``: what an index is over; ``after``: the column that a column stands behind.
    """

    kind: str
    name: str
    columns: tuple[str, ...] = ()
    after: str = ""

    @property
    def shown(self) -> str:
        """``column ai_agent_name``."""
        return f"{self.kind} {self.name or '(' + ', '.join(self.columns) + ')'}"


@dataclass(frozen=True)
class Additive:
    """An ALTER that only adds. ``text``: the statement without ``;``, as it is run."""

    table: str
    added: tuple[Added, ...]
    text: str

    def of(self, kind: str) -> list[Added]:
        """The added ones of a kind."""
        return [one for one in self.added if one.kind == kind]

    @property
    def shown(self) -> str:
        """``column a, index b on log_visit``."""
        return f"{', '.join(one.shown for one in self.added)} on {self.table}"


def read(statement: str) -> Additive:
    """The statement, if it is one ALTER TABLE that purely adds. NotTaken with the reason. Pure."""
    return _Reader(_tokens(statement), statement).alter()


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text): name, string, number, word, sign; ``other`` is what no rule ever takes."""
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            raise NotTaken("is not understood")
        kind = match.lastgroup
        if kind != "space":
            found.append((kind, match[kind].replace("``", "`") if kind == "name" else match[kind]))
        at = match.end()
    return found


class _Reader:
    """A recursive-descent reader over the tokens."""

    def __init__(self, tokens: Sequence[tuple[str, str]], text: str) -> None:
        self._tokens, self._at, self._text = list(tokens), 0, text

    def alter(self) -> Additive:
        if not (self._take("ALTER") and self._take("TABLE")):
            raise NotTaken("is no ALTER TABLE")
        table = self._name("a table's name")
        if self._sign("."):
            raise NotTaken("names another schema")
        if self._ends():
            raise NotTaken("changes nothing")
        added = [self._clause()]
        while self._sign(","):
            added.append(self._clause())
        if not self._ends():
            raise NotTaken(f"{self._here()} in it is not known to be safe")
        names = [one.name.lower() for one in added if one.kind == "column"]
        if len(set(names)) != len(names):
            raise NotTaken("adds a column twice")
        return Additive(table, tuple(added), self._text.strip().rstrip(";").rstrip())

    def _clause(self) -> Added:
        if not self._take("ADD"):
            raise NotTaken(f"does more than add: {self._here()}")
        for word in (*_CONSTRAINTS, *_SPECIAL):
            if self._peek(word):
                raise NotTaken(f"adds a {word} key or constraint")
        if any(self._take(word) for word in _INDEXES):
            return self._index()
        self._take("COLUMN")
        if self._peek("IF"):
            raise NotTaken("IF NOT EXISTS in it: what it would do depends on the table")
        return self._column()

    def _index(self) -> Added:
        name = "" if self._peek_sign("(") else self._name("an index's name")
        columns = []
        self._must("(")
        while True:
            columns.append(self._name("a column of the index"))
            if self._sign("("):
                self._number()
                self._must(")")
            if not self._take("ASC"):
                self._take("DESC")
            if not self._sign(","):
                break
        self._must(")")
        return Added("index", name, tuple(columns))

    def _column(self) -> Added:
        name = self._name("a column's name")
        kind = self._type()
        nullable, default, after = True, "", ""
        explicit = False
        while not self._ends() and not self._peek_sign(","):
            if self._take("NOT"):
                self._must_word("NULL")
                nullable, explicit = False, True
            elif self._take("NULL"):
                nullable, explicit = True, True
            elif self._take("DEFAULT"):
                default = self._default()
            elif self._take("COMMENT"):
                self._kind("string", "a comment")
            elif self._take("CHARSET") or self._take("COLLATE") or self._charset():
                self._word("a character set or collation")
            elif self._take("AFTER"):
                after = self._name("a column's name")
            elif not self._take("FIRST"):
                raise NotTaken(f"{self._here()} of column {name} is not known to be safe")
        if not nullable and default in ("", "NULL"):
            raise NotTaken(f"column {name} is NOT NULL without a constant default")
        if kind == "TIMESTAMP" and not explicit:
            # Where explicit_defaults_for_timestamp is off, the server makes it fill itself.
            raise NotTaken(f"column {name} is a TIMESTAMP without NULL or NOT NULL")
        return Added("column", name, after=after)

    def _type(self) -> str:
        word = self._word("a type").upper()
        if word not in _TYPES:
            raise NotTaken(f"type {word} is not known to be safe")
        self._take("PRECISION")
        if self._sign("("):
            kind = "string" if word in ("ENUM", "SET") else "number"
            self._kind(kind, "a size")
            while self._sign(","):
                self._kind(kind, "a size")
            self._must(")")
        self._take("UNSIGNED")
        return word

    def _default(self) -> str:
        self._sign("-")
        kind, text = self._next()
        if kind in ("number", "string") or text.upper() in ("NULL", "TRUE", "FALSE"):
            return text.upper() if kind == "word" else text
        raise NotTaken(f"DEFAULT {text} is no constant")

    def _charset(self) -> bool:
        if self._peek("CHARACTER"):
            self._at += 1
            self._must_word("SET")
            return True
        return False

    # Tokens

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise NotTaken("ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _here(self) -> str:
        rest = self._tokens[self._at : self._at + 3]
        return "'" + (" ".join(text for _, text in rest) or "the end") + "'"

    def _ends(self) -> bool:
        rest = self._tokens[self._at :]
        return not rest or all(token == ("sign", ";") for token in rest)

    def _peek(self, word: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        kind, text = self._tokens[self._at]
        return kind == "word" and text.upper() == word

    def _take(self, word: str) -> bool:
        found = self._peek(word)
        self._at += found
        return found

    def _peek_sign(self, sign: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at] == ("sign", sign)

    def _sign(self, sign: str) -> bool:
        found = self._peek_sign(sign)
        self._at += found
        return found

    def _must(self, sign: str) -> None:
        if not self._sign(sign):
            raise NotTaken(f"{self._here()} in it is not understood ('{sign}' was expected)")

    def _must_word(self, word: str) -> None:
        if not self._take(word):
            raise NotTaken(f"{self._here()} in it is not understood ({word} was expected)")

    def _kind(self, wanted: str, what: str) -> str:
        kind, text = self._next()
        if kind != wanted:
            raise NotTaken(f"'{text}' is not {what}")
        return text

    def _number(self) -> None:
        self._kind("number", "a length")

    def _word(self, what: str) -> str:
        kind, text = self._next()
        if kind not in ("word", "string"):
            raise NotTaken(f"'{text}' is not {what}")
        return text.strip("'\"")

    def _name(self, what: str) -> str:
        kind, text = self._next()
        if kind not in ("name", "word"):
            raise NotTaken(f"'{text}' is not {what}")
        return text
