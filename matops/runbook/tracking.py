"""Steps ``tracking.off`` and ``tracking.on``: the tracker, with both edges marked exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.matomo import witness
from matops.matomo.site import Site
from matops.runbook import arrival, tracking_edge
from matops.runbook.outage_begin import not_replayed
from matops.runbook.step import Action, Evidence, Look, Say
from matops.runbook.tracking_switch import Tracking

SET, NOTE, MARK, LEAVE, AGAIN = "set", "note", "mark", "leave", "again"
_QUEUE = "with record_statistics = 0 nothing is queued and nothing that waits is processed"


class TrackingOff(Tracking):
    """From here on the access logs record, not Matomo.

    ``lose_hits``: although no log could be replayed.
    """

    name = "tracking.off"
    title = "Switch the tracker off"
    EDGE = tracking_edge.OFF

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        public: bool = True,
        first: Optional[Site] = None,
        lose_hits: bool = False,
    ) -> None:
        super().__init__(site, say, public=public, first=first)
        self._lose = lose_hits
        self._shared: Optional[dict[str, Any]] = None

    def look(self) -> Look:
        """Is it off already, is a queue in use, do the logs hold what a replay needs?"""
        if not self.is_on():
            ours = self.remembered()
            self._shared = self.shared() if ours is None else None
            if self._shared and not self._shared["off"]:
                why = f"it shares the configuration of {self.first.host.name}" if self.first else ""
                return Look([Action("mark the edge here, too", why, NOTE)])
            if ours is None:
                return Look([Action(
                    "note that tracking was off already, by somebody else",
                    "the gap began before this outage; tracking.on then leaves it off, unless "
                    "told --force", NOTE)])  # fmt: skip
            if self.is_marked():
                where = self.seen(witness.OFF)
                return Look(because=f"tracking was switched off by this outage ({where})")
            return Look([Action("mark the edge", "the run that switched it off was killed", MARK)])
        self.must_be_writable()
        self._no_queue()
        if self._switched_on_by_others():
            # A new mark would hide the hits since the first one; what was recorded meanwhile
            # logs.gap finds in the database.
            return Look([Action(f"set [{self.SECTION}] {self.NAME} = 0 again", "somebody has "
                                "switched tracking on; the edge stays where it was marked",
                                AGAIN)])  # fmt: skip
        seen = arrival.look(self.site)
        notes = self._logs(seen if seen.logs else arrival.look(self.site, arrival.PATIENT))
        notes += [line for line in [not_replayed(self.outage.read()["notes"])[2:]] if line]
        return Look([Action(f"set [{self.SECTION}] {self.NAME} = 0, and mark the edge",
                            "from here on the access logs record", SET)], notes=notes)  # fmt: skip

    def _switched_on_by_others(self) -> bool:
        """Not by tracking.on, which strikes it from the record and marks the other edge."""
        ours = self.remembered()
        on = self.outage.noted(tracking_edge.ON)
        return ours is not None and not ours["off"] and self.is_marked() and not on

    def _no_queue(self) -> None:
        found = self.site.ask("matomo.queue:status")
        sets = int(found.get("sets") or 0)
        if not found["setup"]["enabled"] and not sets:
            return
        what = "the queue is enabled" if found["setup"]["enabled"] else "the queue is off"
        raise Refused(
            f"{what}, {sets} request sets wait in it: {_QUEUE}",
            host=self.site.host.name,
            state="Nothing was changed",
            next="queue.drain, then queue.disable, then this again",
        )

    def _logs(self, found: arrival.Arrival) -> list[str]:
        """What will record. Refused where nothing could be replayed from it."""
        bare = [each["path"] for each in found.marker.get("logs", []) if each["how"] != "query"]
        why = ""
        if not found.logs:
            why = "no readable access log of this server got a marker request"
        elif bare:
            why = f"no query strings are logged in {', '.join(bare)}"
        if not why:
            return [found.line]
        if not self._lose:
            raise Refused(
                f"{why}: every hit from here on would be lost",
                host=self.site.host.name,
                state="Nothing was changed",
                next="let the web server log the query string (setting access_logs where the log "
                "is not found), or carry the outage with the queue; --lose-hits goes on (offline: "
                "--accept-loss)",
            )
        return [f"{why}: hits from here on are lost (--lose-hits)"]

    def act(self, action: Action) -> None:
        """Switches and marks, or marks what was switched already."""
        there = self.in_file() or {"raw": None}
        if action.payload == NOTE and self._shared:
            self.mark_shared(witness.OFF)
            self.outage.remember(self.KEY, self._shared)
        elif action.payload == NOTE:
            self.outage.remember(self.KEY, {"off": True, **there})
            self.mark_again(found_off=True)
        elif action.payload == MARK:
            self.mark_again()
        elif action.payload == AGAIN:
            self.switch("0", witness.OFF, arrival.look(self.site), marks=False)
        else:
            before = arrival.look(self.site)
            self.outage.remember(self.KEY, {"off": False, **there})
            self.outage.note(tracking_edge.ON, None)  # of an earlier gap
            try:
                self.switch("0", witness.OFF, before)
            except OutcomeUnknown:
                raise
            except MatopsError:
                self.outage.forget(self.KEY)
                raise

    def verify(self) -> Evidence:
        """Through Matomo's reader, by the tracker's answer, with the mark."""
        if self.is_on():
            raise MatopsError("the tracker is not off: config.ini.php was changed since")
        where = self.seen(witness.OFF) or "no tracker is seen from here"
        self.mark = self.mark or self.outage.noted(self.EDGE)
        line = f"tracking is off: {where}; {tracking_edge.shown(self.mark)}{self.way_back}"
        return Evidence(line, {"edge": self.mark, "kept": self.kept})


class TrackingOn(Tracking):
    """Matomo records again, as it was found.

    ``prove_site``: send one real hit to that site and find it (0 = none). ``force``: although
    it was off before the outage, or the outage did not switch it off, or a migration is due.
    """

    name = "tracking.on"
    title = "Switch the tracker on"
    EDGE = tracking_edge.ON

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        public: bool = True,
        first: Optional[Site] = None,
        force: bool = False,
        prove_site: int = 0,
    ) -> None:
        super().__init__(site, say, public=public, first=first)
        self._force, self._prove = force, prove_site
        self._left = False
        self._hit: dict[str, Any] = {}

    def look(self) -> Look:
        """Is it on, was it us who switched it off, is the database as new as the files?"""
        found = self.remembered()
        if self.is_on():
            if found is None:
                return Look(because=f"tracking is on ({self.seen(witness.RECORDING)})")
            why = "tracking is on already: a run was killed, or somebody else switched it on"
            return Look([Action("mark the edge, strike it from the outage's record", why, MARK)])
        if found is None and not self._force:
            raise Refused(
                "tracking is off, but not by this outage: somebody else has a reason",
                host=self.site.host.name,
                state="Nothing was changed",
                next="ask them; tracking.on --force switches it on all the same; then this again",
            )
        if found is not None and found["off"] and not self._force:
            return Look([Action("leave tracking off", "it was off before this outage, and not by "
                                "us; --force ends it", LEAVE)])  # fmt: skip
        self.must_be_writable()
        self._no_migration()
        back = f"put [{self.SECTION}] {self.NAME} back: {self.shown(found)}"
        if found is None or found["off"]:
            back = f"set [{self.SECTION}] {self.NAME} = 1"
        why = "as it was found" if found else "told --force"
        return Look([Action(f"{back}, and mark the edge", why, SET)])

    def _no_migration(self) -> None:
        # Asked now: in a rollback the files were another release's when the run began.
        files, version = self.site.ask("matomo.core_update_look:versions")
        if version != files and not self._force:
            raise Refused(
                f"the files are Matomo {files}, the database is {version}: hits would "
                "be answered 400 and lost",
                host=self.site.host.name,
                state="Nothing was changed; the access logs still record",
                next="core.update first (or rollback); tracking.on --force goes on",
            )

    def act(self, action: Action) -> None:
        """Switches, proves and marks."""
        self._left = action.payload == LEAVE
        if action.payload == SET:
            found = self.remembered()
            ours = found is not None and not found["off"]
            raw = found["raw"] if found is not None and ours else "1"
            value = None if raw is None else {"raw": raw}
            self.switch(value, witness.RECORDING, arrival.look(self.site))
        elif action.payload == MARK and not self.is_marked():
            if self.first and "shared_with" in (self.outage.noted(tracking_edge.OFF) or {}):
                self.mark_shared(witness.RECORDING)
            else:
                self.mark_again()
        if self._prove and not self._left:
            self._hit = self.site.ask(
                "matomo.last_hit:prove", url=self.site.settings.url, idsite=self._prove
            )

    def verify(self) -> Evidence:
        """By the tracker's answer, and the hit; then the record forgets it."""
        if self._left:
            self.outage.forget(self.KEY)
            return Evidence("tracking stays off, as it was before this outage")
        if not self.is_on():
            raise MatopsError("the tracker is not on: config.ini.php was changed since")
        where = self.seen(witness.RECORDING) or "no tracker is seen from here"
        self.mark = self.mark or self.outage.noted(self.EDGE) or {"at": {}}
        self.outage.forget(self.KEY)
        hit = ""
        if self._hit:
            hit = (f"; a hit to site {self._prove} was recorded as visit {self._hit['idvisit']} "
                   f"within {self._hit['seconds']:.1f} s")  # fmt: skip
        line = f"tracking is on: {where}; {tracking_edge.shown(self.mark)}{hit}{self.way_back}"
        return Evidence(line, {"edge": self.mark, "hit": self._hit, "kept": self.kept})


def steps_off(sites: Sequence[Site], say: Say, *, lose_hits: bool = False) -> list[TrackingOff]:
    """One step a server; what the public name answers is proven by the last."""
    return [
        TrackingOff(s, say, public=s is sites[-1], first=sites[0], lose_hits=lose_hits)
        for s in sites
    ]


def steps_on(
    sites: Sequence[Site], say: Say, *, force: bool = False, prove_site: int = 0
) -> list[TrackingOn]:
    """As ``steps_off``, the other way; the hit is sent after the last server's switch."""
    last: Optional[Site] = sites[-1] if sites else None
    return [
        TrackingOn(
            s,
            say,
            public=s is last,
            first=sites[0],
            force=force,
            prove_site=prove_site if s is last else 0,
        )
        for s in sites
    ]
