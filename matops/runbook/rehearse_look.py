"""What must be known before a rehearsal begins; reads only. Runs on the host, as the keeper."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from matops.errors import PrivilegeMissing, Refused
from matops.matomo.database import Database
from matops.matomo.lock import LOCK
from matops.matomo.release.versions import key
from matops.mysql import server as servers
from matops.mysql.scratch import login as logins
from matops.mysql.scratch.database import FOREIGN, Scratch
from matops.mysql.session import Address, DatabaseError, Session
from matops.units import show_size

UPDATING = ("update", "upgrade", "offline", "recover", "migrate.ahead")
"""Tasks during which nothing is rehearsed: they change what would be copied."""

_TABLE = 256 << 10  # bytes of an empty table's file, generously
_REFUSED = (1044, 1142, 1143, 1227)


def look(*, docroot: str, stage: str, login: str) -> dict[str, Any]:
    """Facts: server, version, tables, bytes, what a killed run left, the account that works.

    Raises Refused (read-only server, an update at work, something that is not ours),
    PrivilegeMissing with the GRANT to paste, UsageError (``login``), DatabaseError.
    """
    with Database(docroot, timeout=60) as db:
        server = servers.look(db.session)
        if server.read_only:
            raise Refused(
                f"the database server ({server.shown}) is read-only: a replica, or a fail-over",
                state="Nothing was changed",
                next="point [database] at the primary",
            )
        core = str(db.session.value("option_read", ("version_core",), option=db.table("option")))
        tables = [row for row in db.session.rows("table_sizes", (db.address.schema,))
                  if str(row["name"]).startswith(db.prefix)]  # fmt: skip
        with Session(maker(db, server, login), timeout=60) as session:
            scratch = Scratch(session, db.address.schema, db.prefix)
            state = _may_create(scratch, server, login)
            account = str(session.value("account_current"))
        _has_room(server, len(tables))
        folder = Path(stage).parent / scratch.name
        return {
            "server": server.shown,
            "version_core": core,
            "tables": len(tables),
            "schema": db.address.schema,
            "scratch": scratch.name,
            "left": state != "absent" or folder.exists(),
            "account": account,
            "folder": str(folder),
            "owner": _owner(db),
            "updating": updating(str(folder)),
        }


def scratch_right(*, docroot: str, login: str) -> dict[str, Any]:
    """Who may make the scratch database. Raises what ``look`` raises where nobody may."""
    with Database(docroot, timeout=60) as db:
        server = servers.look(db.session)
        with Session(maker(db, server, login), timeout=60) as session:
            _may_create(Scratch(session, db.address.schema, db.prefix), server, login)
            return {"account": str(session.value("account_current"))}


def _may_create(scratch: Scratch, server: servers.Server, login: str) -> str:
    try:
        return may_create(scratch)
    except PrivilegeMissing as missing:
        if not login:
            here = "--login root, or " if server.is_here else ""
            missing.next += f" Or: {here}--login FILE with a login that may"
        raise


def _has_room(server: servers.Server, tables: int) -> None:
    """Refused where the data directory is seen from here and would not hold the empty tables."""
    datadir = server.text("datadir")
    if not (server.is_here and os.path.isdir(datadir)):
        return
    disk = os.statvfs(datadir)
    need, free = tables * _TABLE, disk.f_bavail * disk.f_frsize
    if need * 2 > free or (disk.f_files and tables * 2 > disk.f_favail):
        raise Refused(
            f"not enough room in {datadir}: {tables} empty tables need {show_size(need)}, "
            f"{show_size(free)} and {disk.f_favail} inodes are free",
            state="Nothing was changed",
            next="free some space there, then rehearse again",
        )


def maker(db: Database, server: servers.Server, login: str) -> Address:
    """As whom the scratch database is made. UsageError, MatopsError: see ``scratch.login``."""
    socket = db.address.socket or (server.text("socket") if server.is_here else "")
    return logins.address(login, db.address, socket)


def may_create(scratch: Scratch) -> str:
    """The scratch database's state. PrivilegeMissing where the account may not have one; Refused
    where something of its name is not ours. Nothing is written: the server is asked with the name
    of a table that does not exist."""
    asks = f"matops_asks_{secrets.token_hex(6)}"
    try:
        scratch.session.rows("probe_create", schema=scratch.name, table=asks, other=f"{asks}_other")
    except DatabaseError as error:
        if error.number in _REFUSED:
            raise scratch.denied(error) from None
    state = scratch.state()
    if state == FOREIGN:
        raise scratch.foreign()
    return state


def _owner(db: Database) -> dict[str, Any]:
    text = db.session.value("option_read", (LOCK,), option=db.table("option"))
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        return dict(json.loads(text).get("owner") or {})
    return {}


def updating(private: str) -> int:
    """The process that runs core:update on this host outside ``private``; 0 where none does."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            if b"core:update" not in words:
                continue
            with contextlib.suppress(OSError):
                if f"{os.readlink(f'/proc/{entry}/cwd')}/".startswith(f"{private}/"):
                    continue
            return int(entry)
    return 0


def fitting(installed: str, core: str, to_version: str) -> None:
    """Refused where the release is not newer than the live one, or an update is half done. Pure."""
    if key(to_version) < key(installed):
        raise Refused(
            f"the staged Matomo {to_version} is older than the installed {installed}",
            state="Nothing was changed",
            next="stage a newer one: release.stage",
        )
    if key(core) < key(installed):
        raise Refused(
            f"the live database is at {core} and the live files at {installed}: an update is half "
            "done",
            state="Nothing was changed",
            next="finish it first (core:update), then rehearse the next one",
        )
