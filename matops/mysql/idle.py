"""Who holds a table, in words; and who of them may be ended to let a commit through."""

from __future__ import annotations

from collections.abc import Callable

from matops.mysql import locks
from matops.mysql.guard import Policy
from matops.mysql.locks import Holder
from matops.mysql.server import Server
from matops.mysql.session import AccessDenied, Session
from matops.units import show_duration


def age(holder: Holder) -> float:
    """Seconds since it may have taken the lock: its transaction's age, or its statement's."""
    return max(holder.trx_seconds or 0.0, holder.seconds)


def describe(holder: Holder) -> str:
    """``connection 7 (matomo@10.0.0.5), idle 30 s in a transaction of 60 s, 0 rows changed``."""
    what = f"idle {show_duration(holder.seconds)}" if holder.idle else holder.command.lower()
    words = [f"connection {holder.id} ({holder.user}@{holder.host}), {what}"]
    if holder.trx_seconds is not None:
        words.append(f"in a transaction of {show_duration(holder.trx_seconds)}")
    if holder.rows_changed:
        words.append(f"{holder.rows_changed} rows changed")
    if holder.lock_tables:
        words.append("by LOCK TABLES")
    if holder.statement:
        words.append(f"running {holder.statement[:120]}")
    return ", ".join(words)


def name(holder: Holder) -> str:
    """The same without what changes from second to second: for the report."""
    how = "LOCK TABLES" if holder.lock_tables else "idle" if holder.idle else holder.command.lower()
    text = f": {holder.statement[:120]}" if holder.statement else ""
    return f"connection {holder.id} ({holder.user}@{holder.host}), {how}{text}"


def may_end(holder: Holder, policy: Policy) -> bool:
    """Old, idle and light, and nothing else: the rule of ``kill-idle``. Pure.

    Unknown is no: without its transaction's figures nobody is ended.
    """
    return (
        holder.idle
        and not holder.replication
        and not holder.lock_tables
        and holder.trx_seconds is not None
        and holder.trx_seconds >= policy.idle
        and holder.seconds >= policy.idle
        and holder.rows_changed is not None
        and holder.rows_changed <= policy.rows
        and holder.weight is not None
        and holder.weight <= policy.weight
    )


def end(
    session: Session,
    server: Server,
    table: str,
    own: int,
    policy: Policy,
    last: Callable[[Session, int], str],
) -> list[str]:
    """Ends those that may be ended, looked at in this very moment; what was done, in words.

    ``own``: the connection that rebuilds. ``last`` tells the last statement of a connection,
    for the report. Raises DatabaseError.
    """
    done = []
    for holder in locks.holders(session, server, session.address.schema, table, own):
        if not may_end(holder, policy):
            continue
        words = f"{describe(holder)}; last statement: {last(session, holder.id) or 'not known'}"
        try:
            if session.kill_connection(holder.id):
                done.append(words)
        except AccessDenied:
            return done
    return done
