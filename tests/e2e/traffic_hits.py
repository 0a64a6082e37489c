"""The hits of the test client: who visits, which kinds of requests there are. Pure.

Each hit has a number of its own, in its page's address (``…/t/<run>/<number>``) and title; that
is how it is found again in the database (``traffic_account``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Optional
from urllib.parse import urlencode

PIXEL, BEACON, BULK, BODY, BEACON_POST, SERVER = (
    "pixel", "beacon", "bulk", "body", "beacon-post", "server",
)  # fmt: skip
UI, API = "ui", "api"
TRACKING = (PIXEL, BEACON, BULK, BODY, BEACON_POST)
"""Kinds that need no token. SERVER (another address by ``cip``) needs one."""

IN_LOGS = (PIXEL, BEACON, BEACON_POST, SERVER)
"""Kinds that an access log holds whole; the others' hits are in the body of a POST."""

PER_BULK = 3
_LONG = "x" * 2100
"""matomo.js sends what is longer than 2000 characters in the body of a POST."""

PAGES = {1: "http://www.example.org", 2: "http://shop.example.org"}

AGENTS: tuple[bytes, ...] = (
    b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/126.0.0.0 Safari/537.36",
    # Bytes that are not UTF-8, a quote, a backslash: a log escapes them, each server its own way.
    b'Mozilla/5.0 (Linux; Android 14; Caf\xe9 \xff\xfe "Z\\9") AppleWebKit/537.36 Chrome/125.0',
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Käse/1 Safari/604.1".encode(),
)


@dataclass(frozen=True)
class Visitor:
    """One browser. ``clock``: seconds that its own clock is wrong; ``address``: where a server's
    request says that it comes from ('' = as it comes)."""

    cid: str
    agent: bytes
    language: str
    clock: int = 0
    address: str = ""


VISITORS = tuple(
    Visitor(f"{0xA1B2C3D400000000 + n:016x}", AGENTS[n % len(AGENTS)], language, clock, address)
    for n, (language, clock, address) in enumerate(
        [("en", 0, ""), ("de-DE", 3600, ""), ("fr", -86400, ""), ("en-GB", 0, "2001:db8:7::5"),
         ("es", 41, ""), ("ja", -7, "198.51.100.77"), ("en", 0, "2001:db8:7:1::1")]
    )
)  # fmt: skip


def queueable(cid: str) -> bool:
    """Can QueuedTracking keep this visitor's hits? Not those with a header that is not UTF-8: it
    makes JSON of the request's environment, PHP's json_encode gives false, and it queues that
    (5.1.1, Queue::addRequestSet). The hit is answered 200 and lost, outage or not."""
    agent = next(each.agent for each in VISITORS if each.cid == cid)
    return agent.decode(errors="replace").encode() == agent


@dataclass(frozen=True)
class Request:
    """One HTTP request. ``numbers``: of the hits in it; () for the UI."""

    kind: str
    method: str
    path: str
    agent: bytes
    language: str
    numbers: tuple[int, ...] = ()
    site: int = 0
    cid: str = ""
    body: Optional[bytes] = None
    content: str = ""


def hit_query(run: str, number: int, site: int, visitor: Visitor, now: float) -> dict[str, str]:
    """What matomo.js sends for one page view."""
    page = f"{PAGES.get(site, PAGES[1])}/t/{run}/{number}"
    local = int(now + visitor.clock) % 86400
    return {
        "idsite": str(site), "rec": "1", "apiv": "1", "url": page,
        "action_name": f"Hit {run} {number}", "_id": visitor.cid, "rand": str(number),
        "h": str(local // 3600), "m": str(local % 3600 // 60), "s": str(local % 60),
        "urlref": "https://duckduckgo.com/" if number % 5 == 0 else "", "cookie": "1",
        "res": "1920x1080", "send_image": "1",
    }  # fmt: skip


def tracking(
    kind: str, run: str, numbers: tuple[int, ...], sites: tuple[int, ...], token: str, now: float
) -> Request:
    """The request of that kind which carries these hits. Site and visitor follow from the first
    number, so that a visitor's hits come in the order of their numbers."""
    site = sites[numbers[0] % len(sites)]
    people = [v for v in VISITORS if bool(v.address) == (kind == SERVER)]
    who = people[numbers[0] % len(people)]
    queries = [hit_query(run, number, site, who, now) for number in numbers]
    query = queries[0]
    base = Request(kind, "GET", "", who.agent, who.language, numbers, site, who.cid)
    if kind == BULK:
        body = json.dumps({"requests": ["?" + urlencode(each) for each in queries]}).encode()
        return _post(base, "/matomo.php", body, "application/json")
    if kind in (BEACON, BEACON_POST):
        query["send_image"] = "0"
    if kind == SERVER:
        query.update(cip=who.address, token_auth=token)
    if kind == BODY:
        query.update(send_image="0", url=f"{query['url']}?long={_LONG}")
        form = "application/x-www-form-urlencoded; charset=UTF-8"
        return _post(base, "/matomo.php", urlencode(query).encode(), form)
    path = f"/matomo.php?{urlencode(query)}"
    return _post(base, path, b"", "text/plain") if kind == BEACON_POST else replace(base, path=path)


def _post(base: Request, path: str, body: bytes, content: str) -> Request:
    return replace(base, method="POST", path=path, body=body, content=content)


def interface(kind: str, token: str) -> Request:
    """What somebody at the UI asks: the page, or the reporting API."""
    agent = AGENTS[0]
    if kind == UI:
        return Request(UI, "GET", "/index.php", agent, "en")
    form = urlencode({"module": "API", "method": "API.getMatomoVersion", "format": "json",
                      "token_auth": token})  # fmt: skip
    return Request(API, "POST", "/index.php", agent, "en", body=form.encode(),
                   content="application/x-www-form-urlencoded")  # fmt: skip
