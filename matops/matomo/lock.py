"""The installation's one lock: a row in Matomo's own option table.

An installation is its database, so its lock lives there: operators on two web servers cannot
both run. The option table needs no right that Matomo's account lacks and survives an upgrade.
Changes are compare-and-swap on the whole value. The *fencing number* grows with every new
owner; a run that finds another number than its own has lost the lock and must stop.

These functions run where the database is reached (on the host, through the agent).
All times are the database server's clock, in seconds since 1970.
"""

from __future__ import annotations

import json
from typing import Any, Optional

from matops.errors import OutcomeUnknown
from matops.matomo.database import Database

LOCK = "matops.lock"
RECORDS = "matops.records"

_FREE = {"v": 1, "fence": 0, "owner": None}


def status(docroot: str) -> dict[str, Any]:
    """``{"lock": …, "now": …}``: who holds it, without changing anything."""
    with Database(docroot, timeout=15) as db:
        return {"lock": _read(db, LOCK) or dict(_FREE), "now": _now(db)}


def take(docroot: str, owner: dict[str, Any], over: Optional[int] = None,
         resume: bool = False) -> dict[str, Any]:  # fmt: skip
    """Takes the lock for ``owner`` (user, machine, pid, task, …) if it is free.

    ``over``: the fencing number of a holder to be replaced. ``resume``: that holder was an
    earlier, dead run of the same operator: its number is kept, for the jobs it started carry
    it. Returns ``{"taken": bool, "lock": …, "now": …}``; the lock as it is now.
    """
    with Database(docroot, timeout=15) as db:
        db.session.execute("option_create", (LOCK, _text(_FREE)), option=db.table("option"))
        for _ in range(5):
            now = _now(db)
            held = _read(db, LOCK) or dict(_FREE)
            if held["owner"] is not None and held["fence"] != over:
                return {"taken": False, "lock": held, "now": now}
            fence = held["fence"] + (0 if resume and held["owner"] is not None else 1)
            wanted = {"v": 1, "fence": fence, "owner": owner, "taken": now, "beat": now}
            if resume and held.get("job"):
                wanted["job"] = held["job"]
            if _swap(db, LOCK, held, wanted):
                return {"taken": True, "lock": wanted, "now": now}
    raise OutcomeUnknown("the lock changed hands five times while we asked; try again")


def beat(docroot: str, fence: int, job: Optional[dict[str, str]] = None) -> bool:
    """Heartbeat of the run that holds ``fence``; False when the lock is no longer ours.

    ``job`` (name, machine): written into the lock, so that whoever comes next can see whether
    what this run started is still at work.
    """
    with Database(docroot, timeout=15) as db:
        for _ in range(5):
            held = _read(db, LOCK)
            if held is None or held["fence"] != fence or held["owner"] is None:
                return False
            wanted = {**held, "beat": _now(db), **({"job": job} if job else {})}
            if _swap(db, LOCK, held, wanted):
                return True
    return False


def release(docroot: str, fence: int) -> bool:
    """Gives the lock back, keeping the number; False when it was not ours any more."""
    with Database(docroot, timeout=15) as db:
        held = _read(db, LOCK)
        if held is None or held["fence"] != fence or held["owner"] is None:
            return False
        return _swap(db, LOCK, held, {"v": 1, "fence": fence, "owner": None})


def records(docroot: str) -> dict[str, Any]:
    """What was done once for the whole installation: ``{step: {at, host, evidence, …}}``."""
    with Database(docroot, timeout=15) as db:
        return (_read(db, RECORDS) or {}).get("steps", {})  # type: ignore[no-any-return]


def record(docroot: str, step: str, entry: dict[str, Any]) -> None:
    """Writes down that a step of the installation was done, for every server to see."""
    with Database(docroot, timeout=15) as db:
        db.session.execute(
            "option_create", (RECORDS, _text({"v": 1, "steps": {}})), option=db.table("option")
        )
        for _ in range(5):
            held = _read(db, RECORDS) or {"v": 1, "steps": {}}
            steps = {**held["steps"], step: {**entry, "at": _now(db)}}
            if _swap(db, RECORDS, held, {"v": 1, "steps": steps}):
                return
    raise OutcomeUnknown(f"the record of step {step} could not be written; try again")


def _read(db: Database, name: str) -> Optional[dict[str, Any]]:
    value = db.session.value("option_read", (name,), option=db.table("option"))
    return json.loads(value) if value else None


def _swap(db: Database, name: str, held: dict[str, Any], wanted: dict[str, Any]) -> bool:
    changed = db.session.execute(
        "option_swap", (_text(wanted), name, _text(held)), option=db.table("option")
    )
    return changed == 1


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)


def _now(db: Database) -> float:
    return float(db.session.value("server_time"))
