"""One run of ``db.optimize``: settle the past, choose, order, rebuild table by table."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Optional, Union

from matops.errors import Refused, UsageError
from matops.mysql import binlog, choose, purge_wait, treatments
from matops.mysql import server as servers
from matops.mysql.attempt import Stop, Tell
from matops.mysql.blind_spots import blind_spots
from matops.mysql.choose import Choice
from matops.mysql.fragmentation import Estimate
from matops.mysql.monitor import Monitor
from matops.mysql.optimize_journal import OptimizeJournal, Past
from matops.mysql.rebuild import Ended, Report
from matops.mysql.running import LOCK_TIMEOUT
from matops.mysql.server import Server
from matops.mysql.session import Address, ConnectionCut, DatabaseError, Session
from matops.mysql.sources import Entry, Sources
from matops.mysql.summary import Result, Summary
from matops.mysql.treatments import LEFT, Treatment
from matops.mysql.window import Window, seconds_for
from matops.mysql.work import Options, Worker
from matops.units import show_size

_LOOK = {"lock_wait_timeout": 5}
"""Choosing never waits long for anybody's LOCK TABLES: the default is a year."""


class Optimize:
    """Runs once. ``tell`` hears every event; ``stop`` may be asked from a signal handler."""

    def __init__(
        self, address: Address, options: Options, journal: OptimizeJournal, tell: Tell, stop: Stop
    ) -> None:
        self.address, self.options, self.journal = address, options, journal
        self.tell, self.stop = tell, stop
        self.summary = Summary()
        self._rates: list[tuple[int, float]] = []
        self._overload = ""
        """Why the pause for load was given up: no other table is waited for after that."""

    def run(self) -> Summary:
        """Raises Locked, Refused, UsageError, PrivilegeMissing, DatabaseError before anything
        was changed; what happens to single tables is in the summary.
        """
        with ExitStack() as stack:
            self.monitor = stack.enter_context(Monitor(self.address))
            self.server: Server = self.monitor.must(servers.look)
            self.sources = Sources(self.address.schema, self.server)
            self.worker = self._worker()
            stack.callback(self.worker.gate.close)
            for note in blind_spots(self.server, self.options):
                self.tell("note", text=note)
            self.past = self._settle_past(self.journal.past())
            self.summary.choices = self._choose()
            self.tell("choices", choices=self.summary.choices, server=self.server.shown,
                      window=self.options.window.shown,
                      binlog=self.worker.decision.why)  # fmt: skip
            order = choose.in_order(self.summary.choices)
            if self.options.dry_run:
                self._foresee(order)
            else:
                self._do(order)
        return self.summary

    def _worker(self) -> Worker:
        galera = binlog.galera(self.server, self.options.galera)
        may_skip = self.server.binlog and binlog.may_skip(self.address)
        may_local = self.server.binlog and self.monitor.must(binlog.may_local)
        decision = binlog.decide(self.server, self.options.binlog, may_skip, may_local)
        variables: dict[str, Union[int, float, str]] = {
            "lock_wait_timeout": self.options.policy.backstop,
            # A strict mode refuses to rebuild a table that has old defaults ('0000-00-00': 1067).
            "sql_mode": "NO_ENGINE_SUBSTITUTION",
            **galera,
        }
        if self.server.flavour == "mariadb":
            variables["max_statement_time"] = 0
        if decision.skip:
            variables["sql_log_bin"] = 0
        return Worker(
            self.address, self.options, self.monitor, self.server, self.sources, decision,
            variables, self.journal, self.tell, self.stop, secrets.token_hex(4),
        )  # fmt: skip

    # What earlier runs left

    def _settle_past(self, past: Past) -> Past:
        if self.options.dry_run:
            return past
        if past.begun is not None:
            begun = past.begun
            report = self.worker.settle(begun)
            self.tell("settled", table=begun.table, ended=report.ended.value, reason=report.reason)
            if report.ended is Ended.UNKNOWN:
                raise Refused(
                    f"what became of the last run's rebuild of {begun.table} cannot be told: "
                    f"{report.reason}",
                    state="Nothing was changed by this run",
                    next="run again once the server answers",
                )
            before = begun.before_bytes or 0
            choice = Choice(begun.table, True, "", Treatment(LEFT, ""), before)
            result = Result(choice, report)
            if report.ended is Ended.DONE:
                result.after = self.monitor.must(lambda s: self.sources.file_bytes(s, begun.table))
                self.summary.add(result)
            self.worker.run_id = begun.run
            self.worker.write_end(result)
            past = self.journal.past()
        if past.run:
            self.worker.run_id = past.run
            done = sum(past.done_in_this_run(table) for table in past.done)
            self.tell("resumed", run=past.run, done=done)
        return past

    # Choosing

    def _choose(self) -> list[Choice]:
        with Session(self.address, timeout=600, variables=_LOOK) as session:
            if session.flavour == "mysql":
                servers.allowed(session, "statistics_fresh")
            entries = self.sources.entries(session)
            self._all_there(entries)
            wait = 0.0 if self.options.dry_run else self.options.purge_wait
            purge = purge_wait.wait(session, wait, lambda: bool(self.stop.reason))
            self.tell("purge", history=purge.history, note=purge.note)
            chosen = []
            for entry in entries:
                if self.options.wants(entry.name) and not self.stop.reason:
                    chosen.append(self._weigh(session, entry))
            return chosen

    def _all_there(self, entries: Sequence[Entry]) -> None:
        names = {entry.name for entry in entries}
        for start in () if self.options.tables else self.options.starts:
            if not any(name.startswith(start) for name in names):
                raise UsageError(
                    f"no table of {self.address.schema} begins with {start}",
                    state="Nothing was changed",
                    next="db.sizes lists tables and families",
                )
        missing = [name for name in self.options.tables if name not in names]
        if missing:
            raise UsageError(
                f"no table {', '.join(map(treatments.shown, missing))} in {self.address.schema}",
                state="Nothing was changed",
                next="db.sizes lists them",
            )

    def _weigh(self, session: Session, entry: Entry) -> Choice:
        least = self.options.least
        if entry.file_bytes is not None and entry.file_bytes < least.size:
            why = f"its file has only {show_size(entry.file_bytes)}, less than {least.shown}"
            return Choice(entry.name, False, why, Treatment(LEFT, why), entry.file_bytes)
        estimate: Optional[Estimate] = None
        try:
            shape = treatments.look(session, self.address.schema, entry.name)
            if shape is None:
                return Choice(entry.name, False, "dropped meanwhile", Treatment(LEFT, "dropped"))
            treatment = treatments.choose(shape, self.options.how, system_space=entry.shared_space)
            if treatment.how != LEFT and not self.past.done_in_this_run(entry.name):
                estimate = self.sources.estimate(session, entry.name)
        except DatabaseError as error:
            if error.number != LOCK_TIMEOUT:
                raise
            why = "somebody holds it locked: it could not be looked at"
            return Choice(entry.name, False, why, Treatment(LEFT, why), entry.file_bytes or 0)
        choice = choose.weigh(
            entry.name, treatment, estimate, least, self.past,
            named=entry.name in self.options.tables, index_bytes=shape.index_bytes,
        )  # fmt: skip
        self.tell("choice", table=choice.table, chosen=choice.chosen, why=choice.why)
        return choice

    # Doing

    def _do(self, order: Sequence[Choice]) -> None:
        if order and not self.past.run:
            self.journal.write("run", self.worker.run_id, server=self.server.shown,
                               schema=self.address.schema)  # fmt: skip
        for position, choice in enumerate(order):
            if self.stop.reason:
                self.summary.add(Result(choice, Report(Ended.STOPPED, self.stop.reason)))
                continue
            try:
                result = self._one(choice, position, len(order))
            except ConnectionCut as error:
                # What was done before is told all the same, and nothing else is tried.
                ended = Ended.UNKNOWN if self.journal.past().begun else Ended.BLOCKED
                self.summary.postponed = True
                self.summary.add(Result(choice, Report(ended, error.what)))
                break
            if result is None:
                continue
            self.summary.add(result)
            if result.report.ended is Ended.DONE:
                self._rates.append((choice.file_bytes, max(result.report.seconds, 0.01)))
            self.tell("ended", table=choice.table, result=result)
            if result.report.hopeless:
                result.notes.append("no other table was tried")
                break
        unknown = self.summary.of(Ended.UNKNOWN)
        if not (self.stop.reason or self.summary.postponed or unknown):
            self.journal.write("end", self.worker.run_id)

    def _one(self, choice: Choice, position: int, of: int) -> Optional[Result]:
        why = self._why_not_now(choice)
        if why:
            self.summary.add(Result(choice, Report(*why)))
            self.tell("skipped", table=choice.table, why=why[1])
            return None
        needs = seconds_for(choice.file_bytes, self.rate)
        self.tell("table", table=choice.table, position=position + 1, of=of,
                  before=choice.file_bytes, predicted=choice.predicted, seconds=needs)  # fmt: skip
        left = self.options.window.left
        self.worker.leeway = None if left is None else max(left - needs, 0.0)
        return self.worker.rebuild(choice)

    def _foresee(self, order: Sequence[Choice]) -> None:
        """Says for a dry run what time and space would not let be started."""
        spent, why = 0.0, {}
        for choice in order:
            until = self.options.window.until
            ahead = self.options.window if until is None else Window(until - spent)
            reason = ahead.why_not(choice.file_bytes, self.rate) or self._no_room(choice)
            if reason:
                why[choice.table] = f"{choice.why}; would not be started: {reason}"
            else:
                spent += seconds_for(choice.file_bytes, self.rate)
        self.summary.choices = [
            replace(choice, why=why.get(choice.table, choice.why))
            for choice in self.summary.choices
        ]

    @property
    def rate(self) -> float:
        """Bytes of old file rebuilt a second: of this run, else of earlier ones; 0 = unknown."""
        size = sum(size for size, _ in self._rates)
        seconds = sum(seconds for _, seconds in self._rates)
        return size / seconds if seconds > 1 else self.past.rate

    def _why_not_now(self, choice: Choice) -> Optional[tuple[Ended, str]]:
        late = self.options.window.why_not(choice.file_bytes, self.rate)
        if not late:
            self._overload = self._overload or self.worker.guarded.pause()
            late = self.options.window.why_not(choice.file_bytes, self.rate)
        if late:
            self.summary.postponed = True
            return Ended.LEFT, late
        if self._overload:
            self.summary.postponed = True
            return Ended.BLOCKED, self._overload
        full = self._no_room(choice)
        return (Ended.REFUSED, full) if full else None

    def _no_room(self, choice: Choice) -> str:
        return self.worker.guarded.no_room(
            choice.file_bytes, choice.upper, choice.index_bytes, self.summary.reclaimed
        )
