"""The rehearsal itself, from the first look to the last: runs on the host, as a detached job.

In this order, and each step undone by itself: lock · clear what a killed run left · picture of
the live side · scratch database · account · private copy of the stage · proofs · migrations ·
verdicts · all removed · picture of the live side again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matops.errors import Locked, MatopsError
from matops.matomo import ini, live_watch, rehearsal_base, staged_config
from matops.matomo.database import Database
from matops.matomo.rehearsal import Rehearsal, save
from matops.matomo.staged_console import StagedConsole
from matops.matomo.staged_php import OPTION
from matops.matomo.staged_tree import StagedTree, WebUser, own_plugins
from matops.mysql import server as servers
from matops.mysql.scratch import account, rows, shapes
from matops.mysql.scratch.database import Scratch
from matops.mysql.session import ConnectionCut, NotReachable, Session
from matops.runbook import rehearse_notes, rehearse_update
from matops.runbook.rehearse_look import maker
from matops.runbook.rehearse_notes import text_of
from matops.units import show_duration

_TOLD = 10  # seconds between two words about a long copy
_RESTART = 60  # seconds that a server which was restarted may take to come back


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the rehearsal is made of. Paths are this host's."""

    docroot: str
    web_user: str
    php: str
    stage: str
    """The stage's folder; ``matomo/`` in it is the tree."""
    release: str
    """``rehearsal_base.release_key``."""
    to_version: str
    retired: Sequence[str]
    """Plugins that came with the live release."""
    state_dir: str
    login: str = ""
    timeout: float = 3600
    """Seconds that core:update may take on the empty copy."""


def run(**asked: Any) -> dict[str, Any]:
    """Rehearses and saves the result in ``state_dir``; ``{"at": …}`` tells which it is.

    A migration that fails is a result, not an error. Raises Refused, Locked, PrivilegeMissing
    with a GRANT, OutcomeUnknown, MatopsError; nothing stays then but the line of the error.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # jobs.stop: clean up first
    found = Run(Asked(**asked)).go()
    save(asked["state_dir"], found)
    return {"at": found.at}


def say(line: str) -> None:
    """A line for whoever follows the job."""
    print(line, file=sys.stderr, flush=True)


class Run:
    """One rehearsal at work. A proof of more than that overrides ``inside``."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.proofs: list[str] = []
        self.notes: list[str] = [rehearse_notes.BLIND]

    def go(self) -> Rehearsal:
        """From the first look to the last."""
        web_user = WebUser(self.asked.web_user)
        web_user.demand()
        began = time.time()
        with contextlib.ExitStack() as stack:
            db = stack.enter_context(Database(self.asked.docroot, timeout=600))
            server = servers.look(db.session)
            self.notes += rehearse_notes.server(server)
            parts = rehearsal_base.parts(self.asked.docroot, self.asked.release)
            # ``db.session`` only looks at the live side; the maker's does the rest.
            as_whom = maker(db, server, self.asked.login)
            session = stack.enter_context(Session(as_whom, timeout=600))
            scratch = Scratch(session, db.address.schema, db.prefix)
            tree = StagedTree(Path(self.asked.stage).parent / scratch.name, web_user)
            scratch.lock()
            stack.callback(scratch.unlock)
            self._clear(scratch, tree)
            live = shapes.look(db.session, db.address.schema, db.prefix)
            before = live_watch.look(db, self.asked.docroot, live)
            try:
                result = self.inside(db, scratch, tree, live)
            except ConnectionCut as error:
                error.state = "Nothing live was changed"
                error.next = "run this again: it clears what is left first"
                raise
            finally:
                self._remove(scratch, tree)
            db.session.reconnect()  # idle all the while: the server may have cut it
            after = live_watch.look(
                db, self.asked.docroot, shapes.look(db.session, db.address.schema, db.prefix)
            )
        difference = live_watch.compare(before, after, db.prefix)
        self._judge(difference)
        return dataclasses.replace(
            result,
            at=began,
            seconds=round(time.time() - began, 1),
            server=server.shown,
            schema=db.address.schema,
            prefix=db.prefix,
            from_version=parts["the installed version"],
            tables=len(live.tables),
            proofs=self.proofs,
            notes=[*self.notes, *result.notes],
            live_changes=list(difference.others),
            parts=parts,
            fingerprint=rehearsal_base.fingerprint(parts),
        )

    # --- before ------------------------------------------------------------------------------

    def _clear(self, scratch: Scratch, tree: StagedTree) -> None:
        left = tree.clear()
        scratch.remove_left()
        left += scratch.left
        left += [f"the account {scratch.name}@{host}" for host in account.remove(scratch)]
        for line in left:
            say(f"removed, left by a run that was killed: {line}")

    # --- inside ------------------------------------------------------------------------------

    def inside(
        self, db: Database, scratch: Scratch, tree: StagedTree, live: shapes.Schema
    ) -> Rehearsal:
        """What is done in the scratch database. All of it is removed, however it ends."""
        scratch.create()
        self.copy(scratch, live)
        console_address = account.make(scratch, db.address)
        self._about_account(db, scratch, console_address)
        console = self.console(db, scratch, tree, console_address)
        self.prove(db, scratch, console)
        before = console.local_config()
        result = rehearse_update.rehearse(
            console, scratch, timeout=self.asked.timeout, say=say, to_version=self.asked.to_version
        )
        blocked = console.blocked()
        if blocked:
            hosts = ", ".join(f"{host} ({count})" for host, count in blocked.items())
            self.notes.append(f"requests that were held back: {hosts}")
        return dataclasses.replace(
            result,
            stage=self.asked.stage,
            config_changes=staged_config.changes(
                before, console.local_config(), text_of(tree.config / "global.ini.php")
            )
            if result.ok
            else [],
        )

    def copy(self, scratch: Scratch, live: shapes.Schema) -> None:
        """Fills the scratch database: empty tables, small rows, the sentinel. DatabaseError."""
        began = told = time.monotonic()

        def tell(count: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= _TOLD:
                left = (now - began) / count * (len(live.tables) - count)
                say(f"{count} of {len(live.tables)} tables, about {show_duration(left)} left")
                told = now

        scratch.copy_tables(live.tables, tell)
        copied = rows.copy_rows(scratch, live.tables.values())
        rows.plant(scratch, OPTION)
        self.notes += copied.left
        self.notes += rehearse_notes.tables(live)
        seconds = time.monotonic() - began
        say(f"an empty copy of {len(live.tables)} tables and {sum(copied.rows.values())} small "
            f"rows in {scratch.name} ({show_duration(seconds)})")  # fmt: skip

    def _about_account(self, db: Database, scratch: Scratch, made: Any) -> None:
        if made is not None:
            self.proofs.append(
                f"the staged console had an account of its own with rights on {scratch.name} only; "
                f"the server refused it {db.address.schema}"
            )
            return
        self.proofs.append("no account of its own could be made (needs CREATE USER, or --login "
                           "root): the staged console used Matomo's")  # fmt: skip

    def console(self, db: Database, scratch: Scratch, tree: StagedTree, made: Any) -> StagedConsole:
        """The private copy of the stage, with its console. ``made``: the throw-away account."""
        docroot, source = Path(self.asked.docroot), Path(self.asked.stage) / "matomo"
        plugins = own_plugins(docroot, source, self.asked.retired)
        tree.make(source, plugins)
        if plugins:
            say(f"with the plugins {', '.join(path.name for path in plugins)}")
        database = {"dbname": scratch.name}
        if made is not None:
            database.update(username=made.user, password=made.password)
        texts = [text_of(docroot / "config" / name)
                 for name in ("config.ini.php", "common.config.ini.php")]  # fmt: skip
        commands = ini.text_of(db.config, "General", "always_load_commands_from_plugin")
        local, common = staged_config.private(texts[0], texts[1], commands, database)
        console = StagedConsole(tree, self.asked.php)
        console.equip(local, common)
        self.notes += rehearse_notes.configuration(docroot, texts)
        self.notes += rehearse_notes.new_plugins(db.config, source)
        return console

    def prove(self, db: Database, scratch: Scratch, console: StagedConsole) -> None:
        """The sentinel is where it must be, and nowhere else. Refused, MatopsError."""
        live = db.session.value("option_read", (OPTION,), option=db.table("option"))
        if live is not None:
            raise MatopsError(
                f"the live database has an option {OPTION}, which only a copy may have",
                state="Nothing was run",
                next=f"find out who wrote it; then DELETE FROM {db.table('option')} WHERE "
                f"option_name = '{OPTION}'",
            )
        self.proofs += console.prove(schema=scratch.name, token=scratch.token, prefix=db.prefix)
        for line in self.proofs:
            say(f"proof: {line}")

    # --- after -------------------------------------------------------------------------------

    def _remove(self, scratch: Scratch, tree: StagedTree) -> None:
        """Everything, whatever fails first: what could not be removed is named."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would leave half of it
        try:
            _come_back(scratch)
        except Locked:  # the connection was cut: the next run has cleared ours away
            say("another run has begun meanwhile and removed what this one had made")
            return
        except MatopsError:
            pass  # the database is down: what that leaves is told below
        troubles = []
        for remove in (tree.clear, scratch.drop, lambda: account.remove(scratch)):
            try:
                remove()
            except MatopsError as error:
                troubles.append(error.line())
        if troubles:
            say(f"NOT removed: {'; '.join(troubles)}")
            self.notes.append(f"not removed: {'; '.join(troubles)}")

    def _judge(self, difference: live_watch.Difference) -> None:
        if not difference.serious:
            self.proofs.append(
                "before and after: the live schema, the versions of all components, the "
                "configuration and every file of the docroot are the same"
            )
            return
        raise MatopsError(
            f"the live installation changed during the rehearsal: {'; '.join(difference.serious)}",
            state="The rehearsal's own database and folder are removed; its result was not kept",
            next="find out who did that (another operator, an update, a plugin; a migration in "
            "PHP that names the live database itself), then rehearse again",
        )


def _come_back(scratch: Scratch) -> None:
    """The lock is ours, on a server that answers. Locked, DatabaseError: it does not come back."""
    until = time.monotonic() + _RESTART
    while True:
        try:
            return scratch.hold()
        except NotReachable:
            if time.monotonic() > until:
                raise
            time.sleep(1)
