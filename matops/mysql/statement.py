"""Takes a file of SQL apart, and says which statements may be run as read-only.

This is one of three gates, and the narrow one: only statements that begin with a reading word
and hold nothing with a side effect pass. The others are the server's own read-only transaction,
and a time-out. sqlparse is no gate: it calls ``/*! DELETE FROM t */`` a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from matops.errors import Refused, UsageError

READING = ("SELECT", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "WITH", "TABLE", "VALUES")

_LEAD = re.compile(r"[\s(]*([A-Za-z_]+)")
_WORDS = (
    (r"INTO", "writes its result somewhere (INTO)"),
    (r"FOR\s+(?:UPDATE|SHARE)", "locks rows (FOR UPDATE, FOR SHARE)"),
    (r"LOCK\s+IN\s+SHARE", "locks rows (LOCK IN SHARE MODE)"),
    (r"(?:NEXT|PREVIOUS)\s+VALUE\s+FOR", "moves a sequence"),
    (r"(?:DELETE|UPDATE|INSERT|REPLACE)\s+(?:FROM|IGNORE|LOW_PRIORITY|INTO)", "changes rows"),
)
_FUNCTIONS = (
    "SLEEP BENCHMARK GET_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS LOAD_FILE NEXTVAL SETVAL LASTVAL "
    "MASTER_POS_WAIT SOURCE_POS_WAIT MASTER_GTID_WAIT WAIT_FOR_EXECUTED_GTID_SET SYS_EXEC "
    "SYS_EVAL WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS"
).split()
# Loadable functions that change the server; a read-only transaction does not stop them.
_FAMILIES = (
    "GROUP_REPLICATION_ ASYNCHRONOUS_CONNECTION_FAILOVER_ KEYRING_ AUDIT_LOG_ VERSION_TOKENS_ "
    "SERVICE_ GEN_DICTIONARY_ FIREWALL_ MYSQL_FIREWALL_ RDS_ LIB_MYSQLUDF_"
).split()
_NAMES = "|".join([*_FUNCTIONS, *(f"{family}\\w+" for family in _FAMILIES)])
_CALLS = re.compile(rf"(?<![\w.`$])`?({_NAMES})`?\s*\(", re.IGNORECASE)
_TIME_HINT = re.compile(r"MAX_EXECUTION_TIME|SET_VAR|RESOURCE_GROUP", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """One statement of the file: its text, the line it begins on, and ``bare``: the text with
    comments as blanks and strings emptied."""

    text: str
    line: int
    bare: str

    @property
    def shown(self) -> str:
        """For messages: the beginning on one line."""
        words = " ".join(self.text.split())
        return words if len(words) <= 60 else words[:57] + "…"


def split(text: str) -> list[Statement]:
    """The statements of a file. Refused where it cannot be told where one ends.

    Holds for a session whose sql_mode has neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES.
    """
    found: list[Statement] = []
    parts: list[str] = []
    start = -1  # where the statement's first token begins; -1 = not yet
    for begin, end, kind in _tokens(text + ";"):
        if kind == ";":
            if start >= 0:
                line = text.count("\n", 0, start) + 1
                found.append(Statement(text[start:begin].strip(), line, "".join(parts)))
            start, parts = -1, []
            continue
        parts.append(_bare(text[begin:end], kind))
        if start < 0 and kind != "comment" and parts[-1].strip():
            start = begin + len(parts[-1]) - len(parts[-1].lstrip())
    return found


def refuse_unless_reading(statements: list[Statement]) -> None:
    """Raises Refused, naming line and reason, for the first that is not surely read-only."""
    for one in statements:
        reason = why_not(one)
        if reason:
            raise Refused(
                f"line {one.line}: '{one.shown}' {reason}",
                state="Nothing of the file was run",
                next="db.run takes statements that only read; use your own client for others",
            )
    if not statements:
        raise UsageError("the file holds no statement")


def why_not(one: Statement) -> str:
    """Why the statement is not run; '' where it may be."""
    lead = _LEAD.match(one.bare)
    word = lead[1].upper() if lead else ""
    if word not in READING:
        return f"does not begin with {', '.join(READING)}"
    for pattern, reason in _WORDS:
        if re.search(rf"(?<![\w.`@$]){pattern}(?![\w`$])", one.bare, re.IGNORECASE):
            return reason
    called = _CALLS.search(one.bare)
    if called:
        return f"calls {called[1].upper()}(), which does more than read tables"
    return ""


def _bare(token: str, kind: str) -> str:
    if kind == "comment":
        return " "
    if kind == "string":
        return "''"
    if kind == "name":
        inner = token[1:-1]
        return f"`{inner}`" if re.fullmatch(r"\w+", inner) else "`x`"
    return token


def _tokens(text: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, kind): comment, string, name (quoted), ``;`` or text."""
    at, plain = 0, 0
    while at < len(text):
        kind, end = _token_at(text, at)
        if not kind:
            at += 1
            continue
        if plain < at:
            yield plain, at, "text"
        yield at, end, kind
        at = plain = end
    if plain < len(text):
        yield plain, len(text), "text"


def _token_at(text: str, at: int) -> tuple[str, int]:
    char = text[at]
    if char in "'\"":
        return "string", _end_of_quoted(text, at, char, escapes=True)
    if char == "`":
        return "name", _end_of_quoted(text, at, char, escapes=False)
    if char == ";":
        return ";", at + 1
    if char == "#" or re.compile(r"--(?=\s|$)").match(text, at):
        end = text.find("\n", at)
        return "comment", len(text) if end < 0 else end
    if text.startswith("/*", at):
        return "comment", _end_of_comment(text, at)
    if char == "\0":
        raise _unclear(text, at, "there is a NUL byte")
    return "", at


def _end_of_comment(text: str, at: int) -> int:
    end = text.find("*/", at + 2)
    if end < 0:
        raise _unclear(text, at, "a comment does not end")
    inside = text[at + 2 : end]
    if inside.startswith("!") or inside[:2].upper() == "M!":
        raise _unclear(text, at, "a comment that the server executes (/*! … */) may hide anything")
    if inside.startswith("+") and _TIME_HINT.search(inside):
        raise _unclear(text, at, "a hint that lifts the time-out or sets a variable")
    return end + 2


def _end_of_quoted(text: str, at: int, quote: str, *, escapes: bool) -> int:
    i = at + 1
    while i < len(text):
        if escapes and text[i] == "\\":
            i += 2
            continue
        if text[i] == quote:
            if text[i + 1 : i + 2] != quote:
                return i + 1
            i += 1
        i += 1
    raise _unclear(text, at, f"a {quote} is not closed")


def _unclear(text: str, at: int, why: str) -> Refused:
    line = text.count("\n", 0, at) + 1
    return Refused(
        f"line {line}: {why}", state="Nothing of the file was run", next="write it plainly"
    )
