"""Steps ``invalidations.truncate`` and ``invalidations.dedupe``: rows go, into a backup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo import invalidations_change as change
from matops.matomo.site import Site
from matops.mysql.invalidations.keep import DUPLICATES, Rule
from matops.mysql.invalidations.record import SWAP, Record
from matops.runbook.invalidations_rebuild import calls
from matops.runbook.invalidations_step import QueueStep, Voices
from matops.runbook.step import Action, Evidence, Look, Say

_ADVICE = (
    "  --reinvalidate last30 (or FROM,TO) queues them anew; --clear-flags takes the mark off; else "
    "their reports stay as they are"
)


class Truncate(QueueStep):
    """Swaps a new table in, or takes rows out in batches; ends what a killed run left.

    ``asked``: the flags ``only``, ``keep_days``, ``keep_sites``, ``keep_periods`` as typed. What
    comes after it are steps of their own, on the host; here it is only planned.
    """

    name = "invalidations.truncate"
    title = "Truncate archive_invalidations"

    def __init__(
        self,
        site: Site,
        say: Say,
        voices: Voices,
        asked: dict[str, str],
        span: Optional[tuple[str, str]] = None,
        clear: bool = False,
    ) -> None:
        """``span``: the days of --reinvalidate; ``clear``: --clear-flags: what comes after it."""
        super().__init__(site, say, voices)
        self._asked, self._span, self._clear = asked, span, clear
        self._backup = ""
        self._came_to_nothing = False
        self._before: set[str] = set()

    def look(self) -> Look:
        """Counts exactly what goes and what stays; computes what nothing would rebuild then."""
        attach = self.running()
        if attach:
            return attach
        found = self.seen = self.ask("invalidations_change:look", asked=self._asked)
        self._before = set(found["backups"])
        if found["unfinished"]:
            return _unfinished(found)
        plan = found["plan"]
        notes = [*_counts(plan), *found["notes"]]
        if not plan["goes"]:
            because = f"{plan['because']} ({plan['words']})"
            if (self._span or self._clear) and not self.site.host.is_local:
                return Look([Action("see to invalid archives", because, found)], notes=notes)
            return Look(because=because, notes=notes)
        if self.refuses_busy and found["busy"]:
            notes.append("an archiver may be at work; this run would be refused, or wait (--wait):")
            notes += [f"  {line}" for line in found["busy"][:5]]
        notes += _stale(found["uncovered"], "nothing will rebuild then", self._after(found))
        what = f"take {plan['goes']} of {plan['rows']} rows out of {found['table']}"
        return Look([Action(what, f"{plan['words']}; {plan['because']}", found)], notes=notes)

    def _after(self, found: dict[str, Any]) -> list[str]:
        """What comes after it, in words; [] where nothing was asked for."""
        lines = []
        if self._span and found["uncovered"]:
            every = calls(found["uncovered"]["sites"], self._span)
            lines += [f"  afterwards: console {' '.join(call.words)}" for call in every[:20]]
            lines += [f"  … and {len(every) - 20} calls more"] if len(every) > 20 else []
            lines = lines or ["  --reinvalidate: none of them is of these days"]
        if self._clear:
            lines.append("  afterwards: the mark is taken off those that have no row then")
        return lines

    def do(self, action: Action) -> None:
        """With what was looked at: the same rule, with the same dates."""
        found: dict[str, Any] = action.payload
        plan = found["plan"]
        rows = plan["rows"] if plan else 0
        with (
            self.voices.track(self.name, rows, "rows") as progress,
            change.opened(
                self.site.docroot, still_ours=self.still_ours, tell=self.say, moved=progress.add
            ) as tools,
        ):
            if found["unfinished"]:
                for record in change.end_left(tools):
                    self._done(record)
                self._came_to_nothing = not self._backup
            else:
                rule = Rule.of(found["rule"])
                why = f"{self.name} of {rule.words}"
                self._done(change.begin(tools, rule, plan["method"], why))
            self.say(f"  longest wait for a lock: {tools.switch.waited * 1000:.0f} ms")
        self._tell_stale()

    def _done(self, record: Record) -> None:
        self._backup = record.backup
        if record.method == SWAP:
            self.say(f"  {record.rows} rows are in {record.backup}, {record.moved} of them were "
                     f"copied back into {record.table}")  # fmt: skip

    def _tell_stale(self) -> None:
        found = self.ask("invalidations_change:uncovered_now")
        after = ["  see to them: below"] if self._span or self._clear else []
        for line in _stale(found, "nothing will rebuild", after):
            self.say(f"  {line}")

    def verify(self) -> Evidence:
        """Reads back that the backup is there and complete."""
        if self._came_to_nothing:
            return Evidence(
                "the earlier run had changed nothing; its traces are gone: run it again"
            )
        every = self.ask("invalidations_change:list_backups")
        ours = [one for one in every if one["ours"]]
        found = next((one for one in ours if one["name"] == self._backup), None)
        new = [one for one in ours if one["name"] not in self._before]
        if found is None and not self._backup and new:
            found = new[-1]  # a job's: it told its name to the host only
        if found is None:
            return Evidence("nothing had to go: the rows had left meanwhile")
        if not found["finished"] or not found["exact"]:
            raise MatopsError(
                f"{found['name']}: {found['state']}", host=self.site.host.name,
                next=f"run {self.name} again: it goes on",
            )  # fmt: skip
        name = found["name"]
        return Evidence(
            f"{found['rows']} rows are kept in {name} ({found['how']}); the way back: "
            f"invalidations.restore {name}; once nobody needs it: invalidations.drop-backup {name}",
            {"backup": name, "rows": found["rows"], "why": found["why"]},
        )


class Dedupe(Truncate):
    """Only the duplicates, in small batches. It may run beside an archiver: rows that are in
    progress, and all that is like them, are left alone."""

    name = "invalidations.dedupe"
    title = "Take the duplicates out of archive_invalidations"
    refuses_busy = False

    def __init__(self, site: Site, say: Say, voices: Voices) -> None:
        super().__init__(site, say, voices, {"only": DUPLICATES})

    def _tell_stale(self) -> None:
        """Nothing is uncovered: a twin of each is there."""


def _unfinished(found: dict[str, Any]) -> Look:
    left = "; ".join(found["unfinished"])
    notes = ["what was typed now is not done in this run: type it again afterwards"]
    return Look([Action("end what an earlier run began", left, found)], notes=notes)


def _counts(plan: dict[str, Any]) -> list[str]:
    lines = [f"{plan['rows']} rows: {plan['goes']} go, {plan['stays']} stay; rows added until it "
             "happens are treated alike"]  # fmt: skip
    for one in plan["periods"]:
        going = f"{one['goes']} go, " if plan["rule"].get("only") != DUPLICATES else ""
        lines.append(
            f"  {one['name']}: {one['rows']} rows, {going}{one['in_progress']} in progress, "
            f"{one['first']} to {one['last']}"
        )
    if plan["rule"].get("since"):
        lines.append(
            f"kept are periods that reach into {plan['rule']['since']} or later: of a month that "
            "began before, the month's row stays and its older days go"
        )
    return lines


def _stale(found: Optional[dict[str, Any]], what: str, after: Sequence[str]) -> list[str]:
    if not found or not (found["total"] or found["left_out"]):
        return []
    lines = [f"{found['total']} archives are marked invalid that {what}:"]
    lines += [f"  {line}" for line in change.shown_sites(found["sites"])]
    if found["left_out"]:
        lines.append(f"  not looked at for want of time: {', '.join(found['left_out'][:6])} …")
    return lines + list(after or [_ADVICE])
