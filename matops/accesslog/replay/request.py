"""From a hit of the gap file to the request that is sent again. Pure.

What was logged goes unchanged; ``cip``, ``cdt``, ``ua`` (and the page's address, where the
request left it to the Referer) are added only where they are missing: they were the
connection's, and the connection is now ours. A token that was logged is never sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Optional
from urllib.parse import quote, unquote_plus

from matops.accesslog import gapfile
from matops.accesslog.gapfile import Hit

LANES = 32
"""Visitors are spread over so many lanes, by a hash that never changes; no more workers than that.
A lane's hits are sent in their order, one batch at a time."""

NEEDS_TOKEN = ("cip", "country", "region", "city", "lat", "long")
"""Matomo refuses these without a token (Visit::$fieldsThatRequireAuth, Request::getIpString)."""

_DROPPED = ("token_auth", "queuedtracking")
_UNSAFE = re.compile(r"[^!$%&'()*+,\-./0-9:;=?@A-Z_a-z~\[\]|]")
DAY = 86_400

NO_SITE = "it names no site that there is"
OTHER_SITE = "of a site that was not asked for"
NO_TOKEN = "Matomo refused it: it sets its own address or place, and had no token in force"
STALE = "Matomo refused it: it names a time more than a day before, and had no token in force"
BEFORE = "of a site that was replayed on its own before"


@dataclass(frozen=True)
class Item:
    """A hit on its way: its line lies at [``position``, ``end``) of the gap file."""

    position: int
    end: int
    hit: Hit
    text: str


@dataclass(frozen=True)
class Rules:
    """What is sent at all. ``known``: sites that there are (None = not known); ``sites``: only
    these (() = all); ``minus``: not these, they were replayed on their own before; ``tokens``:
    what stands in the gap file for a token that is in force (None = any token counts)."""

    known: Optional[Collection[int]] = None
    sites: Collection[int] = ()
    minus: Collection[int] = ()
    tokens: Optional[Collection[str]] = None


def names(query: str) -> dict[str, str]:
    """The parameters as they were logged, by decoded name; the last one of a name counts."""
    found = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name:
            found[unquote_plus(name) if "%" in name or "+" in name else name] = value
    return found


def why_not(hit: Hit, rules: Rules) -> str:
    """Why this hit is not sent; '' = it is."""
    given = names(hit.query)
    site = given.get("idsite", "")
    number = int(site) if site.isdecimal() and len(site) < 11 else 0
    if not number or (rules.known is not None and number not in rules.known):
        return NO_SITE
    if rules.sites and number not in rules.sites:
        return OTHER_SITE
    if number in rules.minus:
        return BEFORE
    token = given.get("token_auth", "")
    known = token in rules.tokens if rules.tokens is not None else bool(token)
    return "" if known else _unauthorised(given, hit.epoch)


def _unauthorised(given: dict[str, str], at: float) -> str:
    # With our token these would be taken: what Matomo refused then stays refused.
    if any(given.get(name) for name in NEEDS_TOKEN):
        return NO_TOKEN
    cdt, cdo = given.get("cdt", ""), given.get("cdo", "").lstrip("+-")
    if cdt and not _number(cdt):
        return STALE
    moment = int(cdt) if int(cdt or 0) and not _no_time(cdt, at) else int(at)
    moment -= int(cdo) if _number(cdo) else 0
    return STALE if moment < at - DAY else ""


def _no_time(cdt: str, at: float) -> bool:
    """A time that Matomo did not take when the hit came: 0, or ahead of its clock. It took "now";
    today such a time may lie in the past, and would be taken."""
    return _number(cdt) and (int(cdt) == 0 or int(cdt) > at + 1)


def _number(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


def request_of(hit: Hit) -> str:
    """``?idsite=…``, printable ASCII, as an element of the bulk request."""
    given = names(hit.query)
    dropped: tuple[str, ...] = _DROPPED
    if _no_time(given.get("cdt", ""), hit.epoch):
        given["cdt"], dropped = "", (*_DROPPED, "cdt")
    kept = [p for p in hit.query.split("&") if p and unquote_plus(p.split("=")[0]) not in dropped]
    if not given.get("cip"):
        kept.append("cip=" + quote(hit.ip or "0.0.0.0", safe=""))
    if not given.get("cdt"):
        kept.append(f"cdt={int(hit.epoch)}")
    if not given.get("ua"):
        kept.append("ua=" + quote(gapfile.text(hit.agent), safe=""))
    if hit.referer and not given.get("url") and not given.get("urlref"):
        kept.append("url=" + quote(gapfile.text(hit.referer), safe=""))
    return "?" + _UNSAFE.sub(lambda m: quote(m[0], safe=""), "&".join(kept))


def lane(hit: Hit) -> int:
    """Which lane the visitor is in; the same in every run."""
    given = names(hit.query)
    key = given.get("uid") or given.get("cid") or given.get("_id") or hit.ip
    digest = hashlib.blake2b(unquote_plus(key).encode("utf-8", "replace"), digest_size=4)
    return int.from_bytes(digest.digest(), "big") % LANES


def why_invalid(hit: Hit) -> str:
    """Why Matomo calls a hit invalid, as far as the hit itself tells."""
    given = names(hit.query)
    cid = unquote_plus(given.get("cid", ""))
    if cid and not given.get("uid") and len(cid) != 16:
        return "Matomo calls it invalid: its cid is not 16 characters long"
    return "Matomo calls it invalid: site gone, older than raw data is kept, or a plugin's rule"
