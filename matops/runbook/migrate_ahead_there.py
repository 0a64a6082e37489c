"""The far end of ``migrate.ahead``: a look, and the run as a detached job. Runs on the host.

In this order: the server-wide lock · what an earlier run left is settled · the choice, made anew
· the proof on the scratch database · the statements, one by one · each read back.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, PrivilegeMissing, Refused
from matops.matomo import rehearsal_base
from matops.matomo.database import Database
from matops.matomo.rehearsal import FILE, from_data
from matops.mysql import privileges, throttle
from matops.mysql import server as servers
from matops.mysql.ahead import picture, run
from matops.mysql.ahead.choose import MIN_SIZE, Choice, Live, Offered, choose, taken
from matops.mysql.ahead.grammar import NotTaken, read
from matops.mysql.ahead.picture import Picture, There
from matops.mysql.ahead.summary import Summary, Task
from matops.mysql.attempt import Stop
from matops.mysql.guard import Policy
from matops.mysql.optimize_journal import OptimizeJournal
from matops.mysql.sources import Sources
from matops.runbook import migrate_ahead_words as words
from matops.runbook.migrate_ahead_offer import offers
from matops.runbook.rehearse_there import Asked, say

JOURNAL = "ahead"
"""Folder in the installation's state folder, and the journal's name in it."""

_REASONS = {signal.SIGINT: ("Ctrl-C", 130), signal.SIGTERM: ("SIGTERM", 143)}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the operator typed. Bytes; seconds."""

    min_size: int = MIN_SIZE
    tables: tuple[str, ...] = ()
    patience: float = 600.0
    commit_wait: float = 10.0
    on_block: str = "abort"
    free_space: Optional[int] = None
    critical: Optional[int] = None
    prove_only: bool = False


def look(
    *, docroot: str, state_dir: str, release: str, offered: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Facts for the choice, as the keeper; writes nothing.

    ``{server, notes, parts, explained, prefix, sizes: {table: bytes}, there: {number: There}}``.
    ``explained``: parts of the rehearsal's fingerprint that changed by what an earlier run of
    ours did, and by nothing else. Raises Refused (Galera, read-only), DatabaseError.
    """
    parts = rehearsal_base.parts(docroot, release)
    with Database(docroot, timeout=300) as db:
        server = servers.look(db.session)
        run.refuse(server)
        _demand_alter(db, server)
        live, pictures = _live(db, server, [Offered(**each) for each in offered])
        explained = _explained(Path(state_dir), pictures)
        return {
            "server": server.shown,
            "notes": run.notes(server),
            "parts": parts,
            "explained": explained,
            "prefix": live.prefix,
            "sizes": dict(live.sizes),
            "there": {number: state.value for number, state in live.there.items()},
        }


def _demand_alter(db: Database, server: servers.Server) -> None:
    """PrivilegeMissing, with the GRANT, where Matomo's account may not alter its own tables."""
    for found in privileges.findings(db.session, server, db.address.schema):
        if found.feature.startswith("db.optimize: rebuild") and found.grant:
            raise PrivilegeMissing(
                f"Matomo's database account may not do it: {found.how}",
                state="Nothing was changed",
                next=f"paste as an administrator: {found.grant}",
            )


def _live(
    db: Database, server: servers.Server, offered: Sequence[Offered]
) -> tuple[Live, dict[str, Picture]]:
    additive = {}
    for one in offered:
        try:
            additive[one.number] = read(one.statement)
        except NotTaken:
            continue
    entries = Sources(db.address.schema, server).entries(db.session)
    sizes = {entry.name: entry.file_bytes for entry in entries}
    named = {each.table for each in additive.values()} & set(sizes)
    pictures = picture.look_all(db.session, sorted(named))
    there = {
        number: picture.there(pictures[each.table], each)
        for number, each in additive.items()
        if each.table in pictures
    }
    return Live(db.prefix, {name: sizes[name] for name in named}, there), pictures


def live_from(data: Mapping[str, Any]) -> Live:
    """From the facts of ``look``, which came as JSON."""
    there = {int(number): There(state) for number, state in data["there"].items()}
    return Live(str(data["prefix"]), dict(data["sizes"]), there)


# What an earlier run changed itself does not make the rehearsal stale.


def digest(found: Picture) -> str:
    """Stands for a table's definition in the journal."""
    text = json.dumps([list(found.columns.items()), sorted(found.keys.items()), found.options])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _explained(state_dir: Path, now: Mapping[str, Picture]) -> dict[str, str]:
    """``{"table X": the part's digest before}`` where X looks as our own statements left it."""
    found: dict[str, str] = {}
    try:
        text = (state_dir / JOURNAL / f"{JOURNAL}.jsonl").read_text(errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        if data.get("event") != "proven":
            continue
        for table, facts in data.get("tables", {}).items():
            if table in now and digest(now[table]) in facts["chain"]:
                # The first run that began from there counts: later ones began in between.
                found.setdefault(f"table {table}", facts["part"])
            else:
                found.pop(f"table {table}", None)
    return found


def _chain(tasks: Sequence[Task], parts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for task in tasks:
        part = parts.get(f"table {task.table}", "")
        one = found.setdefault(task.table, {"part": part, "chain": [digest(task.before)]})
        one["chain"].append(digest(task.after))
    return found


# The run


def go(*, asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Proves, acts, verifies; what was done as plain data. ``asked``: of the rehearsal.

    Raises Refused with what differs, Locked, PrivilegeMissing with a GRANT, OutcomeUnknown,
    MatopsError; 130/143 where it was told to stop.
    """
    of = Asked(**asked)
    flags = Wanted(**{**wanted, "tables": tuple(wanted.get("tables", ()))})
    stop = Stop()
    with Database(of.docroot, timeout=300) as db:
        address, local = db.address, db.is_local
    with _signals(stop):
        journal = OptimizeJournal(f"{of.state_dir}/{JOURNAL}", JOURNAL, "migrate.ahead")
        options = run.Options(
            policy=Policy(commit=flags.commit_wait, on_block=flags.on_block),
            limits=throttle.Limits(critical=flags.critical),
            local=local, free_space=flags.free_space, patience=flags.patience,
        )  # fmt: skip
        with journal, run.Ahead(address, options, journal, words.teller(say), stop) as ahead:
            for note in run.notes(ahead.server):
                say(f"note: {note}")
            choices = _choose(of, flags, ahead.server)
            if not taken(choices):
                return _data(Summary(), [], choices)
            proof = _prove(of, taken(choices), stop)
            for line in proof.left:
                say(f"left for the outage: {line}")
            if flags.prove_only:
                return {**_data(Summary(), proof.left, choices), "proven": len(proof.tasks)}
            parts = rehearsal_base.parts(of.docroot, of.release)
            journal.write("proven", ahead.run_id, tables=_chain(proof.tasks, parts))
            summary = ahead.run(proof.tasks)
    for line in words.way_back(summary):
        say(line)
    error = summary.error(stop.reason, stop.code)
    if error:
        raise error
    return _data(summary, proof.left, choices)


def _choose(of: Asked, flags: Wanted, server: servers.Server) -> list[Choice]:
    """Anew, for what an earlier run had left may have ended meanwhile."""
    rehearsed = from_data(json.loads((Path(of.state_dir) / FILE).read_text()))
    offered = offers(rehearsed)
    with Database(of.docroot, timeout=300) as db:
        live, _ = _live(db, server, offered)
    return choose(offered, live, min_size=flags.min_size, tables=flags.tables)


def _prove(of: Asked, choices: Sequence[Choice], stop: Stop) -> Any:
    # Imported late: the look is to stay quick, and knows nothing of the staged console.
    from matops.runbook.migrate_ahead_prove import Proof

    proof = Proof(of, choices)
    try:
        with _breaking_off(stop):
            proof.go()
    except KeyboardInterrupt:
        raise stopped(stop) from None
    return proof


@contextmanager
def _breaking_off(stop: Stop) -> Iterator[None]:
    """While nothing live is at work a signal breaks off at once: the copies are removed."""

    def handle(number: int, frame: Optional[object]) -> None:
        del frame
        stop.ask(*_REASONS[signal.Signals(number)])
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in _REASONS}
    try:
        if stop.reason:
            raise KeyboardInterrupt
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped(stop: Stop) -> MatopsError:
    """Told to stop before anything live was changed."""
    error = MatopsError(
        f"stopped: {stop.reason}", state="Nothing live was changed", next="run the same again"
    )
    error.code = stop.code
    return error


def _data(summary: Summary, left: Sequence[str], choices: Sequence[Choice]) -> dict[str, Any]:
    return {
        "results": [result.data() for result in summary.results],
        "undo": words.way_back(summary),
        "left_for_the_outage": list(left),
        "choices": [choice.data() for choice in choices],
    }


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """Ctrl-C and SIGTERM (jobs.stop) are asked for, so that the statement is cancelled on the
    server, and the scratch database removed."""

    def handle(number: int, frame: Optional[object]) -> None:
        del frame
        stop.ask(*_REASONS[signal.Signals(number)])

    before = {number: signal.signal(number, handle) for number in _REASONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["Refused", "Wanted", "go", "look"]
