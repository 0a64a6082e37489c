"""Days of sites in their own time zones, and whether their reports agree with the raw logs.

Runs where the database is reached. Matomo's archiver counts a visit on the day of its *last*
action, in the site's own time zone (LogAggregator::VISIT_DATETIME_FIELD).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, Optional
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from matops.errors import MatopsError, UsageError
from matops.matomo import ini
from matops.matomo.database import Database, read_config
from matops.mysql.invalidations import shape

DAY = dt.timedelta(days=1)
_OK, _TEMPORARY, _INVALID, _PARTIAL, _ERROR_INVALID = 1, 3, 4, 5, 6
_WORDS = {2: "being built, or failed", 4: "invalid", 6: "failed and invalid"}


def zone_of(name: str) -> dt.tzinfo:
    """A site's time zone: an IANA name, or Matomo's own ``UTC-5.5``. MatopsError."""
    found = re.fullmatch(r"UTC([+-]\d{1,2}(?:\.\d+)?)", name)
    if found:
        return dt.timezone(dt.timedelta(hours=float(found[1])))
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MatopsError(
            f"time zone '{name}' of a site is not known on this machine",
            state="Nothing was changed",
            next="install tzdata there (Debian 13: tzdata-legacy, too), or correct the site's "
            "time zone in Matomo",
        ) from None


def local_days(start: float, end: float, zone: dt.tzinfo) -> tuple[dt.date, dt.date]:
    """First and last whole day of ``zone`` that [start, end) touches (epochs). Pure."""
    first = dt.datetime.fromtimestamp(start, zone).date()
    # The end itself is outside: a gap that ends at midnight does not touch the new day.
    last = dt.datetime.fromtimestamp(max(end - 0.001, start), zone).date()
    return first, max(first, last)


def bounds(day: dt.date, zone: dt.tzinfo) -> tuple[dt.datetime, dt.datetime]:
    """[start, end) of that day in UTC, without zone; 23 or 25 hours where the clock moves."""

    def midnight(date: dt.date) -> dt.datetime:
        local = dt.datetime(date.year, date.month, date.day, tzinfo=zone)
        return local.astimezone(dt.timezone.utc).replace(tzinfo=None)

    return midnight(day), midnight(day + DAY)


def reach(config: ini.Sections, start: float, end: float) -> tuple[float, float]:
    """The times whose days a hit of [start, end) may change. Pure.

    It joins a visit whose last action is up to ``visit_standard_length`` away, before or after
    (VisitorRecognizer::getWindowLookupThisVisit). A visit counts on the day of its last action:
    over midnight it leaves the day before for the new one, or grows on the day after.
    """
    text = ini.text_of(config, "Tracker", "visit_standard_length", "1800")
    length = int(text) if text.isdecimal() else 1800
    return start - length, end + length


def known(docroot: str, sites: Sequence[int]) -> None:
    """UsageError: one of these sites does not exist."""
    with Database(docroot, timeout=60) as db:
        _zones(db, sites)


def closed(docroot: str) -> bool:
    """Whether maintenance mode is on: core:archive does nothing then."""
    value = ini.text_of(read_config(docroot), "General", "maintenance_mode", "0")
    return value not in ("", "0")


def touched(docroot: str, start: float, end: float, sites: Sequence[int] = ()) -> dict[str, Any]:
    """Which sites have visits in the days that ``reach`` of [start, end) touches, in their zones.

    ``{"sites": {idsite: {"zone", "first", "last", "queued"}}, "quiet": n}``: days as
    YYYY-MM-DD, ``queued``: how many of them wait in the archiver's queue already; ``quiet``:
    sites without a visit in those days, for which there is nothing to rebuild.
    UsageError: a site that does not exist.
    """
    with Database(docroot, timeout=None) as db:
        now = float(db.session.value("server_time"))
        start, end = reach(db.config, start, min(end, now))
        zones = _zones(db, sites)
        queue = db.table(shape.BASE)
        answer: dict[str, Any] = {"sites": {}, "quiet": 0}
        for idsite, name in zones.items():
            zone = zone_of(name)
            first, last = local_days(start, min(end, now), zone)  # no report of tomorrow
            span = (bounds(first, zone)[0], bounds(last, zone)[1])
            if not db.session.rows("visits_any", (idsite, *span), log_visit=db.table("log_visit")):
                answer["quiet"] += 1
                continue
            rows = db.session.value("queue_day_rows", (idsite, first, last), table=queue)
            answer["sites"][str(idsite)] = {
                "zone": name, "first": str(first), "last": str(last), "queued": int(rows or 0),
            }  # fmt: skip
        return answer


def _zones(db: Database, sites: Sequence[int]) -> dict[int, str]:
    rows = db.session.rows("site_zones", site=db.table("site"))
    every = {int(row["idsite"]): str(row["timezone"] or "UTC") for row in rows}
    unknown = [site for site in sites if site not in every]
    if unknown:
        known = ", ".join(str(site) for site in list(every)[:10])
        raise UsageError(f"site {unknown[0]} does not exist; there are: {known}")
    return {site: every[site] for site in every if not sites or site in sites}


def left(
    docroot: str, first: str, last: str, sites: Sequence[int] = (), upto: Optional[int] = None
) -> dict[str, int]:
    """Rows of the archiver's queue whose days touch ``first`` … ``last``, ids up to ``upto``.

    ``{"queued", "running", "highest"}``.
    """
    with Database(docroot, timeout=600) as db:
        table = db.table(shape.BASE)
        highest = int(db.session.value("invalidations_next_id", table=table) or 0)
        mark = highest if upto is None else upto
        found = {0: 0, 1: 0}
        asked: list[tuple[Any, ...]] = [(site, mark, first, last) for site in sites]
        for values in asked or [(mark, first, last)]:
            name = "queue_left_site" if sites else "queue_left"
            for row in db.session.rows(name, values, table=table):
                found[int(row["status"])] = found.get(int(row["status"]), 0) + int(row["n"])
        return {"queued": found[0], "running": found[1], "highest": mark}


def compare(
    docroot: str, start: float, end: float, sites: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Visits and actions in the reports beside those in the log tables, for each site and day.

    ``[{"idsite", "day", "log": [visits, actions], "report": [visits, actions] or None, "state",
    "running"}]``: ``state`` says what the newest archive is ('' = valid), ``running``: the day is
    not over yet in the site's zone, so that the report may be behind. Quiet sites are left out.
    """
    with Database(docroot, timeout=None) as db:
        now = float(db.session.value("server_time"))
        start, end = reach(db.config, start, end)
        rows = []
        for idsite, name in _zones(db, sites).items():
            zone = zone_of(name)
            first, last = local_days(start, min(end, now), zone)
            day = first
            while day <= last:
                row = _day(db, idsite, day, zone)
                row["running"] = (
                    bounds(day, zone)[1].replace(tzinfo=dt.timezone.utc).timestamp() > now
                )
                if row["log"] != [0, 0] or row["report"] not in (None, [0, 0]):
                    rows.append(row)
                day += DAY
        return rows


def _day(db: Database, idsite: int, day: dt.date, zone: dt.tzinfo) -> dict[str, Any]:
    counted = db.session.rows(
        "visits_in_day", (idsite, *bounds(day, zone)), log_visit=db.table("log_visit")
    )[0]
    report, state = _report(db, idsite, day)
    return {
        "idsite": idsite, "day": str(day), "state": state, "report": report,
        "log": [int(counted["visits"]), int(counted["actions"])],
    }  # fmt: skip


def _report(db: Database, idsite: int, day: dt.date) -> tuple[Optional[list[int]], str]:
    """The newest archive's figures, and what is wrong with it ('' = nothing)."""
    table = db.table(f"archive_numeric_{day:%Y_%m}")
    if not db.session.rows("invalidations_shape_table", (table,)):
        return None, "no archive"
    archives: dict[int, dict[str, Any]] = {}
    for row in db.session.rows("archive_day", (idsite, day, day), archive=table):
        one = archives.setdefault(int(row["idarchive"]), {"made": 0.0})
        one[str(row["name"])] = row["value"]
        one["made"] = float(row["made"] or 0)
    return newest(archives)


def newest(archives: dict[int, dict[str, Any]]) -> tuple[Optional[list[int]], str]:
    """The figures that Matomo shows, of ``{idarchive: {"made", "done", "nb_visits", …}}``. Pure.

    Without nb_visits the archive says that there were none. A partial archive (5) holds other
    plugins' reports only, unless it has the figure.
    """
    flagged = []
    for number, one in archives.items():
        flag = one.get("done", one.get("done.VisitsSummary"))
        if flag is None or (int(flag) == _PARTIAL and "nb_visits" not in one):
            continue
        flagged.append((one["made"], number, int(flag), one))
    if not flagged:
        return None, "no archive"
    usable = [f for f in flagged if f[2] in (_OK, _TEMPORARY, _INVALID, _PARTIAL)]
    _, _, flag, one = max(usable or flagged, key=lambda found: found[:2])
    if flag not in (_OK, _TEMPORARY, _INVALID, _PARTIAL):
        return None, _WORDS.get(flag, f"flag {flag}")
    figures = [int(one.get("nb_visits", 0)), int(one.get("nb_actions", 0))]
    return figures, _WORDS.get(flag, "")


def held(docroot: str, start: float, end: float) -> dict[str, int]:
    """What the log tables hold of [start, end), of all sites: ``{"visits", "actions"}``."""

    def moment(epoch: float) -> dt.datetime:
        return dt.datetime.fromtimestamp(epoch, dt.timezone.utc).replace(tzinfo=None)

    found = {"visits": 0, "actions": 0}
    with Database(docroot, timeout=None) as db:
        visit, link = db.table("log_visit"), db.table("log_link_visit_action")
        for idsite in _zones(db, ()):
            span = (idsite, moment(start), moment(end))
            visits = db.session.value("visits_in_window", span, log_visit=visit)
            actions = db.session.value("actions_in_window", span, log_link_visit_action=link)
            found["visits"] += int(visits or 0)
            found["actions"] += int(actions or 0)
    return found
