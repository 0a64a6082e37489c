"""The replay on the host itself: what is to be done, doing it, its account."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from matops.accesslog.replay import account as accounts
from matops.accesslog.replay.doubts import look_through
from matops.accesslog.replay.ledger import Ledger
from matops.accesslog.replay.pace import Pace
from matops.accesslog.replay.request import Rules
from matops.accesslog.replay.run import replay, settle_open
from matops.accesslog.replay.task import Run
from matops.errors import MatopsError, Refused
from matops.matomo import ini, queue_setup, replay_alone, replay_token
from matops.matomo.database import Database
from matops.matomo.recorded import Patient
from matops.mysql.attempt import Stop
from matops.runbook import replay_files as files
from matops.runbook import replay_script, replay_target
from matops.runbook.replay_asked import IMPORT_LOGS, Asked, of
from matops.units import show_epoch


class Work:
    """One replay on this host. ``folder``: where its ledger lies (0700)."""

    def __init__(self, docroot: str, folder: str, asked: Asked) -> None:
        self.docroot, self.asked = docroot, asked
        self.path = Path(asked.file) if asked.file else files.newest(Path(folder).parent / "gaps")
        if not self.path.is_file():
            raise Refused(
                f"there is no gap file {self.path} here",
                state="Nothing was sent",
                next="logs.gap makes one and names it",
            )
        self.digest = files.digest(self.path)
        self.folder = Path(folder)
        with Database(docroot) as database:
            rows = database.session.rows("site_ids", site=database.table("site"))
            self.known = frozenset(int(row["idsite"]) for row in rows)
            self.config = database.config
            tokens = replay_token.in_force(database, files.tokens(self.path))
        minus = self._minus()
        if self.ledger_path.exists():  # what is to be sent was settled when the replay began
            about, _ = files.about(self.ledger_path)
            self.known = frozenset(about.get("known", self.known))
            tokens = frozenset(about.get("tokens", tokens))
            minus = frozenset(about.get("minus", minus))
        self.rules = Rules(self.known, asked.sites, minus, tokens)

    @property
    def ledger_path(self) -> Path:
        """One ledger for each gap file and choice of sites."""
        return self.folder / f"{self.digest}{files.suffix(self.asked.sites)}.ledger"

    def _minus(self) -> frozenset[int]:
        """Sites of this gap file that were replayed on their own before. Refused where such a run
        is not finished, or all were replayed already."""
        gone: set[int] = set()
        for other in sorted(self.folder.glob(f"{self.digest}*.ledger")):
            if other == self.ledger_path:
                continue
            about, complete = files.about(other)
            if not about:
                continue
            sites = set(about.get("sites", []))
            if self.asked.sites and not sites:
                raise Refused(
                    "this gap file is replayed for all sites already",
                    state="Nothing was sent",
                    next="run logs.replay without --sites",
                )
            if self.asked.sites and not sites & set(self.asked.sites):
                continue
            if not complete:
                named = ",".join(map(str, sorted(sites)))
                raise Refused(
                    f"a replay of site {named} alone was begun and is not finished",
                    state="Nothing was sent",
                    next=f"finish it first: logs.replay … --sites {named}",
                )
            gone |= sites
        return frozenset(gone)

    def survey(self, add: Callable[[int], None] = lambda size: None) -> accounts.Survey:
        """The whole file, read. Refused where hits lie in the future."""
        found = accounts.survey(self.path, self.rules, add)
        if found.last > time.time() + 1:
            raise Refused(
                f"the gap file's last hit is of {show_epoch(found.last)}, which is in the future: "
                "Matomo would record it as of now",
                state="Nothing was sent",
                next="compare the clocks of the web servers (check); wait until that time is past",
            )
        return found

    def facts(self) -> dict[str, Any]:
        """What the plan is made of. Nothing is changed."""
        found = self.survey()
        facts: dict[str, Any] = {
            **vars(found), "skipped": dict(found.skipped), "sites": {}, "digest": self.digest,
            "recording": self._on("record_statistics", "Tracker", "1"),
            "maintenance": self._on("maintenance_mode", "General", "0"),
            "transaction": self._on("bulk_requests_use_transaction", "Tracker", "1"),
            "queue": queue_setup.look(self.docroot).enabled,
            "file": str(self.path), "ledger": str(self.ledger_path),
            "done": 0, "in_doubt": 0, "complete": False,
        }  # fmt: skip
        if self.ledger_path.exists():
            ledger = Ledger(self.ledger_path, {})
            facts.update(done=ledger.totals.sent, in_doubt=len(ledger.open),
                         complete=ledger.complete)  # fmt: skip
            ledger.close()
        facts["script"] = ""
        if self.asked.how == IMPORT_LOGS:
            script = replay_script.find(
                self.docroot, self.asked, facts["queue"], facts["maintenance"]
            )
            facts["script"] = str(script.path)
        facts.update(self.result())
        return facts

    def _on(self, key: str, section: str, default: str) -> bool:
        return queue_setup.is_true(ini.text_of(self.config, section, key, default))

    def result(self) -> dict[str, Any]:
        """The account of a finished replay; {} where there is none."""
        try:
            found: dict[str, Any] = json.loads(self._result_path.read_text())
        except (OSError, ValueError):
            return {}
        return found

    @property
    def _result_path(self) -> Path:
        return self.ledger_path.with_suffix(".json")

    def perform(self, say: Callable[[str], None], track: Any, stop: Stop) -> dict[str, Any]:
        """Sends what is left, looks through what is in doubt, makes the account."""
        os.umask(0o077)
        self.folder.mkdir(parents=True, exist_ok=True)
        survey = self.survey()
        about = {"sites": sorted(self.asked.sites), "minus": sorted(self.rules.minus),
                 "known": sorted(self.known), "tokens": sorted(self.rules.tokens or ()),
                 "file": str(self.path)}  # fmt: skip
        ledger = Ledger(self.ledger_path, about)
        try:
            with ExitStack() as stack:
                database = stack.enter_context(Database(self.docroot, timeout=None))
                replay_alone.take(database)
                run = self._run(database, ledger, say, stop)
                recorder = Patient(database, self.asked.patience, lambda: bool(stop.reason))
                run.recorder = recorder
                self._settle(run, survey.wanted, track)
                # Not all that is wanted: an ETA is made of this run's pace.
                left = max(0, survey.wanted - ledger.totals.sent)
                with track("logs.replay", left, "hits") as progress:
                    run.add = progress.add
                    if self.asked.how == IMPORT_LOGS:
                        queue = queue_setup.look(self.docroot).enabled
                        closed = self._on("maintenance_mode", "General", "0")
                        script = replay_script.find(self.docroot, self.asked, queue, closed)
                        replay_script.replay(run, script, self.asked, self.folder)
                    else:
                        replay(run)
                if not self.asked.through_queue:  # there the rows come later
                    look_through(run)
                self._stopped(stop, ledger, survey.wanted)
                ledger.finish()
                if not self.asked.token_file:
                    replay_token.clean(self.docroot, self.digest)
                return self._account(ledger, survey, recorder, track, stop)
        finally:
            ledger.close()

    def _settle(self, run: Run, wanted: int, track: Any) -> None:
        """What earlier runs left, of this gap file, of another, on another server."""
        if run.ledger.open and self.asked.how == IMPORT_LOGS:
            time.sleep(replay_script.AT_WORK)
        settle_open(run)
        if run.ledger.complete:
            return
        with track("looking for each hit first", wanted, "hits") as progress:
            found = accounts.look_before(run, progress.add)
        if found:
            run.say(f"  {found} hits are in the database already: they are not sent")

    def _account(
        self, ledger: Ledger, survey: accounts.Survey, recorder: Patient, track: Any, stop: Stop
    ) -> dict[str, Any]:
        sums = ledger.totals
        totals = {"settled": sums.sent, "sent": sums.sent - sums.there, "tracked": sums.tracked,
                  "batches": sums.batches, "refused": dict(sums.refused),
                  "unsure": sum(one.hits for one in ledger.doubtful)}  # fmt: skip
        result: dict[str, Any] = {"wanted": survey.wanted, "totals": totals}
        if self.asked.check and not self.asked.through_queue:
            with track("looking for each hit", survey.wanted, "hits") as progress:
                found = accounts.account(
                    self.path, self.rules, recorder, progress.add, lambda: bool(stop.reason)
                )
            self._stopped(stop, ledger, survey.wanted)
            result["account"] = found.data()
        temporary = self._result_path.with_suffix(".partial")
        temporary.write_text(json.dumps(result))
        os.replace(temporary, self._result_path)
        return result

    def _stopped(self, stop: Stop, ledger: Ledger, wanted: int) -> None:
        if not stop.reason:
            return
        error = MatopsError(
            f"stopped: {stop.reason}",
            state=f"{ledger.totals.sent} of {wanted} hits are settled, none was sent twice",
            next="run the same command again: it goes on",
        )
        error.code = stop.code
        raise error

    def _run(
        self, database: Database, ledger: Ledger, say: Callable[[str], None], stop: Stop
    ) -> Run:
        asked = self.asked
        marks = self._marks(database, stop, say)
        target = replay_target.find(self.docroot, asked)
        say(f"  to {target.url}{' as ' + target.host if target.host else ''}")
        pace = Pace(asked.workers, asked.max_load, asked.rate)
        run = Run(
            self.path, self.rules, target, ledger, pace, marks, stop, say,
            size=asked.batch, timeout=asked.timeout, patience=asked.patience,
            probe=f"?idsite={min(self.known, default=1)}&rec=0",
        )  # fmt: skip
        replay_target.rehearse(run)
        return run

    def _marks(
        self, database: Database, stop: Stop, say: Callable[[str], None]
    ) -> Callable[[], Any]:
        asked, docroot, digest = self.asked, self.docroot, self.digest
        if asked.token_file:
            secret = files.secret(Path(asked.token_file))
            replay_alone.judge(database, secret, asked.token_file)
            return lambda: replay_token.Given(secret, asked.timeout)
        told = [0.0]

        def tell(line: str) -> None:
            if time.monotonic() - told[0] > 10:
                told[0] = time.monotonic()
                say(line)

        def make() -> replay_token.Token:
            return replay_token.Token(
                docroot, digest, asked.patience, lambda: bool(stop.reason), tell
            )

        first = make()
        try:
            first.end_others(digest)
        finally:
            first.close()
        return make


def look(docroot: str, folder: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The facts of a plan, from afar."""
    return Work(docroot, folder, of(asked)).facts()
