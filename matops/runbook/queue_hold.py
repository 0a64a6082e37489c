"""Step ``queue.hold``: hits go on being queued, and nothing processes them.

Three things process the queue: every tracking request (processDuringTrackingRequest), schedules
that run ``queuedtracking:process``, and processes of it that run now. All are stopped on each
server; that it is so is proven on the last one, through each one's tracker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.matomo import config_edit, queue, queue_space, schedules
from matops.matomo.queue_probe import NoTracker
from matops.matomo.queue_setup import PLUGIN
from matops.matomo.site import Site
from matops.runbook import queue_facts
from matops.runbook.outage import Outage
from matops.runbook.queue_facts import depth_line, room_line, why_short
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step
from matops.units import show_duration, utc_now

IN_REQUEST = "processDuringTrackingRequest"
WHO = "workers"
FOUND, FOUND_WORKERS = "queue", "workers"
"""Keys of the outage's record."""
HELD = "queue.held"
"""Note of the outage: since when it is proven that nothing processes the queue."""
ENDED = "queue.ended"
"""Note of the outage: endless workers that were ended; whoever began them has to again."""
CONFIG, SCHEDULES, PROCESSES, PROVE = "config", "schedules", "processes", "prove"


def keep_of(site: Site) -> str:
    """Where the ledgers of held schedules lie on that host."""
    return f"{site.state_dir}/held"


def on_host(site: Site, function: str, timeout: Optional[float] = None, **payload: Any) -> Any:
    """``matops.<function>(docroot, …)`` as who may change everything."""
    return site.agent.call(
        f"matops.{function}", {"docroot": site.docroot, **payload},
        user=site.keeper, timeout=timeout,
    )  # fmt: skip


class HoldQueue(Step):
    """Holds the queue on one server.

    ``window``: seconds that the hold may last. ``anyway``: although room is short. ``wait``:
    seconds for a worker's pass to end by itself. ``sites``: all servers (this one alone by
    default); on the last of them it is proven, through each one's tracker, that nothing is
    processed any more.
    """

    name = "queue.hold"
    title = "Hold the tracking queue"
    scope = Scope.SERVER

    def __init__(
        self,
        site: Site,
        say: Say,
        *,
        window: float = 4 * 3600.0,
        anyway: bool = False,
        wait: float = 120.0,
        sites: Sequence[Site] = (),
    ) -> None:
        super().__init__(site, say)
        self._window, self._anyway, self._wait = window, anyway, wait
        self._sites = list(sites) or [site]
        self._outage = Outage(site)
        self._held_here: list[str] = []

    # --- look --------------------------------------------------------------------------------

    def look(self) -> Look:
        """What processes the queue; whether its backend keeps what will pile up. Refused where
        it would not."""
        found = site_facts(self.site, self._window)
        setup = found["setup"]
        if found["why_none"]:
            return Look(because=f"{found['why_none']}: there is no queue to hold", skip=True)
        if not setup["enabled"]:
            why = "the queue is switched off: hits go straight into the database"
            return Look(because=why, skip=True, notes=[depth_line(found)])
        if not setup["recording"]:
            why = "tracking is off (record_statistics = 0): nothing comes in, nothing is processed"
            return Look(because=why, skip=True, notes=[depth_line(found)])
        notes = [depth_line(found), room_line(found), *found["space"]["warnings"]]
        if own := queue_facts.own_line(found, len(self._sites)):
            notes.append(own)
        self._refuse_unfit(found, notes)
        entries = self._schedules(notes)
        actions = list(self._actions(found, entries))
        if setup["in_request"] and (trouble := config_edit.trouble(self.site)):
            raise Refused(trouble, host=self.site.host.name, state="Nothing was changed",
                          next="let the keeper (sudo) write it")  # fmt: skip
        if not actions and not self._outage.noted(HELD):
            why = "nothing is known here that would process the queue"
            actions.append(Action("prove that the queue stays", why, PROVE))
        return Look(actions, "nothing processes the queue here", notes=notes)

    def _refuse_unfit(self, found: dict[str, Any], notes: list[str]) -> None:
        wrong, short = found["space"]["wrong"], why_short(found)
        if wrong:
            raise Refused(
                f"the queue would not keep the hits: {wrong}", host=self.site.host.name,
                state="Nothing was changed",
                next=queue_space.cure_of(wrong),
            )  # fmt: skip
        if short and not self._anyway and not self._outage.noted(HELD):
            # (Held already, what piled up since must not stop a run that goes on.)
            raise Refused(
                short, host=self.site.host.name, state="Nothing was changed",
                next="make room; or less time (offline --max-outage, queue.hold --window); or "
                "drain in between, queue.drain --below (offline --hold-anyway, queue.hold "
                "--anyway)",
            )  # fmt: skip
        if short:
            notes.append(short)

    def _schedules(self, notes: list[str]) -> list[dict[str, Any]]:
        found = on_host(self.site, "matomo.schedules:find", what=[schedules.QUEUE],
                        keep=keep_of(self.site))  # fmt: skip
        live = [one for one in found["entries"] if one["live"] and not one["held"]]
        bad = [one for one in live if one["why_not"]]
        if bad:
            raise Refused(
                f"{bad[0]['where']} runs the queue's worker and cannot be held: {bad[0]['line']}",
                host=self.site.host.name, state="Nothing was changed", next=bad[0]["why_not"],
            )  # fmt: skip
        if found["hidden"]:
            notes.append(f"could not be looked into: {', '.join(found['hidden'][:5])}")
        notes += [f"may be of another installation: {one['shown']}"
                  for one in live if one["ours"] is None]  # fmt: skip
        return live

    def _actions(self, found: dict[str, Any], entries: Sequence[dict[str, Any]]) -> Any:
        if found["setup"]["in_request"]:
            origin = found["setup"]["origins"][IN_REQUEST]
            yield Action(
                f"set [{PLUGIN}] {IN_REQUEST} = 0 in config.ini.php",
                f"each tracking request processes the queue now (from {origin})", CONFIG,
            )  # fmt: skip
        for one in entries:
            yield Action(f"hold {one['shown']}", "it processes the queue", SCHEDULES)
        if found["running"]:
            pids = ", ".join(str(one["pid"]) for one in found["running"])
            yield Action(
                f"wait for the workers that run now, end them after {show_duration(self._wait)}",
                f"process {pids}", PROCESSES,
            )  # fmt: skip

    # --- act ---------------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Remembers what it found, changes it."""
        if action.payload == CONFIG:
            self._switch()
        elif action.payload == SCHEDULES:
            self._hold_schedules()
        elif action.payload == PROCESSES:
            self._end_workers()

    def _switch(self) -> None:
        key = [PLUGIN, IN_REQUEST]
        now = on_host(self.site, "matomo.config_edit:look", keys=[key])
        self._outage.remember(FOUND, {IN_REQUEST: now[f"{PLUGIN}.{IN_REQUEST}"]})
        answer = config_edit.edit(self.site, [[*key, "0"]])
        for note in answer["notes"]:
            self.say(f"  {note}")

    def _hold_schedules(self) -> None:
        if self._held_here:
            return  # one call holds all of them
        self._outage.remember(FOUND_WORKERS, {"keep": keep_of(self.site), "who": WHO})
        answer = on_host(self.site, "matomo.schedules:hold", what=[schedules.QUEUE],
                         keep=keep_of(self.site), who=WHO, stop=True)  # fmt: skip
        self._held_here = list(answer["held"]) or ["none"]
        if answer["failed"]:
            first = answer["failed"][0]
            raise MatopsError(
                f"{first['where']} could not be held: {first['why']}", host=self.site.host.name,
                state="What was held stays held; queue.release puts it back",
                next="hold it by hand, then run this again",
            )  # fmt: skip

    def _end_workers(self) -> None:
        answer = on_host(self.site, "matomo.queue_workers:end", patience=self._wait,
                         timeout=self._wait + 120)  # fmt: skip
        for line in answer["ended"]:
            self.say(f"  {line}")
        if answer["endless"]:  # nothing that matops knows would start them again
            before = self._outage.noted(ENDED) or []
            self._outage.note(ENDED, [*before, *answer["endless"]])
        if answer["again"]:
            raise MatopsError(
                f"workers are started anew: {answer['again'][0]}", host=self.site.host.name,
                state="What was held stays held; queue.release puts it back",
                next="end what starts them, then run this again",
            )  # fmt: skip

    # --- verify ------------------------------------------------------------------------------

    def verify(self) -> Evidence:
        """Reads all three back; on the last server: probes stay in the queue. Takes the switch
        back where the tracker does not queue any more."""
        found = site_facts(self.site)
        left = [one["shown"] for one in self._schedules([])] + [
            f"process {one['pid']}" for one in found["running"]
        ]
        if found["setup"]["in_request"]:
            left.insert(0, f"[{PLUGIN}] {IN_REQUEST} is still on")
        if left:
            raise MatopsError(f"the queue is still processed here: {left[0]}",
                              host=self.site.host.name, next="run this again")  # fmt: skip
        facts = {"sets": found["sets"], "full_in": queue.full_in(found)}
        if self.site is not self._sites[-1]:
            return Evidence(f"nothing processes the queue here; {depth_line(found)}", facts)
        self._wait_for_locks()
        lines = [line for line in map(self._prove, self._sites) if line]
        if not lines:
            raise MatopsError("no tracker is reached by HTTP", host=self.site.host.name,
                              state="All that is known is held; queue.release puts it back",
                              next="set url in config/matops.yaml, run it again")  # fmt: skip
        for site in self._sites:
            Outage(site).note(HELD, utc_now().isoformat(timespec="seconds"))
        return Evidence(f"the queue is held: {'; '.join(lines)}", facts)

    def _wait_for_locks(self) -> None:
        """Tracking requests that had begun before finish their work: up to 250 batches each."""
        until, told = time.monotonic() + self._wait, False
        while locks := self.site.ask("matomo.queue:depth")["locks"]:
            left = max(locks.values())
            if time.monotonic() > until:
                raise MatopsError(
                    f"list {next(iter(locks))} is still locked by a worker (for "
                    f"{show_duration(left)}): one runs on a server that is not listed, or a "
                    "tracking request that began before is still at it",
                    host=self.site.host.name,
                    state="All that is known here is held; queue.release puts it back",
                    next="look for it (servers: in config/matops.yaml), then run this again",
                )
            if not told:
                self.say(f"  waiting for {len(locks)} locked lists: work that had begun")
                told = True
            time.sleep(1)

    def _prove(self, site: Site) -> str:
        try:
            found = site.ask("matomo.queue_probe:prove", timeout=120, url=site.settings.url)
        except NoTracker as error:  # a host that only archives has no web server
            self.say(f"  {site.host.name}: {error.what}")
            return ""
        if not found["queued"]:
            self._take_back()
            raise MatopsError(
                f"the tracker of {site.host.name} does not queue: {found['sent']} probes were "
                f"answered {found['status']} by {found['where']} and did not arrive",
                host=site.host.name,
                state="The switch is taken back; hits may be lost now",
                next="look at the tracker's error log, then at queue.status",
            )
        if found["stayed"] is False:
            raise MatopsError(
                f"the queue is still processed: probes through {found['where']} did not stay",
                host=site.host.name,
                state="All that is known is held; queue.release puts it back",
                next="another server works on it: list it in servers:, then run this again",
            )
        sure = "all stay" if found["stayed"] else (
            "whether they stay could not be seen: fewer than a batch wait")  # fmt: skip
        return f"{found['sent']} probes through {site.host.name} were queued, {sure}"

    def _take_back(self) -> None:
        from matops.runbook.queue_release import put_back

        for site in self._sites:
            put_back(site, self.say)


def site_facts(site: Site, window: float = 0.0) -> dict[str, Any]:
    """``queue_facts.collect`` on the host. As the keeper: the processes of all are seen."""
    found: dict[str, Any] = on_host(
        site, "runbook.queue_facts:collect", timeout=600, window=window
    )  # fmt: skip
    return found


__all__ = ["HoldQueue", "keep_of", "on_host", "queue_facts", "site_facts"]
