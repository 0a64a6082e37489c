"""``db.*``: Matomo's database: sizes, locks, reading, privileges, online optimize."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from invoke import Collection

from matops.errors import MatopsError, UsageError
from matops.matomo.dbtools import SORTS
from matops.matomo.site import Site
from matops.report import database as shown
from matops.report.tables import as_json, table
from matops.tasks import db_backup
from matops.tasks.db_optimize import optimize
from matops.tasks.desk import JSON_HELP, Desk, one_of, operation
from matops.units import parse_duration, parse_size, show_time, utc_now

_LARGEST_FILE = 2**20


@operation(
    help={
        "sort": f"by {', '.join(SORTS)}",
        "top": "show only so many tables; 0 = all. Families and totals are of all",
        "budget": "time for estimates of reclaimable bytes, like 60s or 10m; 0s = none",
        "estimate-from": "tables smaller than this are not looked into, like 64MB",
        "months": "archive tables by month, not only by kind",
        "json": JSON_HELP,
    }
)
def sizes(
    c: Any,
    sort: str = "file",
    top: str = "30",
    budget: str = "60s",
    estimate_from: str = "64MB",
    months: bool = False,
    json: bool = False,
) -> None:
    """Show every table: rows, data, index, file, reclaimable bytes and how that was found.

    Sizes are bytes in powers of 1024. Row counts are the server's estimates. Reclaimable is what
    a rebuild would give back, by tablespace pages, by sampled rows, or (blind to scattered
    deletes) by free extents, with its error (two sigma).
    Example: fab -H web1 db.sizes --sort reclaim --top 20
    """
    one_of(sort, list(SORTS), "sort")
    seconds = parse_duration(budget, "--budget")
    desk = Desk(c, json=json)
    found = _ask(
        desk.site(),
        "sizes",
        sort=sort,
        top=_number(top, "--top"),
        budget=seconds,
        least=parse_size(estimate_from, "--estimate-from"),
        months=months,
        timeout=600 + seconds,
    )
    if json:
        print(as_json(found), flush=True)
        return
    rows = [shown.size_row(one) for one in found["tables"]]
    desk.show(found, shown.SIZE_HEADERS, rows, wrap=0)
    print()
    groups = [*found["groups"], {**found["total"], "name": f"total {found['schema']}"}]
    desk.show(found, shown.GROUP_HEADERS, [shown.group_row(one) for one in groups], wrap=0)
    for note in shown.size_notes(found):
        desk.say(f"note: {note}")


@operation(help={"watch": "look again every so often, like 2s, until Ctrl-C", "json": JSON_HELP})
def locks(c: Any, watch: str = "", json: bool = False) -> None:
    """Show who waits for whom now: metadata locks and row locks, as chains to who holds all up.

    With how long, which statement, since when the blocker's transaction is open, and how many
    rows it changed. Changes nothing. Example: fab -H web1 db.locks --watch 2s
    """
    every = parse_duration(watch, "--watch") if watch else 0
    desk = Desk(c, json=json)
    site = desk.site()
    with contextlib.suppress(KeyboardInterrupt) if watch else contextlib.nullcontext():
        _show_locks(desk, site)  # Ctrl-C is the ordinary end of watching
        while watch:
            time.sleep(max(every, 1))
            if not json:
                desk.say(f"--- {show_time(utc_now())}")
            _show_locks(desk, site)


def _show_locks(desk: Desk, site: Site) -> None:
    found = _ask(site, "lock_waits", timeout=60)
    if desk.json:
        print(as_json(found), flush=True)
        return
    for line in shown.lock_lines(found):
        desk.say(line)


@operation(
    help={
        "file": "a file of SQL on your machine; statements end with ;",
        "timeout": "for each statement, like 60s or 10m",
        "rows": "rows kept of each result",
        "json": JSON_HELP,
    },
    positional=["file"],
)
def run(c: Any, file: str, timeout: str = "60s", rows: str = "200", json: bool = False) -> None:
    """Run a file of SQL that only reads, each statement in a read-only transaction.

    SELECT, SHOW, EXPLAIN, DESCRIBE, WITH, TABLE, VALUES. Anything that writes, locks, waits or
    hides in an executable comment is refused before anything is run.
    Example: fab -H web1 db.run slow-sites.sql --timeout 5m
    """
    text = _read(file)
    seconds = parse_duration(timeout, "--timeout")
    if not seconds:
        raise UsageError("--timeout: 0 would stop everything; write it like 60s")
    limit = _number(rows, "--rows") or 200
    desk = Desk(c, json=json)
    count = text.count(";") + 1
    found = _ask(
        desk.site(), "run_file", text=text, limit=limit, timeout_each=seconds,
        timeout=60 + count * (seconds + 5),
    )  # fmt: skip
    if json:
        print(as_json(found), flush=True)
    else:
        for one in found:
            _show_result(desk, one)
    failed = found[-1]["error"] if found else ""
    if failed:
        raise MatopsError(
            f"{file} line {found[-1]['line']}: {failed}",
            state="Nothing was changed; what follows was not run",
        )


@operation(help={"json": JSON_HELP})
def privileges(c: Any, json: bool = False) -> None:
    """Show what Matomo's database account can and cannot do, and the GRANT for what is missing.

    Each answer is what the server said to a harmless statement. Changes nothing.
    Example: fab -H web1 db.privileges
    """
    desk = Desk(c, json=json)
    found = _ask(desk.site(), "privileges", timeout=120)
    rows = [(f["feature"], f["state"], f["how"]) for f in found["findings"]]
    desk.show(found, ("what", "can", "how"), rows)
    if json:
        return
    server = f"{found['server']}{', ' + found['managed'] if found['managed'] else ''}"
    desk.say(f"\naccount {found['account']} on {server}")
    grants = list(dict.fromkeys(f["grant"] for f in found["findings"] if f["grant"]))
    if grants:
        desk.say("An administrator of the server can paste:")
        for grant in grants:
            desk.say(f"  {grant}")


def _ask(site: Site, function: str, *, timeout: float, **payload: Any) -> Any:
    """Calls matomo.dbtools where the database is reached, as who may read its files too."""
    user = site.keeper
    if site.host.is_local and (user is None or os.geteuid() == 0):
        user = None  # in this very process
    if "timeout_each" in payload:
        payload["timeout"] = payload.pop("timeout_each")
    payload["docroot"] = site.docroot
    return site.agent.call(f"matops.matomo.dbtools:{function}", payload, user=user, timeout=timeout)


def _show_result(desk: Desk, one: dict[str, Any]) -> None:
    first = " ".join(one["statement"].split())
    desk.say(f"\nline {one['line']}: {first[:100]}{'…' if len(first) > 100 else ''}")
    if one["error"]:
        return
    if one["columns"]:
        print(table(one["columns"], one["rows"]), flush=True)
    more = f"; there were more (--rows {len(one['rows'])})" if one["more"] else ""
    desk.say(f"{len(one['rows'])} rows in {one['seconds']:.2f} s{more}")


def _read(file: str) -> str:
    path = Path(file).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST_FILE:
        raise UsageError(f"{file} has {len(data)} bytes; db.run takes files up to 1 MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text") from None


def _number(text: str, flag: str) -> int:
    if not text.isdigit():
        raise UsageError(f"{flag}: '{text}' is not a whole number")
    return int(text)


ns = Collection("db")
ns.add_task(sizes)
ns.add_task(locks)
ns.add_task(optimize)
ns.add_task(run)
ns.add_collection(db_backup.ns)
ns.add_task(privileges)
