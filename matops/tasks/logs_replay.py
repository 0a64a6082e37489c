"""``logs.replay``: the hits of the gap, from the access logs back into Matomo."""

from __future__ import annotations

import functools
from typing import Any

from matops.errors import UsageError
from matops.matomo.site import Site
from matops.mysql.attempt import Stop
from matops.report.progress import Progress
from matops.runbook.engine import run_steps
from matops.runbook.replay import Replay, Voices
from matops.runbook.replay_asked import IMPORT_LOGS, NATIVE, Asked
from matops.tasks.db_optimize import stop_on_signals
from matops.tasks.desk import CHANGING, Desk, is_remote, one_of, operation
from matops.units import parse_duration

NAME = "logs.replay"
FLAGS = {
    "file": "the gap file on that host; else the merged one that logs.gap made last",
    "how": "native: our own client of the bulk tracking API; import_logs: Matomo's own script",
    "sites": "only these sites (numbers, with commas), as a trial; the rest is for the next run",
    "workers": "requests at the same time, 1 to 32; a visitor's hits stay in their order",
    "batch": "hits in one request, 1 to 1000: one transaction of the database",
    "max-load": "slow down while a tracker request takes more than so many times as long as "
    "before the replay; 0 = never mind",
    "rate": "hits a second at the most; 0 = as fast as the server bears",
    "url": "address of Matomo; else this very server's own web server",
    "token-file": "file with a token of a superuser (mode 0600); else one is made, and removed",
    "import-logs": "the script for --how import_logs; else misc/log-analytics/import_logs.py there",
    "through-queue": "through QueuedTracking in place of around it; wants --token-file",
    "no-check": "do not look for each hit in the database afterwards",
    "timeout": "how long to wait for one answer",
    "patience": "how long the web server or the database may be away",
    **CHANGING,
}


@operation(help=FLAGS)
def replay(
    c: Any,
    file: str = "",
    how: str = NATIVE,
    sites: str = "",
    workers: str = "4",
    batch: str = "100",
    max_load: str = "2",
    rate: str = "0",
    url: str = "",
    token_file: str = "",
    import_logs: str = "",
    through_queue: bool = False,
    no_check: bool = False,
    timeout: str = "2m",
    patience: str = "10m",
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """Replay a gap file: each hit is recorded at its own time, and never twice.

    Runs on the host as a job. Stopped or killed (we, the web server, the database), the same
    command goes on: the database tells which batches it has. At the end each hit is looked for.
    Example: fab -H web1 logs.replay --sites 3329 --dry-run
    """
    asked = parse({k: v for k, v in locals().items() if k not in ("c", "json", "local")})
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    stop = Stop()
    step = make_step(desk, site, asked, stop)
    with desk.run(site, NAME, [step], dry_run=dry_run, take_over=take_over) as run:
        if is_remote(c):
            outcomes = run_steps([step], run)
        else:
            with stop_on_signals(stop):
                outcomes = run_steps([step], run)
    desk.finish(outcomes, {"plan": step.found} if dry_run and step.found else None)


def make_step(desk: Desk, site: Site, asked: Asked, stop: Stop) -> Replay:
    """The step with this desk's voices."""
    track = functools.partial(Progress, say=desk.say)
    return Replay(site, desk.say, asked, Voices(track, desk.write, stop))


def parse(flags: dict[str, Any]) -> Asked:
    """What was typed. UsageError."""
    if flags["through_queue"] and not flags["token_file"]:
        raise UsageError(
            "--through-queue wants --token-file: the token must live until the queue is worked off"
        )
    return Asked(
        file=flags["file"],
        how=one_of(flags["how"], (NATIVE, IMPORT_LOGS), "how"),
        workers=_whole(flags["workers"], "--workers", 32),
        batch=_whole(flags["batch"], "--batch", 1000),
        max_load=_number(flags["max_load"], "--max-load"),
        rate=_number(flags["rate"], "--rate"),
        sites=tuple(sorted({_whole(part.strip(), "--sites", 2**31) for part
                            in flags["sites"].split(",") if part.strip()})),
        url=flags["url"], token_file=flags["token_file"],
        import_logs=flags["import_logs"], through_queue=flags["through_queue"],
        check=not flags["no_check"],
        timeout=float(parse_duration(flags["timeout"], "--timeout")),
        patience=float(parse_duration(flags["patience"], "--patience")),
    )  # fmt: skip


def _whole(text: str, flag: str, most: int) -> int:
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise UsageError(f"{flag}: '{text}' is not a whole number from 1 to {most}")
    return int(text)


def _number(text: str, flag: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise UsageError(f"{flag}: '{text}' is not a number from 0 up")
    return value
