"""Tables shaped like Matomo's, filled fast, with the deletes that a long life leaves behind."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.db.servers import Server

_DDL = {
    "archive_blob": """
        idarchive INT UNSIGNED NOT NULL, name VARCHAR(190) NOT NULL, idsite INT UNSIGNED NULL,
        date1 DATE NULL, date2 DATE NULL, period TINYINT UNSIGNED NULL,
        ts_archived DATETIME NULL, value MEDIUMBLOB NULL,
        PRIMARY KEY (idarchive, name), KEY index_period_archived (period, ts_archived)""",
    "archive_numeric": """
        idarchive INT UNSIGNED NOT NULL, name VARCHAR(190) NOT NULL, idsite INT UNSIGNED NULL,
        date1 DATE NULL, date2 DATE NULL, period TINYINT UNSIGNED NULL,
        ts_archived DATETIME NULL, value DOUBLE NULL,
        PRIMARY KEY (idarchive, name),
        KEY index_idsite_dates_period (idsite, date1, date2, period, name(6)),
        KEY index_period_archived (period, ts_archived)""",
    "log_visit": """
        idvisit BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, idsite INT UNSIGNED NOT NULL,
        idvisitor BINARY(8) NOT NULL, visit_last_action_time DATETIME NOT NULL,
        config_id BINARY(8) NOT NULL, location_ip VARBINARY(16) NOT NULL,
        user_id VARCHAR(200) NULL, visit_first_action_time DATETIME NOT NULL,
        referer_url VARCHAR(1500) NULL, config_browser_name VARCHAR(40) NULL,
        visit_total_time INT UNSIGNED NOT NULL,
        PRIMARY KEY (idvisit),
        KEY index_idsite_config_datetime (idsite, config_id, visit_last_action_time),
        KEY index_idsite_datetime (idsite, visit_last_action_time),
        KEY index_idsite_idvisitor (idsite, idvisitor, visit_last_action_time)""",
    "log_link_visit_action": """
        idlink_va BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, idsite INT UNSIGNED NOT NULL,
        idvisitor BINARY(8) NOT NULL, idvisit BIGINT UNSIGNED NOT NULL,
        idaction_url_ref INT UNSIGNED NULL, idaction_name_ref INT UNSIGNED NULL,
        custom_float DOUBLE NULL, idpageview CHAR(6) NULL, server_time DATETIME NOT NULL,
        idaction_url INT UNSIGNED NULL, time_spent_ref_action INT UNSIGNED NULL,
        PRIMARY KEY (idlink_va), KEY index_idvisit (idvisit),
        KEY index_idsite_servertime (idsite, server_time)""",
}
_KEY = {"archive_blob": "idarchive", "archive_numeric": "idarchive", "log_visit": "idvisit",
        "log_link_visit_action": "idlink_va"}  # fmt: skip
# n is the row's number, r a random number below 1, b 2048 random bytes.
_ROW = {
    "archive_blob": "n, CONCAT('Actions_', n % 7), 1, '2026-01-01', '2026-01-31', 1 + n % 4,"
    " '2026-02-01' + INTERVAL n % 80000 SECOND, REPEAT(b, {wide})",
    "archive_numeric": "n, CONCAT('nb_visits_metric_', n % 9), 1 + n % 50,"
    " '2026-01-01', '2026-01-31', 1 + n % 4, '2026-02-01' + INTERVAL n % 80000 SECOND, r * 1000",
    "log_visit": "n, 1 + n % 50, LEFT(b, 8), '2026-01-01' + INTERVAL n SECOND, SUBSTR(b, 9, 8),"
    " SUBSTR(b, 17, 4), NULL, '2026-01-01' + INTERVAL n SECOND,"
    " CONCAT('https://example.org/', HEX(SUBSTR(b, 21, 10 + 40 * r))), 'FF', 1000 * r",
    "log_link_visit_action": "n, 1 + n % 50, LEFT(b, 8), n DIV 3, 1000000 * r, NULL, r,"
    " HEX(SUBSTR(b, 9, 3)), '2026-01-01' + INTERVAL n SECOND, 100000 * r, 100 * r",
}
# Bytes a row takes in the file, with its indexes (measured on both servers).
_ROW_BYTES = {"archive_blob": 3300, "archive_numeric": 180, "log_visit": 330,
              "log_link_visit_action": 160}  # fmt: skip
_SEED = 2000


@dataclass(frozen=True)
class Made:
    """A table that was made: its name, rows before and after the deletes."""

    name: str
    rows: int
    left: int


def make(
    server: Server,
    kind: str,
    name: str,
    megabytes: int,
    deletes: str = "none",
    share: float = 0.6,
    schema: str = "matomo",
    blob_bytes: int = 3000,
) -> Made:
    """A table like Matomo's ``kind``, of about that size; then ``share`` of its rows deleted.

    ``deletes``: none, scattered (any row may go) or contiguous (the oldest go). About 30 MB/s.
    """
    row_bytes = _ROW_BYTES[kind] + (blob_bytes - 3000 if kind == "archive_blob" else 0)
    rows = max(megabytes * 2**20 // row_bytes, 10)
    server.sql(_seed(), schema)
    server.sql(f"DROP TABLE IF EXISTS `{name}`; CREATE TABLE `{name}` ({_DDL[kind]})", schema)
    # Blobs differ in length, up to twice the mean.
    row = _ROW[kind].format(wide="1") if kind == "archive_blob" else _ROW[kind]
    body = row.replace(
        "REPEAT(b, 1)", f"LEFT(REPEAT(b, {2 + blob_bytes // 1024}), 1 + {2 * blob_bytes} * r)"
    )
    for start in range(0, rows, 10 * _SEED):
        stop = min(start + 10 * _SEED, rows)
        select = (
            f"SELECT x.k * {_SEED} + s.n + {start} AS n, s.r, s.b FROM matops_seed s"
            f" JOIN (SELECT 0 k UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION"
            f" SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) x"
            f" WHERE x.k * {_SEED} + s.n + {start} <= {stop} ORDER BY 1"
        )
        columns = _columns(kind)
        server.sql(f"INSERT INTO `{name}` ({columns}) SELECT {body} FROM ({select}) AS made",
                   schema)  # fmt: skip
    left = rows - delete(server, kind, name, rows, deletes, share, schema)
    return Made(name, rows, left)


def delete(server: Server, kind: str, name: str, rows: int, how: str, share: float = 0.6,
           schema: str = "matomo") -> int:  # fmt: skip
    """Deletes ``share`` of the rows; how many went."""
    if how == "none":
        return 0
    key = _KEY[kind]
    gone = 0
    step = max(rows // 8, 1)
    with server.connect(schema=schema) as connection, connection.cursor() as cursor:
        for start in range(0, rows, step):
            where = (
                f"CRC32(CONCAT('x', {key})) % 1000 < {int(share * 1000)}"
                if how == "scattered"
                else f"{key} <= {int(share * rows)}"
            )
            span = f"{key} > {start} AND {key} <= {start + step}"
            gone += cursor.execute(f"DELETE FROM `{name}` WHERE {span} AND {where}")
    return gone


def wait_purged(server: Server, patience: float = 60) -> None:
    """Until the server has removed what was deleted (an empty history list)."""
    until = time.monotonic() + patience
    server.sql("SET GLOBAL innodb_purge_rseg_truncate_frequency = 1")
    query = "SELECT COUNT AS n FROM information_schema.innodb_metrics"
    while time.monotonic() < until:
        if int(server.peek(f"{query} WHERE NAME = 'trx_rseg_history_len'")[0]["n"]) == 0:
            return
        time.sleep(0.1)
    # A read view that is older than the deletes: a test before this one has left it open.
    left = server.sql("SELECT trx_mysql_thread_id, trx_started FROM information_schema.innodb_trx")
    raise AssertionError(f"purge did not catch up in {patience} s; open transactions: {left}")


def file_bytes(server: Server, name: str, schema: str = "matomo") -> int:
    """The table's file, as the file system sees it (the server's page cache flushed or not)."""
    return (server.datadir / schema / f"{name}.ibd").stat().st_size


def _columns(kind: str) -> str:
    lines = [part.strip().split(" ")[0] for part in _DDL[kind].split("KEY")[0].split(",")]
    return ", ".join(word for word in lines if word and word not in ("PRIMARY",))


def _seed() -> str:
    """A table of numbers with random bytes, made once in each schema."""
    many = "SELECT 0 AS n" + "".join(f" UNION ALL SELECT {i}" for i in range(1, 50))
    return (
        "CREATE TABLE IF NOT EXISTS matops_seed (n INT PRIMARY KEY, r DOUBLE, b BLOB);"
        "INSERT IGNORE INTO matops_seed SELECT a.n * 50 + b.n + 1, RAND(),"
        " CONCAT(RANDOM_BYTES(1024), RANDOM_BYTES(1024))"
        f" FROM ({many}) a JOIN ({many}) b WHERE a.n < {_SEED // 50}"
        " AND NOT EXISTS (SELECT 1 FROM matops_seed AS x)"
    )
