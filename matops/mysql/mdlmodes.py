"""Which metadata locks exclude each other: the rules of sql/mdl.cc, for held locks.

Behind these, a statement also waits for an earlier waiter that asks for more: that is how one
ALTER behind one idle transaction stops everybody.
"""

from __future__ import annotations

import re

_SHORT = {
    "INTENTION_EXCLUSIVE": "IX", "SHARED": "S", "SHARED_HIGH_PRIO": "SH", "SHARED_READ": "SR",
    "SHARED_WRITE": "SW", "SHARED_WRITE_LOW_PRIO": "SWLP", "SHARED_UPGRADABLE": "SU",
    "SHARED_READ_ONLY": "SRO", "SHARED_NO_WRITE": "SNW", "SHARED_NO_READ_WRITE": "SNRW",
    "EXCLUSIVE": "X",
}  # fmt: skip
_ALL = frozenset("S SH SR SW SWLP SU SRO SNW SNRW X IX".split())
# What is asked for waits for any of these that another connection holds.
_WAITS_FOR = {
    "S": frozenset("X IX".split()),  # IX: of a schema or the whole server, where S is a FLUSH's
    "SH": frozenset("X".split()),
    "SR": frozenset("SNRW X".split()),
    "SW": frozenset("SRO SNW SNRW X".split()),
    "SWLP": frozenset("SRO SNW SNRW X".split()),
    "SU": frozenset("SU SNW SNRW X".split()),
    "SRO": frozenset("SW SWLP SNRW X".split()),
    "SNW": frozenset("SW SWLP SU SNW SNRW X".split()),
    "SNRW": frozenset("SR SW SWLP SU SRO SNW SNRW X".split()),
    "X": _ALL,
    "IX": frozenset("S X".split()),
}

STRONG = frozenset("SHARED_NO_WRITE SHARED_NO_READ_WRITE EXCLUSIVE".split())
"""What is waited for behind a waiter that asks for one of these."""

_READS = re.compile(r"\s*(?:/\*.*?\*/\s*)*\(?\s*(SELECT|WITH|TABLE|VALUES)\b", re.I | re.S)
_WRITES = re.compile(r"\s*(?:/\*.*?\*/\s*)*(INSERT|UPDATE|DELETE|REPLACE|LOAD|CALL)\b", re.I | re.S)


def waits_for(asked: str, held: str) -> bool:
    """True where a request of mode ``asked`` waits for a held ``held``. Unknown modes: True."""
    wanted, has = _SHORT.get(asked), _SHORT.get(held)
    if wanted is None or has is None:
        return True
    return has in _WAITS_FOR[wanted]


def likely_mode(statement: str) -> str:
    """The mode a statement asks for, by its first word: where the server does not say."""
    if _READS.match(statement):
        return "SHARED_READ"
    return "SHARED_WRITE" if _WRITES.match(statement) else "EXCLUSIVE"
