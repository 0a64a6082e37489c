"""Step ``db.backup``: the essentials of Matomo's database into a folder on the host."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, UsageError
from matops.host import jobs as host_jobs
from matops.matomo import db_backup, db_backup_kept, db_restore
from matops.matomo.site import Site
from matops.mysql.dump import choose
from matops.mysql.dump.essentials import Voices
from matops.runbook import db_backup_store as store
from matops.runbook.step import Action, Evidence, Look, Say, Step, Track
from matops.runbook.there import run_there
from matops.units import show_duration, show_size, utc_now

KEEP = 7
"""Backups that stay where nothing else is asked for."""


class BackupEssentials(Step):
    """Everything but raw logs and archive blobs. Reads only; needs no lock of the installation.

    ``numeric``: with the rows of archive_numeric. ``keep``: so many whole backups stay.
    ``fetch``: a folder on the operator's machine for a copy, '' = none. ``source``: HOST[:PORT] of
    a replica to read instead.
    """

    name = "db.backup"
    title = "Back up the database's essentials"
    changes_data = False
    attaches = ("db.backup",)

    def __init__(
        self, site: Site, say: Say, *, track: Track, write: Say,
        numeric: bool = True, keep: int = KEEP, fetch: str = "", source: str = "",
    ) -> None:  # fmt: skip
        """UsageError: a copy to this very machine."""
        super().__init__(site, say)
        if fetch and site.host.is_local:
            raise UsageError("--fetch copies to your machine: it goes with fab -H HOST")
        self._numeric, self._keep, self._fetch, self._source = numeric, keep, fetch, source
        self._track, self._write = track, write
        self._place = store.place(site)
        self._total = 0
        self._before: set[str] = set()
        self.manifest: dict[str, Any] = {}

    def look(self) -> Look:
        """What it would hold, whether there is room, and the newest backup there is."""
        found = store.ask(
            self.site, "db_backup:survey", docroot=self.site.docroot, place=self._place,
            numeric=self._numeric, source=self._source,
        )  # fmt: skip
        good = [each for each in found["backups"] if not each["error"]]
        self._before = {each["name"] for each in good}
        self._total = int(found["bytes"])
        running = None if store.here(self.site) else self.site.jobs.latest(self.name)
        if running and running.state == host_jobs.RUNNING:
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the backup that runs already", why, running.name)])
        db_backup.refuse_without_room(self._place, int(found["needs"]), int(found["free"]))
        saved = [part for part in found["parts"] if part["what"] == choose.ROWS]
        what = (
            f"back up {len(saved)} tables ({show_size(self._total)}) and the structure of all of "
            f"{found['database']} to {self._place}"
        )
        actions = [Action(what, _why(good), "make"), *self._afterwards(good)]
        return Look(actions, notes=list(_notes(found)))

    def _afterwards(self, good: Sequence[dict[str, Any]]) -> list[Action]:
        old = [each["name"] for each in good][: -(self._keep - 1) or None]
        actions = []
        if old:
            what = f"remove {len(old)} older backups ({old[0]} …) once the new one is verified"
            actions.append(Action(what, f"{self._keep} are kept (--keep)", "prune"))
        if self._fetch:
            why = "the host may be what breaks"
            actions.append(Action(f"copy it to {self._fetch}", why, "fetch"))
        return actions

    def act(self, action: Action) -> None:
        """Makes it here, or as a job on the host, or attaches to the job there."""
        if action.payload == "prune":
            if store.here(self.site):
                db_backup_kept.prune(self._place, self._keep, self._newest()["name"])
        elif action.payload == "fetch":
            self._copy()
        elif store.here(self.site):
            self._make()
        else:
            attach = "" if action.payload == "make" else str(action.payload)
            run_there(self.site, self.name, self._words(), write=self._write, attach=attach)

    def _words(self) -> list[str]:
        words = [self.name, "--essentials", "--keep", str(self._keep)]
        words += ["--source", self._source] if self._source else []
        return words if self._numeric else [*words, "--no-numeric"]

    def _make(self) -> None:
        about = {"host": self.site.host.name, "version": self.site.version}
        with self._track("db.backup", self._total, "B") as progress:
            voices = Voices(add=progress.add, say=lambda line: self.say(f"  {line}"))
            made = db_backup.make(self.site.docroot, self._place, numeric=self._numeric,
                                  about=about, voices=voices, source=self._source)  # fmt: skip
        self.say("  reading it back")  # before an older one may go
        db_backup_kept.verify(self._place, made["name"])

    def _newest(self) -> dict[str, Any]:
        good = [each for each in store.listing(self.site)
                if not each["error"] and each["name"] not in self._before]  # fmt: skip
        if not good:
            raise MatopsError(
                f"no new backup is in {self._place}",
                host=self.site.host.name,
                next="jobs.follow last shows why; then run it again",
            )
        return good[-1]

    def _copy(self) -> None:
        name = self._newest()["name"]
        manifest = store.ask(self.site, "db_backup_kept:load", place=self._place, name=name)
        with self._track("fetch", int(manifest["size"]), "B") as progress:
            path = store.fetch(self.site, manifest, Path(self._fetch), progress.add)
        self.say(f"  copied to {path}, checksums compared")

    def verify(self) -> Evidence:
        """The new backup's own list; it was read back where it was made."""
        newest = self._newest()
        self.manifest = store.ask(
            self.site, "db_backup_kept:load", place=self._place, name=newest["name"]
        )
        took = _seconds(self.manifest["started"], self.manifest["finished"])
        folder = f"{self._place}/{newest['name']}"
        line = (
            f"{newest['rows']} rows of {sum(1 for t in self.manifest['tables'] if t.get('file'))} "
            f"tables in {show_size(newest['size'])}, {show_duration(took)}, read back: {folder}"
        )
        return Evidence(line, {"backup": newest["name"], "rows": newest["rows"],
                               "bytes": newest["size"], "seconds": took})  # fmt: skip

    def closing(self) -> list[str]:
        """What an operator should read then: notes, what it is good for, the commands."""
        if not self.manifest or not store.here(self.site):
            return []  # the job has said it
        folder = f"{self._place}/{self.manifest['name']}"
        return [
            *(f"note: {note}" for note in self.manifest["notes"]),
            db_restore.GOOD_FOR,
            f"To read it into an empty schema{db_restore.who(self.manifest)}:",
            f"  {db_restore.command(folder, self.manifest)}",
            f"Single tables, and what moment it shows: {folder}/README",
        ]


def _seconds(start: str, end: str) -> float:
    return (dt.datetime.fromisoformat(end) - dt.datetime.fromisoformat(start)).total_seconds()


def age_of(backup: dict[str, Any]) -> float:
    """Seconds since a backup was finished, by this machine's clock."""
    return (utc_now() - dt.datetime.fromisoformat(backup["finished"])).total_seconds()


def _why(good: Sequence[dict[str, Any]]) -> str:
    if not good:
        return "there is none yet"
    return f"the newest, {good[-1]['name']}, is {show_duration(max(age_of(good[-1]), 0))} old"


def _notes(found: dict[str, Any]) -> list[str]:
    def sum_of(test: Any) -> tuple[int, str]:
        parts = [part for part in found["parts"] if test(part)]
        return len(parts), show_size(sum(part["bytes"] for part in parts))

    settings = sum_of(lambda p: p["what"] == choose.ROWS and p["why"] != "archive numbers")
    numbers = sum_of(lambda p: p["why"] == "archive numbers")
    lines = [f"with their rows: {settings[0]} tables of settings and the like ({settings[1]})"
             + f", {numbers[0]} of archive numbers ({numbers[1]})" * bool(numbers[0])]  # fmt: skip
    largest: Optional[dict[str, Any]] = max(
        (p for p in found["parts"] if p["what"] == choose.ROWS), key=lambda p: int(p["bytes"])
    )
    if largest and int(largest["bytes"]) > 2**30:
        lines.append(f"the largest is {largest['name']} ({show_size(largest['bytes'])})")
    for why in ("raw logs", "archive blobs", "--no-numeric"):
        count, size = sum_of(lambda p, why=why: p["what"] == choose.SCHEMA_ONLY and p["why"] == why)
        if count:
            lines.append(f"without their rows: {count} tables of {why} ({size})")
    others, size = sum_of(lambda p: p["what"] == choose.NOT_OURS)
    if others:
        lines.append(f"left out: {others} tables that are not Matomo's ({size})")
    if found["read_only"]:
        lines.append("this server is a replica or read-only: the backup is as old as its lag")
    free = f"{show_size(found['free'])} are free there"
    lines.append(f"it takes about {show_size(found['needs'])} or less; {free}")
    return lines
