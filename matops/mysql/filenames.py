"""Where InnoDB keeps a table: its tablespace files, their sizes, and whether we may read them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from matops.mysql.server import Server
from matops.mysql.session import Session

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


def files_of(session: Session, server: Server, schema: str) -> dict[str, list[File]]:
    """The tablespace files of every table of ``schema``, by table; partitions are together.

    Keys are names as MySQL tells them, or encoded ones (MariaDB): look up with ``lookup``.
    Empty where the account has no PROCESS privilege.
    """
    if not server.process:
        return {}
    # A LIKE pattern: an underscore in the schema's name matches more; what is too much is cut.
    found: dict[str, list[File]] = {}
    for own in {schema, encode(schema)}:
        for row in session.rows("tablespaces", (f"{_like(own)}/%",)):
            table = str(row["name"]).split("/", 1)[1]
            path = os.path.join(server.text("datadir"), str(row["path"] or ""))
            size = int(row["file_bytes"] or 0)
            found.setdefault(_PARTITION.split(table)[0], []).append(File(path, size))
    return found


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
    """The files found by looking into the data directory, where the account may not ask."""
    folder = os.path.join(server.text("datadir"), encode(schema))
    name = encode(table)
    try:
        with os.scandir(folder) as entries:
            return [
                File(entry.path, entry.stat().st_size)
                for entry in entries
                if entry.name.endswith(".ibd")
                and _PARTITION.split(entry.name[: -len(".ibd")])[0] == name
            ]
    except OSError:
        return []


def _like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
