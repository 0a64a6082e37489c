"""What every guarded ALTER on one schema needs around it: the gate, hooks, watchers, pauses.

``db.optimize`` and ``migrate.ahead`` share it, so that both give way by the same rules.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Protocol

from matops.mysql import space, throttle
from matops.mysql.attempt import Hooks, Stop, Tell
from matops.mysql.gate import Gate
from matops.mysql.guard import Policy
from matops.mysql.monitor import Monitor
from matops.mysql.server import Server
from matops.mysql.session import Address, DatabaseError
from matops.mysql.sources import Sources
from matops.mysql.watch import Progress, Watcher
from matops.units import show_size

ROW_LOG = "innodb_online_alter_log_max_size"


class Bounds(Protocol):
    """What the operator allows. ``reserve``: bytes that stay free; ``local``: the server's files
    are on this machine; ``pause``: seconds to wait for load at the longest; ``free_space``: bytes
    free, as told."""

    @property
    def policy(self) -> Policy:
        """The guard's."""

    @property
    def limits(self) -> throttle.Limits:
        """Of load."""

    @property
    def replicas(self) -> Sequence[Address]:
        """To be watched for lag."""

    @property
    def reserve(self) -> int:
        """Bytes."""

    @property
    def local(self) -> bool:
        """Files here?"""

    @property
    def pause(self) -> float:
        """Seconds."""

    @property
    def free_space(self) -> Optional[int]:
        """Bytes."""


@dataclass
class Guarded:
    """The surroundings of guarded statements on one schema."""

    address: Address
    bounds: Bounds
    monitor: Monitor
    server: Server
    sources: Sources
    tell: Tell
    stop: Stop
    _stages: bool = False

    def __post_init__(self) -> None:
        self.gate = Gate(self.address, self.server.flavour, self.holders)

    @property
    def sees_locks(self) -> bool:
        """MySQL's performance_schema can be read."""
        return self.server.metadata_locks == "performance_schema"

    def holders(self, table: str, older: float) -> Optional[list[str]]:
        """Who has held the table for so many seconds; None where nothing tells."""
        return self.monitor.must(lambda s: self.sources.held(s, table, older))

    def watcher(self, table: str, id: int) -> Watcher:
        """Of the statement that connection ``id`` runs."""
        return Watcher(self.address.schema, table, id, performance_schema=self.sees_locks,
                       sees_all=self.server.process)  # fmt: skip

    def progress(self, table: str, row_bytes: float) -> Progress:
        """Of a statement that is about to begin; switches MySQL's stage events on, once."""
        if self.server.flavour == "mysql" and not self._stages:
            self._stages = True
            try:
                self.monitor.ask(lambda s: s.execute("stages_enable"))
            except DatabaseError:
                self.tell("note", text="progress is known by phase and file only: this account "
                          "may not switch on events_stages_current")  # fmt: skip
        limit = self.server.number(ROW_LOG, 128 << 20)
        return Progress(self.address.schema, table, row_bytes, limit)

    def hooks(self, table: str, predicted: int) -> Hooks:
        """What an attempt on ``table`` asks of the rest of the run."""
        limits, reserve = self.bounds.limits, self.bounds.reserve

        def critical() -> str:
            if limits.critical is None:
                return ""
            return throttle.why_cancel(self.monitor.ask(throttle.threads_running) or 0, limits)

        def disk() -> str:
            room = space.look(self.server, self.bounds.local)
            if room is None or room.data >= reserve:
                return ""
            return f"only {show_size(room.data)} are free ({room.how})"

        def end_idle(own: int) -> list[str]:
            policy = self.bounds.policy
            done = self.monitor.ask(lambda s: self.sources.end_idle(s, table, own, policy)) or []
            for who in done:
                self.tell("killed", table=table, who=who)
            return done

        return Hooks(
            self.stop, self.tell, critical, disk,
            lambda own: self.monitor.ask(lambda s: self.sources.held(s, table, 0, own)),
            end_idle, lambda: space.new_file_bytes(self.server, self.address.schema), predicted,
        )  # fmt: skip

    def pause(self) -> str:
        """Waits while the load says so; why that was given up, '' = go on."""
        until, told = time.monotonic() + self.bounds.pause, False
        while not self.stop.reason:
            load = self.monitor.must(lambda s: throttle.look(s, self.bounds.replicas))
            why = throttle.why_pause(load, self.bounds.limits)
            if not why:
                return ""
            if time.monotonic() > until:
                return f"paused for too long: {why}"
            if not told:
                told = True
                self.tell("paused", why=why)
            time.sleep(1.0)
        return ""

    def no_room(self, file_bytes: int, expected: int, index_bytes: int, freed: int = 0) -> str:
        """Why a statement that writes the table anew does not fit; '' where it does. Bytes.

        ``expected``: the new file at its largest, 0 = not estimated; ``freed``: what this run
        gave back since the operator told the free space.
        """
        given = self.bounds.free_space
        room = space.look(self.server, self.bounds.local, None if given is None else given + freed)
        if room is None:
            return (
                "free space on the database's machine cannot be seen from here: say it with "
                "--free-space 200GB, or set db_host"
            )
        row_log = self.server.number(ROW_LOG, 128 << 20)
        needs = space.need(file_bytes, expected, index_bytes, row_log)
        return space.why_not(room, needs, self.bounds.reserve)
