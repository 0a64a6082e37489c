"""Was a hit recorded? Asked of a real Matomo that recorded one kind of request after another."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request

from matops.matomo.recorded import Hit
from matops.matomo.tracked_hit import NO_ROW, Privacy, comparable, expect, same_page
from matops.settings import Settings
from tests.conftest import SiteFactory
from tests.sandbox import Sandbox

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PAGE = "https://www.Example.org/shop/K%C3%A4se?sid=77&item=9&utm_source=x#top"
VISITOR = "00112233445566aa"

KINDS: dict[str, dict[str, str]] = {
    "page": {"url": PAGE, "_id": VISITOR, "pv_id": "aBc123"},
    "page of a user": {"url": "http://www.example.org/u", "uid": "o'brien & <co>"},
    "forced visitor": {"url": "http://www.example.org/f", "cid": "aabbccddeeff0011"},
    "download": {"url": PAGE, "download": "https://www.example.org/a.zip?x=1", "_id": VISITOR},
    "outlink": {"url": PAGE, "link": "https://other.example/?a=1&b=2", "_id": VISITOR},
    "event": {"url": PAGE, "e_c": "Video & co", "e_a": "play", "e_n": "x", "_id": VISITOR},
    "content": {"url": PAGE, "c_n": "Banner", "c_p": "b.png", "_id": VISITOR},
    "search": {"url": PAGE, "search": "Blue  Shoes", "_id": VISITOR},
    "search in the address": {"url": "http://www.example.org/s?q=red%20hat", "_id": VISITOR},
    "matrix address": {"url": "http://www.example.org/m;a=1;b=2", "_id": VISITOR},
    "order": {"url": PAGE, "idgoal": "0", "ec_id": "o-1", "revenue": "5", "_id": VISITOR},
    "nobody": {"url": "http://www.example.org/nobody"},
    "no page": {"url": "not-an-address", "_id": VISITOR},
}
NEVER = {"url": "http://www.example.org/never", "_id": VISITOR}


def send(address: str, query: str, agent: str = AGENT) -> int:
    url = f"http://{address}/matomo.php?{query}"
    request = urllib.request.Request(url, headers={"User-Agent": agent})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def query_of(given: dict[str, str]) -> str:
    return urllib.parse.urlencode({"idsite": "1", "rec": "1", **given})


def test_each_kind_is_found_once_and_what_was_never_sent_is_not(
    sandbox: Sandbox, site_factory: SiteFactory
) -> None:
    site = site_factory(settings=Settings())
    hits: list[Hit] = []
    for given in [*KINDS.values(), KINDS["page"]]:  # the page twice
        hits.append({"query": query_of(given), "time": time.time(), "ip": sandbox.gateway})
        assert send(sandbox.address, hits[-1]["query"]) == 200
    bot = "Googlebot/2.1 (+http://www.google.com/bot.html)"
    hits.append({"query": query_of({**NEVER, "url": "http://www.example.org/bot"}),
                 "time": time.time(), "ip": sandbox.gateway})  # fmt: skip
    assert send(sandbox.address, hits[-1]["query"], bot) == 200
    unsent = [
        query_of(NEVER), query_of({**KINDS["page"], "pv_id": "zzzzzz"}),
        query_of({**KINDS["event"], "e_a": "stop"}), query_of({**KINDS["search"], "search": "no"}),
        query_of({**KINDS["forced visitor"], "cid": "aabbccddeeff0022"}),
    ]  # fmt: skip
    hits += [{"query": one, "time": time.time(), "ip": sandbox.gateway} for one in unsent]
    odd = [query_of({"ping": "1", "_id": VISITOR}), query_of({"rec": "0"}), "idsite=x&rec=1",
           query_of({"cid": "short"}), query_of({"ca": "1", "hsr_ev": "x"})]  # fmt: skip
    hits += [{"query": one, "time": time.time(), "ip": sandbox.gateway} for one in odd]
    answers = site.ask("matomo.recorded:look", hits=hits)
    known = dict(zip([*KINDS, "page again"], answers))
    assert all(known[name][0] == 1 for name in known), known
    assert answers[len(KINDS) + 1][0] == 0  # a bot: answered 200, never recorded
    rest = answers[len(KINDS) + 2 :]
    assert [times for times, _ in rest[:5]] == [0, 0, 0, 0, 0], rest
    assert [times for times, _ in rest[5:]] == [None, 0, 0, 0, None], rest
    assert "heartbeat" in rest[5][1] and "rec=1" in rest[6][1] and "plugin" in rest[9][1]
    alone = site.ask("matomo.recorded:look", hits=[hits[len(KINDS) + 6]])  # whose row is that?
    assert alone[0][0] is None and "another visitor id" in alone[0][1]


def test_a_page_is_the_same_without_what_matomo_takes_out() -> None:
    asked = comparable("HTTPS://WWW.Example.org/a/b/?x=1&sid=3&utm_source=q&y=%C3%A4#frag")
    assert same_page(asked, "example.org/a/b?x=1&y=ä")
    assert not same_page(asked, "example.org/a/b?x=2")
    assert not same_page(asked, "example.org/a/c")
    assert not same_page(asked, "example.org/a/b?x=1&x=1")
    long = comparable("http://example.org/?" + "v" * 3000)
    assert same_page(long, "example.org/?" + "v" * 900)


def test_ids_and_times_as_matomo_takes_them() -> None:
    def visitor(query: str, **settings: object) -> str:
        privacy = Privacy(**settings)  # type: ignore[arg-type]
        return expect(f"idsite=1&rec=1&{query}", 1e9, "", privacy).visitor

    assert visitor("uid=a&cid=aabbccddeeff0011") == "86f7e437faa5a7fc"  # sha1("a")
    assert visitor("uid=a&cid=aabbccddeeff0011", uid_counts=False) == "aabbccddeeff0011"
    assert visitor("uid=a", uid_salt="s") != visitor("uid=a")
    assert visitor("_id=00112233445566AAff") == VISITOR
    assert visitor(f"_id={VISITOR}", cookieless=True) == ""
    at = expect("idsite=1&rec=1&cdt=2001-09-09%2001:46:40&cdo=10", 5e9, "", Privacy())
    assert (at.at, at.exact) == (1e9 - 10, True)
    for odd in ("2001-99-09%2001:46:40", "0000-01-01%2000:00:00", "9" * 5000, "%FF"):
        assert expect(f"idsite=1&rec=1&cdt={odd}", 5e9, "", Privacy()).kind == NO_ROW
