"""What is typed behind ``db.optimize``: its flags, their help, and what they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Callable, Optional

from matops.errors import UsageError
from matops.mysql import binlog, choose, throttle, treatments, window
from matops.mysql.guard import ABORT, KILL_IDLE, WAIT, Policy
from matops.mysql.session import Address
from matops.mysql.work import Options
from matops.tasks.desk import one_of
from matops.units import parse_duration, parse_size

NAME = "db.optimize"
FLAGS = {
    "tables": "only these, by full name, with commas; no family or prefix is looked at",
    "family": "only these families, with commas: log, archive_blob, archive_numeric, …",
    "all": "every table of the schema, not only Matomo's",
    "min-gain": "a table must promise to free at least this share and this much; 0 = everything",
    "until": "start nothing that would not be finished by then: 05:30 (the host's zone), 05:30Z",
    "for": "start nothing that would not be finished within: 6h",
    "statement": "alter (refuses to block), or optimize (OPTIMIZE TABLE)",
    "on-block": "when clients pile up at the commit for --commit-wait: wait, abort, or kill-idle",
    "commit-wait": "how long clients may wait at the commit, for a lock that somebody else holds",
    "idle": "kill-idle: a transaction idle for so long may be ended, if it changed little",
    "patience": "how long a table that somebody holds is waited for",
    "allow-blocking": "also do what blocks its writers: FULLTEXT, MyISAM, partition by partition",
    "one-partition-at-a-time": "needs the space of one partition only, but blocks writers",
    "galera": "rsu: rebuild on a Galera node, on this node only",
    "binlog": "auto, write or skip: whether replicas are to rebuild, too",
    "free-space": "bytes free on the database's machine, where nothing can tell: 200GB",
    "replicas": "HOST[:PORT] of replicas to watch, with commas; asked with Matomo's account",
    "max-lag": "pause between tables while a replica is further behind; 0 = never",
    "max-load": "pause between tables while more statements run (Threads_running)",
    "max-history": "pause between tables while the history list is longer; 0 = never",
    "critical-load": "cancel a rebuild under way while more statements run",
    "purge-wait": "how long to wait for purge before measuring",
    "json-lines": "append every event to this file, not to state_dir/…/optimize/events-TIME.jsonl",
    "quiet": "say nothing unless something is wrong: for cron",
}


def words(flags: dict[str, Any]) -> list[str]:
    """The same command for the host: only what differs from nothing. Pure."""
    found = [NAME]
    for key, value in flags.items():
        flag = "--" + key.strip("_").replace("_", "-")
        if value is True:
            found.append(flag)
        elif value not in ("", False):
            found += [flag, str(value)]
    return found


Make = Callable[[Address, str, bool], Options]


def parse(flags: dict[str, Any]) -> Make:
    """Makes options of an address, a table prefix, and whether it is local. UsageError."""
    named = tuple(name for name in flags["tables"].split(",") if name)
    families = [name.strip() for name in flags["family"].split(",") if name.strip()]
    given: Optional[int] = None
    if flags["free_space"]:
        given = parse_size(flags["free_space"], "--free-space")
    policy = Policy(
        commit=parse_duration(flags["commit_wait"], "--commit-wait"),
        on_block=one_of(flags["on_block"], (WAIT, ABORT, KILL_IDLE), "on-block"),
        idle=parse_duration(flags["idle"], "--idle"),
    )
    how = treatments.Options(
        one_of(flags["statement"], ("alter", "optimize"), "statement"),
        flags["allow_blocking"],
        flags["one_partition_at_a_time"],
    )
    limits = throttle.Limits(
        lag=float(_seconds(flags["max_lag"], "--max-lag")) or None,
        running=throttle.count(flags["max_load"], "--max-load"),
        history=throttle.count(flags["max_history"], "--max-history") or None,
        critical=throttle.count(flags["critical_load"], "--critical-load"),
    )
    one_of(flags["binlog"], (binlog.AUTO, binlog.WRITE, binlog.SKIP), "binlog")
    one_of(flags["galera"], ("", "rsu"), "galera")
    least = choose.parse_min_gain(flags["min_gain"])
    open_for = window.parse(flags["until"], flags["for_"])
    hosts = _hosts(flags["replicas"])
    seconds = {
        "purge_wait": _seconds(flags["purge_wait"], "--purge-wait"),
        "patience": _seconds(flags["patience"], "--patience"),
    }

    def make(address: Address, prefix: str, local: bool) -> Options:
        return Options(
            tables=named,
            starts=_starts(families, prefix, flags["all"]),
            least=least,
            how=how,
            policy=policy,
            limits=limits,
            window=open_for,
            replicas=[_at(address, host, port) for host, port in hosts],
            galera=flags["galera"],
            binlog=flags["binlog"],
            free_space=given,
            local=local,
            purge_wait=seconds["purge_wait"],
            patience=seconds["patience"],
            dry_run=flags["dry_run"],
        )

    return make


def _seconds(text: str, flag: str) -> int:
    return 0 if text == "0" else parse_duration(text, flag)


def _starts(families: Sequence[str], prefix: str, all: bool) -> tuple[str, ...]:
    if families:
        return tuple(f"{prefix}{family.rstrip('_')}_" for family in families)
    return ("",) if all else (prefix,)


def _hosts(text: str) -> list[tuple[str, int]]:
    found = []
    for part in filter(None, text.split(",")):
        host, _, port = part.strip().rpartition(":") if ":" in part else (part.strip(), "", "")
        if port and not port.isdigit():
            raise UsageError(f"--replicas: '{part}' is not HOST or HOST:PORT")
        found.append((host, int(port or 3306)))
    return found


def _at(address: Address, host: str, port: int) -> Address:
    return dataclasses.replace(address, host=host, port=port, socket="")
