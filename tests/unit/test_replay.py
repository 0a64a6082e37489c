"""What is sent of a logged hit, in which order, what is believed; the ledger of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from matops.accesslog import gapfile
from matops.accesslog.gapfile import Hit
from matops.accesslog.replay.account import present
from matops.accesslog.replay.client import Reply, Target
from matops.accesslog.replay.lanes import batches
from matops.accesslog.replay.ledger import REPAIR, Ledger, Sending
from matops.accesslog.replay.pace import Pace
from matops.accesslog.replay.positions import Positions
from matops.accesslog.replay.request import LANES, Rules, lane, request_of, why_not
from matops.errors import Locked, MatopsError, UsageError
from matops.matomo.recorded import Answer
from matops.runbook.replay_asked import of
from matops.tasks import logs_replay
from tests.host.replay_kit import Gap

FLAGS = {
    "file": "/g", "how": "native", "sites": "", "workers": "4", "batch": "100", "max_load": "2",
    "rate": "0", "url": "", "token_file": "", "import_logs": "",
    "through_queue": False, "no_check": False,
    "timeout": "2m", "patience": "10m",
}  # fmt: skip


def hit(query: str, **more: Any) -> Hit:
    given: dict[str, Any] = {
        "epoch": 1e9, "server": "w", "file": 1, "offset": 0, "flags": "", "method": "GET",
        "path": "/matomo.php", "ip": "192.0.2.1", "agent": "A/1", "referer": "", "status": 503,
        "size": "43", "host": "", **more,
    }  # fmt: skip
    return Hit(query=query, **given)


def test_only_what_is_missing_is_added() -> None:
    sent = parse_qs(request_of(hit("idsite=1&rec=1&url=u", referer="http://r/"))[1:])
    assert sent["cip"] == ["192.0.2.1"] and sent["cdt"] == ["1000000000"] and sent["ua"] == ["A/1"]
    own = "idsite=1&cip=1.1.1.1&cdt=5&ua=B&urlref=x"
    assert request_of(hit(own, referer="http://r/")) == "?" + own
    assert "url=http%3A%2F%2Fr%2F" in request_of(hit("idsite=1", referer="http://r/"))
    for ahead in ("0", "1000000600"):  # Matomo did not take that time then
        assert parse_qs(request_of(hit(f"idsite=1&cdt={ahead}"))[1:])["cdt"] == ["1000000000"]
    assert "cip=0.0.0.0" in request_of(hit("idsite=1", ip=""))
    odd = request_of(hit('idsite=1&token_auth=~k&queuedtracking=1&a="#<', agent=r"K\xc3\xa4se"))
    assert "token_auth" not in odd and "queuedtracking" not in odd and "#" not in odd
    assert "ua=K%C3%A4se" in odd and odd.isascii() and '"' not in odd


def test_what_is_not_sent() -> None:
    rules = Rules(known={1, 2}, minus={2}, tokens={"~ok"})
    assert why_not(hit("idsite=1&rec=1"), rules) == ""
    assert "no site" in why_not(hit("idsite=9"), rules) and "no site" in why_not(hit("a=1"), rules)
    assert "before" in why_not(hit("idsite=2"), rules)
    assert "had no token" in why_not(hit("idsite=1&cip=1.1.1.1"), rules)
    assert "had no token" in why_not(hit("idsite=1&cip=1.1.1.1&token_auth=~bad"), rules)
    assert why_not(hit("idsite=1&cip=1.1.1.1&token_auth=~ok"), rules) == ""
    assert "a day before" in why_not(hit("idsite=1&cdt=900000000"), rules)
    for stale in ("cdo=90000", "cdt=" + "9" * 5000, "cdt=yesterday"):
        assert "a day before" in why_not(hit(f"idsite=1&{stale}"), rules)
    for plain in ("cdt=999999990", "cdt=0", "cdo=-30", "cdt=1000000600&cdo=5"):
        assert why_not(hit(f"idsite=1&{plain}"), rules) == "", plain


def test_a_visitor_stays_in_one_lane_and_in_order(tmp_path: Path) -> None:
    assert lane(hit("_id=a&idsite=1")) == lane(hit("idsite=2&_id=a", ip="192.0.2.9"))
    assert lane(hit("uid=%61")) == lane(hit("uid=a&_id=b"))
    gap = Gap("t", 1e9)
    gap.pages(500)
    path = tmp_path / "x.gap"
    path.write_bytes(gapfile.HEADER + b"".join(gap.lines))
    rules, none = Rules(), dict.fromkeys(range(LANES), 0)
    for workers in (1, 3):
        seen: dict[int, int] = {}
        for batch in batches(path, rules, none, 50, workers):
            assert len(batch.items) <= 50 and batch.upto == batch.items[-1].end
            for item in batch.items:
                assert lane(item.hit) % workers == batch.lane
                assert item.position > seen.get(batch.lane, 0)
                seen[batch.lane] = item.position
    middle = len(gapfile.HEADER) + sum(map(len, gap.lines[:250]))
    half = dict.fromkeys(range(LANES), middle)
    left = sum(len(b.items) for b in batches(path, rules, half, 50, 2))
    assert left == 250
    gone = Positions()
    gone.add(len(gapfile.HEADER))
    assert sum(len(b.items) for b in batches(path, rules, none, 50, 2, gone)) == 499
    first = next(batches(path, rules, none, 50, 1))
    parts = first.parts(10)
    assert [len(p.items) for p in parts] == [10, 1, 39] and parts[-1].upto == first.upto
    assert [len(p.items) for p in first.parts(-1)] == [25, 25]


def reply(data: Any, status: int = 200, sent: int = 3) -> Reply:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Reply(status, body, 0.1, sent)


def test_what_is_believed() -> None:
    assert reply({"status": "success", "tracked": 3, "invalid": 0}).good
    some = reply({"status": "success", "tracked": 2, "invalid": 1, "invalid_indices": [1]})
    assert some.good and some.invalid == [1]
    assert reply({"status": "success", "tracked": 2, "invalid": 1}).invalid is None
    for bad in (
        reply({"status": "success", "tracked": 2, "invalid": 0}),  # one was passed over in silence
        reply({"status": "success", "tracked": 0}),
        reply({"status": "success", "tracked": True, "invalid": 2}),
        reply({"status": "error", "tracked": 3, "invalid": 0}, 500),
        reply(b"GIF89a\x01\x00"), reply([1]), reply(b"", 204),
    ):  # fmt: skip
        assert not bad.good, bad
    assert reply(b"<html>", 504).between and not reply(b"<html>", 500).between
    assert not reply({"status": "error"}, 503).between  # Matomo itself
    assert "a picture" in reply(b"GIF89a\x01\x00").shown
    assert Target("https://x/stats/").path == "/stats/matomo.php?queuedtracking=0"
    assert Target("https://x/piwik.php", queue=True).path == "/piwik.php?queuedtracking=1"


def test_a_likely_row_counts_among_recorded_neighbours_only() -> None:
    likely, one, none, bot = Answer(None, "x", likely=True), Answer(1), Answer(0), Answer(0, "bot")
    assert present([likely, one, bot]) == [True, True, False]
    assert present([likely, one, none]) == [False, True, False]
    assert present([likely, bot]) == [False, False]


def test_the_ledger_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.ledger"
    ledger = Ledger(path, {"sites": []})
    with pytest.raises(Locked):
        Ledger(path, {})
    one = Sending(ledger.next_number(), 0, 2, 10, 90, 5, 77)
    ledger.go(one)
    ledger.end(one, tracked=4, refused={"odd": 1})
    two = Sending(ledger.next_number(), 1, 2, 10, 80, 5, 78)
    ledger.go(two)
    ledger.close()
    with path.open("ab") as file:
        file.write(b'{"t":"end","s":[2')  # torn by a kill
    ledger = Ledger(path, {})
    assert ledger.about == {"sites": []} and not ledger.complete
    assert ledger.done[0] == ledger.done[2] == 90 and ledger.done[1] == 0
    assert list(ledger.open.values()) == [two] and ledger.next_number() == 3
    ledger.end(two, tracked=5, doubt=True)
    repair = Sending(4, REPAIR, 1, 10, 20, 1)
    ledger.go(repair)
    ledger.end(repair, tracked=1)
    assert ledger.totals.sent == 10 and ledger.doubtful == [two] and not ledger.open
    for _ in range(2):  # a kill in between: sent alone again, counted once
        ledger.end(repair, refused={"alone": 1})
    ledger.sure(two)
    assert ledger.there([4000, 100]) == 2 and ledger.there([100, 200]) == 1
    ledger.finish()
    ledger.close()
    ledger = Ledger(path, {})
    assert ledger.complete and not ledger.doubtful
    assert ledger.totals.refused == {"odd": 1, "alone": 1}
    assert (ledger.totals.sent, ledger.totals.tracked, ledger.totals.there) == (13, 11, 3)
    assert all(one in ledger.found for one in (100, 200, 4000)) and 132 not in ledger.found
    ledger.close()
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(MatopsError, match="cannot be understood"):
        Ledger(path, {})


def test_the_pace_never_comes_to_a_stand() -> None:
    pace = Pace(4, 2.0)
    pace.calibrate([0.01, 0.2, 0.2])
    for _ in range(20):
        pace.look(9.0)
    assert pace.active == 1 and pace.rest == 3.0 and pace.load > 2
    assert pace.begin(100, lambda: False)
    pace.end(0.001, lambda: False)
    for _ in range(20):
        pace.look(0.2)
    assert pace.active == 4 and pace.rest == 0


def test_typed_flags() -> None:
    asked = logs_replay.parse({**FLAGS, "sites": "3, 2,3", "rate": "50"})
    assert asked.sites == (2, 3) and asked.timeout == 120.0 and of(asked.data()) == asked
    assert "--sites" in asked.words and "2,3" in asked.words
    for wrong, words in (
        ({"workers": "0"}, "from 1 to 32"), ({"max_load": "x"}, "not a number"),
        ({"how": "magic"}, "not one of"), ({"sites": "a"}, "not a whole number"),
        ({"through_queue": True}, "wants --token-file"), ({"timeout": "5"}, "unit"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            logs_replay.parse({**FLAGS, **wrong})
