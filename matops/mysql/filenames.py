"""Where InnoDB keeps a table: its tablespace files, their sizes, and whether we may read them."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

from matops.mysql.server import Server
from matops.mysql.session import Row, Session

_PLAIN = re.compile(r"[0-9A-Za-z_]")
_FOREIGN = "(?:@[0-9a-f]{4}|@[0-9A-Za-z]{2})"
_PARTITION = re.compile(r"#p#", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """One tablespace file: the path on the server's machine, and its size in bytes."""

    path: str
    bytes: int


def encode(name: str) -> str:
    """A table's or schema's name as its file is called: ``a b`` is ``a@0020b``.

    Exact for ASCII. Letters beyond it have a code of their own in the server (é is ``@0p``),
    which only the server's own lists tell: ``lookup`` takes any code for those.
    """
    return "".join(c if _PLAIN.match(c) else f"@{ord(c):04x}" for c in name)


def files_of(
    session: Session, server: Server, schema: str, table: str = ""
) -> dict[str, list[File]]:
    """The tablespace files of every table of ``schema``, by table; partitions are together.

    ``table``: of this one (and perhaps of some whose names begin so). Keys are names as MySQL
    tells them, or encoded ones (MariaDB): look up with ``lookup``. Without PROCESS the data
    directory is listed, where this process may; else it is empty. 1-2 s for 20,000 tables.
    """
    if not server.process:
        return _listed(server, schema)
    exact = table if table.isascii() else ""
    # LIKE patterns; MySQL spells names plainly, MariaDB as the files are called.
    patterns = {
        f"{_like(schema)}/{_like(exact)}%",
        f"{_like(encode(schema))}/{_like(encode(exact))}%",
    }
    rows = {int(row["space"]): row for p in patterns for row in session.rows("tablespaces", (p,))}
    paths = _paths(session, server, schema, rows)
    found: dict[str, list[File]] = {}
    for space, row in rows.items():
        name = _PARTITION.split(str(row["name"]).split("/", 1)[1])[0]
        found.setdefault(name, []).append(File(paths[space], int(row["file_bytes"] or 0)))
    return found


def _paths(session: Session, server: Server, schema: str, rows: dict[int, Row]) -> dict[int, str]:
    """The files' paths. MySQL's list of them is long: a few are looked for where they belong."""
    datadir = server.text("datadir")
    paths = {space: _text(row["path"]) for space, row in rows.items()}
    if session.flavour == "mysql":
        for space, row in rows.items():
            table, partition, rest = _split(str(row["name"]).split("/", 1)[1])
            paths[space] = f"{encode(schema)}/{encode(table)}{partition}{rest}.ibd"
        if len(rows) > 50 or not all(
            os.path.exists(os.path.join(datadir, path)) for path in paths.values()
        ):
            listed = session.rows("tablespace_paths")
            known = {int(row["space"]): _text(row["path"]) for row in listed}
            paths.update({space: known[space] for space in rows if space in known})
    return {space: os.path.join(datadir, path) for space, path in paths.items()}


def _split(name: str) -> tuple[str, str, str]:
    found = _PARTITION.search(name)
    return (name[: found.start()], found[0], name[found.end() :]) if found else (name, "", "")


def lookup(files: dict[str, list[File]], table: str) -> list[File]:
    """The files of one table, whichever way this server spells its name."""
    found = files.get(table) or files.get(encode(table)) or []
    if found or table.isascii():
        return found
    close = [name for name in files if re.fullmatch(_spellings(table), name)]
    return files[close[0]] if len(close) == 1 else []


def _spellings(table: str) -> str:
    return "".join(re.escape(encode(c)) if c.isascii() else _FOREIGN for c in table)


def guess(server: Server, schema: str, table: str) -> list[File]:
    """One table's files as found in the data directory, where the account may not ask."""
    return lookup(_listed(server, schema), table)


def _listed(server: Server, schema: str) -> dict[str, list[File]]:
    found: dict[str, list[File]] = {}
    if not server.is_here:
        return found
    folder = os.path.join(server.text("datadir"), encode(schema))
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name, _, ending = entry.name.rpartition(".")
            if ending == "ibd" and not name.startswith("#sql"):
                file = File(entry.path, entry.stat().st_size)
                found.setdefault(_PARTITION.split(name)[0], []).append(file)
    return found


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
