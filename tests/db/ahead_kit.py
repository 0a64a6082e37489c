"""What the tests of ``migrate.ahead`` share: a run on a real server with its events.

``python -m tests.db.ahead_kit`` is a run in a process of its own, for tests that kill it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Optional

from matops.errors import MatopsError
from matops.mysql.ahead.choose import INPLACE, INSTANT, Live, Offered, choose, taken
from matops.mysql.ahead.prepare import prepare
from matops.mysql.ahead.run import Ahead, Options
from matops.mysql.ahead.summary import Result, Summary, Task
from matops.mysql.attempt import Stop
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.session import Address, Session
from tests.db.servers import Server

SCHEMA, SCRATCH = "matomo", "scratch_of_ahead"
BIG = "ahead_visit"
COLUMN = f"ALTER TABLE `{BIG}` ADD COLUMN `ai_agent_name` VARCHAR(40) NULL;"
INDEX = f"ALTER TABLE `{BIG}` ADD INDEX `index_ai` (`idsite`, `referer_url`(190));"


def tasks(address: Address, *statements: tuple[str, str]) -> list[Task]:
    """Statements (text, way) on BIG, applied to the empty copy."""
    offered = [Offered(n, text, (BIG,), False, way) for n, (text, way) in enumerate(statements, 1)]
    choices = taken(choose(offered, Live("", {BIG: 1 << 40})))
    with Session(replace(address, schema=SCRATCH)) as scratch:
        for table in (BIG,):
            scratch.run(f"DROP TABLE IF EXISTS `{table}`")
            scratch.run(f"CREATE TABLE `{table}` LIKE `{address.schema}`.`{table}`")
        return prepare(scratch, choices)


@dataclass
class Run:
    """One run: ``events`` as (name, facts)."""

    address: Address
    folder: Path
    stop: Stop = field(default_factory=Stop)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    on_event: Callable[[str, dict[str, Any]], None] = lambda event, facts: None

    def tell(self, event: str, **facts: Any) -> None:
        """Keeps the event."""
        self.events.append((event, facts))
        self.on_event(event, facts)

    def go(self, wanted: Sequence[Task], **options: Any) -> list[Result]:
        """Runs the tasks."""
        chosen = replace(Options(reserve=1 << 20, patience=30), **options)
        journal = OptimizeJournal(str(self.folder), "ahead", "migrate.ahead")
        with journal, Ahead(self.address, chosen, journal, self.tell, self.stop) as ahead:
            self.summary = ahead.run(wanted)
        return self.summary.results

    def error(self) -> Optional[MatopsError]:
        """What the run ends with."""
        return self.summary.error(self.stop.reason, self.stop.code)

    def names(self) -> list[str]:
        """The events' names, in order."""
        return [event for event, _ in self.events]


def state(server: Server) -> str:
    """The state of our statement, '' where none runs."""
    rows = server.peek(
        "SELECT state AS s FROM information_schema.processlist WHERE info LIKE '/* matops.ahead %'"
    )
    return str(rows[0]["s"] or "") if rows else ""


def columns(server: Server) -> list[str]:
    """Of the live table."""
    rows = server.sql(
        "SELECT column_name AS c FROM information_schema.columns"
        f" WHERE table_schema = '{SCHEMA}' AND table_name = '{BIG}' ORDER BY ordinal_position"
    )
    return [str(row["c"]) for row in rows]


def main() -> None:
    """``python -m tests.db.ahead_kit '{"address": {…}, "folder": …, "what": [[text, way]]}'``."""
    asked = json.loads(sys.argv[1])
    run = Run(Address(**asked["address"]), Path(asked["folder"]))
    run.on_event = lambda event, facts: print(event, flush=True)
    run.go(tasks(run.address, *[(text, way) for text, way in asked["what"]]))


if __name__ == "__main__":
    main()

__all__ = ["INPLACE", "INSTANT", "Run", "columns", "state", "tasks"]
