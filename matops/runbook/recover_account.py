"""Step ``recover.account``: what became of every hit of the outage; the sum must close."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.accesslog.verdict import KEEP, LOST, RECORDED
from matops.errors import MatopsError
from matops.matomo.site import Site
from matops.runbook.archive_step import Window, show_moment
from matops.runbook.recover_replay import RecoverGap, RecoverReplay
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step


@dataclass
class Account:
    """Lines of the account, and where its sums do not close. ``facts`` for ``--json``."""

    lines: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def must(self, left: int, right: int, what: str) -> None:
        """One sum."""
        if left != right:
            self.open.append(f"{what}: {left} against {right}")


def of_replay(reasons: Mapping[str, int], replay: Mapping[str, Any]) -> Account:
    """From the gap's manifest and the replay's result. Pure.

    ``reasons``: requests in the logs, by what became of them; ``replay``: ``{"hits", "wanted",
    "skipped", "totals", "account"}``.
    """
    made = Account()
    seen, keep = sum(reasons.values()), reasons.get(KEEP, 0)
    lost = {reason: n for reason, n in reasons.items() if reason in LOST and n}
    others = {r: n for r, n in reasons.items() if r not in (KEEP, RECORDED, *LOST) and n}
    totals = replay.get("totals") or {}
    refused, settled = dict(totals.get("refused", {})), int(totals.get("settled", 0))
    skipped = dict(replay.get("skipped", {}))
    made.facts = {"seen": seen, "recorded": reasons.get(RECORDED, 0), "to_replay": keep,
                  "left_out": others, "lost": lost, "refused": refused, "not_sent": skipped,
                  "replayed": int(totals.get("tracked", 0))}  # fmt: skip
    made.lines.append(f"{seen} requests for the tracker are in the logs of the window")
    made.lines.append(f"  {reasons.get(RECORDED, 0)} were recorded when they came")
    made.lines.append(f"  {keep} were to be replayed: {totals.get('tracked', 0)} are recorded now")
    made.lines += [f"    {n} not sent: {reason}" for reason, n in sorted(skipped.items())]
    made.lines += [f"    {n} refused by Matomo: {why}" for why, n in sorted(refused.items())]
    made.lines += [f"  {n} left out: {reason}" for reason, n in sorted(others.items())]
    made.lines += [f"  {n} LOST FOR GOOD: {reason}" for reason, n in sorted(lost.items())]
    hits, wanted = int(replay.get("hits", 0)), int(replay.get("wanted", 0))
    made.must(keep, hits, "hits cut, and hits in the gap file")
    made.must(hits, wanted + sum(skipped.values()), "hits in the file, and sent or left out")
    made.must(wanted, settled, "hits to be sent, and settled")
    made.must(settled, int(totals.get("tracked", 0)) + sum(refused.values()),
              "hits settled, and recorded or refused")  # fmt: skip
    _database(made, replay.get("account"))
    return made


def _database(made: Account, found: Optional[Mapping[str, Any]]) -> None:
    """What the database was asked hit by hit."""
    if not found:
        made.lines.append("  the database was not asked about each hit (--no-check)")
        return
    unclear = sum(found["unclear"].values())
    made.facts["database"] = {**found, "unclear": dict(found["unclear"])}
    made.lines.append(
        f"  asked about each: {found['once']} are in the database once, {found['none']} not "
        f"(Matomo leaves out bots, excluded addresses and the like), {found['many']} more than "
        f"once, {unclear} cannot be told"
    )
    made.must(found["asked"], found["once"] + found["none"] + found["many"] + unclear,
              "hits asked about, and answers")  # fmt: skip
    made.must(found["many"], 0, "hits that are there more than once")


class RecoverAccount(Step):
    """Reads only: the manifest, the replay's result, the queue, the log tables."""

    name = "recover.account"
    title = "The account of the outage's hits"
    scope = Scope.INSTALLATION
    reads_only = True

    def __init__(
        self, site: Site, say: Say, window: Callable[[], Window], *,
        gap: Optional[RecoverGap] = None, replay: Optional[RecoverReplay] = None,
        accept: bool = False, built: bool = True,
    ) -> None:  # fmt: skip
        """``accept``: go on although it does not close. ``built``: False where the reports were
        left alone, which is said."""
        super().__init__(site, say)
        self._window, self._gap, self._replay, self._accept = window, gap, replay, accept
        self._built = built

    def look(self) -> Look:
        """It reads only."""
        return Look()

    def act(self, action: Action) -> None:
        """Nothing: it reads only."""

    def verify(self) -> Evidence:
        """Tells the account. MatopsError where it does not close."""
        window = self._window()
        made = self._by_replay() if self._gap and self._replay else self._by_queue()
        held = self.site.ask(
            "matomo.archive_days:held", start=window.start, end=window.end, timeout=3600
        )
        made.lines.append(
            f"the database holds {held['actions']} actions of the window, {window.shown}, and "
            f"{held['visits']} visits whose last action lies in it"
        )
        if not self._built:
            begin, end = show_moment(window.start), show_moment(window.end)
            made.lines.append("the reports of these days are NOT built anew (--no-archive); later: "
                              f"archive.invalidate --from {begin} --to {end}, then "
                              "archive.run")  # fmt: skip
        for line in made.lines:
            self.say(f"  {line}")
        if made.open and not self._accept:
            raise MatopsError(
                f"the account does not close: {'; '.join(made.open)}",
                host=self.site.host.name,
                state="The system is up; the outage's record stays open",
                next="run recover again; --accept-account closes the record all the same",
            )
        word = f"it does NOT close: {'; '.join(made.open)}" if made.open else "it closes"
        return Evidence(f"{made.lines[0]}; {word}", {**made.facts, "held": held})

    def _by_replay(self) -> Account:
        assert self._gap and self._replay
        found = {**self._replay.found, **(self._replay.result or {})}
        return of_replay(self._gap.manifest.get("reasons", {}), found)

    def _by_queue(self) -> Account:
        seen = self.site.ask("matomo.queue:look", timeout=600)
        made = Account(facts={"queue": seen["depth"]})
        if seen["depth"] is None:
            why = "; ".join(seen["errors"]) or "it cannot be looked at"
            made.lines.append(f"the queue carried the hits of the outage; now: {why}")
        elif seen["depth"]:
            made.lines.append(
                f"the queue carried the hits of the outage; {seen['depth']} request sets wait in "
                "it now, of hits that go on coming"
            )
        else:
            made.lines.append("the queue carried the hits of the outage; nothing waits in it now")
        return made
