"""Free space on the database's machine, where that is another one (setting ``db_host``)."""

from __future__ import annotations

from matops.errors import MatopsError
from matops.host.shell import Host
from matops.matomo.database import Database
from matops.mysql import server as servers


def data_folder(docroot: str) -> str:
    """The server's data directory. Runs where the database is reached."""
    with Database(docroot, timeout=15) as database:
        return servers.look(database.session).text("datadir")


def free_bytes(host: Host, folder: str) -> int:
    """Bytes free in ``folder`` on ``host``. MatopsError where that cannot be told."""
    result = host.run(
        'df -B1 --output=avail -- "$1" | tail -n 1', folder, what=f"ask for the space in {folder}"
    )
    text = result.text.strip()
    if not text.isdigit():
        raise MatopsError(
            f"df {folder} does not tell the free space",
            host=host.name,
            next="say it with --free-space 200GB",
        )
    return int(text)
