"""The throw-away account of a rehearsal: it may do everything in the scratch database, and
nothing elsewhere. The server itself then keeps a misled console away from the live schema."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Optional

from matops.errors import MatopsError
from matops.mysql.scratch.database import Scratch
from matops.mysql.scratch.names import check_name, pattern
from matops.mysql.session import AccessDenied, Address, DatabaseError, Session

_REFUSED = (1044, 1045, 1142, 1143, 1227, 1370)
_PASSWORDS = 1819  # the server's password policy says no


def make(scratch: Scratch, like: Address) -> Optional[Address]:
    """Makes it; where and as whom to connect. None where ``scratch.session`` may not make one.

    ``like``: Matomo's own address: the throw-away account connects from where that one does.
    Raises MatopsError where the account it made could see live tables after all.
    """
    user = check_name(scratch.name)
    host = _seen_from(like)
    # Long, and of every class that a password policy may ask for.
    password = f"{secrets.token_urlsafe(24)}-aZ9"
    session = scratch.session
    remove(scratch, host)
    try:
        session.execute("scratch_account_create", (user, host, password))
        session.execute("scratch_account_grant", (user, host), pattern=pattern(user))
    except DatabaseError as error:
        remove(scratch, host)
        if error.number in (*_REFUSED, _PASSWORDS):
            return None
        raise
    made = dataclasses.replace(like, user=user, password=password, schema=scratch.name)
    _prove(made, scratch)
    return made


def remove(scratch: Scratch, host: str = "") -> list[str]:
    """Drops the throw-away account wherever it may connect from; from where it could.

    Nothing happens, and [] comes back, where ``scratch.session`` may not drop accounts.
    """
    user, session = check_name(scratch.name), scratch.session
    try:
        hosts = [str(row["host"]) for row in session.rows("scratch_accounts", (user,))]
    except DatabaseError:
        hosts = [host] if host else []
    gone = []
    for each in hosts:
        try:
            session.execute("scratch_account_drop", (user, each))
            gone.append(each)
        except DatabaseError as error:
            if error.number not in _REFUSED:
                raise
    return gone


def may_read_live(address: Address, live: str, table: str) -> bool:
    """True where this account may read a table of the live schema: the server was asked."""
    with Session(dataclasses.replace(address, schema=""), timeout=30) as session:
        try:
            session.rows("scratch_may_read", schema=live, table=table)
        except AccessDenied:
            return False
        return True


def _prove(made: Address, scratch: Scratch) -> None:
    if may_read_live(made, scratch.live, f"{scratch.prefix}option"):
        raise MatopsError(
            f"the throw-away account {made.user} can read {scratch.live}: the server gives every "
            "account rights there (PUBLIC, or mandatory roles)",
            state="Nothing was run",
            next="take those rights away, or see what they are for",
        )


def _seen_from(like: Address) -> str:
    # USER() names the host as the server sees it: behind NAT, a socket, a proxy.
    with Session(like, timeout=30) as session:
        return str(session.value("scratch_where_from")).rpartition("@")[2] or "localhost"
