"""All logs of one server: cut, compared with each other, judged whole or not.

Leaves two sorted files, ``sure`` and ``asked`` (see ``cut.Cutter``), and a report that becomes
the manifest.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.accesslog import farm, overlap, stream
from matops.accesslog.blocks import Blocks, Changed, may_matter
from matops.accesslog.cut import Cutter, Rules
from matops.accesslog.farm import Farm
from matops.accesslog.logfiles import Family, LogFile
from matops.accesslog.parts import Part, wholeness, without_doubles
from matops.accesslog.runs import Runs, join
from matops.accesslog.tally import Tally
from matops.accesslog.verdict import KEEP
from matops.errors import MatopsError


@dataclass
class Voices:
    """``read(bytes)``: progress; ``say``: a line."""

    read: Callable[[int], object] = lambda size: None
    say: Callable[[str], object] = lambda line: None


class Slicer:
    """Cuts one server. ``find`` gives its families anew (a log may be rotated meanwhile);
    ``work``: a path; ``<work>.sure`` and ``<work>.asked`` are written. ``helpers``: processes
    beside this one (default: as many as are worth while)."""

    def __init__(self, rules: Rules, find: Callable[[], Sequence[Family]], work: str,
                 voices: Optional[Voices] = None, helpers: Optional[int] = None
                 ) -> None:  # fmt: skip
        self._helpers = helpers
        self.rules, self._find, self._work = rules, find, work
        self._voices = voices or Voices()
        self.parts: list[Part] = []
        self.tally = Tally()
        self.notes: list[str] = []
        self._reading = "a log"

    def run(self) -> dict[str, Any]:
        """The report. MatopsError (no log of the window, unreadable), Refused."""
        # glibc gives large pieces back to the kernel and has them cleared again each time, until
        # one of up to 32 MiB was freed. This one is never written to.
        bytearray(30 << 20)
        collecting = gc.isenabled()
        gc.disable()  # millions of short-lived tuples, and no cycles: a tenth of the time
        try:
            return self._run()
        finally:
            if collecting:
                gc.enable()

    def _run(self) -> dict[str, Any]:
        for last in (False, False, True):
            try:
                self.parts = self._cut(self._find())
                break
            except Changed as error:
                self._discard()
                if last:
                    raise
                self._voices.say(f"  {error.what}: looking again")
        try:
            return self._finish()
        finally:
            self._discard()

    def _discard(self) -> None:
        for part in self.parts:
            part.cutter.sure.discard()
            part.cutter.asked.discard()
        self.parts = []

    def _cut(self, families: Sequence[Family]) -> list[Part]:
        number = 0
        for family in families:
            for file in family.files:
                file.number, number = number, number + 1
        try:
            for order, family in enumerate(families):
                buffers = [Runs(f"{self._work}.{kind}{order}") for kind in ("sure", "asked")]
                part = Part(family, Cutter(self.rules, family.forms, *buffers))
                part.cutter.compare = len(families) > 1
                self.parts.append(part)
                self._family(part)
        except FileNotFoundError as error:
            raise Changed(f"{error.filename} is gone: it was rotated while it was read") from None
        except OSError as error:
            name = error.filename or self._reading
            raise MatopsError(f"{name} cannot be read: {error.strerror or error}") from None
        return self.parts

    def _family(self, part: Part) -> None:
        low, high = self.rules.window.low, self.rules.window.high
        files = [file for file in part.family.files if file.first is not None]
        needed = []
        for place, file in enumerate(files):
            following = next((f.first for f in files[place + 1 :] if f.first != file.first), None)
            if may_matter(file, following, low, high):
                needed.append(file)
            elif file.first is not None and file.first < low:
                part.cutter.coverage.earlier(float(file.first))
            elif file.first is not None and part.cutter.coverage.after is None:
                part.cutter.coverage.after = float(file.first)
        if not part.family.forms:
            return
        kept, copies = overlap.without_copies(needed)
        for path, other in copies:
            part.notes.append(f"{path} is a copy of {other}, or of its beginning: not read twice")
        inside: set[int] = set()
        helpers = farm.helpers_for(kept) if self._helpers is None else self._helpers
        with Farm(part.cutter, helpers) as workers:
            part.helpers = len(workers)
            for file in kept:
                if id(file) not in inside:
                    others = [f for f in kept if f is not file]
                    inside |= self._file(part, file, others, workers)
            workers.finish()

    def _file(self, part: Part, file: LogFile, others: Sequence[LogFile], workers: Farm
              ) -> set[int]:  # fmt: skip
        """Cuts one file. Gives the others that are wholly in it; notes what they share."""
        cutter, self._reading = part.cutter, file.path
        heads = [o for o in others if o.head and len(o.head) > 20 and o.first != file.first]
        places: dict[int, list[int]] = {}
        low, high = self.rules.window.low, self.rules.window.high
        blocks = Blocks(file, part.family.forms, low, high, self._voices.read)
        was = (cutter.sure.count, cutter.asked.count, cutter.coverage.lines)
        for offset, block in blocks:
            if blocks.older:
                cutter.coverage.earlier(blocks.older)
                blocks.older = 0.0
            for other in heads:
                at = block.find(other.head)
                while at >= 0 and len(places.setdefault(id(other), [])) < 50:
                    places[id(other)].append(offset + at)
                    at = block.find(other.head, at + 1)
            cutter.coverage.block(block, cutter.stamp)
            workers.block(file.number, offset, block)
        workers.drain()
        if blocks.older:
            cutter.coverage.earlier(blocks.older)
        if blocks.loose:
            cutter.loose(blocks.loose)
        self._report(part, file, blocks, was)
        return {id(o) for o in heads if places.get(id(o)) and self._shared(part, file, places, o)}

    def _shared(self, part: Part, file: LogFile, places: dict[int, list[int]], other: LogFile
                ) -> bool:  # fmt: skip
        whole = overlap.run_into(file, places[id(other)], other)
        if whole:
            part.notes.append(f"{other.path} is wholly in {file.path}: not read twice")
        elif other.skip:
            part.notes.append(
                f"{other.path} begins with the last {other.skip} bytes of {file.path}: these are "
                "read once"
            )
        return whole

    def _report(self, part: Part, file: LogFile, blocks: Blocks, was: tuple[int, int, int]) -> None:
        cutter = part.cutter
        if blocks.damage:
            part.notes.append(f"{file.path}: {blocks.damage}")
        if blocks.long:
            part.notes.append(f"{file.path}: {blocks.long} lines of more than 4 MB were left out")
        part.report.append({
            "number": file.number, "path": file.path, "kind": file.kind, "size": file.size,
            "inode": file.inode[1], "mtime": file.mtime, "damage": blocks.damage,
            "first": float(file.first or 0), "last": cutter.coverage.last or 0.0,
            "skipped_as_overlap": file.skip,
            "head_sha256": _digest(file.head),
            "hits": cutter.sure.count - was[0], "asked": cutter.asked.count - was[1],
            "lines": cutter.coverage.lines - was[2],
        })  # fmt: skip

    def _finish(self) -> dict[str, Any]:
        self._refuse_unread()
        parts = without_doubles(self.parts, self.notes)
        for part in parts:
            self.tally.add(part.cutter.tally)
            self.notes += part.notes
        whole = wholeness(parts)
        self.tally.reasons[KEEP] = sum(part.cutter.sure.count for part in parts)
        self.tally.reasons = +self.tally.reasons
        for kind in ("sure", "asked"):
            paths: list[str] = []
            for part in parts:
                runs = part.cutter.sure if kind == "sure" else part.cutter.asked
                paths += runs.close()
            join(paths, f"{self._work}.{kind}")
        return {
            "server": self.rules.server,
            "logs": [{"log": part.family.name, "formats": [f.name for f in part.family.forms],
                      "files": part.report} for part in parts],
            "reader": stream.reader_name(),
            "helpers": max((part.helpers for part in parts), default=0),
            "reasons": dict(self.tally.reasons),
            "statuses": {k.decode("ascii", "replace"): v for k, v in self.tally.statuses.items()},
            "hosts": {k.decode("ascii", "replace"): v
                      for k, v in self.tally.hosts.most_common(20)},
            "visitors": self.tally.visitors(),
            "tokens": self.tally.tokens,
            "notes": self.notes,
            **whole,
        }  # fmt: skip

    def _refuse_unread(self) -> None:
        files = [file for part in self.parts for file in part.family.files]
        trouble = [file.trouble for file in files if file.trouble]
        low = float(self.rules.window.low)
        for file in files:
            if (file.trouble and file.mtime >= low) or file.inode == (0, 0):
                raise MatopsError(
                    f"a log that may hold part of the gap cannot be read: {file.trouble}",
                    state="No gap file was written",
                    next="make it readable, or name the right logs: access_logs in "
                    "config/matops.yaml",
                )
        self.notes += trouble
        filled = [p for p in self.parts if any(f.first or f.trouble for f in p.family.files)]
        if filled and not any(part.family.forms for part in self.parts):
            names = ", ".join(part.family.name for part in filled[:3])
            raise MatopsError(
                f"the format of {names} is not understood",
                state="No gap file was written",
                next="log in Apache's combined or nginx' combined format, or JSON; a custom "
                "format is read from the server's own LogFormat or log_format",
            )


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()[:16] if head else ""
