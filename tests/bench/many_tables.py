"""How long ``db.sizes`` takes with 20,000 tables: ``python -m tests.bench.many_tables``.

Makes them on a real server of each flavour (20 s on MariaDB, two minutes on MySQL), without
estimates: those have a budget of their own.
"""

from __future__ import annotations

import sys
import time

from matops.mysql import catalog
from matops.mysql import server as servers
from matops.mysql.session import Address, Session
from tests.db.servers import start

_FAST = {"innodb_flush_log_at_trx_commit": "0", "innodb_doublewrite": "OFF"}
_SMALL_CACHES = {"table_definition_cache": "2000", "table_open_cache": "2000"}


def main(tables: int = 20_000) -> None:
    """Prints a line per server: first and second look, in seconds."""
    for flavour in ("mariadb", "mysql"):
        with start(flavour, options={**_FAST, **_SMALL_CACHES}) as server:
            with server.connect(schema="matomo") as connection:
                cursor = connection.cursor()
                for i in range(tables):
                    kind, value = ("blob", "MEDIUMBLOB") if i % 2 else ("numeric", "DOUBLE")
                    cursor.execute(
                        f"CREATE TABLE archive_{kind}_{2000 + i // 24:04d}_{1 + i // 2 % 12:02d} ("
                        "idarchive INT UNSIGNED NOT NULL, name VARCHAR(190) NOT NULL,"
                        f" ts_archived DATETIME, value {value}, PRIMARY KEY (idarchive, name),"
                        " KEY k (ts_archived))"
                    )
            print(f"{server.flavour} {server.version}: {_looks(server.address(schema='matomo'))}")


def _looks(address: Address) -> str:
    times = []
    for _ in range(2):
        with Session(address, timeout=None) as session:
            began = time.monotonic()
            facts = servers.look(session)
            found = catalog.tables(session, facts, "matomo")
            catalog.groups(found, months=True)
            times.append(time.monotonic() - began)
    return f"{len(found)} tables, first look {times[0]:.1f} s, second {times[1]:.1f} s"


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
