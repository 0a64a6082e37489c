"""Is this row of the log tables what a hit leaves behind? Pure."""

from __future__ import annotations

import ipaddress
from typing import Any, Optional

from matops.matomo.tracked_hit import (
    CONTENT,
    DOWNLOAD,
    EVENT,
    OUTLINK,
    PAGE,
    SEARCH,
    Expected,
    comparable,
    plain,
    same_page,
)

Row = dict[str, Any]


def same_conversion(row: Row, wanted: Expected) -> bool:
    """A row of log_conversion."""
    if wanted.goal:
        return int(row["goal"]) == wanted.goal
    # Orders are 0, carts -1. The order's number may be hashed (PrivacyManager).
    if not wanted.order:
        return int(row["goal"]) == -1
    return int(row["goal"]) == 0 and (row["idorder"] == wanted.order or len(row["idorder"]) == 40)


def same_action(row: Row, wanted: Expected) -> bool:
    """A row of log_link_visit_action, with the names of its actions."""
    if row["name_type"] == SEARCH and not row["url"]:
        word = plain(row["name"] or "")
        return word in wanted.words if wanted.action == SEARCH else word in wanted.searches
    if wanted.action in (DOWNLOAD, OUTLINK):
        same = row["url_type"] == wanted.action
        return same and comparable(row["url"] or "", whole=True) in wanted.words
    if wanted.action == EVENT:
        named = (plain(row["event_category"] or ""), plain(row["event_action"] or ""))
        return named == wanted.words and _same_url(row, wanted)
    if wanted.action == CONTENT:
        return plain(row["content"] or "") in wanted.words and _same_url(row, wanted)
    other = row["event_category"] or row["content"] or row["url_type"] not in (None, PAGE)
    return not other and wanted.action == PAGE and _same_url(row, wanted)


def _same_url(row: Row, wanted: Expected) -> bool:
    if not row["url"]:  # "Page URL not defined": what is no URL is not kept
        return "." not in wanted.url or not wanted.url
    return same_page(wanted.url, row["url"])


def same_address(asked: str, recorded: Optional[bytes]) -> bool:
    """A masked address ends in zero bytes: these are not compared."""
    try:
        mine = ipaddress.ip_address(asked).packed
    except ValueError:
        return True  # the log has none
    if recorded is None:
        return True
    theirs = recorded.rstrip(b"\0")
    return mine[: len(theirs)] == theirs
