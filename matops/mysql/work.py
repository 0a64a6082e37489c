"""The work on one table: look again, rebuild under guard, read the effect back, write it down."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

from matops.mysql import binlog, settle, space, throttle, treatments
from matops.mysql.attempt import Stop, Tell
from matops.mysql.choose import Choice, MinGain
from matops.mysql.guard import Policy
from matops.mysql.guarded import Guarded
from matops.mysql.monitor import Monitor
from matops.mysql.optimize_journal import Begun, OptimizeJournal
from matops.mysql.rebuild import Ended, Rebuilder, Report
from matops.mysql.running import complaint
from matops.mysql.server import Server
from matops.mysql.session import Address, DatabaseError, Session
from matops.mysql.sources import Sources
from matops.mysql.summary import Result
from matops.mysql.treatments import Part, Shape
from matops.mysql.window import Window

GONE = "the table is gone: it was dropped meanwhile"


@dataclass(frozen=True)
class Options:
    """What the operator typed. Times in seconds, sizes in bytes.

    ``tables``: those named one by one, else ``prefixes`` of names ('' = all), each with whether
    more may follow. ``local``: the server's files are on this machine. ``pause``: the longest
    pause for load, before the run ends.
    """

    tables: tuple[str, ...] = ()
    starts: tuple[str, ...] = ("",)
    least: MinGain = field(default_factory=MinGain)
    how: treatments.Options = field(default_factory=treatments.Options)
    policy: Policy = field(default_factory=Policy)
    limits: throttle.Limits = field(default_factory=throttle.Limits)
    window: Window = field(default_factory=Window)
    replicas: Sequence[Address] = ()
    galera: str = ""
    binlog: str = binlog.AUTO
    free_space: Optional[int] = None
    reserve: int = space.RESERVE
    local: bool = True
    purge_wait: float = 60.0
    patience: float = 600.0
    pause: float = 1800.0
    dry_run: bool = False

    def wants(self, table: str) -> bool:
        """Is it within what was asked for?"""
        if self.tables:
            return table in self.tables
        return table.startswith(self.starts)


@dataclass
class Worker:
    """Works on tables of one schema, one after the other."""

    address: Address
    options: Options
    monitor: Monitor
    server: Server
    sources: Sources
    decision: binlog.Decision
    variables: Mapping[str, Union[int, float, str]]
    journal: OptimizeJournal
    tell: Tell
    stop: Stop
    run_id: str = ""
    leeway: Optional[float] = None
    """Seconds by which the next table may start later and still end in time; None = any."""

    def __post_init__(self) -> None:
        self.guarded = Guarded(self.address, self.options, self.monitor, self.server, self.sources,
                               self.tell, self.stop)  # fmt: skip
        self.gate = self.guarded.gate

    def look(self, table: str) -> Optional[Shape]:
        """The table as it is now; None where it is gone. ConnectionCut."""
        return self.monitor.must(lambda s: treatments.look(s, self.address.schema, table))

    def rebuild(self, choice: Choice) -> Result:
        """All parts of one table. What goes wrong is in the report. ConnectionCut at the worst."""
        result = Result(choice, Report())
        for part in choice.treatment.parts:
            self._part(choice, part, result)
            if result.report.ended is not Ended.DONE:
                break
        if result.report.ended is Ended.DONE:
            self._verify(choice, result)
        self.write_end(result)
        return result

    def _part(self, choice: Choice, part: Part, result: Result) -> None:
        report = result.report
        shape = self.look(choice.table)
        if shape is not None and shape.age < 2:
            time.sleep(2)  # its creation time tells the outcome, and has whole seconds only
        if shape is None:
            report.ended, report.reason = Ended.LEFT, GONE
            return
        result.created = str(shape.created)
        tag = f"matops.optimize {self.run_id} {secrets.token_hex(3)}"
        begun = Begun(choice.table, self.run_id, tag, 0, result.created, choice.file_bytes)
        rebuilder = Rebuilder(
            self.address, self.monitor, self.options.policy,
            self.guarded.hooks(choice.table, choice.predicted or 0), self.gate.look, self.variables,
            self.guarded.sees_locks, self.server.process, self._patience,
            lambda id: self._write_begin(begun, id, part.partition),
        )  # fmt: skip
        part = Part(self.decision.statement(part.statement), part.partition)
        row_bytes = shape.row_bytes
        rebuilder.rebuild(
            choice.table, part, tag, lambda: self.guarded.progress(choice.table, row_bytes), report
        )
        if report.ended is Ended.UNKNOWN:
            self.tell("lost", table=choice.table, reason=report.reason)
            settled = self.settle(begun)
            report.ended, report.reason = settled.ended, f"{report.reason}; {settled.reason}"

    @property
    def _patience(self) -> float:
        most = self.options.patience
        return most if self.leeway is None else min(most, self.leeway)

    def _verify(self, choice: Choice, result: Result) -> None:
        """Reads the effect back: exit codes and OK rows are not enough."""
        self._analyze(choice.table, result)
        shape = self.look(choice.table)
        if shape is None:
            result.report.ended, result.report.reason = Ended.LEFT, GONE
            return
        whole = not choice.treatment.parts[0].partition
        if whole and shape.engine.lower() == "innodb" and str(shape.created) == result.created:
            result.report.ended = Ended.FAILED
            result.report.reason = "the server said OK, but did not rebuild the table"
        result.after = self.monitor.must(lambda s: self.sources.file_bytes(s, choice.table))

    def _analyze(self, table: str, result: Result) -> None:
        try:
            with Session(self.address, timeout=600, variables={"lock_wait_timeout": 5}) as session:
                trouble = complaint(session.rows("rebuild_analyze", table=table))
        except DatabaseError as error:
            trouble = error.what
        if trouble:
            result.notes.append(f"ANALYZE did not work: {trouble}")

    def settle(self, begun: Begun) -> Report:
        """What became of a statement that nobody heard the end of; waits while it still runs."""
        return settle.settle(
            begun, self.address.schema, self.monitor, self.options.policy,
            self.guarded.hooks(begun.table, 0), lambda id: self.guarded.watcher(begun.table, id),
        )  # fmt: skip

    def write_end(self, result: Result) -> None:
        """Into the journal; what is not known stays begun, for the next run to look."""
        report = result.report
        if report.ended is Ended.UNKNOWN:
            return
        event = {Ended.DONE: "done", Ended.LEFT: "left"}.get(report.ended, "failed")
        self.journal.write(
            event, self.run_id, table=result.choice.table, before=result.choice.file_bytes,
            after=result.after, seconds=round(report.seconds, 2), reason=report.reason,
        )  # fmt: skip

    def _write_begin(self, begun: Begun, id: int, partition: str) -> None:
        self.journal.write("begin", begun.run, table=begun.table, tag=begun.tag, connection_id=id,
                           created=begun.created, before=begun.before_bytes,
                           partition=partition)  # fmt: skip
