"""Gap and replay as steps of ``recover``: what they work on is known only when their turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from matops.errors import MatopsError
from matops.matomo.site import Site
from matops.runbook import log_gap_plan as plans
from matops.runbook.log_gap import CutGap, MergeGap, Ways
from matops.runbook.outage import Outage
from matops.runbook.replay import Replay, Voices
from matops.runbook.replay_asked import Asked
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step

GAP = "gap"
"""Key in the outage's record: the merged gap file on the leader."""


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

    @property
    def manifest(self) -> dict[str, Any]:
        """Of the merged gap; {} where there is none yet."""
        return self._merge.manifest if self._merge else {}

    def look(self) -> Look:
        """The plan of each server's part. Raises what ``logs.gap`` does, also without marks."""
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
        Outage(self.site).note(GAP, {"path": self.manifest["merged"]["path"]})
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
        found = self.result or self.found
        return f"{found.get('digest', '')}:{(found.get('totals') or {}).get('settled', '')}"
