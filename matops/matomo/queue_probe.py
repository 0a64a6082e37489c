"""Does this server's tracker queue what it gets, and leave the queue alone? Asked by HTTP. There.

The probe is a tracking request that says ``rec=0``: the tracker takes it as any other, queues it,
and throws it away when it is processed (VisitExcluded), without a visit, an action or a tracking
failure: measured, with the counts of those tables. An OPTIONS request would not do: it is
answered before the queue is asked.

A tracker that works on the queue by itself does so once a whole batch waits in some list, right
after it has answered. So probes are sent until a batch waits (on a busy site the visitors' own hits
do that), one more behind it, and then nothing may leave. Lists are watched at their heads, not by
their lengths: what is processed leaves there, and thousands of hits a second hide it elsewhere.
"""

from __future__ import annotations

import http.client
import secrets
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from matops.accesslog.probes import marker
from matops.errors import MatopsError
from matops.matomo import queue_contents
from matops.matomo.config_file import path_of
from matops.matomo.database import Database
from matops.matomo.queue_setup import Setup, need_active
from matops.matomo.queue_setup import look as look_at_setup
from matops.matomo.queue_store import Store, opened

MOST = 1000
"""Probes at most, and for so long: where a batch is larger, and fewer wait, that nothing processes
the queue is not proven."""
FILL = 20.0
_STAY, _LOOK, _ANSWER = 1.5, 0.1, 10.0  # seconds
_BACK = 1000  # places from the end where a probe is looked for right after its answer


class NoTracker(MatopsError):
    """No web server answers for Matomo, here or by its public name."""


def prove(docroot: str, url: str = "", fill: bool = True) -> dict[str, Any]:
    """Sends probes through this machine's own web server.

    ``{"queued": they came into the queue, "stayed": True, False, or None = not provable,
    "sent", "status": HTTP codes, "where": the address, "sets", "locks"}``. ``fill``: until a batch
    waits; else one probe. MatopsError: no queue, its backend is not reached; NoTracker.
    """
    setup = look_at_setup(docroot)
    need_active(setup)
    site = _a_site(docroot)
    where = _address(url, docroot)
    mark = f"matops-{secrets.token_hex(6)}"
    with opened(setup, docroot) as store:
        seen = _Watch(store)
        codes = [_send(where, site, f"{mark}-0")]
        if not _arrived(store, f"{mark}-0"):
            # Gone at once is processed at once; never there at all is lost, or not queued.
            return _answer(store, where, codes, queued=seen.work(), stayed=False)
        if not fill:
            return _answer(store, where, codes, queued=True, stayed=None)
        until = time.monotonic() + FILL
        while not (bait := _bait(store, setup)) and not seen.work() and len(codes) < MOST:
            if time.monotonic() > until:
                break
            codes.append(_send(where, site, f"{mark}-{len(codes)}"))
        codes.append(_send(where, site, f"{mark}-{len(codes)}"))  # behind a whole batch
        stayed = seen.stays()
        return _answer(store, where, codes, queued=True, stayed=stayed and (bait or None))


class _Watch:
    """Did anybody work on any list since this began? By their heads, and by locks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heads: dict[int, str] = {}
        self.work()

    def work(self) -> bool:
        """True where a head has gone, or a list is locked now."""
        if self._store.locks():
            return True
        now = {n: self._store.head(n, 1) for n in {*self._heads, *self._store.lengths()}}
        heads = {n: values[0].text for n, values in now.items() if values}
        gone = any(heads.get(n) != head for n, head in self._heads.items())
        self._heads = {**heads, **self._heads}
        return gone

    def stays(self) -> bool:
        """Nothing leaves for a while in which a tracker would work."""
        until = time.monotonic() + _STAY
        while not self.work():
            if time.monotonic() > until:
                return True
            time.sleep(_LOOK)
        return False


def _bait(store: Store, setup: Setup) -> bool:
    """A whole batch waits in a list that workers look at."""
    return any(n < setup.workers and length >= setup.batch for n, length in store.lengths().items())


def _answer(store: Store, where: list[str], codes: list[int], **found: Any) -> dict[str, Any]:
    return {
        **found,
        "sent": len(codes),
        "status": sorted(set(codes)),
        "where": f"{where[0]} ({where[1]})" if where[1] else where[0],
        "sets": sum(store.lengths().values()),
        "locks": sorted(store.locks()),
    }


def _arrived(store: Store, mark: str) -> bool:
    until = time.monotonic() + _STAY
    # All of one visitor: they are in the first list (its number is that of the id's start).
    while not queue_contents.holds(store.tail(0, _BACK), mark):
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK)
    return True


def _a_site(docroot: str) -> int:
    with Database(docroot, timeout=15) as db:
        rows = db.session.rows("site_ids", site=db.table("site"))
    if not rows:
        raise MatopsError("no website is in Matomo yet: nothing is tracked")
    return int(rows[0]["idsite"])


def _address(url: str, docroot: str) -> list[str]:
    """[URL, Host header] of this very machine that answers; the public one where none does."""
    with open(path_of(docroot), errors="replace") as file:
        tries = marker.targets(url, file.read())
    ours = [each for each in tries if each[1]]
    tried = []
    for target in [*ours, *(each for each in tries if not each[1])]:
        answer: dict[str, Any] = {}
        marker.attempt(target[0], target[1], "matops-probe", answer)
        status = int(answer.get("status") or 0)
        if 200 <= status < 300:
            return target
        tried.append(f"{target[0]}: {answer.get('error') or status}")
    raise NoTracker(
        f"the tracker is not reached by HTTP: {'; '.join(tried)}",
        next="set url in config/matops.yaml",
    )


def _send(where: list[str], site: int, mark: str) -> int:
    """One probe; its HTTP code, 0 where none came."""
    parts = urlsplit(where[0])
    secure = parts.scheme == "https"
    name, port = parts.hostname or "127.0.0.1", parts.port
    connection: http.client.HTTPConnection
    if secure:
        context = ssl._create_unverified_context()  # nothing secret is sent
        connection = http.client.HTTPSConnection(name, port, timeout=_ANSWER, context=context)
    else:
        connection = http.client.HTTPConnection(name, port, timeout=_ANSWER)
    path = parts.path.rstrip("/") + "/matomo.php"
    query = (
        f"?idsite={site}&rec=0&send_image=0&_id=0000000000000001"
        f"&url=http%3A%2F%2Fmatops.invalid%2F{mark}"
    )
    headers = {"User-Agent": mark, "Connection": "close"}
    if where[1]:
        headers["Host"] = where[1]
    try:
        connection.request("GET", path + query, headers=headers)
        response = connection.getresponse()
        response.read(4096)
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
