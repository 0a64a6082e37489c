"""Step ``archive.invalidate``: the reports of the days that the gap touches are built anew.

Whole days, in each site's own time zone; with them the weeks, months and years they lie in, all
plugins and segments. ``core:invalidate-report-data`` ends with 0 whatever it does, so what it
queued is read back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from matops.host.jobs import RUNNING
from matops.matomo import console
from matops.matomo.site import Site
from matops.runbook.archive_compare import wrong
from matops.runbook.archive_step import ArchiveStep, Voices, Window, WindowOf, show_moment
from matops.runbook.invalidations_rebuild import Call
from matops.runbook.outage import Outage
from matops.runbook.step import Action, Evidence, Look, Say
from matops.units import utc_now

_LIMIT = 24 * 3600.0  # seconds for one call: years of many sites and segments
_MOST_SITES = 200
NOTE = "archive.invalidated"
"""Key in the outage's record; with sites, theirs behind it."""


def calls(sites: dict[str, dict[str, Any]]) -> list[Call]:
    """Sites with the same days in one call, those whose days are all queued left out. Pure."""
    grouped: dict[tuple[str, str], list[int]] = {}
    for idsite, one in sites.items():
        if not is_queued(one):
            grouped.setdefault((one["first"], one["last"]), []).append(int(idsite))
    return [
        Call(tuple(ids[at : at + _MOST_SITES]), first, last)
        for (first, last), ids in sorted(grouped.items())
        for at in range(0, len(ids), _MOST_SITES)
    ]


def is_queued(one: dict[str, Any]) -> bool:
    """Whether each of its days waits in the queue already."""
    days = (dt.date.fromisoformat(one["last"]) - dt.date.fromisoformat(one["first"])).days + 1
    return int(one["queued"]) >= days


class ArchiveInvalidate(ArchiveStep):
    """Through the console, some sites at a time; verified in the archiver's queue."""

    name = "archive.invalidate"
    title = "Queue the reports of the gap's days to be built anew"

    def __init__(
        self, site: Site, say: Say, voices: Voices, window: WindowOf, sites: Sequence[int] = (),
        *, once: Callable[[], str] = lambda: "", but: Sequence[int] = (),
        begin: Callable[[Window], None] = lambda window: None,
    ) -> None:  # fmt: skip
        """``once``: what the reports are built for; done once for each such word ('' = always),
        and again for those that do not hold what the log tables hold.
        ``but``: sites that are left alone. ``begin`` hears the window before anything is done."""
        super().__init__(site, say, voices)
        self._window_of, self.sites, self._once = window, tuple(sites), once
        self._but, self._begin = tuple(but), begin
        self._only: Sequence[int] = ()
        """Of a second time: those that must be built anew."""
        self.window = Window(0, 0)
        self.seen: dict[str, Any] = {}

    @property
    def words(self) -> Sequence[str]:
        """The same task for the host, as typed."""
        found = [self.name, "--from", show_moment(self.window.start),
                 "--to", show_moment(self.window.end)]  # fmt: skip
        if len(self._only) <= _MOST_SITES and (sites := self._only or self.sites):
            return [*found, "--sites", ",".join(map(str, sites))]
        return found + (["--but", ",".join(map(str, self._but))] if self._but else [])

    @property
    def _key(self) -> str:
        """Of its note in the outage's record."""
        return ".".join([NOTE, *map(str, self.sites)])

    def _ask(self) -> dict[str, Any]:
        found: dict[str, Any] = self.site.ask(
            "matomo.archive_days:touched", start=self.window.start, end=self.window.end,
            sites=list(self.sites), timeout=_LIMIT,
        )  # fmt: skip
        for idsite in self._but:
            found["sites"].pop(str(idsite), None)
        return found

    def look(self) -> Look:
        """Which sites have visits in which days, and which of these are queued already."""
        self.window = self._window_of()
        attach = self.running()
        if attach:
            return Look(attach)
        made = Outage(self.site).noted(self._key)
        self.seen = self._ask()
        notes = [f"the window: {self.window.shown}"]
        if made and self._once() and made["once"] == self._once():
            bad = [] if self._archiving() else self._wrong(self.seen["sites"])
            if not bad:
                return Look(because=f"done at {made['at']}, and nothing was recorded late since")
            notes.append(f"done at {made['at']}, but the reports of {shown(bad)} do not hold what "
                         "the log tables hold")  # fmt: skip
            every, self._only = self.seen["sites"], bad
            self.seen["sites"] = {str(idsite): every[str(idsite)] for idsite in bad}
        found = calls(self.seen["sites"])
        if self.seen["quiet"]:
            notes.append(
                f"{self.seen['quiet']} sites have no visit in these days: nothing to rebuild"
            )
        if not found:
            because = (
                f"all days of {len(self.seen['sites'])} sites wait in the archiver's queue already"
                if self.seen["sites"]
                else "no site has a visit in these days"
            )
            return Look(because=because, notes=notes)
        return Look(
            [
                Action(
                    f"invalidate {call.first} to {call.last} of {shown(call.sites)}",
                    "the days in their own time zone that the window touches",
                    call,
                )
                for call in found
            ],
            notes=notes,
        )

    def _archiving(self) -> bool:
        """Is a core:archive of ours still at it? Then reports are behind, and will not be."""
        job = self.site.jobs.latest("core.archive")
        return bool(job and job.state == RUNNING)

    def _compare(self, sites: Sequence[int]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.site.ask(
            "matomo.archive_days:compare", start=self.window.start, end=self.window.end,
            sites=list(sites), timeout=_LIMIT,
        )  # fmt: skip
        return found

    def _wrong(self, sites: dict[str, Any]) -> list[int]:
        """Those of ``sites`` with a day that is over and whose report is not as it should be."""
        rows = self._compare(self.sites)
        bad = {row["idsite"] for row in wrong(rows)} & {int(idsite) for idsite in sites}
        return sorted(bad)

    def act(self, action: Action) -> None:
        """Tells the window that it is for, then as every such step."""
        self._begin(self.window)
        super().act(action)

    def do(self, action: Action) -> None:
        """One call of the console."""
        call: Call = action.payload
        self.still_ours()
        _, verdict = console.run(self.site, call.words, timeout=_LIMIT)
        console.raise_unless_ok(self.site, call.words, verdict)
        self.say(f"  {call.first} to {call.last}: {len(call.sites)} sites done")

    def verify(self) -> Evidence:
        """Every day of every site must be in the queue, or be gone from it by now: archived."""
        found = self._ask()["sites"]
        missing = {k: one for k, one in found.items() if not is_queued(one)}
        stale = self._stale(missing)
        if stale:
            raise self.failed(
                f"core:invalidate-report-data said nothing, but did not queue {'; '.join(stale)}",
                "The other sites' days are queued",
                "are these days older than [Deletelogs] delete_logs_older_than? Then Matomo "
                "rebuilds nothing for them",
            )
        if Outage(self.site).read()["began"]:
            at = utc_now().isoformat(timespec="seconds")
            Outage(self.site).note(self._key, {"at": at, "once": self._once()})
        days = sum(one["queued"] for one in found.values())
        return Evidence(
            f"{days} days of {len(found) - len(missing)} sites wait to be built anew",
            {"sites": len(found), "days": days},
        )

    def _stale(self, missing: dict[str, dict[str, Any]]) -> list[str]:
        """Of the days that are not in the queue: those whose report is not valid now."""
        if not missing:
            return []
        rows = self._compare([int(one) for one in missing])
        # An archiver that runs already may have built some meanwhile: then log and report agree.
        # A day without any archive is built when it is asked for: Matomo queues it by itself.
        return [
            f"site {row['idsite']}, {row['day']}"
            for row in rows
            # One marked invalid was queued, and an archiver has taken its row since.
            if row["report"] is not None and row["report"] != row["log"]
            and not row["running"] and not row["state"]
        ][:5]  # fmt: skip


def shown(sites: Sequence[int]) -> str:
    """``site 3``, ``sites 1, 2, 3 and 40 more``."""
    named = ", ".join(map(str, sites[:10]))
    more = f" and {len(sites) - 10} more" if len(sites) > 10 else ""
    return f"site{'s' * (len(sites) > 1)} {named}{more}"
