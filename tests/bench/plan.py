"""``python -m tests.bench.plan [--quick]``: what ``plan`` foretells, against what happens.

A ``log_visit`` of 5 M rows (``--quick``: 300,000) made by SQL on both servers, larger than the
buffer pool. First the estimate, from samples in a scratch schema; then the same statements, as
core:update would run them. Prints a table, and one JSON object as last line. Exit 1 where an
estimate is off by more than a factor of 2 (statements under a second: by more than a second).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from matops.mysql.ddl.estimate import Estimated, Estimator
from matops.mysql.session import Session
from matops.report.tables import table as show
from matops.units import show_size
from tests.db import data, servers
from tests.db.servers import Server

BIG = "piwik_log_visit"
STATEMENTS = {
    "add a column": f"ALTER TABLE `{BIG}` ADD COLUMN `ai_agent_name` VARCHAR(40) DEFAULT NULL;",
    "add an index": f"ALTER TABLE `{BIG}` ADD INDEX `index_user` (`user_id`,"
    " `visit_last_action_time`);",
    "change a type": f"ALTER TABLE `{BIG}` MODIFY COLUMN `visit_total_time` BIGINT UNSIGNED"
    " NOT NULL;",
}
_SOON = 1.0  # seconds: below that a factor says nothing


@dataclass(frozen=True)
class Cell:
    """One line of the table. Seconds, bytes."""

    server: str
    what: str
    way: str
    rows: int
    bytes: int
    low: float
    likely: float
    high: float
    took: float
    disk: int

    @property
    def ratio(self) -> float:
        """What was foretold over what it took."""
        return self.likely / max(self.took, 1e-3)

    @property
    def good(self) -> bool:
        """Within a factor of 2."""
        return abs(self.likely - self.took) < _SOON or 0.5 <= self.ratio <= 2.0


def make(server: Server, rows: int) -> None:
    """Visits by time, of visitors and configurations at random: as they come in."""
    data.make(server, "log_visit", BIG, 0)
    server.sql(f"TRUNCATE {BIG}", "matomo")
    digits = " JOIN ".join(
        f"(SELECT 0 AS d{''.join(f' UNION ALL SELECT {d}' for d in range(1, 10))}) AS t{i}"
        for i in range(5)
    )
    number = " + ".join(f"t{i}.d * {10**i}" for i in range(5))
    for start in range(0, rows, 100_000):
        server.sql(
            f"INSERT INTO {BIG} (idvisit, idsite, idvisitor, visit_last_action_time, config_id,"
            " location_ip, visit_first_action_time, referer_url, config_browser_name,"
            " visit_total_time) SELECT n, 1 + n % 50, LEFT(h, 8), '2025-01-01' + INTERVAL n SECOND,"
            " SUBSTR(h, 9, 8), SUBSTR(h, 17, 4), '2025-01-01' + INTERVAL n SECOND,"
            " CONCAT('https://example.org/', HEX(h), n % 1000), 'FF', n % 1000 FROM"
            f" (SELECT {start} + {number} + 1 AS n, UNHEX(SHA2({start} + {number}, 256)) AS h"
            f" FROM {digits}) AS made WHERE n <= {rows} ORDER BY n", "matomo",
        )  # fmt: skip


def measure(server: Server, rows: int, budget: float) -> list[Cell]:
    """Estimates, then runs, the statements on one server."""
    server.sql("CREATE DATABASE IF NOT EXISTS matomo; CREATE DATABASE matops_rehearsal_bench")
    make(server, rows)
    with Session(server.address(schema="matomo"), timeout=None) as session:
        session.rows("rebuild_analyze", table=BIG)
        estimator = Estimator(session, "matomo", "matops_rehearsal_bench", budget=budget)
        began = time.monotonic()
        found = estimator.estimate(list(STATEMENTS.values()))
        print(f"{server.version}: estimated in {time.monotonic() - began:.0f} s", flush=True)
        return [_run(server, what, one) for what, one in zip(STATEMENTS, found)]


def _run(server: Server, what: str, one: Estimated) -> Cell:
    assert one.time is not None, one.verdict.reason
    began = time.monotonic()
    server.sql(STATEMENTS[what], "matomo")
    took = time.monotonic() - began
    return Cell(server.version, what, one.verdict.plain, one.rows, one.bytes, one.time.low,
                one.time.likely, one.time.high, took, one.disk)  # fmt: skip


def main() -> int:
    """The whole bench."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plan", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="300,000 rows")
    parser.add_argument("--rows", type=int, default=0, help="another number of rows")
    parser.add_argument("--flavour", default="", help="mysql or mariadb only")
    parser.add_argument("--pool", default="", help="innodb_buffer_pool_size of the servers")
    args = parser.parse_args()
    rows = args.rows or (300_000 if args.quick else 5_000_000)
    pool = args.pool or ("48M" if args.quick else "256M")
    cells: list[Cell] = []
    for flavour in [args.flavour] if args.flavour else ["mariadb", "mysql"]:
        options = {"innodb_buffer_pool_size": pool, "innodb_flush_log_at_trx_commit": "1"}
        with servers.start(flavour, options=options) as server:
            cells += measure(server, rows, 20.0 if args.quick else 60.0)
    headers = ("server", "statement", "algorithm", "rows", "size", "low", "likely", "high", "took",
               "ratio", "")  # fmt: skip
    print(show(headers, [_row(cell) for cell in cells]))
    print(json.dumps({"rows": rows, "pool": pool, "cells": [_data(cell) for cell in cells]}))
    return 0 if all(cell.good for cell in cells) else 1


def _row(cell: Cell) -> list[str]:
    seconds = [f"{value:.1f} s" for value in (cell.low, cell.likely, cell.high, cell.took)]
    return [cell.server, cell.what, cell.way, str(cell.rows), show_size(cell.bytes), *seconds,
            f"{cell.ratio:.2f}", "" if cell.good else "OFF"]  # fmt: skip


def _data(cell: Cell) -> dict[str, Any]:
    return {**vars(cell), "ratio": round(cell.ratio, 3), "good": cell.good}


if __name__ == "__main__":
    sys.exit(main())
