"""Should a rebuild be written to the binary log? Replicas would then rebuild, too, and lag.

A rebuild changes no data, so it need not be replicated. ``ALTER`` has no LOCAL form; leaving it
out of the log takes ``sql_log_bin = 0``, which needs a privilege that Matomo's account lacks.
``OPTIMIZE NO_WRITE_TO_BINLOG`` needs none.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from matops.errors import Refused
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


def decide(server: Server, wanted: str, may_skip: bool) -> Decision:
    """By server, replicas and privileges. Refused where ``skip`` is wanted and not possible."""
    local = (("rebuild_optimize", _LOCAL),)
    if not server.binlog:
        return Decision("not written to the binary log: it is off", swap=local)
    if wanted == WRITE:
        return Decision("written to the binary log, as told: replicas rebuild, too, and lag")
    if may_skip:
        return Decision("not written to the binary log (sql_log_bin = 0): replicas keep their own "
                        "files as they are", skip=True, swap=local)  # fmt: skip
    if wanted == SKIP:
        raise Refused(
            "this account may not set sql_log_bin = 0",
            state="Nothing was changed",
            next="leave out --binlog skip, or GRANT it (`db.privileges` says how)",
        )
    if server.replicas == 0:
        return Decision("written to the binary log (a few hundred bytes; this account may not "
                        "leave it out): no replica reads it now", swap=local)  # fmt: skip
    seen = (
        "replicas cannot be counted" if server.replicas is None else f"{server.replicas} replicas"
    )
    return Decision(
        f"OPTIMIZE NO_WRITE_TO_BINLOG in place of ALTER: {seen}, and this account may not set "
        "sql_log_bin; replicas must not rebuild in step",
        swap=(*local, ("rebuild_online", _LOCAL)),
    )


def may_skip(address: Address) -> bool:
    """May this account leave statements out of the binary log? Tried on a session of its own."""
    with contextlib.suppress(DatabaseError), Session(address, timeout=10) as session:
        session.set({"sql_log_bin": 0})
        return True
    return False


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
