"""One replay at a time on one database, whichever server it runs on; and with which token."""

from __future__ import annotations

import hashlib
import time

from matops.errors import Locked, Refused
from matops.matomo import ini, replay_token
from matops.matomo.database import Database
from matops.mysql.session import ConnectionCut, DatabaseError, NotReachable

_PATIENCE = 10.0  # seconds that the connection of a run that was just killed is given to end


def take(database: Database) -> None:
    """Takes a named lock for as long as this connection lasts. Raises Locked.

    A ledger keeps two runs on one server apart; this does so for several servers, up to a restart
    of the database. Without it a server that knows no such locks (a cluster) goes on.
    """
    replay_token.ours(database)
    place = f"{database.address.schema}.{database.prefix}".encode()
    name = f"matops.logs.replay.{hashlib.sha256(place).hexdigest()[:16]}"
    until = time.monotonic() + _PATIENCE
    try:
        while int(database.session.value("user_lock_take", (name,)) or 0) != 1:
            if time.monotonic() > until:
                holder = database.session.value("user_lock_holder", (name,))
                raise Locked(
                    "another logs.replay is at work on this database, perhaps on another server "
                    f"(server connection {holder})",
                    state="Nothing was sent",
                    next="wait for it to end; where none runs any more: KILL that connection",
                )
            time.sleep(0.5)
    except (ConnectionCut, NotReachable):
        raise
    except DatabaseError:
        return


def judge(database: Database, secret: str, path: str) -> None:
    """Refused where the token in the file ``path`` is no superuser's: without one Matomo calls
    each replayed hit invalid (its address, its time), and answers "success" all the same."""
    salt = ini.text_of(database.config, "General", "salt")
    found = database.session.rows(
        "token_rights",
        (replay_token.hash_of(secret, salt),),
        tokens=database.table("user_token_auth"),
        user=database.table("user"),
    )
    if found and int(found[0]["superuser"]) == 1:
        return
    why = (
        f"belongs to {found[0]['login']}, who is no superuser"
        if found
        else "is not known to Matomo, or has expired"
    )
    raise Refused(
        f"the token in {path} {why}: with it Matomo records no hit of the past",
        state="Nothing was sent",
        next="name a superuser's token, or leave --token-file out: one is made, and removed",
    )
