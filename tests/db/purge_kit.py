"""What the tests of ``logs.purge`` share: Matomo's log tables (the columns that matter, all keys),
made-up visits, and a run."""

from __future__ import annotations

import datetime as dt
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from matops.mysql.attempt import Stop
from matops.mysql.purge import tables
from matops.mysql.purge.link import Link
from matops.mysql.purge.run import Purge
from matops.mysql.purge.summary import Options, Summary
from matops.mysql.purge.work import Work
from matops.mysql.session import Address
from tests.db.servers import Server

PREFIX = "piwik_"
FIRST = dt.datetime(2026, 1, 1)

# As Matomo 5.3.1 makes them, with plugins' tables: HeatmapSessionRecording (log_hsr, and its
# events by idloghsr), MediaAnalytics (log_media), one that somebody made without an index.
_SCHEMA = """
CREATE TABLE {p}site (idsite INT UNSIGNED NOT NULL PRIMARY KEY, timezone VARCHAR(50) NOT NULL);
CREATE TABLE {p}log_visit (idvisit BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 idsite INT UNSIGNED NOT NULL, idvisitor BINARY(8) NOT NULL,
 visit_last_action_time DATETIME NOT NULL, config_id BINARY(8) NOT NULL,
 visit_total_actions INT UNSIGNED, visit_entry_idaction_url INT UNSIGNED,
 visit_entry_idaction_name INT UNSIGNED, visit_exit_idaction_url INT UNSIGNED DEFAULT 0,
 visit_exit_idaction_name INT UNSIGNED, referer_url VARCHAR(1500),
 KEY index_idsite_config_datetime (idsite, config_id, visit_last_action_time),
 KEY index_idsite_datetime (idsite, visit_last_action_time),
 KEY index_idsite_idvisitor_time (idsite, idvisitor, visit_last_action_time DESC)) ENGINE=InnoDB;
CREATE TABLE {p}log_link_visit_action (
 idlink_va BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 idsite INT UNSIGNED NOT NULL, idvisitor BINARY(8) NOT NULL, idvisit BIGINT UNSIGNED NOT NULL,
 idaction_url_ref INT UNSIGNED DEFAULT 0, server_time DATETIME NOT NULL, idaction_name INT UNSIGNED,
 idaction_url INT UNSIGNED, idaction_event_action INT UNSIGNED, KEY index_idvisit (idvisit),
 KEY index_idsite_servertime (idsite, server_time)) ENGINE=InnoDB;
CREATE TABLE {p}log_conversion (idvisit BIGINT UNSIGNED NOT NULL, idsite INT UNSIGNED NOT NULL,
 server_time DATETIME NOT NULL, idaction_url INT UNSIGNED, idgoal INT NOT NULL,
 buster INT UNSIGNED NOT NULL, idorder VARCHAR(100), PRIMARY KEY (idvisit, idgoal, buster),
 UNIQUE KEY unique_idsite_idorder (idsite, idorder),
 KEY index_idsite_datetime (idsite, server_time)) ENGINE=InnoDB;
CREATE TABLE {p}log_conversion_item (idsite INT UNSIGNED NOT NULL, server_time DATETIME NOT NULL,
 idvisit BIGINT UNSIGNED NOT NULL, idorder VARCHAR(100) NOT NULL,
 idaction_sku INT UNSIGNED NOT NULL, idaction_name INT UNSIGNED NOT NULL,
 PRIMARY KEY (idvisit, idorder, idaction_sku),
 KEY index_idsite_servertime (idsite, server_time)) ENGINE=InnoDB;
CREATE TABLE {p}log_action (idaction INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 name VARCHAR(4096), hash INT UNSIGNED NOT NULL, type TINYINT UNSIGNED, url_prefix TINYINT,
 KEY index_type_hash (type, hash)) ENGINE=InnoDB;
CREATE TABLE {p}log_profiling (idprofiling BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 query TEXT NOT NULL) ENGINE=InnoDB;
CREATE TABLE {p}log_hsr (idloghsr BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 idsite INT UNSIGNED NOT NULL, idvisit BIGINT UNSIGNED NOT NULL, KEY index_idvisit (idvisit))
 ENGINE=InnoDB;
CREATE TABLE {p}log_hsr_event (idhsrevent BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 idloghsr BIGINT UNSIGNED NOT NULL, x INT, KEY index_idloghsr (idloghsr)) ENGINE=InnoDB;
CREATE TABLE {p}log_media (idview BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 idvisit BIGINT UNSIGNED NOT NULL, title VARCHAR(50), KEY i (title, idvisit)) ENGINE=InnoDB;
CREATE TABLE {p}log_media_plays (idplay BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 idview BIGINT UNSIGNED NOT NULL, KEY (idview)) ENGINE=InnoDB
"""
LOGS = ("log_visit", "log_link_visit_action", "log_conversion", "log_conversion_item", "log_hsr",
        "log_hsr_event", "log_media", "log_media_plays", "log_action", "log_profiling")  # fmt: skip


def make(server: Server, schema: str, sites: Sequence[int] = (1, 2, 3), prefix: str = PREFIX,
         extra: str = "") -> None:  # fmt: skip
    """The schema, empty but for the sites. ``extra``: more statements."""
    server.sql(f"DROP DATABASE IF EXISTS `{schema}`; CREATE DATABASE `{schema}`")
    rows = ",".join(f"({site},'UTC')" for site in sites)
    text = _SCHEMA.format(p=prefix) + f";INSERT INTO {prefix}site VALUES {rows}"
    server.sql(text + (";" + extra.format(p=prefix) if extra else ""), schema=schema)


@dataclass
class Visits:
    """Makes visits with everything that may hang on one; reproducible."""

    server: Server
    schema: str
    prefix: str = PREFIX
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    next_id: int = 1
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def one(self, site: int, at: dt.datetime, actions: Optional[int] = None) -> int:
        """One visit that ended ``at``; its number. Not yet written."""
        me, self.next_id = self.next_id, self.next_id + 1
        number = self.dice.randrange(1, 6) if actions is None else actions

        def put(table: str, *row: Any) -> None:
            self.rows.setdefault(table, []).append(row)

        url = self.dice.randrange(1, 200)
        put("log_visit (idvisit,idsite,idvisitor,visit_last_action_time,config_id,"
            "visit_total_actions,visit_entry_idaction_url,visit_exit_idaction_url)",
            me, site, me.to_bytes(8, "big"), at, b"12345678", number, url, url)  # fmt: skip
        for _ in range(number):
            put("log_link_visit_action (idsite,idvisitor,idvisit,server_time,idaction_url)",
                site, me.to_bytes(8, "big"), me, at, self.dice.randrange(1, 200))  # fmt: skip
        if me % 5 == 0:
            put("log_conversion (idvisit,idsite,server_time,idaction_url,idgoal,buster,idorder)",
                me, site, at, url, 0, 0, f"o{me}")  # fmt: skip
            for sku in range(2):
                put("log_conversion_item", site, at, me, f"o{me}", 300 + sku, 310 + sku)
        if me % 4 == 0:
            put("log_hsr (idloghsr,idsite,idvisit)", me, site, me)
            put("log_hsr_event (idloghsr,x)", me, 1)
            put("log_hsr_event (idloghsr,x)", me, 2)
        if me % 7 == 0:
            put("log_media (idview,idvisit,title)", me, me, "film")
            put("log_media_plays (idview)", me)
        return me

    def write(self) -> None:
        """All of them, in one transaction."""
        with self.server.connect(schema=self.schema, autocommit=False) as connection:
            cursor = connection.cursor()
            for table, rows in self.rows.items():
                marks = ",".join(["%s"] * len(rows[0]))
                cursor.executemany(f"INSERT INTO {self.prefix}{table} VALUES ({marks})", rows)
            connection.commit()
        self.rows.clear()


def fill(server: Server, schema: str, days: int = 20, a_day: int = 20, late: int = 50,
         sites: Sequence[int] = (1, 2, 3, 9)) -> Visits:  # fmt: skip
    """Visits of some days, some at the very edges of days, then ``late`` ones with old times (a
    replay: their numbers are out of the order of time), orphans of every child table, actions."""
    made = Visits(server, schema)
    for day in range(days):
        for _ in range(a_day):
            second = made.dice.randrange(86_400)
            made.one(made.dice.choice(sites), FIRST + dt.timedelta(days=day, seconds=second))
        midnight = FIRST + dt.timedelta(days=day)
        made.one(1, midnight)
        made.one(1, midnight)  # the same second
        made.one(2, midnight - dt.timedelta(seconds=1))
    for _ in range(late):
        second = made.dice.randrange(days * 86_400)
        made.one(made.dice.choice(sites), FIRST + dt.timedelta(seconds=second))
    made.write()
    orphans = (
        "INSERT INTO {p}log_link_visit_action (idsite,idvisitor,idvisit,server_time,idaction_url)"
        " VALUES (1,'x',999999,'2026-01-02',1); INSERT INTO {p}log_hsr_event (idloghsr) VALUES (1),"
        "(999999); INSERT INTO {p}log_conversion VALUES (999998,1,'2026-01-02',1,1,0,NULL)"
    )
    server.sql(orphans.replace("{p}", PREFIX), schema=schema)
    return made


def picture(server: Server, schema: str, names: Iterable[str] = LOGS) -> dict[str, set[Any]]:
    """Every row of every log table."""
    found = {}
    for name in names:
        rows = server.sql(f"SELECT * FROM {PREFIX}{name}", schema=schema)
        found[name] = {tuple(row.values()) for row in rows}
    return found


def expected(before: dict[str, set[Any]], start: str, end: str, sites: Sequence[int]) -> Any:
    """What is to be left: by the rule, worked out here from what was there."""
    since, until = dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end)
    gone = {v[0] for v in before["log_visit"] if v[1] in sites and since <= v[3] < until}
    hsr = {row[0] for row in before["log_hsr"] if row[2] in gone}
    media = {row[0] for row in before["log_media"] if row[1] in gone}
    where: dict[str, Callable[[Any], bool]] = {
        "log_visit": lambda row: row[0] in gone,
        "log_link_visit_action": lambda row: row[3] in gone,
        "log_conversion": lambda row: row[0] in gone,
        "log_conversion_item": lambda row: row[2] in gone,
        "log_hsr": lambda row: row[2] in gone,
        "log_hsr_event": lambda row: row[1] in hsr,
        "log_media": lambda row: row[1] in gone,
        "log_media_plays": lambda row: row[1] in media,
    }
    return {
        name: {row for row in rows if name not in where or not where[name](row)}
        for name, rows in before.items()
    }


def purge(
    address: Address, start: str, end: str, sites: Sequence[int] = (1, 2, 3), *,
    prefix: str = PREFIX, stop: Optional[Stop] = None, workers: int = 1, before: Any = None,
    **options: Any,
) -> Summary:  # fmt: skip
    """One run from finding the tables to the count of what is left. ``before`` may look at it."""
    with Link(address, prefix) as link, Link(address, prefix, helps=True) as beside:
        found = tables.look(link.session, prefix)
        chosen, stop = Options(start, end, sites, **options), stop or Stop()
        helpers = [Work(beside, chosen, stop, say=print)] if workers == 2 else []
        run = Purge(Work(link, chosen, stop, say=print), found, helpers)
        if before:
            before(run)
        return run.run()


def main(words: Sequence[str]) -> None:
    """``python -m tests.db.purge_kit HOST PORT SCHEMA START END``: a run of tiny chunks in a
    process of its own, for tests that kill it."""
    host, port, schema, start, end = words

    def tiny(run: Purge) -> None:
        run.work.steer.rows, run.work.steer.target = 20, 0.0001
        print("begun", flush=True)

    purge(Address(host=host, port=int(port), user="root", schema=schema), start, end, before=tiny)


if __name__ == "__main__":
    main(sys.argv[1:])
