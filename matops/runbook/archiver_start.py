"""Step ``archiver.start``: what ``archiver.stop`` held is put back, to the byte."""

from __future__ import annotations

from matops.errors import MatopsError
from matops.runbook import archiver_words as words
from matops.runbook.archiver_stop import KEY, WHO, find, keep
from matops.runbook.invalidations_step import ask
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Step


class ArchiverStart(Step):
    """Puts back the schedules of one host. Somebody else's edits are kept, and told."""

    name = "archiver.start"
    title = "Put the archiver's cron back"
    _notes: tuple[str, ...] = ()
    _back = 0

    def look(self) -> Look:
        """What is held, by the record and by the markers in the files themselves."""
        seen = ask(self.site, "schedules:held", keep=keep(self.site), who=WHO)
        known = {e["id"] for e in seen["entries"]}
        entries = seen["entries"] + [
            e for e in find(self.site)["entries"]
            if WHO in e["held"].split(",") and e["id"] not in known
        ]  # fmt: skip
        since = f"held since {seen['since']}" if seen["since"] else "held"
        if entries:
            return Look([Action(f"put back {e['shown']}", since, "all" if number == 0 else None)
                         for number, e in enumerate(entries)])  # fmt: skip
        if Outage(self.site).found(KEY) is not None:  # killed just before the last line of it
            return Look([Action("note that nothing is held any more", "all is put back", "note")])
        return Look(because="no schedule is held")

    def act(self, action: Action) -> None:
        """All at once. MatopsError where one could not be put back; the others are then."""
        if action.payload != "all":
            return
        done = ask(self.site, "schedules:release", keep=keep(self.site), who=WHO)
        self._notes, self._back = tuple(done["notes"]), len(done["back"])
        for note in self._notes:
            self.say(f"  not as it was: {note}")
        if done["failed"]:
            lines = [f"{one['where']}: {one['why']}" for one in done["failed"]]
            raise MatopsError(
                f"not put back: {words.some(lines)}",
                host=self.site.host.name,
                state=f"{words.count(self._back, 'other schedule')} put back",
                next="see to it, then run this again",
            )

    def verify(self) -> Evidence:
        """Nothing is held any more, by the record or by a marker; then the outage forgets it."""
        look = self.look()
        if [action for action in look.actions if action.payload != "note"]:
            raise MatopsError(f"still held: {words.some([a.what for a in look.actions])}")
        Outage(self.site).forget(KEY)
        line = "nothing is held any more (an earlier run had put it back)"
        if self._back:
            line = f"{words.count(self._back, 'schedule')} put back"
            line += f"; not as found: {words.some(self._notes)}" if self._notes else ", to the byte"
        return Evidence(line, {"notes": list(self._notes)})
