"""May the queue be changed here at all? Asked before anything is; each no is one clear line."""

from __future__ import annotations

import re
import secrets
from typing import Optional

from matops.errors import Refused
from matops.mysql import privileges
from matops.mysql.invalidations import shape as shapes
from matops.mysql.invalidations.shape import Shape
from matops.mysql.quote import quote
from matops.mysql.server import Server
from matops.mysql.session import AccessDenied, DatabaseError, Session

NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
_REFUSED = (1044, 1045, 1142, 1143, 1227, 1370)
_NO_SUCH_TABLE = (1146, 1051, 1109, 1136)
_NOTHING = "Nothing was changed"


def change(session: Session, server: Server, shape: Optional[Shape], options: str) -> list[str]:
    """Notes for the plan. ``options``: the table that keeps the records; ``shape`` None: the
    live table is gone (to put a backup back).

    Refused, or AccessDenied with the GRANT to paste, where it may not. About ten statements.
    """
    _server(server)
    if shape:
        _table(shape.require())
    _privileges(session)
    rows = session.rows("table_status", (session.address.schema, options))
    engine = str(rows[0]["engine"] or "") if rows else ""
    if engine.lower() != "innodb":
        raise Refused(
            f"{options} is kept by {engine or 'nothing: there is no such table'}, not InnoDB: what "
            "was done could not be written down together with it",
            state=_NOTHING,
            next=f"ALTER TABLE {options} ENGINE=InnoDB",
        )
    return _notes(session, server)


def _server(server: Server) -> None:
    if server.is_replica:
        raise Refused(
            "this server is a replica: what is changed here is not changed at its source, and "
            "breaks the replication",
            state=_NOTHING,
            next="name the source in [database] host, or wait until the fail-over is done",
        )
    if server.read_only:
        name = "super_read_only" if server.on("super_read_only") else "read_only"
        raise Refused(
            f"this server is read-only ({name} = ON)",
            state=_NOTHING,
            next="is it a replica, or amid a fail-over? Name the writable one in [database] host",
        )
    if server.galera:
        raise Refused(
            "this server is a node of a Galera cluster: a metadata lock holds on one node only, so "
            "an exchange there was not proven safe",
            state=_NOTHING,
            next="let core:archive work the queue off, or ask on its node that takes the writes",
        )


def _table(shape: Shape) -> None:
    if shape.triggers:
        raise Refused(
            f"{shape.name} has triggers ({', '.join(shape.triggers)}): they would go with the "
            "backup, and the new table would have none",
            state=_NOTHING,
            next="drop them, and make them anew afterwards",
        )
    if shape.foreign_keys:
        raise Refused(
            f"{shape.name} has foreign keys ({', '.join(shape.foreign_keys)}): they would follow "
            "the backup",
            state=_NOTHING,
            next="drop them, and make them anew afterwards",
        )


def _privileges(session: Session) -> None:
    missing = [name for name in NEEDED if _may(session, name.lower()) is False]
    if missing:
        raise denied(session, missing)


def denied(session: Session, missing: list[str]) -> AccessDenied:
    """The line for what is missing, with the GRANT to paste."""
    schema = re.sub(r"([\\%_])", r"\\\1", session.address.schema)  # in GRANT, _ is a wild card
    who = privileges.account(session)
    return AccessDenied(
        f"the database account {who} may not {', '.join(missing)} here",
        state=_NOTHING,
        next=f"an administrator pastes: GRANT {', '.join(missing)} ON {quote(schema)}.* TO {who};",
    )


def _may(session: Session, what: str) -> Optional[bool]:
    """True: allowed. False: refused. None: the server said something else."""
    token = secrets.token_hex(6)
    names = {"schema": session.address.schema, "table": f"matops_asks_{token}"}
    if what == "create":
        names["other"] = f"matops_asks_{token}_other"
    try:
        session.rows(f"probe_{what}", **names)
    except DatabaseError as error:
        if error.number in _REFUSED:
            return False
        return True if error.number in _NO_SUCH_TABLE else None
    return True


def _notes(session: Session, server: Server) -> list[str]:
    notes = []
    if shapes.sees_triggers(session) is False:
        notes.append(
            "triggers cannot be seen without the TRIGGER privilege; Matomo makes none. One that "
            "somebody else made would stay with the backup"
        )
    if server.replicas:
        notes.append(f"{server.replicas} replicas follow: they do the same as this server")
    return notes
