"""Was this hit recorded? Asks Matomo's log tables about many logged requests at once.

Runs where the database is reached. A hit is compared with the rows of its site near its time:
by visitor id, page view id or (masked) address, and by URL or name. Each row answers for one
hit only, so two equal hits need two rows. Give all hits of a span at once: a row that belongs to
an equal hit that was not asked about would answer for this one.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional, TypedDict

from matops.matomo import ini
from matops.matomo.database import Database
from matops.matomo.recorded_rows import Row, same_action, same_address, same_conversion
from matops.matomo.tracked_hit import (
    ACTION,
    CONVERSION,
    NO_ROW,
    NOTHING,
    Expected,
    Privacy,
    expect,
)
from matops.mysql.session import ConnectionCut, NotReachable

BEFORE, AFTER = 2.0, 10.0
"""Seconds around a log's stamp: it is the request's start, clocks differ, PHP may wait."""

_NEAR = 5.0  # seconds between two spans that are asked about together


class Hit(TypedDict, total=False):
    """A logged request. ``time``: seconds since 1970; ``before``/``after``: seconds around it."""

    query: str
    time: float
    ip: str
    referer: str
    before: float
    after: float


@dataclass(frozen=True)
class Answer:
    """``times`` it was recorded; None where the database cannot tell, and ``why``.

    0 with a ``why``: Matomo would never record it. 0 with ``others``: so many rows of this
    visitor (or its address) at that time belong to none of the hits that were asked about.
    """

    times: Optional[int]
    why: str = ""
    others: int = 0
    likely: bool = False
    """None, because there is such a row of this address under another visitor id."""


def look(docroot: str, hits: Sequence[Hit]) -> list[list[Any]]:
    """``[times or None, why]`` for each hit, in their order; for ``site.ask``.

    Raises what ``Database`` raises.
    """
    with Database(docroot) as database:
        return [[answer.times, answer.why] for answer in Recorded(database).ask(hits)]


class Recorded:
    """Questions to one installation's log tables. Flat memory: a page of rows at a time."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.privacy = privacy(database)

    def ask(self, hits: Sequence[Hit]) -> list[Answer]:
        """An answer for each hit, in their order. One query a busy span, not one a hit."""
        answers: dict[int, Answer] = {}
        asked: dict[tuple[int, str], list[_Asked]] = defaultdict(list)
        for place, hit in enumerate(hits):
            wanted = self.expect(hit)
            if wanted.kind == NOTHING:
                answers[place] = Answer(0, wanted.why)
            elif wanted.kind == NO_ROW:
                answers[place] = Answer(None, wanted.why)
            else:
                asked[wanted.site, wanted.kind].append(_Asked(place, wanted, *_span(hit, wanted)))
        for (site, kind), ones in asked.items():
            rows = self._actions if kind == ACTION else self._conversions
            for group in _groups(ones):
                span = min(one.first for one in group), max(one.last for one in group)
                _match(group, rows(site, *span))
            answers.update((one.place, one.answer()) for one in ones)
        return [answers[place] for place in range(len(hits))]

    def expect(self, hit: Hit) -> Expected:
        """What this hit leaves in the tables."""
        ip, referer = hit.get("ip", ""), hit.get("referer", "")
        return expect(hit["query"], hit["time"], ip, self.privacy, referer)

    def _actions(self, site: int, first: float, last: float) -> Iterator[Row]:
        names = {"link": "log_link_visit_action", "visit": "log_visit", "action": "log_action"}
        tables = {mark: self._db.table(name) for mark, name in names.items()}
        moment, number = int(first), 0
        while True:
            span = (site, moment, int(last), moment, number)
            page = self._db.session.rows("recorded_actions", span, **tables)
            if not page:
                return
            yield from page
            moment, number = int(page[-1]["moment"]), int(page[-1]["id"])

    def _conversions(self, site: int, first: float, last: float) -> Iterator[Row]:
        yield from self._db.session.rows(
            "recorded_conversions",
            (site, int(first), int(last)),
            conversion=self._db.table("log_conversion"),
            visit=self._db.table("log_visit"),
        )


class Patient:
    """As ``Recorded``, but waits up to ``patience`` seconds for a database that went away."""

    def __init__(
        self, database: Database, patience: float, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._db, self._patience, self._stop = database, patience, stop
        self._asking = Recorded(database)

    def ask(self, hits: Sequence[Hit]) -> list[Answer]:
        """See ``Recorded.ask``. Raises NotReachable, ConnectionCut when patience is over."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._asking.ask(hits)
            except (ConnectionCut, NotReachable):
                if time.monotonic() > until or self._stop():
                    raise
            time.sleep(0.5)
            with contextlib.suppress(ConnectionCut, NotReachable):
                self._db.session.reconnect()


def privacy(database: Database) -> Privacy:
    """The settings in force that change a visitor's id."""
    found = database.session.rows("recorded_privacy", option=database.table("option"))
    options = {str(row["name"]): str(row["value"]) for row in found}
    hashed = options.get("PrivacyManager.anonymizeUserId") == "1"
    counts = ini.text_of(database.config, "Tracker", "enable_userid_overwrites_visitorid", "1")
    return Privacy(
        uid_counts=counts not in ("0", ""),
        cookieless=options.get("PrivacyManager.forceCookielessTracking") == "1",
        uid_salt=options.get("useridsalt", "") if hashed else None,
    )


class _Asked:
    """One hit with what it expects, and the rows that answered."""

    def __init__(self, place: int, wanted: Expected, first: float, last: float) -> None:
        self.place, self.wanted, self.first, self.last = place, wanted, first, last
        self.times, self.likely, self.others = 0, 0, 0

    def answer(self) -> Answer:
        if self.times:
            return Answer(self.times)
        if self.likely:
            why = "there is a row of that time and address under another visitor id"
            return Answer(None, why, likely=True)
        if self.wanted.kind == CONVERSION:
            return Answer(None, "no conversion of that time: a goal counts once a visit only")
        return Answer(0, others=self.others)


def _span(hit: Hit, wanted: Expected) -> tuple[float, float]:
    if wanted.exact:  # its own time: to the second
        return wanted.at, wanted.at
    return wanted.at - hit.get("before", BEFORE), wanted.at + hit.get("after", AFTER)


def _groups(asked: list[_Asked]) -> Iterator[list[_Asked]]:
    """Hits whose spans (nearly) touch, together: each group is one range of the index."""
    group: list[_Asked] = []
    end = 0.0
    for one in sorted(asked, key=lambda item: item.first):
        if group and one.first > end + _NEAR:
            yield group
            group = []
        group.append(one)
        end = max(end, one.last) if len(group) > 1 else one.last
    if group:
        yield group


def _match(group: list[_Asked], rows: Iterator[Row]) -> None:
    """Gives each row to the hit that it fits best: the surest, then the nearest in time."""
    seconds: dict[tuple[str, int], list[_Asked]] = defaultdict(list)
    for one in group:
        for second in range(int(one.first), int(one.last) + 1):
            seconds[one.wanted.visitor, second].append(one)
            seconds["any", second].append(one)
    left: list[Row] = []
    for row in rows:
        mine, unnamed = seconds[row["visitor"], row["moment"]], seconds["", row["moment"]]
        if not (_give(row, mine, sure=True) or _give(row, unnamed, sure=False)):
            left.append(row)
            del left[:-5000]  # only a hint is made of these
    for row in left:
        _hint(row, seconds["any", row["moment"]])


def _hint(row: Row, asked: list[_Asked]) -> None:
    """A visitor that is recognised by its fingerprint may be recorded under an older id."""
    for one in asked:
        if not one.times and _fits(row, one) and same_address(one.wanted.ip, row["ip"]):
            if one.wanted.page_view and one.wanted.page_view == row.get("page_view"):
                one.times += 1
            else:
                one.likely += 1
            return
    for one in asked:
        named = one.wanted.visitor
        same = named == row["visitor"] if named else same_address(one.wanted.ip, row["ip"])
        one.others += same


def _give(row: Row, asked: list[_Asked], *, sure: bool) -> bool:
    best: Optional[_Asked] = None
    for one in asked:
        if not _fits(row, one) or not (sure or same_address(one.wanted.ip, row["ip"])):
            continue
        if best is None or _distance(row, one) < _distance(row, best):
            best = one
    if best is not None:
        best.times += 1
    return best is not None


def _distance(row: Row, one: _Asked) -> tuple[int, bool, float]:
    page = bool(one.wanted.page_view) and one.wanted.page_view == row.get("page_view")
    return one.times, not page, abs(row["moment"] - one.wanted.at)


def _fits(row: Row, one: _Asked) -> bool:
    if not int(one.first) <= row["moment"] <= int(one.last):
        return False
    wanted = one.wanted
    if wanted.kind == CONVERSION:
        return same_conversion(row, wanted)
    page = wanted.page_view
    if page and row["page_view"] and page != row["page_view"]:
        return False
    return same_action(row, wanted)
