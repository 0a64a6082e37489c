"""A statement's words, read with sqlparse's lexer. For reading only: it is no safety gate.

(sqlparse's grouping is not used: it gives up on long lists of values.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NAME, STRING, NUMBER, SIGN, WORD, RUN = "name", "string", "number", "sign", "word", "run"
"""``run``: a comment that the server executes (``/*! … */``); ``word``: bare, key word or name."""

_OPERATORS = "=<>!+-*/%&|^~:@"


@dataclass(frozen=True)
class Word:
    """One word of a statement, and where it stands: ``text[begin:end]``."""

    kind: str
    text: str
    begin: int
    end: int

    @property
    def upper(self) -> str:
        """For comparing with key words; '' for quoted names and strings."""
        return self.text.upper() if self.kind == WORD else ""

    @property
    def name(self) -> str:
        """As an identifier, without its quotes."""
        if self.kind == NAME and self.text[:1] == "`":
            return self.text[1:-1].replace("``", "`")
        return self.text

    def is_sign(self, sign: str) -> bool:
        """Is it this punctuation?"""
        return self.kind == SIGN and self.text == sign


def words(text: str) -> list[Word]:
    """The words of ``text``; plain comments and blanks are left out."""
    return list(_words(text))


def _words(text: str) -> Iterator[Word]:
    from sqlparse import lexer, tokens  # type: ignore[import-untyped,unused-ignore]

    at = 0
    for kind, value in lexer.tokenize(text):  # type: ignore[no-untyped-call,unused-ignore]
        begin, at = at, at + len(value)
        if kind in tokens.Comment:
            if value.startswith(("/*!", "/*M!")):
                yield Word(RUN, value, begin, at)
            continue
        if value.isspace() or not value:
            continue
        yield from _parts(value, begin, str(kind))


def _parts(value: str, begin: int, kind: str) -> Iterator[Word]:
    """One token: sqlparse takes ``NOT NULL`` and ``ORDER BY`` for one, we do not."""
    end = begin + len(value)
    if value[0] == "`":
        yield Word(NAME, value, begin, end)
    elif value[0] in "'\"":
        yield Word(STRING, value, begin, end)
    elif "Number" in kind:
        yield Word(NUMBER, value, begin, end)
    elif value[0] in "(),;." or value[0] in _OPERATORS:
        yield Word(SIGN, value, begin, end)
    else:
        at = begin
        for part in value.split():
            at = begin + value.index(part, at - begin)
            yield Word(WORD, part, at, at + len(part))
            at += len(part)


def split_at(found: Sequence[Word], sign: str) -> list[list[Word]]:
    """The words between ``sign`` (a comma, a semicolon) outside all brackets; no empty part."""
    parts: list[list[Word]] = [[]]
    depth = 0
    for word in found:
        if word.is_sign("("):
            depth += 1
        elif word.is_sign(")"):
            depth -= 1
        if depth <= 0 and word.is_sign(sign):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]
