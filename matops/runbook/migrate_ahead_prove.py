"""The proof of ``migrate.ahead``, on the scratch database: nothing live is touched.

1. a plain upgrade of an empty copy: what the schema must end as;
2. a fresh copy with the chosen statements applied, each with its algorithm said: the live code
   tracks a visit and an order there, and reports them;
3. the staged release's core:update on that copy finishes, a second one finds nothing to do, and
   every table, and every component's version, is as after the plain upgrade.

Any difference is a refusal that names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from matops.errors import Refused
from matops.matomo import ini, staged_config
from matops.matomo.database import Database
from matops.matomo.live_copy import LiveTree, OldCode
from matops.matomo.rehearsal import SQL, Migration, Rehearsal
from matops.matomo.staged_console import StagedConsole
from matops.matomo.staged_tree import StagedTree
from matops.mysql import ddl
from matops.mysql.ahead import picture
from matops.mysql.ahead.choose import Choice
from matops.mysql.ahead.picture import Picture
from matops.mysql.ahead.prepare import prepare
from matops.mysql.ahead.summary import Task
from matops.mysql.scratch import account, shapes
from matops.mysql.scratch.database import Scratch
from matops.mysql.scratch.names import SENTINEL
from matops.mysql.session import Address, Session
from matops.runbook import rehearse_update
from matops.runbook.rehearse_notes import text_of
from matops.runbook.rehearse_there import Asked, Run, say

_NOTHING = "Nothing live was changed"
_FIRST = ("0123456789abcdef", "192.0.2.77")  # a visitor, and an address of no one (RFC 5737)
_SECOND = ("fedcba9876543210", "192.0.2.78")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How an upgrade of a copy ended: tables, components' versions, what was run."""

    tables: dict[str, Picture]
    versions: dict[str, str]
    migrations: list[Migration]


class Proof(Run):
    """Two rehearsals and the live code between them. ``tasks`` and ``left`` after ``go``."""

    def __init__(self, asked: Asked, choices: Sequence[Choice]) -> None:
        super().__init__(asked)
        self._choices = choices
        self.tasks: list[Task] = []
        """What is run on the live schema, text for text."""
        self.left: list[str] = []
        """What core:update will still do to the chosen tables in the outage, a line each."""

    def inside(
        self, db: Database, scratch: Scratch, tree: StagedTree, live: shapes.Schema
    ) -> Rehearsal:
        say("1. a plain upgrade of an empty copy")
        scratch.create()
        self.copy(scratch, live)
        made = account.make(scratch, db.address)
        console = self.console(db, scratch, tree, made)
        self.prove(db, scratch, console)
        plain, result = self._upgrade(scratch, console)
        say("2. the live code on a copy with the statements applied")
        scratch.drop()
        scratch.create()
        self.copy(scratch, live)
        own = self._old(db, scratch, tree, live, made)
        say("3. the upgrade of that copy")
        tree.empty_tmp()
        console = self._equipped(db, scratch, tree, made)
        self._again(scratch, console)
        ahead, _ = self._upgrade(scratch, console)
        _compare(plain, ahead, own)
        say(f"proven: {len(plain.tables)} tables end as in a plain upgrade")
        self._look_ahead(scratch, ahead)
        return result

    def _again(self, scratch: Scratch, console: StagedConsole) -> None:
        """The proofs for another console, told once only: Refused where one does not hold."""
        console.prove(schema=scratch.name, token=scratch.token, prefix=scratch.prefix)

    # --- the new code ------------------------------------------------------------------------

    def _upgrade(self, scratch: Scratch, console: StagedConsole) -> tuple[Ended, Rehearsal]:
        result = rehearse_update.rehearse(
            console, scratch, timeout=self.asked.timeout, say=lambda line: None,
            to_version=self.asked.to_version,
        )  # fmt: skip
        if not result.ok:
            raise Refused(
                f"core:update does not go through on the copy: {result.error}", state=_NOTHING,
                next="rehearse shows it; if it goes through there, leave these statements for the "
                "outage",
            )  # fmt: skip
        with self._in(scratch) as session:
            names = shapes.look(session, scratch.name, scratch.prefix).tables
            tables = picture.look_all(session, [name for name in names if name != SENTINEL])
            rows = session.rows("ahead_versions", option=f"{scratch.prefix}option")
        versions = {str(row["name"]): str(row["value"]) for row in rows}
        return Ended(tables, versions, result.migrations), result

    # --- the live code -----------------------------------------------------------------------

    def _old(
        self, db: Database, scratch: Scratch, tree: StagedTree, live: shapes.Schema,
        made: Optional[Address],
    ) -> set[str]:  # fmt: skip
        """Applies the statements, lets the live code work; the tables that it made itself."""
        copy = LiveTree(tree.folder / "live", tree.web_user)
        copy.make(Path(self.asked.docroot))
        console = self._equipped(db, scratch, copy, made)
        self._again(scratch, console)
        with self._in(scratch) as session:
            old = OldCode(console, session, db.prefix)
            old.track(*_FIRST)  # without them first: what fails then is not their fault
            self.tasks = prepare(session, self._choices)
            old.track(*_SECOND)
            seen = old.visits()
            if seen != 2:
                raise Refused(
                    f"the live code reports {seen} visits on the copy, not the 2 it tracked",
                    state=_NOTHING,
                )
            own = set(shapes.look(session, scratch.name, scratch.prefix).tables) - set(live.tables)
        say(f"   {old.version} tracks and reports with {len(self.tasks)} statements ahead")
        return own

    def _equipped(
        self, db: Database, scratch: Scratch, tree: StagedTree, made: Optional[Address]
    ) -> StagedConsole:
        """A console in a copy that is there, configured as if new."""
        database = {"dbname": scratch.name}
        if made is not None:
            database.update(username=made.user, password=made.password)
        config = Path(self.asked.docroot) / "config"
        texts = [text_of(config / name)
                 for name in ("config.ini.php", "common.config.ini.php")]  # fmt: skip
        commands = ini.text_of(db.config, "General", "always_load_commands_from_plugin")
        console = StagedConsole(tree, self.asked.php)
        console.equip(*staged_config.private(texts[0], texts[1], commands, database))
        return console

    def _in(self, scratch: Scratch) -> Session:
        """A session of the maker's in the scratch schema: its statements name no other."""
        where = dataclasses.replace(scratch.session.address, schema=scratch.name)
        return Session(where, timeout=600)

    # --- what is left ------------------------------------------------------------------------

    def _look_ahead(self, scratch: Scratch, ahead: Ended) -> None:
        """Asks the server how it does what core:update still does to the chosen tables."""
        tables = list(dict.fromkeys(task.table for task in self.tasks))
        texts = [each.statement for each in ahead.migrations
                 if each.kind == SQL and set(tables) & set(each.tables)
                 and ddl.parse(each.statement).kind == "alter"]  # fmt: skip
        scratch.renew(tables)
        with self._in(scratch) as session:
            prepare(session, self._choices)
            found = ddl.probe(
                session, scratch.name, texts, source=scratch.name, live_schema=scratch.live
            )
        for verdict in found:
            quick = verdict.plain in ("instant", "nothing")
            slow = "" if quick else " (NOT quick: less is gained than it seems)"
            self.left.append(f"{verdict.statement.shown}: {verdict.plain}{slow}")


def _compare(plain: Ended, ahead: Ended, own: set[str]) -> None:
    """Refused where the two copies do not end the same. ``own``: tables that the live code made."""
    kept = {name: each for name, each in plain.tables.items() if name not in own}
    found = picture.differences(
        kept, {name: each for name, each in ahead.tables.items() if name not in own}
    )
    for name in sorted({*plain.versions, *ahead.versions}):
        before, after = (each.versions.get(name, "none") for each in (plain, ahead))
        if before != after:
            found.append(f"{name} is {after}, not {before}")
    if found:
        more = f"; and {len(found) - 3} more differences" if len(found) > 3 else ""
        raise Refused(
            "with these statements ahead, the upgrade would not end with the same schema: "
            f"{'; '.join(found[:3])}{more}",
            state=_NOTHING,
            next="leave them for the outage, or narrow down with --tables",
        )
