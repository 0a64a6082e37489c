"""``db.optimize``: rebuilds the tables that are worth it, without stopping their clients."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from matops.errors import Refused, UsageError
from matops.matomo.database import Database
from matops.matomo.site import Site
from matops.mysql import binlog, choose, throttle, treatments, window
from matops.mysql.attempt import Stop
from matops.mysql.guard import ABORT, KILL_IDLE, WAIT, Policy
from matops.mysql.optimize import Optimize
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.session import Address
from matops.mysql.work import Options
from matops.report import optimize as voice
from matops.runbook import database_space
from matops.runbook.there import run_there
from matops.tasks.desk import DRY_HELP, JSON_HELP, LOCAL_HELP, Desk, is_remote, one_of, operation
from matops.units import compact_time, parse_duration, show_size, utc_now

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


@operation(help={**FLAGS, "dry-run": DRY_HELP, "json": JSON_HELP, "local": LOCAL_HELP})
def optimize(
    c: Any,
    tables: str = "",
    family: str = "",
    all: bool = False,
    min_gain: str = "20%,100MB",
    until: str = "",
    for_: str = "",
    statement: str = "alter",
    on_block: str = ABORT,
    commit_wait: str = "10s",
    idle: str = "10s",
    patience: str = "10m",
    allow_blocking: bool = False,
    one_partition_at_a_time: bool = False,
    galera: str = "",
    binlog: str = "auto",
    free_space: str = "",
    replicas: str = "",
    max_lag: str = "60s",
    max_load: str = "",
    max_history: str = "5000000",
    critical_load: str = "",
    purge_wait: str = "60s",
    json_lines: str = "",
    quiet: bool = False,
    dry_run: bool = False,
    json: bool = False,
    local: bool = False,
) -> None:
    """Rebuild the tables that deletes have hollowed out, one by one, under a guard.

    Clients go on reading and writing; when they would have to wait, the rebuild gives way. A
    stopped run goes on where it was. Example: fab -H web1 db.optimize --until 05:30
    """
    flags = {key: value for key, value in locals().items() if key not in ("c", "json", "local")}
    make = parse(flags)  # typing errors show before anything is asked
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    if is_remote(c):
        if site.settings.db_host and not free_space and not site.database_is_local:
            flags["free_space"] = str(_free_on_db_host(desk, site))
        _there(desk, site, words(flags), json, dry_run)
        return
    with Database(site.docroot) as database:
        place = f"{site.state_dir}/optimize"
        run_here(desk, database.address, database.prefix, database.is_local, place, make,
                 quiet=quiet, json_lines=json_lines)  # fmt: skip


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


def _there(desk: Desk, site: Site, words: list[str], json: bool, dry_run: bool) -> None:
    running = site.jobs.latest(NAME)
    attach = running.name if running and running.state == "running" and not dry_run else ""
    if attach:
        desk.say(f"job {attach} is at work already; following it")
    run_there(site, NAME, [*words, *(["--json"] if json else [])], write=desk.write, attach=attach)


def _free_on_db_host(desk: Desk, site: Site) -> int:
    from fabric import Connection

    from matops.host.shell import Host
    from matops.host.ssh import SshLink

    name = site.settings.db_host
    link = SshLink(Connection(name, config=desk.context.config), site.settings.connect_timeout)
    host = Host(link, sudo=False, timeout=site.settings.command_timeout)
    folder = str(site.ask("runbook.database_space:data_folder"))
    free = database_space.free_bytes(host, folder)
    desk.say(f"{name}: {show_size(free)} free in {folder}")
    return free


Make = Callable[[Address, str, bool], Options]


def parse(flags: dict[str, Any]) -> Make:
    """Makes options of an address, a table prefix, and whether it is local. UsageError."""
    named = tuple(name for name in flags["tables"].split(",") if name)
    families = [name.strip() for name in flags["family"].split(",") if name.strip()]
    given = voice.optional_size(flags["free_space"])
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
    from dataclasses import replace

    return replace(address, host=host, port=port, socket="")


def run_here(
    desk: Desk,
    address: Address,
    prefix: str,
    local: bool,
    place: str,
    make: Make,
    *,
    quiet: bool = False,
    json_lines: str = "",
) -> None:
    """Runs on this machine, to its end. ``place``: folder of the journal. MatopsError."""
    stop = Stop()
    options = make(address, prefix, local)
    events = json_lines or ("" if options.dry_run else _events_file(place))
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(OptimizeJournal(place, journal_name(address)))
        heard = voice.Voice(desk.say, lambda: stop.ask("the terminal went away", 129),
                            quiet=quiet, json_lines=events)  # fmt: skip
        stack.callback(heard.close)
        stack.enter_context(stop_on_signals(stop))
        summary = Optimize(address, options, journal, heard.tell, stop).run()
    error = summary.error(stop.reason, stop.code)
    named_left = [ch for ch in summary.choices if ch.table in options.tables
                  and ch.treatment.how == treatments.LEFT]  # fmt: skip
    if not quiet or error:
        _show(desk, summary, options.dry_run)
    if error:
        raise error
    if named_left:
        raise Refused(
            f"{treatments.shown(named_left[0].table)} was not rebuilt: {named_left[0].why}",
            state=f"{len(summary.done)} tables were rebuilt",
        )


def _events_file(place: str) -> str:
    """Where this run's events go; those of the last thirty runs are kept."""
    for old in sorted(Path(place).glob("events-*.jsonl"))[:-29]:
        with contextlib.suppress(OSError):
            old.unlink()
    return f"{place}/events-{compact_time(utc_now())}.jsonl"


def _show(desk: Desk, summary: Any, dry_run: bool) -> None:
    data = {
        "choices": [
            {"table": ch.table, "chosen": ch.chosen, "why": ch.why, "file_bytes": ch.file_bytes,
             "predicted_bytes": ch.predicted, "error_bytes": ch.error, "method": ch.method}
            for ch in summary.choices
        ],
        "results": [r.data() for r in summary.results],
        "summary": summary.data(),
    }  # fmt: skip
    if dry_run or not summary.results:
        desk.show(data, voice.CHOICE_HEADERS, voice.choice_rows(summary.choices))
        return
    if not desk.json:
        desk.say("")
        desk.say(voice.closing_line(summary))
    desk.show(data, voice.RESULT_HEADERS, voice.result_rows(summary))


def journal_name(address: Address) -> str:
    """Stands for one server and schema in file names."""
    where = address.socket or f"{address.host}:{address.port}"
    digest = hashlib.sha256(f"{where}/{address.schema}".encode()).hexdigest()[:10]
    return f"{''.join(ch if ch.isalnum() else '-' for ch in address.schema)}-{digest}"


@contextlib.contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a terminal that goes away ask ``stop``; the statement is cancelled on
    the server by whoever watches it. A closed connection alone would leave it running there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reasons = {
        signal.SIGINT: ("Ctrl-C", 130),
        signal.SIGTERM: ("SIGTERM", 143),
        signal.SIGHUP: ("the terminal went away", 129),
    }

    def handle(number: int, frame: Optional[object]) -> None:
        del frame
        stop.ask(*reasons[signal.Signals(number)])

    before = {number: signal.signal(number, handle) for number in reasons}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
