"""``python -m tests.bench.truncate [--quick]``: three ways to empty archive_invalidations.

TRUNCATE, DELETE in batches of 5,000, and invalidations.truncate (everything; and keeping the last
days), on real servers, under four writers that insert as Matomo's tracker and UI do: how many
committed rows are lost, how long does a writer wait, how long does it take? Prints a table, and
one JSON object as last line.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable

import pymysql

from matops.mysql.invalidations import swap, tools
from matops.mysql.invalidations.keep import Rule
from matops.mysql.session import Address
from matops.report.tables import table as show
from tests.bench.optimize import Template, shown
from tests.db import servers
from tests.db.invalidations_kit import PREFIX, TABLE, make, tables
from tests.db.servers import Server

SCHEMA = "bench_truncate"
WAYS = ("TRUNCATE", "DELETE … LIMIT 5000", "invalidations.truncate",
        "invalidations.truncate --keep-days")  # fmt: skip
_KEEP = Rule(since="2026-10-01")
_BATCH = 5000


@dataclass(frozen=True)
class Size:
    """``rows`` of the table; ``patience``: seconds after which DELETE is given up."""

    rows: int = 5_000_000
    patience: float = 120.0


QUICK = Size(rows=200_000, patience=20.0)


@dataclass
class Writer:
    """What one writer did: ids of committed rows, waits in seconds."""

    ids: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    failed: int = 0


class Writers:
    """Four of them, with 2 ms of thought."""

    def __init__(self, server: Server, number: int = 4) -> None:
        self._server, self._stop = server, threading.Event()
        self.each = [Writer() for _ in range(number)]
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in self.each]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        time.sleep(1)
        for one in self.each:
            one.waits.clear()
        return self

    def __exit__(self, *unused: object) -> None:
        time.sleep(0.5)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, mine: Writer) -> None:
        with contextlib.closing(self._server.connect(schema=SCHEMA)) as connection:
            cursor = connection.cursor()
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    cursor.execute(
                        f"INSERT INTO {TABLE} (name, idsite, date1, date2, period, ts_invalidated)"
                        " VALUES ('done', 7777, '2026-11-01', '2026-11-01', 1, UTC_TIMESTAMP())"
                    )
                    mine.ids.append(int(cursor.lastrowid))
                except pymysql.Error:
                    mine.failed += 1
                mine.waits.append(time.monotonic() - began)
                time.sleep(0.002)

    @property
    def ids(self) -> list[int]:
        """Of all committed rows."""
        return [id for one in self.each for id in one.ids]

    @property
    def longest(self) -> float:
        """The longest that one insert took, in seconds."""
        return max(max(one.waits, default=0.0) for one in self.each)


@dataclass
class Cell:
    """One line of the table. ``rate``: rows a second; ``whole``: seconds for all of them."""

    server: str
    way: str
    seconds: float
    gone: int
    whole: float
    longest: float
    writes: int
    failed: int
    lost: int
    reused: int

    @property
    def row(self) -> tuple[str, ...]:
        """For people."""
        whole = f"{self.whole:.1f}" + ("" if self.whole <= self.seconds + 1 else " (projected)")
        return (self.server, self.way, f"{self.seconds:.1f}", str(self.gone), whole,
                f"{self.longest * 1000:.0f}", str(self.writes), str(self.failed), str(self.lost),
                str(self.reused))  # fmt: skip


HEADERS = ("server", "way", "seconds", "rows gone", "seconds for all", "longest stall ms", "writes",
           "failed", "rows lost", "ids reused")  # fmt: skip


def fill(server: Server, rows: int) -> None:
    """Days of three years of 500 sites; one row in a hundred is of the last days."""
    seed = ", ".join(f"({n})" for n in range(1000))
    server.sql(f"CREATE TABLE seed (n INT PRIMARY KEY); INSERT INTO seed VALUES {seed}", SCHEMA)
    for at in range(0, rows, 200_000):
        count = min(200_000, rows - at)
        server.sql(
            f"INSERT INTO {TABLE} (name, idsite, date1, date2, period, ts_invalidated)"
            " SELECT IF(n % 3, 'done', CONCAT('done', SHA2(n % 20, 224))), 1 + n % 500, day, day,"
            " 1, '2026-11-01' FROM (SELECT a.n AS n, IF((a.n + b.n) % 100, DATE('2023-10-01') +"
            " INTERVAL (a.n * 7 + b.n) % 1000 DAY, DATE('2026-10-15')) AS day"
            f" FROM seed a JOIN seed b WHERE b.n < {count // 1000}) part",
            SCHEMA,
        )
    server.sql("DROP TABLE seed", SCHEMA)


def by_truncate(server: Server, size: Size) -> None:
    """The plain statement."""
    del size
    server.sql(f"TRUNCATE {TABLE}", SCHEMA)


def by_delete(server: Server, size: Size) -> None:
    """Until all that was there at the beginning is gone, or patience is."""
    until = time.monotonic() + size.patience
    with contextlib.closing(server.connect(schema=SCHEMA)) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SELECT MAX(idinvalidation) AS m FROM {TABLE} WHERE idsite <> 7777")
        last = cursor.fetchall()[0]["m"]
        while time.monotonic() < until:
            text = (
                f"DELETE FROM {TABLE} WHERE idinvalidation <= %s ORDER BY idinvalidation LIMIT %s"
            )
            if not cursor.execute(text, (last, _BATCH)):
                return


def ours(rule: Rule) -> Callable[[Server, Size], None]:
    """In a process of its own, as it runs on a host."""

    def run(server: Server, size: Size) -> None:
        del size
        asked = {"address": dataclasses.asdict(server.address(schema=SCHEMA)), "rule": rule.data()}
        command = [sys.executable, "-m", "tests.bench.truncate", "--child", json.dumps(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])

    return run


def child(text: str) -> None:
    """invalidations.truncate itself."""
    asked = json.loads(text)
    with tools.opened(Address(**asked["address"]), PREFIX) as found:
        record = swap.begin(found, Rule.of(asked["rule"]), "bench")
        swap.finish(found, record)


def one(server: Server, way: str, size: Size, template: Template, log: Any) -> Cell:
    """One way on the same bytes, beside the same writers."""
    work = {WAYS[0]: by_truncate, WAYS[1]: by_delete, WAYS[2]: ours(Rule()),
            WAYS[3]: ours(_KEEP)}[way]  # fmt: skip
    template.restore()
    log(f"{server.flavour}: {way} beside 4 writers")
    before = int(server.sql(f"SELECT MAX(idinvalidation) AS m FROM {TABLE}", SCHEMA)[0]["m"])
    with Writers(server) as writers:
        began = time.monotonic()
        work(server, size)
        seconds = time.monotonic() - began
    left = f"SELECT COUNT(*) AS n FROM {TABLE} WHERE idsite <> 7777"
    gone = size.rows - int(server.sql(left, SCHEMA)[0]["n"])
    there: set[int] = set()
    copies = [name for name in tables(server, SCHEMA) if name.startswith(TABLE)]
    for name in copies:
        found = server.sql(f"SELECT idinvalidation AS i FROM {name} WHERE idsite = 7777", SCHEMA)
        there |= {int(row["i"]) for row in found}
    written = writers.ids
    reused = sum(id <= before for id in written) + len(written) - len(set(written))
    server.sql("; ".join(f"DROP TABLE {n}" for n in copies if n != TABLE) or "SELECT 1", SCHEMA)
    server.sql(f"DELETE FROM {PREFIX}option", SCHEMA)
    whole = seconds * size.rows / gone if way == WAYS[1] and gone < size.rows else seconds
    return Cell(shown(server), way, seconds, gone, whole, writers.longest, len(written),
                sum(w.failed for w in writers.each), len(set(written) - there), reused)  # fmt: skip


def verdicts(cells: list[Cell]) -> dict[str, Any]:
    """What the bench is judged by, per server; ratios are against ours."""
    found: dict[str, Any] = {}
    for server in sorted({cell.server for cell in cells}):
        mine = {cell.way: cell for cell in cells if cell.server == server}
        our = mine[WAYS[2]]
        found[server] = {
            way: {
                "seconds": round(cell.seconds, 2), "seconds_for_all": round(cell.whole, 1),
                "longest_stall_ms": round(cell.longest * 1000), "lost": cell.lost,
                "ids_reused": cell.reused, "failed": cell.failed, "gone": cell.gone,
                "times_ours": round(cell.whole / our.seconds, 2),
                "stall_times_ours": round(cell.longest / max(our.longest, 1e-9), 2),
            }
            for way, cell in mine.items()
        }  # fmt: skip
    return found


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.truncate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200,000 rows, below two minutes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--server", choices=("mariadb", "mysql"), action="append")
    asked = parser.parse_args()
    if asked.child:
        child(asked.child)
        return
    size = QUICK if asked.quick else Size()

    def log(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    cells: list[Cell] = []
    for flavour in asked.server or ("mariadb", "mysql"):
        with servers.start(flavour, options={"innodb_buffer_pool_size": "512M"}) as server:
            make(server, SCHEMA)
            log(f"{flavour}: making {size.rows} rows")
            fill(server, size.rows)
            template = Template(server, SCHEMA, TABLE)
            cells += [one(server, way, size, template, log) for way in WAYS]
    print(show(HEADERS, [cell.row for cell in cells]))
    print(json.dumps({"bench": "truncate", "quick": asked.quick, "rows": size.rows,
                      "servers": verdicts(cells)}))  # fmt: skip


if __name__ == "__main__":
    main()
