"""``logs.retention``: do the access logs reach back far enough for the outage?"""

from __future__ import annotations

import time
from typing import Any

from matops.accesslog.retained import LOST, UNSURE
from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook.log_gap import ask, kept_of
from matops.tasks.desk import DRY_HELP, JSON_HELP, Desk, operation
from matops.units import parse_duration, show_duration, show_epoch, show_size


@operation(
    help={
        "window": "how long a line written now must be there; the setting window if left out",
        "hold": "keep the files there are, whatever the rotation removes (hard links, 0700)",
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
    }
)
def retention(
    c: Any, window: str = "", hold: bool = False, dry_run: bool = False, json: bool = False
) -> None:
    """Show how far back the access logs reach, what rotation removes when, and keep them.

    On every listed server. Exit code 3 where a line of the outage would be removed before its
    end. With --hold nothing that is there now is lost; run it again while the outage lasts
    where rotation is quicker than that. logs.gap reads what is kept; logs.clean lets it go.
    Example: fab -H web1 logs.retention --window 3d --hold
    """
    desk = Desk(c, json=json)
    seconds = parse_duration(window, "--window") if window else desk.settings.window
    found, bad = [], []
    for site in desk.sites(desk.site()):
        logs = _look(site, seconds)
        if hold and not dry_run:
            _hold(desk, site)
        found += [{"host": site.host.name, **log} for log in logs]
        bad += [f"{site.host.name}: {log['log']}" for log in logs if log["verdict"] == LOST]
    rows = [(log["host"], log["log"], _oldest(log), _rule(log), _goes(log), _verdict(log, seconds))
            for log in found]  # fmt: skip
    headers = ("host", "log", "oldest line", "rotation", "next", f"the next {_span(seconds)}")
    desk.show(found, headers, rows)
    if hold and dry_run:
        desk.say(f"would keep {sum(log['files'] for log in found)} files by hard links")
    if bad and not hold:
        raise Refused(
            f"lines of the outage would be removed before it ends: {', '.join(bad)}",
            state="Nothing was changed",
            next="let logrotate keep more (rotate N), or logs.retention --hold now and again",
        )


def _look(site: Site, seconds: int) -> list[dict[str, Any]]:
    logs: list[dict[str, Any]] = ask(
        site, "retained:look", docroot=site.docroot, window=seconds, kept=kept_of(site),
        access_logs=list(site.settings.access_logs),
        tracker_paths=list(site.settings.tracker_paths),
    )  # fmt: skip
    return logs


def _hold(desk: Desk, site: Site) -> None:
    done = ask(
        site, "retained:hold", docroot=site.docroot, kept=kept_of(site),
        access_logs=list(site.settings.access_logs),
        tracker_paths=list(site.settings.tracker_paths),
        expires=time.time() + site.settings.gap_keep,
    )  # fmt: skip
    copied = f", {show_size(done['copied'])} copied" if done["copied"] else ""
    desk.say(
        f"{site.host.name}: {done['held']} files are kept in {kept_of(site)} ({done['new']} of "
        f"them new{copied}); logs.clean lets them go after {show_duration(site.settings.gap_keep)}"
    )


def _span(seconds: int) -> str:
    return show_duration(seconds)


def _oldest(log: dict[str, Any]) -> str:
    if log["oldest"] is None:
        return "nothing logged yet"
    ago = show_duration(time.time() - log["oldest"])
    files = f"{log['files']} files, {show_size(log['bytes'])}"
    return f"{show_epoch(log['oldest'])}, {ago} ago; {files}"


def _rule(log: dict[str, Any]) -> str:
    held = f"; {log['held']} files kept by us" if log["held"] else ""
    return f"{log['rule']} ({log['where']}){held}" if log["rule"] else f"no logrotate rule{held}"


def _goes(log: dict[str, Any]) -> str:
    if log["next"] is None:
        return ""
    goes = f": removes {log['goes'].rpartition('/')[2]}" if log["goes"] else ""
    return f"{show_epoch(log['next'])}{goes}"


def _verdict(log: dict[str, Any], seconds: int) -> str:
    mark = {LOST: "FAIL", UNSURE: "warn"}.get(log["verdict"], "ok")
    return f"{mark}: a line {log['verdict']} ({log['why']})"
