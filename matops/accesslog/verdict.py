"""Was this request recorded? What its log line alone can say, near an edge and away from it.

Tried on a real host (Matomo 5.3 and 5.8), ``[Tracker] record_statistics = 0``: a pixel answers
503 where nothing is recorded and 200 where it is; a request with send_image=0 answers 204
either way, a bulk request 200 either way. A switch is sharp but for the requests in flight:
those that began some seconds around it are decided one by one. 400 and 500 while the files are
newer than the database: not recorded. nginx' $time_local is the end of a request, Apache's %t
its beginning: another reason for seconds on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matops.accesslog.gapfile import stamp as shown

KEEP, RECORDED, ASK = "replay", "recorded", "ask"
"""KEEP: not recorded, to be replayed. RECORDED: by its status. ASK: only the database knows."""

REDIRECTED = "redirected: the request that followed counts (3xx)"
DENIED = "refused by the web server ({})"
BODY = "POST body, held by no log"
BODY_OUTSIDE = "POST body, held by no log: it came while tracking was on"
EMPTY = "no tracking parameters"
NO_SITE = "no idsite"
PREFLIGHT = "no tracking request ({})"
OURS = "matops' own request"
OTHER_HOST = "virtual host of another site"
UNREAD = "not understood"

LOST = (BODY, UNREAD)
"""Reasons that mean: a hit is lost, or may be."""

METHODS = (b"GET", b"POST", b"HEAD")
_DENIALS = (b"401", b"403", b"405", b"407", b"410", b"421", b"429", b"431", b"451")


@dataclass(frozen=True)
class Edge:
    """A switch of the tracker: seconds since 1970, by this server's clock, just before and just
    after the configuration was changed."""

    before: float
    after: float

    @classmethod
    def of(cls, note: Any) -> Edge:
        """From the outage's record (``edge.off``, ``edge.on``); ValueError."""
        before, after = float(note["before"]), float(note["after"])
        if not 0 < before <= after < 1e10:
            raise ValueError("its times are none")
        return cls(before, after)


@dataclass(frozen=True)
class Window:
    """The gap by one server's clock: [start, end) in seconds, and where marks make it exact.

    ``margin``: seconds around a mark within which hits are decided one by one. Without a mark
    at a side the window ends exactly there, and what a status cannot tell is asked everywhere.
    """

    start: float
    end: float
    off: Optional[Edge] = None
    on: Optional[Edge] = None
    margin: float = 30.0
    ask_all: bool = False
    statuses: Sequence[bytes] = ()
    """Statuses of refusals that are replayed all the same."""

    @property
    def marked(self) -> bool:
        """True where both ends were marked: between them nothing was recorded."""
        return self.off is not None and self.on is not None

    @property
    def low(self) -> bytes:
        """Stamp of the first second looked at."""
        return shown(math.floor(self.off.before - self.margin) if self.off else self.start)

    @property
    def high(self) -> bytes:
        """Stamp after the last one looked at."""
        return shown(math.ceil(self.on.after + self.margin) if self.on else self.end)

    @property
    def off_span(self) -> tuple[bytes, bytes]:
        """[from, to) of stamps that requests have which came while tracking was off, or may have
        been in flight then. Where there is no mark: as far as is looked."""
        first = shown(math.floor(self.off.before) - 1) if self.off else self.low
        return first, shown(math.ceil(self.on.after) + 1) if self.on else self.high

    @property
    def inner(self) -> tuple[bytes, bytes]:
        """[from, to) where, by the marks, nothing was recorded; empty without both marks."""
        if not self.off or not self.on or self.ask_all:
            return b"9", b"9"
        first = shown(math.ceil(self.off.after + self.margin))
        return first, max(first, shown(math.floor(self.on.before - self.margin)))


def by_status(method: bytes, query: bytes, status: bytes, *, inner: bool) -> str:
    """KEEP, RECORDED or ASK for a tracking hit with these parameters.

    ``inner``: away from the edges of a marked window, where the tracker was off.
    """
    if status == b"503":
        return KEEP
    if status == b"400":
        return KEEP  # files newer than the database; a request that Matomo refuses stays refused
    pixel = status == b"200" and not (b"send_image=0" in query or _is_bulk(query))
    if pixel and not inner:
        return RECORDED
    if inner and not pixel:
        return KEEP
    return ASK


def _is_bulk(query: bytes) -> bool:
    return b"requests=" in query


def not_a_hit(method: bytes, query: bytes, status: bytes, allowed: Sequence[bytes]) -> str:
    """Why a request for the tracker is nothing to replay; '' where it may be."""
    if b"matops_check=" in query:
        return OURS
    if method not in METHODS:
        return PREFLIGHT.format(method.decode("ascii", "replace")[:10] or "no method")
    if b"idsite=" not in query:
        if method == b"POST":
            return BODY
        return NO_SITE if query else EMPTY
    if status[:1] == b"3" and status not in allowed:
        return REDIRECTED
    if status in _DENIALS and status not in allowed:
        return DENIED.format(status.decode("ascii"))
    return ""
