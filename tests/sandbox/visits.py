"""Visits of the last days, sent to the real tracker; the same ones in every image."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

from .errors import SandboxError
from .web import Browser

DAYS, VISITS_A_DAY = 5, 90  # days before today, and visits on each of them and today
_BATCH = 100
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
)
_SITES = {1: "http://www.example.org", 2: "http://shop.example.org"}
_PAGES = ("/", "/news", "/news/1", "/products", "/products/blue", "/contact", "/search?q=x")
_REFERRERS = ("", "", "https://www.google.com/", "https://duckduckgo.com/", "http://other.example/")


def send_visits(browser: Browser, token: str) -> int:
    """Track them all; the number of visits."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    visits = list(_visits(now))
    requests = ["?" + urlencode(action) for visit in visits for action in visit]
    for start in range(0, len(requests), _BATCH):
        batch = requests[start : start + _BATCH]
        answer = browser.post_json("/matomo.php", {"requests": batch, "token_auth": token})
        if answer.get("status") != "success" or answer.get("tracked") != len(batch):
            raise SandboxError(f"the tracker took {answer} of {len(batch)} requests")
    return len(visits)


def _visits(now: datetime) -> Iterator[list[dict[str, object]]]:
    dice = random.Random(20240229)
    for back in range(DAYS, -1, -1):
        midnight = (now - timedelta(days=back)).replace(hour=0, minute=0, second=0)
        # Today has only as many seconds as have passed, minus the length of a visit.
        seconds = 86_400 if back else int((now - midnight).total_seconds())
        for _ in range(VISITS_A_DAY):
            start = midnight + timedelta(seconds=dice.randrange(max(1, seconds - 900)))
            yield list(_actions(dice, start))


def _actions(dice: random.Random, start: datetime) -> Iterator[dict[str, object]]:
    site = 1 if dice.random() < 0.7 else 2
    visitor = {
        "idsite": site,
        "rec": 1,
        "apiv": 1,
        "_id": f"{dice.getrandbits(64):016x}",
        "cip": f"198.51.{dice.randrange(100, 104)}.{dice.randrange(1, 255)}",
        "ua": dice.choice(_AGENTS),
        "lang": dice.choice(("en", "de", "fr")),
        "res": dice.choice(("1920x1080", "390x844", "1366x768")),
        "urlref": dice.choice(_REFERRERS),
    }
    for number in range(dice.randrange(1, 5)):
        page = dice.choice(_PAGES)
        yield {
            **visitor,
            "url": _SITES[site] + page,
            "action_name": f"Page {page}",
            "cdt": (start + timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S"),
            "rand": dice.getrandbits(32),
        }
