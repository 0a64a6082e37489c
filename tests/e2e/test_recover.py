"""An outage with a replay, under traffic: afterwards each hit is in the database exactly once.

``MATOPS_E2E_HITS`` sets how many numbered hits are sent, not counting those of the steady traffic
(``make e2e``: 20 000).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tests.conftest import Fab, Ran
from tests.e2e.traffic import Traffic, read
from tests.e2e.traffic_account import Book, account
from tests.e2e.traffic_hits import BODY, BULK, SERVER, TRACKING
from tests.sandbox import Sandbox

HITS = int(os.environ.get("MATOPS_E2E_HITS", "2000"))
REQUESTS = HITS * 5 // 7 + 5
"""A bulk request carries three hits, so that five kinds of requests carry seven."""


def test_each_hit_of_the_outage_is_recorded_once(
    pristine: Sandbox, fab: Fab, tmp_path: Path
) -> None:
    pristine.sql("UPDATE matomo.matomo_site SET timezone = 'Pacific/Auckland' WHERE idsite = 2")
    log = tmp_path / "traffic.jsonl"
    traffic = Traffic(
        pristine.address, host="analytics.example.org", log=log, rate=10, ui_rate=0,
        kinds=(*TRACKING, SERVER), token=pristine.token,
    )  # fmt: skip
    with traffic:
        traffic.send(REQUESTS // 5)
        closed = fab("offline", "--tracking", "replay", "--settle", "1s", "--yes", timeout=900)
        assert closed.code == 0, closed.all
        traffic.send(REQUESTS - 2 * (REQUESTS // 5))
        opened = fab("recover", "--trial-site", "1", "--yes", timeout=1800)
        assert opened.code == 0, opened.all
        traffic.send(REQUESTS // 5)

    book = account(pristine.sql, traffic.run, read(log))
    assert len(book.sent) >= HITS, book.line()
    assert (book.doubled, book.strange, book.misplaced(5)) == ([], [], []), book.line()
    only_bodies(book, opened)
    assert "it closes" in opened.out
    reports_agree(fab)


def only_bodies(book: Book, opened: Ran) -> None:
    """What is lost for good stood in the body of a POST, and was counted."""
    lost = [book.sent[number] for number in book.lost]
    others = [(a.kind, a.numbers, a.status, a.sent, a.seconds, a.cid) for a in lost
              if a.kind not in (BULK, BODY)]  # fmt: skip
    assert not others, f"{book.line()}\n{others}\n{opened.out}"
    requests = {answer.numbers for answer in lost}
    # MariaDB may abort the transaction of a bulk request at any time: that is a 500, known to the
    # client, and no loss of the outage.
    silent = {answer.numbers for answer in lost if answer.ok}
    told = re.search(r"(\d+) LOST FOR GOOD: POST body", opened.out)
    assert told and int(told[1]) >= len(silent), opened.out
    assert int(told[1]) - len(requests) <= 20  # about the edges: a log knows seconds only


def reports_agree(fab: Fab) -> None:
    """Those of today, once the traffic has ended."""
    today = ("--from", *today_utc())
    for words in (("archive.invalidate", *today), ("archive.run",)):
        ran = fab(*words, timeout=600)
        assert ran.code == 0, ran.all
    compared = fab("archive.compare", *today, "--json")
    days = json.loads(compared.out)["days"]
    assert {day["idsite"] for day in days} == {1, 2}
    assert {day["verdict"] for day in days} == {"agrees"}, days


def today_utc() -> tuple[str, str, str]:
    import datetime as dt

    now = dt.datetime.now(dt.timezone.utc)
    return ((now - dt.timedelta(minutes=30)).isoformat(), "--to", now.isoformat())
