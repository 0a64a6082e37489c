"""What a run of ``db.optimize`` cannot see on this server, said before it begins."""

from __future__ import annotations

from matops.mysql import locks
from matops.mysql.guard import KILL_IDLE
from matops.mysql.server import Server
from matops.mysql.work import Options


def blind_spots(server: Server, options: Options) -> list[str]:
    """What this server and account do not show, and what is done instead. Pure."""
    notes = []
    if not locks.visible(server):
        probe, how = "attempts are cut off after half a second", ""
        if server.flavour == "mariadb":
            probe = "each attempt is preceded by a probe that does not queue"
            how = f"; {locks.INSTALL_PLUGIN} on the server shows them"
        notes.append(f"holders of metadata locks cannot be seen: {probe}{how}")
    if not server.process:
        notes.append(
            "other accounts' clients cannot be seen (no PROCESS): every wait counts as a pile-up"
        )
    if options.policy.on_block == KILL_IDLE and not (locks.visible(server) and server.process):
        notes.append("kill-idle works like abort here: idle transactions cannot be told apart")
    return notes
