"""``db.optimize``: rebuilds the tables that are worth it, without stopping their clients."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from matops.errors import Refused
from matops.matomo.database import Database
from matops.matomo.site import Site
from matops.mysql import treatments
from matops.mysql.attempt import Stop
from matops.mysql.guard import ABORT
from matops.mysql.optimize import Optimize
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.session import Address
from matops.mysql.summary import Summary
from matops.report import optimize as voice
from matops.runbook import database_space
from matops.runbook.there import run_there
from matops.tasks.desk import DRY_HELP, JSON_HELP, LOCAL_HELP, Desk, is_remote, operation
from matops.tasks.optimize_flags import FLAGS, NAME, Make, parse, words
from matops.units import compact_time, show_size, utc_now


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
            flags["free_space"] = str(free_on_db_host(desk, site))
        _there(desk, site, words(flags), json, dry_run)
        return
    with Database(site.docroot) as database:
        place = f"{site.state_dir}/optimize"
        run_here(desk, database.address, database.prefix, database.is_local, place, make,
                 quiet=quiet, json_lines=json_lines)  # fmt: skip


def _there(desk: Desk, site: Site, words: list[str], json: bool, dry_run: bool) -> None:
    running = site.jobs.latest(NAME)
    attach = running.name if running and running.state == "running" and not dry_run else ""
    if attach:
        desk.say(f"job {attach} is at work already; following it")
    run_there(site, NAME, [*words, *(["--json"] if json else [])], write=desk.write, attach=attach)


def free_on_db_host(desk: Desk, site: Site) -> int:
    """Bytes free where the database keeps its tables, on the machine of the setting db_host."""
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


def _show(desk: Desk, summary: Summary, dry_run: bool) -> None:
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

    # nohup and a shell's & have some ignored already: so they stay.
    heard = [number for number in reasons if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
