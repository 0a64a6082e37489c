"""A queue as Matomo makes it, with its neighbours, on a test server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matops.mysql.session import Session
from tests.db.servers import Server

SCHEMA, PREFIX = "queue", "piwik_"
TABLE = f"{PREFIX}archive_invalidations"
# core/Db/Schema/Mysql.php of 5.3.1 and 5.8.0.
TABLES = f"""
CREATE TABLE {TABLE} (
  idinvalidation BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, idarchive INTEGER UNSIGNED NULL,
  name VARCHAR(255) NOT NULL, idsite INTEGER UNSIGNED NOT NULL, date1 DATE NOT NULL,
  date2 DATE NOT NULL, period TINYINT UNSIGNED NOT NULL, ts_invalidated DATETIME NULL,
  ts_started DATETIME NULL, status TINYINT(1) UNSIGNED DEFAULT 0, `report` VARCHAR(255) NULL,
  processing_host VARCHAR(100) NULL DEFAULT NULL, process_id VARCHAR(15) NULL DEFAULT NULL,
  PRIMARY KEY(idinvalidation), INDEX index_idsite_dates_period_name(idsite, date1, period)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE {PREFIX}site (idsite INTEGER UNSIGNED NOT NULL PRIMARY KEY);
INSERT INTO {PREFIX}site VALUES (1), (2), (3);
CREATE TABLE {PREFIX}option (option_name VARCHAR(191) NOT NULL PRIMARY KEY,
  option_value LONGTEXT NOT NULL, autoload TINYINT NOT NULL DEFAULT 1);
CREATE TABLE {PREFIX}segment (idsegment INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(255) NOT NULL, definition TEXT NOT NULL, hash CHAR(32) NULL,
  auto_archive TINYINT NOT NULL DEFAULT 0, deleted TINYINT NOT NULL DEFAULT 0);
INSERT INTO {PREFIX}segment (name, definition, hash, auto_archive)
  VALUES ('Mobile', 'a==b', REPEAT('a1', 16), 1), ('Rare', 'c==d', REPEAT('b2', 16), 0);
"""
MOBILE, RARE = "done" + "a1" * 16, "done" + "b2" * 16
NUMERIC = """
CREATE TABLE {table} (idarchive INTEGER UNSIGNED NOT NULL, name VARCHAR(190) NOT NULL,
  idsite INTEGER UNSIGNED NULL, date1 DATE NULL, date2 DATE NULL, period TINYINT UNSIGNED NULL,
  ts_archived DATETIME NULL, value DOUBLE NULL, PRIMARY KEY(idarchive, name),
  INDEX index_idsite_dates_period(idsite, date1, date2, period, name(6)),
  INDEX index_period_archived(period, ts_archived)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
"""


def make(server: Server, schema: str = SCHEMA) -> Session:
    """The schema with an empty queue; a session on it."""
    server.sql(f"DROP DATABASE IF EXISTS {schema}; CREATE DATABASE {schema}")
    server.sql(TABLES, schema)
    return Session(server.address(schema=schema))


def add(server: Server, *rows: tuple[Any, ...], schema: str = SCHEMA, columns: str = "") -> None:
    """Rows (idsite, date1, date2, period, name), or of other ``columns``; queued just now."""
    names = columns or "idsite, date1, date2, period, name"
    if "ts_invalidated" not in names:
        names, rows = names + ", ts_invalidated", tuple((*row, _now(server)) for row in rows)
    _insert(server, schema, TABLE, names, rows)


def add_many(server: Server, number: int, schema: str = SCHEMA) -> None:
    """So many rows: sites 1-60, days of three years, three names; each eleventh is a duplicate."""
    digits = "(" + " UNION ".join(f"SELECT {n} AS n" for n in range(10)) + ")"
    tables = " JOIN ".join(f"{digits} d{i}" for i in range(5))
    value = "+".join(f"d{i}.n*{10**i}" for i in range(5))
    server.sql(
        f"INSERT INTO {TABLE} (idsite, date1, date2, period, name, ts_invalidated) "
        "SELECT 1 + m % 60, '2023-01-01' + INTERVAL m DIV 60 % 1000 DAY, "
        "'2023-01-01' + INTERVAL m DIV 60 % 1000 DAY, 1, "
        f"ELT(1 + m DIV 60 % 3, 'done', '{MOBILE}', 'done.Goals'), UTC_TIMESTAMP() "
        f"FROM (SELECT IF(v % 11 = 10, v - 1, v) AS m FROM (SELECT {value} AS v FROM {tables}) n "
        f"WHERE v < {number}) k; ANALYZE TABLE {TABLE}", schema,
    )  # fmt: skip


def archive(server: Server, month: str, *rows: tuple[Any, ...], schema: str = SCHEMA) -> str:
    """An archive_numeric table with rows (idarchive, name, idsite, date1, date2, period,
    ts_archived, value); its name."""
    table = f"{PREFIX}archive_numeric_{month}"
    server.sql(f"DROP TABLE IF EXISTS {table};" + NUMERIC.format(table=table), schema)
    columns = "idarchive, name, idsite, date1, date2, period, ts_archived, value"
    _insert(server, schema, table, columns, rows)
    return table


def _insert(
    server: Server, schema: str, table: str, columns: str, rows: Iterable[tuple[Any, ...]]
) -> None:
    connection = server.connect(schema=schema)
    marks = ", ".join(["%s"] * len(columns.split(",")))
    connection.cursor().executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(rows))
    connection.close()


def _now(server: Server) -> str:
    return str(server.sql("SELECT UTC_TIMESTAMP() AS t")[0]["t"])
