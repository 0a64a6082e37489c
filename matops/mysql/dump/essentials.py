"""Writes the files of an essentials backup into a folder, table by table."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matops.errors import MatopsError
from matops.mysql.dump import choose, files, programs, table
from matops.mysql.dump.choose import Part
from matops.mysql.dump.files import DumpFile
from matops.mysql.dump.snapshot import Snapshots
from matops.mysql.dump.source import LOCK_WAIT, Source
from matops.mysql.privileges import account
from matops.mysql.quote import quote
from matops.mysql.session import AccessDenied, DatabaseError

_LOCK_WAIT_TIMEOUT = 1205
_TRIES = 6
_PAUSE = 1.0  # seconds between two tries


@dataclass
class Dumped:
    """What was written, as plain data for the manifest."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By file name: sha256, size (bytes), last (its last line)."""
    tables: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    largest: int = 0
    """Bytes of the longest statement: the max_allowed_packet that a restore needs."""
    snapshots: int = 0
    programs: int = 0


@dataclass
class Voices:
    """Who hears of it: ``add`` bytes of table data done, ``say`` a line; ``room`` may raise."""

    add: Callable[[int], None] = lambda size: None
    say: Callable[[str], None] = lambda line: None
    room: Callable[[], None] = lambda: None


class Dump:
    """One dump of ``parts`` of ``schema`` into ``folder``, which is empty and ours."""

    def __init__(
        self, source: Source, schema: str, folder: Path, parts: Sequence[Part], voices: Voices
    ) -> None:
        self._source, self._schema, self._folder = source, schema, folder
        self._parts, self._voices = parts, voices
        self._snapshots = Snapshots(source)
        self.done = Dumped()

    def run(self) -> Dumped:
        """All of it. MatopsError; what was written until then is of no use."""
        self._schemas([p for p in self._parts if p.what == choose.SCHEMA_ONLY])
        for part in self._parts:
            if part.what == choose.ROWS:
                if not part.together:
                    self._snapshots.end()
                self._with_patience(part, functools.partial(self._table, part))
        self._snapshots.end()
        self._programs()
        self.done.snapshots = self._snapshots.number
        self._packet()
        return self.done

    def _packet(self) -> None:
        # A BLOB is twice as long in a statement as it is in its table.
        takes = int(self._source.value("backup_packet") or 0)
        if takes and self.done.largest >= takes:
            self.done.notes.append(
                f"its longest statement has {self.done.largest} bytes, this server takes {takes}: "
                f"before it is read back, SET GLOBAL max_allowed_packet = "
                f"{(self.done.largest // 2**20 + 1) * 2**20};"
            )

    def _schemas(self, parts: Sequence[Part]) -> None:
        name = files.name_of(0, "tables-without-rows")
        with DumpFile(self._folder / name, self._voices.room) as file:
            file.write(table.HEAD)
            for part in sorted(parts, key=lambda part: part.name):
                self._with_patience(part, functools.partial(self._schema_of, part, file))
            self._finish(file, f"-- matops: end of {len(parts)} tables without rows")

    def _schema_of(self, part: Part, file: DumpFile) -> None:
        table.write_schema(self._source, self._schema, part.name, file)
        self.done.tables.append(
            {"name": part.name, "rows": None, "left_out": part.why, "bytes": part.bytes}
        )

    def _finish(self, file: DumpFile, last: str) -> None:
        file.write(f"{last}\n".encode())
        file.close()
        about = {"sha256": file.sha256, "size": file.size, "last": last}
        self.done.files[file.path.name] = about

    def _with_patience(self, part: Part, work: Callable[[], None]) -> None:
        """One table; again where somebody alters it or holds its metadata lock just then."""
        for attempt in range(1, _TRIES + 1):
            try:
                work()
                return
            except DatabaseError as error:
                self._snapshots.end()
                (self._folder / files.name_of(10, part.name)).unlink(missing_ok=True)
                if error.number == 1146 and self._is_gone(part):
                    self.done.notes.append(f"{part.name} was dropped meanwhile; it is left out")
                    return
                locked = error.number == _LOCK_WAIT_TIMEOUT
                if (not locked and error.number not in table.CHANGED) or attempt == _TRIES:
                    raise self._explained(part, error, locked) from None
                why = "is locked" if locked else "was altered meanwhile"
                self._voices.say(f"{part.name} {why}: reading it again")
                time.sleep(0 if locked else _PAUSE)

    def _is_gone(self, part: Part) -> bool:
        return not self._source.rows("backup_columns", (self._schema, part.name))

    def _explained(self, part: Part, error: DatabaseError, locked: bool) -> MatopsError:
        if not locked:
            error.state = error.state or "No backup was made"
            if isinstance(error, AccessDenied):
                who = account(self._source)
                error.next = f"GRANT SELECT ON {quote(self._schema)}.* TO {who};"
            return error
        return MatopsError(
            f"{part.name} cannot be read: somebody held its metadata lock for more than "
            f"{_TRIES * LOCK_WAIT} s",
            state="No backup was made",
            next="db.locks shows who; then run it again",
        )

    def _table(self, part: Part) -> None:
        name, began = files.name_of(10, part.name), time.monotonic()
        row_bytes, left = part.bytes // max(part.rows, 1), part.bytes

        def told(rows: int) -> None:
            nonlocal left
            size = min(rows * max(row_bytes, 1), left)
            left -= size
            self._voices.add(size)

        with DumpFile(self._folder / name, self._voices.room) as file:
            file.write(table.HEAD)
            snapshot = 0
            if part.together:
                with self._snapshots.table() as snapshot:
                    written = self._write(part, file, row_bytes, told)
            else:
                written = self._write(part, file, row_bytes, told)
            self._finish(file, table.last_words(part.name, written.rows))
        told(left)
        self.done.largest = max(self.done.largest, written.largest)
        self.done.tables.append({
            "name": part.name, "rows": written.rows, "file": name, "bytes": part.bytes,
            "readings": written.readings, "snapshot": snapshot,
            "seconds": round(time.monotonic() - began, 2),
        })  # fmt: skip

    def _write(
        self, part: Part, file: DumpFile, row_bytes: int, told: Callable[[int], None]
    ) -> table.Written:
        made = table.write_schema(self._source, self._schema, part.name, file)
        written = table.write_rows(
            self._source, self._schema, part.name, file,
            by_key=not part.together, row_bytes=row_bytes, told=told,
        )  # fmt: skip
        table.still(self._source, self._schema, part.name, made)
        return written

    def _programs(self) -> None:
        absent = [part.name for part in self._parts if part.what == choose.NOT_OURS]
        found = programs.read(self._source, self._schema, absent)
        self.done.notes += found.notes
        self.done.programs = found.count
        if not found.text:
            return
        name = files.name_of(90, "views-triggers-routines")
        with DumpFile(self._folder / name, self._voices.room) as file:
            file.write(table.HEAD + b"\n" + "\n".join(found.text).encode() + b"\n")
            self._finish(file, f"-- matops: end of {found.count} views, triggers, routines")
