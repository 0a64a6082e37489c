"""After a truncate: archives marked invalid that nothing will rebuild are queued anew, or unmarked.

``core:invalidate-report-data`` ends with 0 whatever it does: days before ``delete_logs_older_than``
are passed over without a word (a report cannot be rebuilt from logs that are gone), and so are
sites made later, and rows that are queued already. So what it did is read back.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matops.errors import MatopsError, UsageError
from matops.matomo import console
from matops.matomo import invalidations_change as change
from matops.matomo.site import Site
from matops.mysql.invalidations import clear_flags
from matops.runbook.invalidations_step import QueueStep, Voices
from matops.runbook.step import Action, Evidence, Look, Say
from matops.units import parse_date, utc_now

_LIMIT = 24 * 3600.0  # seconds for one call: years of many sites and segments
_MOST_SITES = 200
"""Sites in one call: a command line has an end."""


@dataclass(frozen=True)
class Call:
    """One call of core:invalidate-report-data: these sites, these days (both are included).

    Not its "all" periods: that marks every custom range that touches these days, too, for which
    it queues nothing.
    """

    sites: tuple[int, ...]
    first: str
    last: str

    @property
    def words(self) -> list[str]:
        """For console."""
        return ["core:invalidate-report-data", f"--sites={','.join(map(str, self.sites))}",
                f"--dates={self.first},{self.last}", "--periods=day,week,month,year"]  # fmt: skip


def parse_span(text: str) -> tuple[str, str]:
    """``last30`` or ``FROM,TO`` (both included) as two days. UsageError."""
    today = utc_now().date()
    found = re.fullmatch(r"last(\d{1,5})", text)
    if found and int(found[1]):
        return str(today - dt.timedelta(days=int(found[1]) - 1)), str(today)
    parts = text.split(",")
    if len(parts) != 2:
        raise UsageError(
            f"--reinvalidate: '{text}' is not last30 or FROM,TO (2026-01-01,2026-01-31)"
        )
    first, last = (parse_date(part, "--reinvalidate") for part in parts)
    if first > last:
        raise UsageError(f"--reinvalidate: {first} is after {last}")
    if last > today:
        raise UsageError(f"--reinvalidate: {last} lies in the future")
    return str(first), str(last)


def calls(sites: Mapping[str, Sequence[Any]], span: tuple[str, str]) -> list[Call]:
    """The days of each site that are concerned, within ``span``; alike ones in one call. Pure."""
    grouped: dict[tuple[str, str], list[int]] = {}
    for site, (_, first, last) in sites.items():
        begin, end = max(first, span[0]), min(last, span[1])
        if begin <= end:
            grouped.setdefault((begin, end), []).append(int(site))
    return [
        Call(tuple(ids[at : at + _MOST_SITES]), first, last)
        for (first, last), ids in sorted(grouped.items())
        for at in range(0, len(ids), _MOST_SITES)
    ]


class Reinvalidate(QueueStep):
    """Queues them anew, only the sites and days concerned. Runs on the host."""

    name = "invalidations.reinvalidate"
    title = "Queue invalid archives anew"
    refuses_busy = False

    def __init__(self, site: Site, say: Say, voices: Voices, span: tuple[str, str]) -> None:
        super().__init__(site, say, voices)
        self._span = span
        self._before: dict[str, Any] = {}
        self._queued = 0
        self._silent: list[str] = []

    def look(self) -> Look:
        """Which sites and days."""
        self._before = self.ask("invalidations_change:uncovered_now", max_seconds=1800)
        found = calls(self._before["sites"], self._span)
        if not found:
            span = " to ".join(self._span)
            return Look(
                because=f"no archive of {span} is marked invalid without a row in the queue"
            )
        why = "archives are marked invalid, and nothing would rebuild them"
        return Look([Action(f"console {' '.join(call.words)}", why, call) for call in found])

    def do(self, action: Action) -> None:
        """One call, and a look at what it really queued."""
        call: Call = action.payload
        after = self.ask("invalidations_change:highest_id")
        _, verdict = console.run(self.site, call.words, timeout=_LIMIT)
        console.raise_unless_ok(self.site, call.words, verdict)
        for idsite in call.sites:
            queued = self.ask("invalidations_change:counted_since", idsite=idsite,
                              first=call.first, last=call.last, after=after)  # fmt: skip
            self._queued += queued
            if not queued:
                self._silent.append(f"site {idsite}, {call.first} to {call.last}")
        self.say(f"  {call.first} to {call.last}: {self._queued} rows queued so far")

    def verify(self) -> Evidence:
        """What is left unbuilt; MatopsError where nothing at all was queued for a site."""
        left = self.ask("invalidations_change:uncovered_now", max_seconds=1800)
        for line in change.shown_sites(left["sites"]):
            self.say(f"  left as they are: {line}")
        if self._silent:
            raise MatopsError(
                f"core:invalidate-report-data said nothing, but queued nothing for "
                f"{'; '.join(self._silent[:5])}",
                host=self.site.host.name,
                state=f"{self._queued} rows were queued for the others",
                next="are these days older than [Deletelogs] delete_logs_older_than? Their logs "
                "are gone, so they cannot be rebuilt: --clear-flags takes the mark off",
            )
        return Evidence(
            f"{self._queued} rows queued; {left['total']} invalid archives are still without one",
            {"queued": self._queued, "left": left["total"]},
        )


class ClearFlags(QueueStep):
    """Takes the invalid mark off them; keeps a list, which ``invalidations.restore`` puts back."""

    name = "invalidations.clear-flags"
    title = "Take the invalid mark off archives that nothing would rebuild"
    refuses_busy = False

    def __init__(self, site: Site, say: Say, voices: Voices) -> None:
        super().__init__(site, say, voices)
        self._line = "nothing had to be cleared"

    def look(self) -> Look:
        """How many."""
        found = self.ask("invalidations_change:uncovered_now", max_seconds=1800)
        if not found["total"]:
            return Look(because="every archive that is marked invalid has a row in the queue")
        what = f"take the invalid mark off up to {found['total']} archives"
        why = "no row in the queue will rebuild them; they are used as they are"
        return Look([Action(what, why, found["total"])])

    def do(self, action: Action) -> None:
        """In batches, each with its list."""
        with (
            self.voices.track(self.name, action.payload, "archives") as progress,
            change.opened(
                self.site.docroot, still_ours=self.still_ours, tell=self.say, moved=progress.add
            ) as tools,
        ):
            record = clear_flags.clear(tools, "invalid flags cleared")
        if record:
            self._line = (f"{record.rows} archives are unmarked; the list is {record.backup}: "
                          f"invalidations.restore {record.backup} marks them again")  # fmt: skip

    def verify(self) -> Evidence:
        """What is left: those being written while they were invalidated (6)."""
        left = self.ask("invalidations_change:uncovered_now", max_seconds=1800)
        more = f"; {left['total']} are left (6: never finished; archive.purge removes them)"
        return Evidence(self._line + (more if left["total"] else ""), {"left": left["total"]})
