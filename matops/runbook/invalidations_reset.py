"""Step ``invalidations.reset``: rows in progress that nobody works on are queued again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from matops.errors import MatopsError, Refused
from matops.matomo import invalidations_change as change
from matops.matomo import invalidations_stuck
from matops.matomo.site import Site
from matops.mysql.invalidations import reset
from matops.mysql.invalidations.in_progress import Started
from matops.runbook.invalidations_step import QueueStep, Voices
from matops.runbook.step import Action, Evidence, Look, Say

_SHOWN = 10


class Reset(QueueStep):
    """As ``core:reset-invalidations``, but only rows that are surely nobody's, and also those
    without a start, which Matomo never frees. ``hosts``: the operator answers for them."""

    name = "invalidations.reset"
    title = "Queue stuck invalidations again"
    refuses_busy = False

    def __init__(self, site: Site, say: Say, voices: Voices, hosts: Sequence[str] = ()) -> None:
        super().__init__(site, say, voices)
        self._hosts = tuple(hosts)
        self._freed = reset.Freed()

    def look(self) -> Look:
        """Which rows, and why they count as stuck. Refused where an archiver may own them all."""
        attach = self.running()
        if attach:
            return attach
        found = self.seen = self.ask("invalidations_stuck:stuck", hosts=self._hosts)
        if not found["rows"]:
            if found["others"] and found["busy"]:
                raise Refused(
                    f"{found['others']} rows are in progress, none of them provably abandoned: "
                    f"{'; '.join(found['busy'][:3])}",
                    host=self.site.host.name,
                    state="Nothing was changed",
                    next="end that archiver first; rows of a host where you know that none runs: "
                    "--hosts NAME",
                )
            fresh = f" ({found['others']} are in progress, and fresh)" if found["others"] else ""
            return Look(because=f"no row of {found['table']} is stuck in progress{fresh}")
        return Look([Action(f"queue {len(found['rows'])}{' or more' * found['more']} rows again",
                            _reasons(found["rows"]), found)], notes=_shown(found))  # fmt: skip

    def do(self, action: Action) -> None:
        """Looks again, for time has passed; then row by row."""
        del action
        with change.opened(self.site.docroot, still_ours=self.still_ours, tell=self.say) as tools:
            while True:
                found = invalidations_stuck.stuck(self.site.docroot, self._hosts)
                rows = [_started(one) for one in found["rows"]]
                freed = reset.free(tools, rows, found["has_owner"])
                self._freed = reset.Freed(
                    self._freed.queued + freed.queued, self._freed.dropped + freed.dropped,
                    self._freed.gone + freed.gone,
                )  # fmt: skip
                if not found["more"] or not freed.queued + freed.dropped:
                    break

    def verify(self) -> Evidence:
        """Looks once more: none may be left."""
        found = self.ask("invalidations_stuck:stuck", hosts=self._hosts)
        if found["rows"]:
            raise MatopsError(
                f"{len(found['rows'])} rows are still stuck in progress",
                host=self.site.host.name,
                next=f"run {self.name} again",
            )
        freed = self._freed
        if not self.site.host.is_local:
            return Evidence(f"no row of {found['table']} is stuck in progress")
        line = f"{freed.queued} rows are queued again"
        line += f", {freed.dropped} went, for an identical one is queued" if freed.dropped else ""
        line += f", {freed.gone} had changed meanwhile" if freed.gone else ""
        return Evidence(line, {"queued": freed.queued, "dropped": freed.dropped})


def _started(data: dict[str, Any]) -> Started:
    return Started(**{key: value for key, value in data.items() if key != "because"})


def _reasons(rows: Sequence[dict[str, Any]]) -> str:
    counted = Counter(str(row["because"]) for row in rows)
    return "; ".join(f"{number}: {because}" for because, number in counted.most_common(5))


def _shown(found: dict[str, Any]) -> list[str]:
    lines = [
        f"row {row['id']}: site {row['idsite']}, {row['date1']} to {row['date2']}, {row['name']}, "
        f"begun {row['ts_started'] or 'never'} by {row['process'] or '?'} on {row['host'] or '?'}"
        for row in found["rows"][:_SHOWN]
    ]
    more = len(found["rows"]) - _SHOWN
    lines += [f"… and {more} more"] if more > 0 else []
    if found["others"]:
        lines.append(f"{found['others']} other rows in progress are left alone")
    return lines
