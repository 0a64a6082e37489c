"""``python -m tests.bench.purge [--quick]``: core:delete-logs-data against logs.purge.

On the real host's Matomo: a million visits made by SQL in Matomo's own schema (one in twenty
tracked late), three million page views, conversions and items; half of the days are to go, while
a tracker-like writer works. Both begin with the same bytes on the disk. Prints a table, and one
JSON object as last line. The host is put back afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors

from matops.report.tables import table as show
from tests.sandbox import Sandbox

_DAYS = 100  # of visits; the first half goes
_BASELINE = 8.0  # seconds of the writer alone
_BATCH = 50_000  # visits made by one statement
_LOGS = ("log_visit", "log_link_visit_action", "log_conversion", "log_conversion_item")
TOOLS = ("core:delete-logs-data", "logs.purge", "logs.purge --workers 2", "logs.purge --workers 4")

_VISITS = """
INSERT INTO matomo_log_visit (idvisit,idsite,idvisitor,visit_last_action_time,config_id,location_ip,
 visit_first_action_time,visitor_count_visits,visit_total_time,visit_total_actions,
 visit_entry_idaction_url,visit_exit_idaction_url,referer_type,referer_url,config_browser_name,
 config_browser_version,config_os,config_resolution,location_country,location_browser_lang)
SELECT 100000 + seq, IF(seq % 10 < 7, 1, 2), UNHEX(LPAD(HEX(seq * 2654435761), 16, '0')),
 @first + INTERVAL IF(seq % 20, FLOOR(seq * {pace}), seq * 7919 % {span}) SECOND,
 UNHEX(LPAD(HEX(seq), 16, '1')), UNHEX(LPAD(HEX(seq), 8, '0')),
 @first + INTERVAL FLOOR(seq * {pace}) SECOND, 1, 60, 3, seq % 5000 + 1, seq % 5000 + 1, 3,
 CONCAT('https://search.example/results?page=', seq), 'FF', '128', 'LIN', '1920x1080', 'de', 'de'
  FROM seq_{low}_to_{high}
"""
_PAGES = """
INSERT INTO matomo_log_link_visit_action (idsite,idvisitor,idvisit,idaction_url_ref,server_time,
 idpageview,idaction_name,idaction_url,time_spent_ref_action,pageview_position)
SELECT idsite, idvisitor, idvisit, idvisit % 5000 + 1, visit_last_action_time, 'a1b2c3',
 idvisit % 4000 + 5001, (idvisit + seq) % 5000 + 1, 20, seq
  FROM matomo_log_visit JOIN seq_1_to_3 WHERE idvisit BETWEEN 100000 + {low} AND 100000 + {high}
"""
_ORDERS = """
INSERT INTO matomo_log_conversion (idvisit,idsite,idvisitor,server_time,idaction_url,idgoal,buster,
 idorder,url)
SELECT idvisit, idsite, idvisitor, visit_last_action_time, 1, 0, 0, CONCAT('o', idvisit),
 'http://x' FROM matomo_log_visit
 WHERE idvisit BETWEEN 100000 + {low} AND 100000 + {high} AND idvisit % 20 = 3
"""
_ITEMS = """
INSERT INTO matomo_log_conversion_item
SELECT idsite, idvisitor, server_time, idvisit, idorder, seq, 2, 3, 0, 0, 0, 0, 9.5, 1, 0
  FROM matomo_log_conversion JOIN seq_1_to_2
 WHERE idvisit BETWEEN 100000 + {low} AND 100000 + {high}
"""


class Database:
    """The host's MariaDB, reached through its socket from outside."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box

    def connect(self) -> Any:
        """A connection as root."""
        socket = f"/proc/{self._box.guest.pid()}/root/run/mysqld/mysqld.sock"
        return pymysql.connect(
            unix_socket=socket, user="root", database="matomo", autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
        )  # fmt: skip

    def run(self, *statements: str) -> list[dict[str, Any]]:
        """Statements, one after the other; the rows of the last one."""
        with contextlib.closing(self.connect()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def rows(self) -> int:
        """Of the log tables together."""
        counts = " + ".join(f"(SELECT COUNT(*) FROM matomo_{name})" for name in _LOGS)
        return int(self.run(f"SELECT {counts} AS n")[0]["n"])


def make(database: Database, visits: int, first: dt.date) -> None:
    """The visits and all that belongs to them."""
    span = _DAYS * 86_400
    set_first = f"SET @first = TIMESTAMP('{first}')"
    database.run(
        *(f"DELETE FROM matomo_{name}" for name in _LOGS),
        "SET GLOBAL innodb_flush_log_at_trx_commit = 0",
    )
    for low in range(1, visits + 1, _BATCH):
        numbers = {"low": low, "high": min(low + _BATCH - 1, visits),
                   "pace": span / (visits + 1), "span": span}  # fmt: skip
        database.run(set_first, *(text.format(**numbers) for text in (_VISITS, _PAGES, _ORDERS,
                                                                      _ITEMS)))  # fmt: skip
    database.run(*(f"ANALYZE TABLE matomo_{name}" for name in _LOGS))


class Writer:
    """Two trackers: look the visitor up, make or change the visit, store a page view."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.failed = 0
        self.longest_statement = 0.0
        self._threads = [threading.Thread(target=self._track, args=(n,)) for n in (1, 2)]
        self._threads.append(threading.Thread(target=self._sample))

    def __enter__(self) -> Writer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _track(self, number: int) -> None:
        dice = random.Random(number)
        with contextlib.closing(self._database.connect()) as connection:
            cursor = connection.cursor()
            visit = 0
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    visit = self._request(cursor, dice, visit)
                except pymysql.Error:
                    self.failed += 1
                    visit = 0
                self.seconds.append(time.monotonic() - began)
                time.sleep(0.004)

    @staticmethod
    def _request(cursor: Any, dice: random.Random, visit: int) -> int:
        visitor = dice.getrandbits(64).to_bytes(8, "big")
        cursor.execute("SELECT idvisit FROM matomo_log_visit WHERE idsite = 1 AND idvisitor = %s"
                       " AND visit_last_action_time > NOW() - INTERVAL 30 MINUTE LIMIT 1",
                       (visitor,))  # fmt: skip
        cursor.fetchall()
        if not visit or dice.random() < 0.3:
            cursor.execute(
                "INSERT INTO matomo_log_visit (idsite,idvisitor,visit_last_action_time,config_id,"
                "location_ip,visit_first_action_time,visit_total_time) VALUES"
                " (1,%s,NOW(),%s,'1234',NOW(),0)", (visitor, visitor),
            )  # fmt: skip
            visit = int(cursor.lastrowid)
        else:
            cursor.execute("UPDATE matomo_log_visit SET visit_last_action_time = NOW(),"
                           " visit_total_time = visit_total_time + 1 WHERE idsite = 1"
                           " AND idvisit = %s", (visit,))  # fmt: skip
        cursor.execute("INSERT INTO matomo_log_link_visit_action (idsite,idvisitor,idvisit,"
                       "server_time,idaction_url) VALUES (1,%s,%s,NOW(),1)",
                       (visitor, visit))  # fmt: skip
        return visit

    def _sample(self) -> None:
        query = ("SELECT MAX(time_ms) / 1000 AS s FROM information_schema.processlist"
                 " WHERE user = 'matomo' AND command <> 'Sleep' AND info IS NOT NULL")  # fmt: skip
        with contextlib.closing(self._database.connect()) as connection:
            cursor = connection.cursor()
            while not self._stop.wait(0.03):
                cursor.execute(query)
                found = float(cursor.fetchone()["s"] or 0)
                self.longest_statement = max(self.longest_statement, found)

    def share(self, part: float) -> float:
        """A percentile of the requests, in seconds."""
        ordered = sorted(self.seconds) or [0.0]
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


@dataclass
class Run:
    """What one tool did. Seconds."""

    tool: str
    seconds: float
    """Of the whole command, its start and its counting included."""
    own: float
    """Of the deletion alone, by the tool's own clock: what rows a second are of."""
    deleted: int
    left: list[int]
    writer: Writer = field(repr=False)
    longest_chunk: float = 0.0

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "tool": self.tool, "seconds": round(self.seconds, 1), "deleting": round(self.own, 1),
            "rows": self.deleted,
            "rows_per_second": round(self.deleted / self.own),
            "longest_statement": round(self.writer.longest_statement, 3),
            "longest_chunk": round(self.longest_chunk, 3),
            "writer_p50_ms": round(self.writer.share(0.5) * 1000, 1),
            "writer_p99_ms": round(self.writer.share(0.99) * 1000, 1),
            "writer_max_ms": round(self.writer.share(1.0) * 1000, 1),
            "writer_requests": len(self.writer.seconds), "writer_failed": self.writer.failed,
        }  # fmt: skip


def console(box: Sandbox, dates: str) -> tuple[float, float]:
    """Matomo's own command: the seconds it says it took; 0: it knows no chunk."""
    words = f"cd /var/www/html && php console core:delete-logs-data --dates={dates} -n"
    out = box.exec("sh", "-c", words, user="www-data").stdout
    found = re.search(r"Time elapsed: ([\d.]+)", out)
    return float(found[1]) if found else 0.0, 0.0


def fab(box: Sandbox, *words: str) -> str:
    """A task as typed; what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "matops.yaml")
        settings.write_text(f"backup_dir: {folder}\n")
        program = str(Path(sys.executable).parent / "fab")
        done = subprocess.run(
            [program, "--ssh-config", str(box.ssh_config), "-H", box.name, *words],
            env={"PATH": "/usr/bin:/bin", "MATOPS_CONFIG": str(settings), "HOME": folder},
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{words[0]} failed: {done.stdout[-2000:]} {done.stderr}")
    return done.stdout


def native(box: Sandbox, dates: str, *more: str) -> tuple[float, float]:
    """``fab logs.purge``: the seconds it says its deletion took, and its longest chunk."""
    out = fab(box, "logs.purge", "--dates", dates, "--yes", "--force", *more)
    found = re.search(r"are gone in ([\d.]+) s \(.*, the longest ([\d.]+) s.*", out)
    if not found:
        raise SystemExit(f"logs.purge does not say what it did: {out}")
    print(f"  {found[0]}", flush=True)
    return float(found[1]), float(found[2])


def measure(box: Sandbox, database: Database, tool: str, dates: str) -> Run:
    """One tool, on the bytes that were kept, with the writer at work."""
    restore(box)
    fab(box, "status")  # matops is on the host, as on every run but the first
    before = database.rows()
    _, *more = tool.split()
    with Writer(database) as writer:
        began = time.monotonic()
        own, chunk = native(box, dates, *more) if tool != TOOLS[0] else console(box, dates)
        seconds = time.monotonic() - began
    made = "SELECT COUNT(*) AS n FROM matomo_{} WHERE {} < CURDATE()"
    times = ("visit_last_action_time", "server_time", "server_time", "server_time")
    left = [int(database.run(made.format(*pair))[0]["n"]) for pair in zip(_LOGS, times)]
    return Run(tool, seconds, own or seconds, before - sum(left), left, writer, chunk)


def keep(box: Sandbox) -> None:
    """A copy of the data directory's bytes."""
    box.service("mariadb", "stop")
    box.exec("cp", "-a", "/var/lib/mysql", "/var/lib/mysql.kept")
    box.service("mariadb", "start")


def restore(box: Sandbox) -> None:
    """The bytes as they were kept."""
    box.service("mariadb", "stop")
    box.exec(
        "sh", "-c", "rm -rf /var/lib/mysql && cp -a /var/lib/mysql.kept /var/lib/mysql && sync"
    )
    box.service("mariadb", "start")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="30,000 visits: a minute")
    parser.add_argument("--name", default="bench", help="the throw-away host")
    asked = parser.parse_args()
    visits = 30_000 if asked.quick else 1_000_000
    box = Sandbox(asked.name)
    box.up()
    try:
        bench(box, visits)
    finally:
        box.exec("rm", "-rf", "/var/lib/mysql.kept", check=False)
        box.reset()


def bench(box: Sandbox, visits: int) -> None:
    """Makes the data, runs both, prints."""
    database = Database(box)
    first = dt.datetime.now(dt.timezone.utc).date() - dt.timedelta(days=_DAYS + 2)
    dates = f"{first},{first + dt.timedelta(days=_DAYS // 2)}"
    began = time.monotonic()
    make(database, visits, first)
    keep(box)
    print(f"{database.rows()} rows made in {time.monotonic() - began:.0f} s", flush=True)
    with Writer(database) as alone:
        time.sleep(_BASELINE / (4 if visits < 100_000 else 1))
    runs = []
    for tool in TOOLS:
        runs.append(measure(box, database, tool, dates))
        print(f"{tool}: {runs[-1].seconds:.1f} s", flush=True)
    found = [run.data() for run in runs]
    if any(run.left != runs[0].left for run in runs):
        raise SystemExit(f"they did not leave the same: {[run.left for run in runs]}")
    rows = [(key, *(one[key] for one in found)) for key in found[0] if key != "tool"]
    pace = [one["rows_per_second"] / found[0]["rows_per_second"] for one in found]
    rows.append(("times as quick", *(f"{ratio:.2f}" for ratio in pace)))
    print(show(("", *TOOLS), rows))
    base = round(alone.share(0.99) * 1000, 1)
    print(f"the writer alone: p99 {base} ms, longest {alone.share(1.0) * 1000:.1f} ms")
    print(json.dumps({
        "visits": visits, "tools": found, "writer_alone_p99_ms": base,
        "rows_per_second_ratios": [round(ratio, 2) for ratio in pace],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
