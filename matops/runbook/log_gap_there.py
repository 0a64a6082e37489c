"""``logs.gap`` on one web server: cut, decide, judge, write. Runs where the logs are."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from matops.accesslog import cut, gapstore, keeping, slicing, sources
from matops.accesslog.logfiles import Family
from matops.accesslog.probes import web as web_probe
from matops.accesslog.runs import remove
from matops.accesslog.verdict import KEEP, Edge, Window
from matops.errors import MatopsError, OutcomeUnknown
from matops.matomo import gap_decide, queue_setup
from matops.matomo.database import Database, read_config
from matops.runbook import log_gap_judge as judge
from matops.runbook.step import Say, Track

EDGES, ALL = "edges", "all"


@dataclass(frozen=True)
class Asked:
    """What one server is asked for. Times as seconds since 1970, by that server's clock.

    ``off``, ``on``: ``[before, after]`` of its marks. ``logs``: a folder with shipped logs.
    ``check``: EDGES (some of the middle) or ALL. ``accept``: of 'holes', 'addresses'.
    """

    label: str
    start: float
    end: float
    off: Optional[Sequence[float]] = None
    on: Optional[Sequence[float]] = None
    margin: float = 30.0
    check: str = EDGES
    logs: str = ""
    access_logs: Sequence[str] = ()
    tracker_paths: Sequence[str] = ()
    statuses: Sequence[str] = ()
    accept: Sequence[str] = ()

    def data(self) -> dict[str, Any]:
        """For JSON, as ``of`` reads it."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @property
    def window(self) -> Window:
        """For the cutter."""
        return Window(
            self.start, self.end, Edge(*self.off) if self.off else None,
            Edge(*self.on) if self.on else None, self.margin, self.check == ALL,
            [s.encode() for s in self.statuses],
        )  # fmt: skip


def of(data: dict[str, Any]) -> Asked:
    """From ``Asked.data``."""
    return Asked(**data)


@dataclass
class Voices:
    """How it tells."""

    say: Say
    track: Track


class Work:
    """One server's part. ``root``: the folder of all gaps; ``expires``: for the manifest."""

    def __init__(self, docroot: str, server: str, root: str, asked: Asked, expires: float,
                 voices: Voices) -> None:  # fmt: skip
        self.docroot, self.server, self.asked = docroot, gapstore.plain(server), asked
        self.root, self.expires, self.voices = root, expires, voices
        self.config = read_config(docroot)
        self._tracker = cut.tracker_patterns(asked.tracker_paths)

    def run(self) -> dict[str, Any]:
        """The part's manifest. MatopsError, Refused: nothing was written."""
        folder = gapstore.folder_of(self.root, self.asked.label)
        work = str(folder / f".{self.server}.work")
        try:
            report = self._cut(work)
            judge.refuse(report, self.asked.window, self.asked.accept, self.config, self.docroot)
            decided, whole = self._decide(work)
            return self._write(folder, work, report, decided, whole)
        except OSError as error:
            raise MatopsError(f"the gap file cannot be written: {error.strerror or error}",
                              next=f"free space in {self.root}") from None  # fmt: skip
        finally:
            remove(str(path) for path in folder.glob(f".{self.server}.work*"))

    def _cut(self, work: str) -> dict[str, Any]:
        web: dict[str, Any] = web_probe.collect({"access_logs": list(self.asked.access_logs)}, {})
        known = sources.configured(web)
        rules = cut.Rules(
            self.asked.window, self.server, self._tracker,
            sources.elsewhere(known, web, self.docroot), judge.forwarded(self.config),
        )  # fmt: skip

        def find() -> list[Family]:
            return self._families(web)

        files = [file for family in find() for file in family.files]
        total = sum(f.size for f in files if f.first and f.mtime >= self.asked.start)
        self.voices.say(f"  {len(files)} log files; reading those of the window")
        with self.voices.track(f"cut {self.server}", total, "B") as progress:
            voices = slicing.Voices(progress.add, self.voices.say)
            return slicing.Slicer(rules, find, work, voices).run()

    def _families(self, web: dict[str, Any]) -> list[Family]:
        if self.asked.logs:
            return sources.shipped(self.asked.logs, self.server, web, self._tracker[0])
        fresh = web_probe.collect({"access_logs": list(self.asked.access_logs)}, {})
        kept = str(Path(self.root).parent / keeping.FOLDER)
        return sources.families(fresh, self.docroot, self.asked.access_logs, self._tracker[0], kept)

    def _decide(self, work: str) -> tuple[gap_decide.Decided, bool]:
        def escalated(found: gap_decide.Decided) -> None:
            self.voices.say(
                f"  {found.inside} of {found.samples} hits looked up within the window WERE "
                "recorded: every hit is asked about now"
            )

        with self.voices.track("ask the database", _lines(work), "hits") as progress:
            voices = gap_decide.Voices(progress.add, escalated)
            found, whole = gap_decide.decide(
                self.docroot, self.asked.window, work, whole=self.asked.check == ALL, voices=voices
            )
        self._still_queued(found)
        return found, whole

    def _still_queued(self, found: gap_decide.Decided) -> None:
        """Hits near the edge that wait in the queue are not in the tables yet: neither
        recorded nor lost."""
        if found.claims < 10 or found.missing <= found.claims // 2:
            return
        with Database(self.docroot) as database:
            enabled = queue_setup.look(self.docroot, database).enabled
        if enabled:
            raise OutcomeUnknown(
                f"{found.missing} of {found.claims} hits near the edges were answered as recorded "
                "and are not in the database: they wait in the queue",
                state="No gap file was written",
                next="wait until the queue is past them (queue.status, queue.drain), then again",
            )

    def _write(self, folder: Path, work: str, report: dict[str, Any],
               decided: gap_decide.Decided, whole: bool) -> dict[str, Any]:  # fmt: skip
        kept = [f"{work}.kept"] if whole else [f"{work}.sure", f"{work}.kept"]
        made = gapstore.write_gap(folder / f"{self.server}.gap", kept)
        reasons = {k: v for k, v in report["reasons"].items() if k != KEEP}
        for reason, count in decided.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
        reasons[KEEP] = made["hits"]
        gapstore.add_tokens(folder, report.pop("tokens"))
        window = self.asked.window
        found = {
            "v": gapstore.VERSION, **report, "asked": self.asked.data(), "expires": self.expires,
            "made": time.time(), "gap": {"path": str(folder / f"{self.server}.gap"), **made},
            "reasons": reasons, "low": float(window.low), "high": float(window.high),
            "seen": sum(reasons.values()),
            "decided": {**decided.data(), "whole": whole},
        }  # fmt: skip
        gapstore.put_json(folder / f"{self.server}.json", found)
        return found


def _lines(work: str) -> int:
    """About how many lines may be asked about: for the progress only."""
    count = 0
    with contextlib.suppress(OSError), open(f"{work}.asked", "rb") as file:
        while data := file.read(1 << 20):
            count += data.count(b"\n")
    return count
