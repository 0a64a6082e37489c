"""What matops wrote down about its backups: one row each, in a key-value table of the database.

The record lies in the same database as the tables (Matomo's option table: no right is needed
that Matomo's account lacks, and it survives an upgrade), so that it can be changed *in one
transaction with the rows it counts*. It is changed by compare and swap on its whole text: a run
that lost its lock to another finds another text, and its transaction is rolled back.

The tables found are the truth; a record only explains them. States of a ``swap``:

| record | new table | backup | what happened | the next run |
|---|---|---|---|---|
| begun | - | - | nothing yet | drops the record, begins anew |
| begun | empty | - | killed before the RENAME | drops the new table and the record, begins anew |
| begun | not empty | - | not ours to judge | refuses: look at it |
| begun | - | yes | the RENAME is done | verifies, goes on copying kept rows back |
| copying | - | yes | kept rows up to ``after`` are back | goes on behind ``after`` |
| done | - | yes | all is done | nothing to do |

``carve``, ``flags`` (rows move, or are noted, chunk by chunk): *begun* without backup: drops the
record; *begun* or *copying* with it: the backup holds exactly what is gone, goes on; *restoring*:
rows up to ``after`` are back, restore goes on. ``replaced`` (what a restore put aside): as swap,
where the backup that was put back takes the new table's part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.mysql.invalidations.keep import Rule
from matops.mysql.invalidations.shape import like
from matops.mysql.session import Session

PREFIX = "matops.invalidations."
BEGUN, COPYING, RESTORING, DONE = "begun", "copying", "restoring", "done"
SWAP, CARVE, REPLACED, FLAGS = "swap", "carve", "replaced", "flags"
VERSION = 1
_LARGEST = 2000
"""Deleted sites in a rule: an option row shall stay small. The next run takes the others."""


@dataclass(frozen=True)
class Record:
    """One backup. Counts of rows; times in seconds since 1970 (the server's clock).

    ``backup``, ``table``, ``new``: full table names ('' = there is none). ``boundary``: the
    highest id in the frozen backup; of one that was replaced: up to which its rows are old ones.
    ``after``: rows up to this id (of the backup) are dealt with. ``moved``: rows copied back, or
    carved. ``restored``: when a carved backup was put back; ``back``: rows put back by that.
    ``turn`` counts changes, so that no two texts are the same.
    """

    backup: str
    table: str
    method: str
    why: str
    at: float
    state: str = BEGUN
    new: str = ""
    rule: Rule = field(default_factory=Rule)
    boundary: int = 0
    after: int = -1
    moved: int = 0
    rows: int = 0
    restored: float = 0.0
    back: int = 0
    turn: int = 0

    @property
    def finished(self) -> bool:
        """Nothing is left to be done for it."""
        return self.state == DONE

    def text(self) -> str:
        """As it is stored."""
        data = {**asdict(self), "rule": self.rule.data(), "v": VERSION}
        return json.dumps(data, sort_keys=True)


def parse(text: str) -> Record:
    """From the stored text. ValueError for anything else than a record of this version."""
    data: Any = json.loads(text)
    if not isinstance(data, dict) or data.pop("v", 0) != VERSION:
        raise ValueError("another version")
    if not isinstance(data.get("rule"), dict):
        raise ValueError("no rule")
    return Record(**{**data, "rule": Rule.of(data["rule"])})


def first_of(sites: Sequence[int]) -> tuple[int, ...]:
    """As many deleted sites as one run's rule may name; the next run takes the others."""
    return tuple(sites[:_LARGEST])


class Records:
    """The records in the key-value table ``options``. All raise DatabaseError."""

    def __init__(self, session: Session, options: str) -> None:
        self._session = session
        self._options = options

    def all(self) -> list[Record]:
        """All there are, the oldest first. MatopsError for one that is not understood."""
        pattern = like(PREFIX) + "%"
        rows = self._session.rows("option_named", (pattern,), option=self._options)
        found = []
        for row in rows:
            try:
                found.append(parse(str(row["value"])))
            except (ValueError, TypeError, KeyError):
                raise MatopsError(
                    f"the record {row['name']} in {self._options} is not understood",
                    state="Nothing was changed",
                    next="a newer matops wrote it: use that one",
                ) from None
        return sorted(found, key=lambda record: (record.at, record.backup))

    def find(self, backup: str) -> Optional[Record]:
        """The record of that backup, as it is now."""
        text = self._session.value("option_read", (PREFIX + backup,), option=self._options)
        return parse(str(text)) if text else None

    def create(self, record: Record) -> Record:
        """Writes a new one. Refused where its name is taken (two runs in one second)."""
        name = PREFIX + record.backup
        made = self._session.execute("option_create", (name, record.text()), option=self._options)
        if not made:
            raise Refused(
                f"there is a record of {record.backup} already",
                state="Nothing was changed",
                next="run it again",
            )
        return record

    def change(self, record: Record, **changes: Any) -> Record:
        """Compare and swap. Refused where somebody else changed it: nothing may be committed."""
        wanted = replace(record, turn=record.turn + 1, **changes)
        name = PREFIX + record.backup
        changed = self._session.execute(
            "option_swap", (wanted.text(), name, record.text()), option=self._options
        )
        if changed != 1:
            raise Refused(
                f"the record of {record.backup} was changed by another run",
                state="This run stops here; what it had committed stays",
                next="invalidations.backups shows where things stand",
            )
        return wanted

    def drop(self, record: Record) -> None:
        """Removes it, if it is still as it was read. OutcomeUnknown where it is not."""
        name = PREFIX + record.backup
        gone = self._session.execute("option_drop", (name, record.text()), option=self._options)
        if gone != 1:
            raise OutcomeUnknown(
                f"the record of {record.backup} was changed by another run",
                next="invalidations.backups shows where things stand",
            )


def unfinished(records: Sequence[Record]) -> list[Record]:
    """Those whose work a killed run left."""
    return [record for record in records if not record.finished]
