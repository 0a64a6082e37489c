"""Should a rebuild be written to the binary log? Replicas would then rebuild, too, and lag.

A rebuild changes no data, so it need not be replicated. ``ALTER`` has no LOCAL form; leaving it
out of the log takes ``sql_log_bin = 0``, which needs a privilege that Matomo's account lacks.
``OPTIMIZE NO_WRITE_TO_BINLOG`` needs none on
MariaDB, OPTIMIZE_LOCAL_TABLE on MySQL since 8.3.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from matops.errors import Refused
from matops.mysql import server as servers
from matops.mysql.server import Server
from matops.mysql.session import Address, DatabaseError, Session

AUTO, WRITE, SKIP = "auto", "write", "skip"
_LOCAL = "rebuild_optimize_local"


@dataclass(frozen=True)
class Decision:
    """``why`` is stated to the operator. ``skip``: set sql_log_bin = 0; ``swap``: statements of
    ``sql/`` to be replaced by others."""

    why: str
    skip: bool = False
    swap: tuple[tuple[str, str], ...] = ()

    def statement(self, name: str) -> str:
        """The statement that stands for ``name``."""
        return dict(self.swap).get(name, name)


def decide(server: Server, wanted: str, may_skip: bool, may_local: bool) -> Decision:
    """By server, replicas and privileges. ``may_local``: OPTIMIZE may be kept out of the log.

    Refused where ``skip`` is wanted and not possible, and where known replicas would rebuild.
    """
    if not server.binlog:
        return Decision("not written to the binary log: it is off")
    if wanted == WRITE:
        return Decision("written to the binary log, as told: replicas rebuild, too, and lag")
    local = (("rebuild_optimize", _LOCAL),) if may_local else ()
    if may_skip:
        return Decision(
            "not written to the binary log (sql_log_bin = 0): replicas keep their files",
            skip=True,
            swap=local,
        )
    if may_local and (wanted == SKIP or server.replicas != 0):
        return Decision(
            "OPTIMIZE NO_WRITE_TO_BINLOG in place of ALTER: this account may not set sql_log_bin, "
            f"and replicas must not rebuild in step ({_seen(server)})",
            swap=(*local, ("rebuild_online", _LOCAL)),
        )
    if wanted == SKIP or server.replicas:
        raise Refused(
            f"this account may not keep a rebuild out of the binary log ({_seen(server)})",
            state="Nothing was changed",
            next="use an account that may (`db.privileges` says how), or --binlog write: the "
            "replicas then rebuild, too, and lag",
        )
    return Decision(
        "written to the binary log: this account may not leave it out, and "
        + (
            "no replica reads it now"
            if server.replicas == 0
            else "cannot see replicas: if there are any, they rebuild, too, and lag"
        ),
        swap=local,
    )


def _seen(server: Server) -> str:
    if server.replicas is None:
        return "whether there are any cannot be seen"
    return f"{server.replicas} replicas read it now"


def may_skip(address: Address) -> bool:
    """May this account leave statements out of the binary log? Tried on a session of its own."""
    with contextlib.suppress(DatabaseError), Session(address, timeout=10) as session:
        session.set({"sql_log_bin": 0})
        return True
    return False


def may_local(session: Session) -> bool:
    """May this account OPTIMIZE outside the binary log?"""
    return servers.allowed(session, "can_optimize_local")


def galera(server: Server, wanted: str) -> dict[str, str]:
    """Session variables for a Galera node. Refused unless the operator chose RSU.

    Under the default (TOI) an ALTER stops writes on every node of the cluster for its whole run.
    """
    if not server.galera:
        return {}
    if wanted != "rsu":
        raise Refused(
            "this server is a node of a Galera cluster, where a rebuild stops every node",
            state="Nothing was changed",
            next="--galera rsu rebuilds on this node only, which leaves the cluster's flow "
            "meanwhile; take it out of the load balancer first",
        )
    return {"wsrep_OSU_method": "RSU"}
