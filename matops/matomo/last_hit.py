"""The newest recorded hit, and one real hit to prove that hits are recorded. Runs there."""

from __future__ import annotations

import os
import time
from typing import Any, Optional

from matops.errors import MatopsError, UsageError
from matops.matomo import witness_http as http
from matops.matomo import witness_logs as logs
from matops.matomo.database import Database

_QUIET, _PATIENCE, _PAUSE = 0.4, 6.0, 0.1  # seconds
_APPEAR = 6.0  # seconds for a hit to be found after it was answered
# Something that is no bot to device-detector, and which an operator knows again in a log.
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 matops-proof"


def look(docroot: str) -> dict[str, Any]:
    """The newest recorded hit; a few rows by index, however large the tables are.

    ``{"clock_db": the database's clock, "clock": this server's, "newest": time of the newest hit
    of all, "visit": {"idvisit", "epoch"} that began last, "action": {"idlink_va", "idvisit",
    "epoch"} recorded last, "version_core"}``; times in seconds since 1970, None in an empty
    table. Raises DatabaseError.
    """
    with Database(docroot, timeout=60) as db:
        return _look(db)


def _look(db: Database) -> dict[str, Any]:
    visits, actions = db.table("log_visit"), db.table("log_link_visit_action")
    began = time.time()
    clock = float(db.session.value("last_hit_clock"))
    here = (began + time.time()) / 2
    visit = db.session.rows("last_hit_visit", log_visit=visits)
    action = db.session.rows("last_hit_action", action=actions)
    newest = db.session.value("last_hit_newest", log_visit=visits)
    version = db.session.value("option_read", ("version_core",), option=db.table("option"))
    return {
        "clock_db": clock,
        "clock": here,
        "newest": None if newest is None else float(newest),
        "visit": _plain(visit),
        "action": _plain(action),
        "version_core": str(version or ""),
    }


def _plain(rows: Any) -> Optional[dict[str, Any]]:
    if not rows:
        return None
    return {key: float(v) if key == "epoch" else int(v) for key, v in rows[0].items()}


def settled(docroot: str) -> dict[str, Any]:
    """``look`` once nothing more is recorded: requests in flight at the switch have ended.

    ``"settled"``: False where hits still came after ``_PATIENCE`` seconds.
    """
    with Database(docroot, timeout=60) as db:
        deadline = time.monotonic() + _PATIENCE
        found, since = _look(db), time.monotonic()
        while time.monotonic() - since < _QUIET and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            now = _look(db)
            if any(now[key] != found[key] for key in ("newest", "visit", "action")):
                since = time.monotonic()
            found = now
        return {**found, "settled": time.monotonic() - since >= _QUIET}


def prove(docroot: str, url: str, idsite: int) -> dict[str, Any]:
    """Sends one real page view to ``idsite`` and finds it in the database.

    ``{"idvisit", "visitor" (hex), "url", "status", "seconds"}``. It is a visit like any other,
    and stays. Raises UsageError (no such site), MatopsError where it is not found.
    """
    visitor = os.urandom(8).hex()
    with Database(docroot, timeout=60) as db:
        sites = {int(row["idsite"]) for row in db.session.rows("site_ids", site=db.table("site"))}
        if idsite not in sites:
            known = ", ".join(map(str, sorted(sites)[:10]))
            raise UsageError(f"site {idsite} does not exist; there are: {known}")
        began = time.monotonic()
        answer = _hit(docroot, url, idsite, visitor)
        while True:
            rows = db.session.rows("last_hit_of_visitor", (idsite, bytes.fromhex(visitor)),
                                   log_visit=db.table("log_visit"))  # fmt: skip
            if rows or time.monotonic() - began > _APPEAR:
                break
            time.sleep(_PAUSE)
    if not rows:
        raise MatopsError(
            f"a hit to site {idsite} was answered {answer['status'] or answer['error']} by "
            f"{answer['where']}, and is not in the database",
            next="is its address excluded, is a queue enabled, what says the web server's error "
            "log?",
        )
    return {"idvisit": int(rows[0]["idvisit"]), "visitor": visitor, "url": answer["url"],
            "status": answer["status"], "seconds": time.monotonic() - began}  # fmt: skip


def _hit(docroot: str, url: str, idsite: int, visitor: str) -> dict[str, Any]:
    """Through the public name, else through this server's own socket; the first answer."""
    query = (
        # Past a queue that is on: a hit that waits there proves nothing about the tracker.
        f"matomo.php?queuedtracking=0&idsite={idsite}&rec=1&_id={visitor}&cid={visitor}&action_name=matops%20proof"
        f"&url=http%3A%2F%2Fmatops.invalid%2Fproof%2F{visitor}"
    )
    answer: dict[str, Any] = {"status": 0, "error": "nobody to ask", "where": "", "url": ""}
    for target in http.targets(url, logs.config_text(docroot)):
        answer = http.ask(target, query, agent=_BROWSER)
        if 200 <= answer["status"] < 300:
            break
    return answer
