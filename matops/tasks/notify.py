"""``notify.*``: what customers are told: announcement, start, end."""

from __future__ import annotations

import datetime as dt
from typing import Any, Optional

from invoke import Collection

from matops.errors import Refused, UsageError
from matops.matomo.rehearsal import load
from matops.matomo.site import Site
from matops.report.tables import as_json
from matops.runbook import notices, plan_window
from matops.runbook import plan as planning
from matops.runbook.notify import Sender
from matops.tasks.desk import (
    DRY_HELP,
    JSON_HELP,
    LOCAL_HELP,
    YES_HELP,
    Desk,
    confirmer,
    one_of,
    operation,
)
from matops.units import parse_duration, utc_now

_FLAGS = {
    "start": "when the outage begins: '2026-12-01 22:00 Europe/Berlin'; default: that of the plan",
    "window": "how long to announce, like 3h; default: that of the plan",
    "to-version": "the version upgraded to; default: that of the rehearsal",
    "json": JSON_HELP,
    "local": LOCAL_HELP,
}


@operation(
    help={"kind": "announcement, start or end; all three when left out", **_FLAGS},
)
def preview(
    c: Any,
    kind: str = "",
    start: str = "",
    window: str = "",
    to_version: str = "",
    json: bool = False,
    local: bool = False,
) -> None:
    """Show the notices as they would be sent. Sends nothing.

    From the templates in notices_dir, in the languages of notice_languages; times in the zone of
    --start (else notice_zone) and in UTC. Window and start are those of the last plan.
    Example: fab -H web1 notify.preview --start "2026-12-01 22:00 Europe/Berlin"
    """
    kinds = [one_of(kind, notices.KINDS, "kind")] if kind else list(notices.KINDS)
    desk = Desk(c, json=json)
    site = desk.site(changes=True, local=local)
    facts = _Facts(site, start, window, to_version)
    for note in facts.notes:
        desk.say(f"note: {note}")
    found = [facts.compose(one) for one in kinds]
    if json:
        print(as_json([vars(one) for one in found]))
        return
    for one in found:
        desk.say(f"=== {one.kind}\nSubject: {one.subject}\n\n{one.text}")


@operation(
    help={
        "kind": "announcement, start or end",
        **_FLAGS,
        "again": "send it although it has gone out for this upgrade already",
        "yes": YES_HELP,
        "dry-run": DRY_HELP,
    },
)
def send(
    c: Any,
    kind: str = "",
    start: str = "",
    window: str = "",
    to_version: str = "",
    again: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    local: bool = False,
) -> None:
    """Send one notice: by the host's sendmail, and to the webhook, where they are set.

    Shows it and asks first. Each kind goes out once an upgrade, whoever sends it; after a failure
    only what has not gone out is sent. A mail that sendmail has taken is not yet delivered.
    Example: fab -H web1 notify.send --kind announcement --dry-run
    """
    if not kind:
        raise UsageError(f"--kind is missing: one of {', '.join(notices.KINDS)}")
    one_of(kind, notices.KINDS, "kind")
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    facts = _Facts(site, start, window, to_version)
    notice = facts.compose(kind)
    sender = Sender(site, notice, facts.window, facts.from_version, facts.to_version, desk.say)
    channels = sender.pending(again)
    facts.must_be_ahead(kind)
    for note in facts.notes:
        desk.say(f"note: {note}")
    desk.say(f"Subject: {notice.subject}\n\n{notice.text}")
    desk.say(f"{'would go' if dry_run else 'goes'} to: {', '.join(channels)}")
    went: list[str] = []
    if not dry_run:
        if not confirmer(yes)(f"Send this {kind} to {len(channels)} receivers?", "send"):
            raise Refused("not confirmed", host=desk.host.name, state="Nothing was sent",
                          next="add --yes, or type send when asked")  # fmt: skip
        went = sender.send(channels)
    if json:
        print(as_json({"host": desk.host.name, "notice": vars(notice), "channels": channels,
                       "sent": went, "dry_run": dry_run}))  # fmt: skip


class _Facts:
    """What the notices are about: from the flags, else the last plan, else the rehearsal."""

    def __init__(self, site: Site, start: str, window: str, to_version: str) -> None:
        self._settings = site.settings
        plan = planning.last(site) or {}
        rehearsal = load(site)
        if plan and rehearsal and plan.get("to") != rehearsal.to_version and not to_version:
            raise Refused(f"the last plan is of {plan.get('to')}, and the last rehearsal of "
                          f"{rehearsal.to_version}", host=site.host.name,
                          next="plan again, or give --to-version, --start, --window")  # fmt: skip
        self.notes = [] if window else _doubts(plan)
        self.from_version = str(plan.get("from") or site.version)
        self.to_version = to_version or str(
            plan.get("to") or (rehearsal.to_version if rehearsal else "")
        )
        if not self.to_version:
            raise Refused("which version is upgraded to is not known: nothing was planned yet",
                          host=site.host.name, next="plan, or give --to-version 5.8.0")  # fmt: skip
        zone = self._settings.notice_zone
        plan_window.known_zone(zone, "setting notice_zone")
        seconds = parse_duration(window, "--window") if window else plan.get("window_seconds")
        self.window = self._window(start, zone, seconds, plan)

    def _window(self, start: str, zone: str, seconds: Any, plan: dict[str, Any]
                ) -> Optional[notices.Window]:  # fmt: skip
        if seconds is None:
            return None
        if start:
            moment, zone = plan_window.parse_start(start, zone)
            return notices.Window(moment, int(seconds), zone)
        if plan.get("start"):
            moment = dt.datetime.fromtimestamp(float(plan["start"]), dt.timezone.utc)
            return notices.Window(moment, int(seconds), str(plan.get("zone") or zone))
        return None

    def must_be_ahead(self, kind: str) -> None:
        """UsageError where something is announced whose time is past."""
        if kind == notices.ANNOUNCEMENT and self.window and self.window.start < utc_now():
            raise UsageError("the start that would be announced is past", state="Nothing was sent",
                             next="plan again with --start, or give --start here")  # fmt: skip

    def compose(self, kind: str) -> notices.Notice:
        """One notice, in all languages. UsageError."""
        return notices.compose(kind, self._settings, self.window, self.from_version,
                               self.to_version, utc_now())  # fmt: skip


def _doubts(plan: dict[str, Any]) -> list[str]:
    """What speaks against the window of a plan that is about to be announced."""
    found = []
    if plan.get("stale"):
        found.append(f"out of date: {plan['stale']}")
    found += [f"core:update would fail at {what}" for what in plan.get("fails", [])[:1]]
    found += [f"{each['name']} does not hold it" for each in plan.get("holds", [])
              if each.get("status") == plan_window.NOT]  # fmt: skip
    if plan.get("unknown_in_outage"):
        found.append(
            f"{len(plan['unknown_in_outage'])} steps whose time is not known are not in it"
        )
    return [f"the plan's window: {'; '.join(found)}. Plan again, or give --window"] if found else []


ns = Collection("notify")
ns.add_task(preview)
ns.add_task(send)
