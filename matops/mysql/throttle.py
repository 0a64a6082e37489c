"""Named signals of load: what makes us pause between tables, and what cancels a rebuild."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from matops.errors import UsageError
from matops.mysql import server as servers
from matops.mysql.session import Address, DatabaseError, Session
from matops.units import show_duration

_LAG = ("Seconds_Behind_Source", "Seconds_Behind_Master")


@dataclass(frozen=True)
class Limits:
    """None = this signal is not looked at. ``lag`` in seconds; the others are counts.

    ``running``, ``history``: pause above. ``critical``: statements running at which a rebuild
    under way is cancelled.
    """

    lag: Optional[float] = 60.0
    running: Optional[int] = None
    history: Optional[int] = 5_000_000
    critical: Optional[int] = None


@dataclass(frozen=True)
class Load:
    """One reading. None = cannot be known (or was not asked)."""

    running: Optional[int] = None
    history: Optional[int] = None
    lags: tuple[tuple[str, Optional[float]], ...] = ()
    """(replica, seconds behind; None = replication stands, or the replica does not answer)."""


def look(session: Session, replicas: Sequence[Address] = ()) -> Load:
    """Reads the signals: a few small statements, and one connection to each replica."""
    lags = [lag for lag in [own_lag(session)] if lag]
    lags += [replica_lag(address) for address in replicas]
    return Load(threads_running(session), servers.history_length(session), tuple(lags))


def threads_running(session: Session) -> int:
    """Statements that run right now; ours are among them."""
    rows = session.rows("threads_running")
    return int(rows[0]["Value"]) if rows else 0


def own_lag(session: Session) -> Optional[tuple[str, Optional[float]]]:
    """Where this server is a replica itself; None where it is none or may not be asked."""
    try:
        rows = session.rows("replication_status")
    except DatabaseError:
        return None
    return ("this server", _seconds(rows[0])) if rows else None


def replica_lag(address: Address) -> tuple[str, Optional[float]]:
    """A replica that does not answer counts as lagging: the check fails closed."""
    name = address.socket or f"{address.host}:{address.port}"
    try:
        with Session(address, timeout=5) as session:
            rows = session.rows("replication_status")
    except DatabaseError:
        return name, None
    return name, _seconds(rows[0]) if rows else None


def _seconds(row: dict[str, object]) -> Optional[float]:
    values = [row[key] for key in _LAG if key in row]
    return float(str(values[0])) if values and values[0] is not None else None


def why_pause(load: Load, limits: Limits) -> str:
    """Why no table should be started now; '' where one may. Pure."""
    if limits.running is not None and (load.running or 0) > limits.running:
        return f"{load.running} statements run, more than {limits.running} (--max-load)"
    if limits.history is not None and (load.history or 0) > limits.history:
        return f"history list {load.history}, more than {limits.history} (--max-history)"
    for name, lag in load.lags:
        if limits.lag is None:
            break
        if lag is None:
            return f"replica {name}: replication stands or cannot be asked"
        if lag > limits.lag:
            return f"replica {name} is {show_duration(lag)} behind (--max-lag)"
    return ""


def why_cancel(running: int, limits: Limits) -> str:
    """Why a rebuild under way is cancelled; '' where it goes on. Pure."""
    if limits.critical is not None and running > limits.critical:
        return f"{running} statements run, more than {limits.critical} (--critical-load)"
    return ""


def count(text: str, flag: str) -> Optional[int]:
    """A limit as typed: a whole number, also ``Threads_running=50``; None for ''. UsageError."""
    if not text:
        return None
    found = re.fullmatch(r"(?:threads_running=)?(\d+)", text.strip(), re.IGNORECASE)
    if not found:
        raise UsageError(f"{flag}: '{text}' is not a whole number")
    return int(found[1])
