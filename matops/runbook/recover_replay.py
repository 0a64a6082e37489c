"""Gap and replay as steps of ``recover``: what they work on is known only when their turn comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Optional

from matops.accesslog.gapstore import MANIFEST
from matops.errors import MatopsError, Refused
from matops.host import files
from matops.matomo.site import Site
from matops.runbook import log_gap_plan as plans
from matops.runbook.log_gap import CutGap, MergeGap, Ways
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import GAP
from matops.runbook.replay import Replay, Voices
from matops.runbook.replay_asked import Asked
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.runbook.tracking_edge import OFF, ON
from matops.units import utc_now

# Noted as GAP: the merged gap file on the leader, {"path", "hits", "begun"}. Once its replay has
# begun no other is cut: the ledger of what was sent is this very file's.


class RecoverGap(Step):
    """``logs.gap`` of all servers, between the marks of this outage, and the merged file."""

    name = "logs.gap"
    title = "Cut the gap out of the access logs"
    scope = Scope.SERVER
    attaches = (CutGap.name,)

    def __init__(self, sites: Sequence[Site], say: Say, typed: plans.Typed, ways: Ways) -> None:
        super().__init__(sites[0], say)
        self._sites, self._typed, self._ways = sites, typed, ways
        self._cuts: list[CutGap] = []
        self._merge: Optional[MergeGap] = None
        self._begun: dict[str, Any] = {}

    @property
    def manifest(self) -> dict[str, Any]:
        """Of the merged gap; {} where there is none yet."""
        return self._begun or (self._merge.manifest if self._merge else {})

    def _kept(self, note: dict[str, Any]) -> dict[str, Any]:
        """The manifest of the gap whose replay has begun. MatopsError: it is gone."""
        path = str(PurePosixPath(note["path"]).parent / MANIFEST)
        try:
            data = files.read(self.site.host, path, user=self.site.keeper, limit=64 << 20)
            found: dict[str, Any] = json.loads(data)
        except (files.NotThere, ValueError):
            raise MatopsError(
                f"the gap file that was replayed since {note['begun']} is gone, or damaged: {path}",
                host=self.site.host.name,
                state="No other is cut: its hits would be recorded twice",
                next="put its folder back from a backup, then run this again",
            ) from None
        return found

    def _demand_marks(self) -> None:
        """Refused where tracking was not switched off, or is not switched on again."""
        notes = [Outage(site).read()["notes"] for site in self._sites]
        if not any(each.get(OFF) for each in notes):
            raise Refused(
                "tracking was not switched off by this outage: there is no gap",
                host=self.site.host.name,
                state="No hits are missing",
                next="rollback ends an outage that came no further",
            )
        off_before = [each for each in notes if (each.get(OFF) or {}).get("found_off")]
        if off_before and not any(each.get(ON) for each in notes):
            raise Refused(
                "tracking was off before this outage, and stays off: the gap has no end",
                host=self.site.host.name,
                state="The hits are in the access logs only",
                next="tracking.on --force, then recover again",
            )

    def look(self) -> Look:
        """The plan of each server's part. Raises what ``logs.gap`` does, also without marks."""
        note = Outage(self.site).noted(GAP) or {}
        if note.get("begun"):
            self._begun = self._kept(note)
            return Look(because=f"cut, and its replay began at {note['begun']}: {note['path']}")
        self._demand_marks()
        plan = plans.make(self._sites, self._typed)
        self._cuts = [CutGap(t.site, self.say, t.server, t.asked, self._ways) for t in plan.targets]
        self._merge = MergeGap(self.site, self.say, self._cuts, self._ways, plan.notes)
        looks = [*(cut.look() for cut in self._cuts), self._merge.look()]
        notes = [note for each in looks for note in each.notes]
        actions = [action for each in looks for action in each.actions]
        if not actions:
            return Look(because=looks[-1].because, notes=[*plan.notes, *notes])
        return Look([Action("; ".join(action.what for action in actions), actions[0].why)],
                    notes=[*plan.notes, *notes])  # fmt: skip

    def act(self, action: Action) -> None:
        """One server after the other, then the merge; each verified."""
        assert self._merge is not None
        for step in (*self._cuts, self._merge):
            step.fence, step.still_ours = self.fence, self.still_ours
            found = step.look()
            for each in found.actions:
                self.still_ours()
                step.act(each)
            if found.actions:
                self.say(f"  {step.name}: {step.verify().line}")

    def verify(self) -> Evidence:
        """The merged file; its path is written into the outage's record."""
        assert self._merge is not None
        evidence = self._merge.verify()
        merged = self.manifest["merged"]
        Outage(self.site).note(GAP, {"path": merged["path"], "hits": merged["hits"]})
        return evidence


class RecoverReplay(Replay):
    """``logs.replay`` of the gap file that this outage's record names."""

    def __init__(self, site: Site, say: Say, asked: Asked, voices: Voices, gap: RecoverGap) -> None:
        super().__init__(site, say, asked, voices)
        self._gap = gap

    def look(self) -> Look:
        """MatopsError while there is no gap file."""
        merged = self._gap.manifest.get("merged") or Outage(self.site).noted(GAP)
        if not merged:
            raise MatopsError("the gap is not cut yet", host=self.site.host.name,
                              next="logs.gap cuts it")  # fmt: skip
        self.asked = replace(self.asked, file=str(merged["path"]))
        return super().look()

    @property
    def settled(self) -> str:
        """A word that changes when more hits were replayed; '' while it is not known."""
        found = {**self.found, **(self.result or {})}
        done = 0 if found.get("wanted") == 0 else (found.get("totals") or {}).get("settled")
        return f"{found['digest']}:{done}" if "digest" in found and done is not None else ""

    def act(self, action: Action) -> None:
        """Writes down which file it is, before a hit of it is sent."""
        outage = Outage(self.site)
        if not (outage.noted(GAP) or {}).get("begun"):
            begun = utc_now().isoformat(timespec="seconds")
            outage.note(GAP, {"path": self.asked.file, "hits": self.found.get("hits"),
                              "begun": begun})  # fmt: skip
        super().act(action)
