"""The account of the test client's hits: each number, where is it in the database?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Callable

from tests.e2e.traffic import Answer
from tests.e2e.traffic_hits import BODY, BULK, IN_LOGS

Sql = Callable[[str], list[list[str]]]
"""``Sandbox.sql``: rows of text."""


@dataclass(frozen=True)
class Recorded:
    """One row of log_link_visit_action that is a hit. ``at``: server_time, seconds since 1970."""

    at: float
    site: int
    cid: str
    visit: int
    address: str


@dataclass(frozen=True)
class Book:
    """What was sent, answered, recorded. Numbers are those of hits, not of requests."""

    sent: dict[int, Answer]
    rows: dict[int, tuple[Recorded, ...]]
    answers: Sequence[Answer] = field(repr=False, default=())

    @property
    def lost(self) -> list[int]:
        """Sent, and not in the database."""
        return sorted(set(self.sent) - set(self.rows))

    @property
    def doubled(self) -> list[int]:
        """In the database more than once."""
        return sorted(number for number, rows in self.rows.items() if len(rows) > 1)

    @property
    def strange(self) -> list[int]:
        """In the database, though never sent."""
        return sorted(set(self.rows) - set(self.sent))

    def misplaced(self, tolerance: float) -> list[int]:
        """Recorded at another time (seconds away from the answer's span), site or visitor than
        they were sent."""
        return sorted(
            number for number, rows in self.rows.items() for row in rows
            if number in self.sent and not _fits(self.sent[number], row, tolerance)
        )  # fmt: skip

    def in_logs(self, numbers: Iterable[int]) -> list[int]:
        """Those of them that an access log can give back: not in the body of a POST."""
        return [number for number in numbers if self.sent[number].kind in IN_LOGS]

    def in_bodies(self, numbers: Iterable[int]) -> list[int]:
        """Those that no log holds."""
        return [number for number in numbers if self.sent[number].kind in (BULK, BODY)]

    def line(self) -> str:
        """The figures in a line, for a report and for an assertion's message."""
        asked = [answer for answer in self.answers if answer.numbers]
        slowest = max((answer.seconds for answer in asked), default=0.0)
        bad = [answer for answer in asked if not answer.ok]
        return (
            f"{len(asked)} requests, {len(self.sent)} hits; {len(bad)} requests not answered 2xx; "
            f"{len(self.rows)} hits recorded, {len(self.lost)} lost, {len(self.doubled)} doubled; "
            f"longest answer {slowest:.2f} s"
        )


def account(sql: Sql, run: str, answers: Sequence[Answer], prefix: str = "matomo.matomo_") -> Book:
    """Finds the hits of ``run`` in the database (one query). ``prefix``: schema and prefix."""
    rows = sql(
        "SELECT SUBSTRING_INDEX(SUBSTRING_INDEX(a.name, '/', -1), '?', 1), "
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', l.server_time) / 1000000, l.idsite, "
        "LOWER(HEX(l.idvisitor)), l.idvisit, COALESCE(INET6_NTOA(v.location_ip), '') "
        f"FROM {prefix}log_action a JOIN {prefix}log_link_visit_action l ON l.idaction_url = "
        f"a.idaction JOIN {prefix}log_visit v ON v.idvisit = l.idvisit "
        f"WHERE a.type = 1 AND a.name LIKE '%/t/{run}/%'"
    )
    found: dict[int, list[Recorded]] = {}
    for number, at, site, cid, visit, address in rows:
        found.setdefault(int(number), []).append(
            Recorded(float(at), int(site), cid, int(visit), address)
        )
    sent = {number: answer for answer in answers for number in answer.numbers}
    return Book(sent, {number: tuple(each) for number, each in found.items()}, tuple(answers))


def _fits(answer: Answer, row: Recorded, tolerance: float) -> bool:
    begin, end = answer.sent - tolerance - 1, answer.sent + answer.seconds + tolerance
    return begin <= row.at <= end and row.site == answer.site and row.cid == answer.cid
