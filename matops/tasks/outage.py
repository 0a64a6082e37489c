"""``outage.*``: the state of an outage, and the job that watches it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from invoke import Collection

from matops.errors import MatopsError, Refused
from matops.matomo.site import Site
from matops.runbook import outage_words
from matops.runbook.outage import Outage
from matops.runbook.outage_begin import DEADLINE, MODE, clock, watched, watcher
from matops.runbook.outage_watch import Watch, queue_line
from matops.runbook.tracking_mode import QUEUE
from matops.tasks.desk import JSON_HELP, Desk, is_remote, operation
from matops.units import parse_duration, show_duration


@operation(help={"json": JSON_HELP})
def status(c: Any, json: bool = False) -> None:
    """Show the outage: since when, what is held, edges, deadline, the queue's depth.

    Reads only; asks the host that it is typed for. Example: fab -H web1 outage.status
    """
    desk = Desk(c, json=json)
    site = desk.site()
    data = Outage(site).read()
    now = clock(site)
    rows = outage_words.rows(data, now)
    seen: dict[str, Any] = {}
    if data["notes"].get(MODE) == QUEUE:
        try:
            seen = site.ask("matomo.queue:look")
            rows.append(("queue", queue_line(seen)))
        except MatopsError as error:
            rows.append(("queue", error.what))
    if data["began"]:
        rows.append(("watcher", _watcher(site, data["notes"], now)))
    desk.show({"host": desk.host.name, "now": now, "record": data, "queue": seen},
              ("what", "state"), rows)  # fmt: skip


def _watcher(site: Site, notes: dict[str, Any], now: float) -> str:
    if notes.get(MODE) != QUEUE and DEADLINE not in notes:
        return "none is needed: there is no deadline, and no queue carries the hits"
    job, beat = watcher(site, notes), float(watched(site).get("beat") or 0)
    last = f"looked {show_duration(max(now - beat, 0))} ago" if beat else "has not looked yet"
    return f"job {job}, {last}" if job else "none runs: offline or update start it anew"


@operation(
    help={
        "every": "time between two looks",
        "once": "one look only, for cron or by hand",
    }
)
def watch(c: Any, every: str = "30s", once: bool = False) -> None:
    """Watch the outage until it is over: tell when the deadline or a full queue comes near.

    It tells at 50, 75 and 100 % of --max-outage, and in time before the queue is full. `offline`
    starts it as a job on the leading host; it ends with the outage. At the deadline it
    runs `rollback` where that is still possible and the installation has one server; else it
    tells what can be done. Mail and pager: alert_to and alert_command in config/matops.yaml.
    Example, on the host: inv outage.watch --once
    """
    pause = max(parse_duration(every, "--every"), 1)
    desk = Desk(c)
    site = desk.site()
    if is_remote(c):
        raise Refused(
            "outage.watch watches from the leading host itself; `offline` starts it there",
            state="Nothing was changed",
            next="jobs shows its job; outage.status the state",
        )
    watching = Watch(site, desk.say, _run_task)
    while watching.tick() and not once:
        time.sleep(pause)


def _run_task(words: Sequence[str]) -> int:
    """Another task of this very program, in a process of its own."""
    return subprocess.run([sys.executable, sys.argv[0], *words], check=False).returncode


ns = Collection("outage")
ns.add_task(status, default=True)
ns.add_task(watch)
