"""Runs additive ALTERs on the live schema: one at a time, online, under the lock guard.

The table itself tells what was done: what a statement adds is there, or it is not (both servers
undo an ALTER that does not come to its end). So a run that was killed needs no repair: the next
one watches a statement that still runs to its end, and then looks.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Optional, Union

from matops import sqlfile
from matops.errors import OutcomeUnknown, Refused
from matops.mysql import server as servers
from matops.mysql import settle, space, throttle, treatments
from matops.mysql.ahead import picture
from matops.mysql.ahead.choose import INPLACE, INSTANT
from matops.mysql.ahead.grammar import Additive, NotTaken, read
from matops.mysql.ahead.picture import Picture, There
from matops.mysql.ahead.summary import Result, Summary, Task
from matops.mysql.attempt import Stop, Tell
from matops.mysql.guard import Policy
from matops.mysql.guarded import Guarded
from matops.mysql.monitor import Monitor
from matops.mysql.optimize_journal import Begun, OptimizeJournal
from matops.mysql.quote import fill
from matops.mysql.rebuild import Ended, Rebuilder, Report
from matops.mysql.server import Server
from matops.mysql.session import Address
from matops.mysql.sources import Sources

TAG = "matops.ahead"
_BACKSTOP = 2  # seconds
SQL_MODE = "NO_AUTO_VALUE_ON_ZERO"
"""What Matomo sets on its own connections (core/Db.php): the statement is to mean the same."""


@dataclass(frozen=True)
class Options:
    """What the operator typed. Times in seconds, sizes in bytes; see ``mysql.work.Options``."""

    policy: Policy = field(default_factory=Policy)
    limits: throttle.Limits = field(default_factory=throttle.Limits)
    replicas: Sequence[Address] = ()
    free_space: Optional[int] = None
    reserve: int = space.RESERVE
    local: bool = True
    patience: float = 600.0
    pause: float = 1800.0


class Ahead:
    """A run's hold on the live schema. Use as a context manager: it takes the server-wide lock
    that it shares with ``db.optimize``, and settles what an earlier run left.

    Raises Locked (75), Refused (read-only, Galera, an outcome that cannot be told), DatabaseError.
    ``tell`` hears every event; ``stop`` may be asked from a signal handler.
    """

    def __init__(
        self, address: Address, options: Options, journal: OptimizeJournal, tell: Tell, stop: Stop
    ) -> None:
        self.address, self.options, self.journal = address, options, journal
        self.tell, self.stop = tell, stop
        self.run_id = secrets.token_hex(4)
        self.summary = Summary()
        self._stack = ExitStack()

    def __enter__(self) -> Ahead:
        with ExitStack() as stack:
            self.monitor = stack.enter_context(Monitor(self.address))
            self.server: Server = self.monitor.must(servers.look)
            refuse(self.server)
            sources = Sources(self.address.schema, self.server)
            self.guarded = Guarded(self.address, self.options, self.monitor, self.server, sources,
                                   self.tell, self.stop)  # fmt: skip
            stack.callback(self.guarded.gate.close)
            self._settle_past()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stack.close()

    def _settle_past(self) -> None:
        begun = self.journal.past().begun
        if begun is None:
            return
        report = self._settle(begun)
        self.tell("settled", table=begun.table, ended=report.ended.value, reason=report.reason)
        if report.ended is Ended.UNKNOWN:
            raise Refused(
                f"what became of the last run's statement on {begun.table} cannot be told: "
                f"{report.reason}",
                state="Nothing was changed by this run",
                next="run again once the server answers",
            )
        self._write_end(begun.run, begun.table, report)

    def _settle(self, begun: Begun) -> Report:
        report = Report(Ended.UNKNOWN)
        hooks = self.guarded.hooks(begun.table, 0)
        began = time.monotonic()
        try:
            settle.await_end(begun, self.monitor, self.options.policy, hooks,
                             lambda id: self.guarded.watcher(begun.table, id), report)  # fmt: skip
            found = self.look(begun.table)
        except OutcomeUnknown as error:
            report.reason = error.what
            return report
        report.seconds = time.monotonic() - began
        if found is None:
            report.ended, report.reason = Ended.LEFT, "the table is gone: it was dropped meanwhile"
        elif _there(found, begun.statement) is There.ALL:
            report.ended, report.reason = Ended.DONE, "the server finished it by itself"
        else:
            settle.rolled_back(report, hooks)
        return report

    def look(self, table: str) -> Optional[Picture]:
        """The live table now. ConnectionCut."""
        return self.monitor.must(lambda s: picture.look(s, table))

    def run(self, tasks: Sequence[Task]) -> Summary:
        """Runs them in order. After one that was not done, nothing more is run on its table.

        What happens to single statements is in the summary. ConnectionCut at the worst.
        """
        left: dict[str, int] = {}
        for position, task in enumerate(tasks):
            self.tell("statement", table=task.table, number=task.number, text=task.text,
                      position=position + 1, of=len(tasks))  # fmt: skip
            result = Result(task, Report(Ended.LEFT))
            if self.stop.reason:
                result.report.ended, result.report.reason = Ended.STOPPED, self.stop.reason
            elif task.table in left:
                result.report.reason = f"#{left[task.table]} comes before it and was not done"
            else:
                self._one(result)
            if result.report.ended is not Ended.DONE:
                left.setdefault(task.table, task.number)
            self.summary.results.append(result)
            self.tell("ended", table=task.table, result=result)
            if result.report.hopeless or result.report.ended is Ended.UNKNOWN:
                break
        return self.summary

    def _one(self, result: Result) -> None:
        task, report = result.task, result.report
        found = self.look(task.table)
        if found is not None and not picture.wrong(found, task.after, task.additive):
            report.ended, result.already = Ended.DONE, True
            return
        report.reason = self._why_not(task, found)
        if report.reason:
            return
        self._alter(task, report)
        if report.ended is Ended.DONE:
            self._verify(task, report)
        self._write_end(self.run_id, task.table, report)

    def _why_not(self, task: Task, found: Optional[Picture]) -> str:
        """Why the statement is not begun; '' where it may be."""
        if found is None:
            return "the table is gone"
        changed = picture.differences({task.table: task.before}, {task.table: found})
        if changed:
            return f"the table changed since it was proven: {changed[0]}"
        busy = self.guarded.pause()
        if busy:
            return busy
        return self._no_room(task) if task.way == INPLACE else ""

    def _no_room(self, task: Task) -> str:
        shape = self.monitor.must(lambda s: treatments.look(s, self.address.schema, task.table))
        if shape is None:
            return "the table is gone"
        size = self.monitor.must(lambda s: self.guarded.sources.file_bytes(s, task.table)) or 0
        if task.additive.of("column"):
            return self.guarded.no_room(size, 0, shape.index_bytes)
        # An index holds some of each row's columns: it is never larger than the rows are.
        most = min(shape.data_bytes, size) * len(task.additive.added)
        return self.guarded.no_room(most, most, most)

    def _alter(self, task: Task, report: Report) -> None:
        tag = f"{TAG} {self.run_id} {secrets.token_hex(3)}"
        begun = Begun(task.table, self.run_id, tag, 0, "", None, task.text)
        size = 0
        if task.way == INPLACE and task.additive.of("column"):
            size = self.monitor.must(lambda s: self.guarded.sources.file_bytes(s, task.table)) or 0
        # The server's own limit, should this process die: nothing is lost with an instant change.
        instant = task.way == INSTANT
        variables: dict[str, Union[int, float, str]] = {
            "lock_wait_timeout": _BACKSTOP if instant else self.options.policy.backstop,
            "sql_mode": SQL_MODE,
        }
        if self.server.flavour == "mariadb":
            variables["max_statement_time"] = 0
        rebuilder = Rebuilder(
            self.address, self.monitor, self.options.policy,
            self.guarded.hooks(task.table, size), self.guarded.gate.look, variables,
            self.guarded.sees_locks, self.server.process, self.options.patience,
            lambda id: self._write_begin(begun, task, id), "add ahead",
        )  # fmt: skip
        rebuilder.run(task.table, f"/* {tag} */ {task.text}", tag,
                      lambda: self.guarded.progress(task.table, 0), report)  # fmt: skip
        if report.ended is Ended.UNKNOWN:
            self.tell("lost", table=task.table, reason=report.reason)
            settled = self._settle(begun)
            report.ended, report.reason = settled.ended, f"{report.reason}; {settled.reason}"

    def _verify(self, task: Task, report: Report) -> None:
        """Reads the effect back: an exit without an error is not enough."""
        found = self.look(task.table)
        wrong = picture.wrong(found, task.after, task.additive) if found else ["the table is gone"]
        if wrong:
            report.ended = Ended.FAILED
            report.reason = f"the server said OK, but {'; '.join(wrong)}"

    def _write_begin(self, begun: Begun, task: Task, id: int) -> None:
        self.journal.write("begin", begun.run, table=begun.table, tag=begun.tag, connection_id=id,
                           statement=begun.statement, number=task.number)  # fmt: skip

    def _write_end(self, run: str, table: str, report: Report) -> None:
        if report.ended is Ended.UNKNOWN:
            return  # stays begun, for the next run to look
        event = {Ended.DONE: "done", Ended.LEFT: "left"}.get(report.ended, "failed")
        self.journal.write(event, run, table=table, seconds=round(report.seconds, 2),
                           reason=report.reason)  # fmt: skip


def refuse(server: Server) -> None:
    """Raises Refused for a server on which nothing is run ahead."""
    if server.galera:
        raise Refused(
            "this server is a node of a Galera cluster, where an ALTER stops writes on every node",
            state="Nothing was changed",
            next="leave these statements for the outage",
        )
    if server.read_only or server.is_replica:
        kind = "is read-only" if server.read_only else "is a replica itself"
        raise Refused(
            f"this server {kind}: its schema comes from another one",
            state="Nothing was changed",
            next="run it against the server that Matomo writes to",
        )


def notes(server: Server) -> list[str]:
    """What an ALTER ahead means for those who read this server's binary log. Pure."""
    if not server.binlog or server.replicas == 0:
        return []
    seen = "whether replicas read the binary log cannot be seen"
    if server.replicas:
        seen = f"{server.replicas} replicas read the binary log"
    return [
        f"{seen}: they run the same statements, ALGORITHM and all, and lag for as long as each "
        "takes; one of another version that cannot do so stops with an error"
    ]


def undo(additive: Additive) -> list[str]:
    """The statements that would take it back, for the operator to paste. Pure."""
    found = []
    for added in reversed(additive.added):
        if not added.name:
            continue  # the server named the index: nothing is guessed
        text = sqlfile.load(f"ahead_undo_{added.kind}")
        filled = fill(text, {"table": additive.table, "name": added.name}, bound=False)
        found.append(f"{filled};")
    return found


def _there(found: Picture, statement: str) -> There:
    try:
        # As it was run: with its algorithm behind it.
        return picture.there(found, read(statement.rpartition(", ALGORITHM=")[0]))
    except NotTaken:
        return There.NOT
