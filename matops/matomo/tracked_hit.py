"""What a logged tracking request leaves in Matomo's log tables. Pure: no database, no files.

Follows Matomo 5 (core/Tracker/Request, Action, PageUrl, the RequestProcessors of Heartbeat,
Goals and Ecommerce): which table gets a row, by which visitor id, at what time, of which URL.
What cannot be told from the request alone is said (``unsure``), never guessed.
"""

from __future__ import annotations

import calendar
import hashlib
import html
import re
import time
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import unquote_to_bytes

ACTION, CONVERSION, NOTHING, NO_ROW = "action", "conversion", "nothing", "no row"
"""A row in log_link_visit_action; in log_conversion; Matomo records nothing; no row of its own."""

PAGE, OUTLINK, DOWNLOAD, SEARCH, EVENT, CONTENT = 1, 2, 3, 8, 10, 13
"""log_action.type (core/Tracker/Action.php)."""

_PREFIX = re.compile(r"^https?://(www\.)?", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)")
_LONGEST = 1024  # [Tracker] page_maximum_length, in bytes


@dataclass(frozen=True)
class Privacy:
    """What of Matomo's settings changes a visitor's id."""

    uid_counts: bool = True
    """[Tracker] enable_userid_overwrites_visitorid."""
    cookieless: bool = False
    """PrivacyManager.forceCookielessTracking: ``_id`` is not looked at."""
    uid_salt: Optional[str] = None
    """PrivacyManager.anonymizeUserId with its salt; None = off."""


@dataclass(frozen=True)
class Expected:
    """What is looked for. ``visitor`` '' = the request does not tell the visitor's id.

    ``at``: seconds since 1970; ``exact``: the request names its time itself (cdt).
    """

    kind: str
    why: str = ""
    site: int = 0
    visitor: str = ""
    at: float = 0.0
    exact: bool = False
    ip: str = ""
    page_view: str = ""
    action: int = PAGE
    url: str = ""
    words: tuple[str, ...] = ()
    """What names the row beside its URL: event category and action, content name, link."""
    goal: int = 0
    order: str = ""
    searches: frozenset[str] = field(default_factory=frozenset)
    """Every value of the URL's query: which of them is a search is the site's setting."""


def parameters(query: str) -> dict[str, str]:
    """The query's parameters, as PHP sees them but for arrays: the last of a name counts."""
    found = {}
    for part in query.lstrip("?").split("&"):
        name, _, value = part.partition("=")
        if name:
            found[_text(name)] = _text(value)
    return found


def _text(raw: str) -> str:
    if "%" not in raw and "+" not in raw:
        return raw
    data = unquote_to_bytes(raw.replace("+", " ").encode("utf-8", "surrogateescape"))
    data = data.replace(b"\0", b"")
    try:
        return data.decode()
    except UnicodeDecodeError:  # Common::sanitizeString takes it for Latin-1 then
        return data.decode("latin-1")


def expect(query: str, at: float, ip: str, privacy: Privacy, referer: str = "") -> Expected:
    """What this request, received ``at`` (epoch, s) from ``ip``, leaves behind."""
    given = parameters(query)
    site = _number(given.get("idsite", ""))
    if site is None or site <= 0:
        return Expected(NOTHING, "it names no site")
    if not _number(given.get("rec", "")):
        return Expected(NOTHING, "it has no rec=1, so Matomo leaves it out", site=site)
    moment = _moment(given, at)
    if moment is None:
        return Expected(NO_ROW, f"its own time, cdt={given['cdt'][:30]}, is not understood", site)
    visitor = visitor_id(given, privacy)
    if visitor is None:
        return Expected(NOTHING, "its cid is not 16 characters long", site=site)
    common = {
        "site": site,
        "visitor": visitor,
        "at": moment,
        "exact": "cdt" in given or "cdo" in given,
        "ip": given.get("cip") or ip,
        "page_view": given.get("pv_id", "")[:6],
    }
    return _row(given, common, referer)


def _row(given: dict[str, str], common: dict[str, object], referer: str) -> Expected:
    made: dict[str, object] = dict(common)
    if _number(given.get("ping", "")) == 1:
        return Expected(NO_ROW, "a heartbeat (ping=1) only moves its visit's end", **common)  # type: ignore[arg-type]
    goal = _number(given.get("idgoal", "")) if given.get("idgoal") else None
    if goal is not None and goal >= 0:
        made.update(goal=goal, order=given.get("ec_id", ""))
        return Expected(CONVERSION, **made)  # type: ignore[arg-type]
    if goal is None or goal < 0:
        made.update(_action(given, referer))
    if "action" not in made:
        return Expected(NO_ROW, "it is meant for a plugin (ca=1)", **common)  # type: ignore[arg-type]
    return Expected(ACTION, **made)  # type: ignore[arg-type]


def _action(given: dict[str, str], referer: str) -> dict[str, object]:
    url = given.get("url") or (referer if not given.get("urlref") else "")
    page = {"url": comparable(url), "searches": frozenset(_searches(given, url))}
    if given.get("download"):
        return {"action": DOWNLOAD, "words": (comparable(given["download"], whole=True),)}
    if given.get("link"):
        return {"action": OUTLINK, "words": (comparable(given["link"], whole=True),)}
    if given.get("e_c") and given.get("e_a"):
        return {**page, "action": EVENT, "words": (plain(given["e_c"]), plain(given["e_a"]))}
    if given.get("c_n"):
        return {**page, "action": CONTENT, "words": (plain(given["c_n"]),)}
    if given.get("search"):
        return {"action": SEARCH, "words": (plain(given["search"]),)}
    return {} if given.get("ca", "0") not in ("", "0") else {**page, "action": PAGE}


def _searches(given: dict[str, str], url: str) -> list[str]:
    query = url.partition("?")[2].partition("#")[0]
    return [plain(value) for value in parameters(query).values() if value]


def visitor_id(given: dict[str, str], privacy: Privacy) -> Optional[str]:
    """16 hex digits; '' = not told by the request; None = Matomo refuses it.

    The order is Request::getVisitorId's: user id (hashed), cid, _id.
    """
    uid = given.get("uid", "")
    if uid and privacy.uid_counts:
        clean = html.escape(html.unescape(uid)).replace("&#x27;", "&#039;")
        if privacy.uid_salt:
            clean = hashlib.sha1((clean + privacy.uid_salt).encode()).hexdigest()
        return hashlib.sha1(clean.encode()).hexdigest()[:16]
    forced = given.get("cid", "")
    if forced:
        return _hex(forced) if len(forced) == 16 else None
    return "" if privacy.cookieless else _hex(given.get("_id", "")[:16])


def _hex(text: str) -> str:
    return text.lower() if re.fullmatch(r"[0-9a-fA-F]{16}", text) else ""


def _moment(given: dict[str, str], at: float) -> Optional[float]:
    moment, back = at, _number(given.get("cdo", "")) or 0
    cdt = given.get("cdt", "")
    if cdt and cdt != "0":
        found = _DATE.fullmatch(cdt)
        if found:
            if found[1] == "0000" or not 1 <= int(found[2]) <= 12:
                return None
            moment = float(calendar.timegm(tuple(int(part) for part in found.groups())))
        elif re.fullmatch(r"\d{1,18}(\.\d{1,18})?", cdt):
            moment = float(int(float(cdt)))
        else:
            return None
        if moment > max(at, time.time()):  # a time in the future is replaced by now
            moment = at
    return moment - abs(back)


def _number(text: str) -> Optional[int]:
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else None


def plain(text: str) -> str:
    """A name as it is compared: trimmed, without entities, nor what is not UTF-8."""
    text = html.unescape(html.unescape(text)).replace("\ufffd", "")
    return " ".join(text.split()).casefold()[:_LONGEST]


def comparable(url: str, *, whole: bool = False) -> str:
    """A URL as it is compared: no protocol, no www., no fragment; ``whole`` keeps them."""
    url = html.unescape(url).strip()
    url = re.sub(r"[\r\n\0]", "", url).encode()[:_LONGEST].decode(errors="ignore")
    if whole:
        return url.replace("\ufffd", "")
    url = _PREFIX.sub("", matrix(url)).partition("#")[0]
    host, slash, rest = url.partition("/")
    return (host.lower() + slash + rest).replace("\ufffd", "")


def matrix(url: str) -> str:
    """``thing;a=1;b=2`` as ``thing?a=1&b=2`` (PageUrl::convertMatrixUrl)."""
    first = url.find(";")
    mark = url.find("?")
    if first < 0 or (0 <= mark <= first):
        return url
    if mark > first:
        url = url[:mark] + ";" + url[mark + 1 :]
    return url.replace(";", "?", 1).replace(";", "&")


def same_page(asked: str, recorded: str) -> bool:
    """Is that the page? Matomo takes parameters out of a URL (site settings), never puts any in."""
    mine, theirs = asked.partition("?"), comparable(recorded).partition("?")
    if _path(mine[0]) != _path(theirs[0]):
        return False
    left = [_text(part) for part in mine[2].split("&")]
    for part in filter(None, theirs[2].split("&")):
        name = _text(part)
        cut = next((one for one in left if one == name), None)
        if cut is None:  # the URL was cut at its longest: its last value may be shorter
            cut = next((one for one in left if one.startswith(name)), None)
        if cut is None:
            return False
        left.remove(cut)
    return True


def _path(text: str) -> str:
    return _text(text).replace("\ufffd", "").rstrip("/ ")
