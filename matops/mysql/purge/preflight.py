"""May it be done here and now? Asked before anything is changed; Refused says why not."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from matops.errors import PrivilegeMissing, Refused, UsageError
from matops.mysql import privileges
from matops.mysql.purge.tables import Tables
from matops.mysql.quote import quote
from matops.mysql.server import Server
from matops.mysql.session import DatabaseError, Session

_DENIED = (1044, 1142, 1143, 1227)
_LOOKS = 4  # times to look for Matomo's own deletion: its statements are short


def check(session: Session, server: Server, tables: Tables) -> None:
    """Refused: a read-only server. PrivilegeMissing: with the GRANT to paste. Changes nothing."""
    _writable(session, server)
    missing = [name for name in tables.names if not _may(session, name)]
    if missing:
        raise PrivilegeMissing(
            f"this account may not delete from {', '.join(missing)}",
            state="Nothing was changed",
            next=grant(session, "SELECT, DELETE"),
        )


def check_actions(session: Session, server: Server, log_action: str) -> None:
    """The same for removing actions."""
    _writable(session, server)
    for statement in ("purge_actions_may", "purge_may_delete"):
        if not _may(session, log_action, statement, "idaction"):
            raise PrivilegeMissing(
                f"this account may not change and delete rows of {log_action}",
                state="Nothing was changed",
                next=grant(session, "SELECT, UPDATE, DELETE"),
            )


def _writable(session: Session, server: Server) -> None:
    if server.read_only:
        raise Refused(
            f"the database server {session.address.shown} is read-only (a replica, or a fail-over)",
            state="Nothing was changed",
            next="check [database] host in config.ini.php: the purge runs where Matomo writes",
        )


def grant(session: Session, names: str) -> str:
    """The statement for an administrator to paste."""
    # In GRANT an underscore in a schema's name is a wild card.
    schema = quote(re.sub(r"([\\%_])", r"\\\1", session.address.schema))
    return f"GRANT {names} ON {schema}.* TO {privileges.account(session)};"


def _may(
    session: Session, table: str, statement: str = "purge_may_delete", column: str = "idvisit"
) -> bool:
    try:
        session.rows(statement, table=table, column=column)
    except DatabaseError as error:
        if error.number in _DENIED:
            return False
        if error.number != 1054:  # a table reached through another has no idvisit
            raise
    return True


def none_at_work(session: Session, tables: Tables) -> None:
    """Refused while Matomo itself deletes raw logs, on whichever machine."""
    visit = tables.visit.replace("\\", "\\\\").replace("_", r"\_").replace("%", r"\%")
    for look in range(_LOOKS):
        if look:
            time.sleep(0.05)
        patterns = (f"DELETE log\\_% FROM %{visit}%", f"DELETE FROM {visit}  WHERE log%")
        found = session.rows("purge_at_work", patterns)
        if found:
            one = found[0]
            raise Refused(
                f"Matomo is deleting raw logs itself (server connection {one['id']} of "
                f"{one['user']}@{one['host']})",
                state="Nothing was changed",
                next="wait for core:delete-logs-data, or Matomo's own task, to end",
            )


def sites(wanted: Sequence[int], existing: Sequence[int]) -> list[int]:
    """The sites to go through: those named, else all there are. UsageError for one that is not.

    Visits of deleted sites are not among them: core:delete-logs-data does not take them either
    (LogDeleter asks for idsite IN all sites). Pure.
    """
    for site in wanted:
        if site not in existing:
            known = ", ".join(map(str, existing[:10])) + (" …" if len(existing) > 10 else "")
            raise UsageError(f"site {site} does not exist; there are: {known}")
    return sorted(set(wanted)) if wanted else list(existing)
