"""How an essentials backup is read back: the words and commands, for people. Pure."""

from __future__ import annotations

import shlex
from typing import Any

from matops.mysql.quote import quote

GOOD_FOR = (
    "It holds the settings, sites, users, goals, segments, … of Matomo, and the structure of every "
    "table. It does NOT hold raw logs nor the archived reports' blobs: it is no full backup, and "
    "no way to undo an upgrade. It is for looking up or putting back single tables."
)


def command(folder: str, manifest: dict[str, Any], files: str = "*.sql.gz") -> str:
    """The command that reads it into an *empty* schema: SCHEMA is to be filled in."""
    client = "mariadb" if manifest.get("flavour") == "mariadb" else "mysql"
    packet = max(int(manifest.get("largest", 0)) * 2, 64 * 2**20)
    # Binary mode: else the client makes every \r\n a \n, in a trigger's body, too.
    return (
        f"cat {shlex.quote(folder)}/{files} | gunzip | {client} --default-character-set=utf8mb4 "
        f"--binary-mode --max-allowed-packet={packet} {_server(manifest)}-u ADMIN -p SCHEMA"
    )


def _server(manifest: dict[str, Any]) -> str:
    """The options that name Matomo's database server; none for what the client takes anyway."""
    at = manifest.get("database") or {}
    if at.get("socket"):
        return f"-S {shlex.quote(at['socket'])} "
    here = at.get("host", "") in ("", "localhost", "127.0.0.1", "::1")
    if here and int(at.get("port") or 3306) == 3306:
        return ""  # by the socket: there a server often knows its administrator by his account
    return f"-h {shlex.quote(at['host'])} -P {int(at['port'])} "


def who(manifest: dict[str, Any]) -> str:
    """`` (as root)``: the account of the host that may read the files."""
    return f" (as {manifest['owner']})" if manifest.get("owner") else ""


def one_table(manifest: dict[str, Any]) -> str:
    """A table's name for an example: ``option`` where there is one."""
    names = [table["name"] for table in manifest["tables"] if table.get("file")]
    return next((n for n in names if n.endswith("option")), names[0] if names else "TABLE")


def readme(folder: str, manifest: dict[str, Any]) -> str:
    """The README in a backup's folder."""
    table = one_table(manifest)
    file = next((t["file"] for t in manifest["tables"] if t["name"] == table), "FILE")
    largest = int(manifest["largest"])
    with_rows = [t for t in manifest["tables"] if t.get("file")]
    apart = [t for t in with_rows if not t["snapshot"]]
    lines = [
        f"Essentials of Matomo's database {manifest['schema']} ({manifest['server']}),",
        f"made by matops db.backup on {manifest.get('host', '?')}, {manifest['started']} to "
        f"{manifest['finished']}.",
        "",
        GOOD_FOR,
        "It holds password hashes and personal data as the database does: keep it as well guarded.",
        "",
        f"Into a new, empty schema (CREATE DATABASE SCHEMA CHARACTER SET utf8mb4){who(manifest)}:",
        f"  {command(folder, manifest)}",
        "Nothing is dropped or replaced: a table that is there already ends it (error 1050).",
        "",
        f"One table of a live Matomo, for example {table}: first out of the way, then back:",
        f"  RENAME TABLE {quote(table)} TO {quote(table + '_before')};",
        f"  {command(folder, manifest, file)}",
        "The way back from that:",
        f"  DROP TABLE {quote(table)}; RENAME TABLE {quote(table + '_before')} TO {quote(table)};",
        "",
        "archive_numeric without its archive_blob: the done flags in it say that reports are there "
        "whose",
        "blobs are not. In a schema without the blobs, invalidate them "
        "(console core:invalidate-report-data)",
        "or leave the archive_numeric files out.",
        "",
        "What moment it shows:",
        f"  {len(with_rows) - len(apart)} tables in {manifest['snapshots']} read view(s) of some "
        "seconds: all of one are of one moment.",
        f"  {len(apart)} tables (archive numbers, and whatever is large) one after the other, in "
        "parts along the",
        "  primary key: a row that was there all the time is in it once; what changed meanwhile is "
        "in it as",
        "  it was before or after.",
        f"The longest statement has {largest} bytes: the server's max_allowed_packet must be more.",
        "Error 1118 (row too wide) on MySQL: SET GLOBAL innodb_strict_mode = 0 until it is read.",
        "Times are UTC in it. Before use: db.backup.verify, or sha256 of each file against "
        "manifest.json.",
    ]
    if manifest["from_replica"]:
        lines.append("It was read from a replica or a read-only server: as old as its lag was.")
    if manifest["not_ours"]:
        lines.append(f"Left out, not Matomo's: {', '.join(manifest['not_ours'])}.")
    lines += [f"Note: {note}" for note in manifest["notes"]]
    return "\n".join(lines) + "\n"
