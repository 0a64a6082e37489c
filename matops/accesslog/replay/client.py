"""The connection to the tracker: one bulk request at a time, and what came back.

Nothing is retried here. An answer is an answer; ``NotSent`` says that not a byte of the request
left; everything else that goes wrong is ``Lost``: nobody knows what the server did.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import urlsplit

from matops.errors import UsageError

_CONNECT = 10.0  # seconds
_IDLE = 3.0  # seconds after which a server may have closed a connection that it keeps (Apache: 5)
_BETWEEN = (408, 499, 502, 503, 504)
_MOST = 1 << 20  # bytes of an answer


class NotSent(Exception):
    """The server cannot be reached; nothing was sent."""


class Lost(Exception):
    """The connection broke, or no answer came in time: the outcome is not known."""


@dataclass(frozen=True)
class Target:
    """Where the tracker is. ``host``: the Host header, '' = the URL's; ``verify``: its certificate
    (on the loopback there is none to verify for 127.0.0.1)."""

    url: str
    host: str = ""
    verify: bool = True
    queue: bool = False
    """Through the queue plugin instead of around it."""

    @property
    def path(self) -> str:
        """``/matomo.php?queuedtracking=0``, below where Matomo is."""
        folder = urlsplit(self.url).path or "/"
        if not folder.endswith(".php"):
            folder = folder.rstrip("/") + "/matomo.php"
        return f"{folder}?queuedtracking={int(self.queue)}"


@dataclass(frozen=True)
class Reply:
    """What the server answered to ``sent`` requests, after ``seconds``."""

    status: int
    body: bytes
    seconds: float
    sent: int
    location: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """The JSON document; {} where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def number(self, key: str) -> int:
        """``tracked`` or ``invalid``; -1 where it is not there."""
        value = self.data.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else -1

    @property
    def good(self) -> bool:
        """Believed: success, and each request accounted for."""
        counted = self.number("tracked") >= 0 and self.number("invalid") >= 0
        total = self.number("tracked") + self.number("invalid")
        success = self.status == 200 and self.data.get("status") == "success"
        return success and counted and total == self.sent

    @property
    def invalid(self) -> Optional[list[int]]:
        """Which ones were invalid; None where it does not say (no superuser's token)."""
        found = self.data.get("invalid_indices")
        if found is None and self.number("invalid") == 0:
            return []
        if isinstance(found, dict):  # PHP makes an object of a list with holes
            found = list(found.values())
        if not isinstance(found, list) or len(found) != self.number("invalid"):
            return None
        return [int(one) for one in found]

    @property
    def between(self) -> bool:
        """Said by something in front of PHP (a proxy, nginx about php-fpm), which has given up
        waiting: the request may be at work still, or come to work later."""
        return (self.status in _BETWEEN or self.status >= 520) and not self.data

    @property
    def picture(self) -> bool:
        """A GIF: the queue plugin answers a bulk request with it, and has queued it by then."""
        return self.status == 200 and self.body[:3] == b"GIF"

    @property
    def shown(self) -> str:
        """For one line of an error. Never holds what was sent."""
        if self.status == 200 and not self.data:
            kind = "a picture" if self.picture else f"{self.body[:40]!r}"
            return f"200 with {kind} instead of JSON"
        if self.data:
            counts = f"tracked {self.number('tracked')}, invalid {self.number('invalid')}"
            return f"{self.status} {self.data.get('status', '')} ({counts} of {self.sent})"
        return f"{self.status}{' to ' + self.location if self.location else ''}"


class Client:
    """A kept connection. Not for several threads at once."""

    def __init__(self, target: Target, timeout: float) -> None:
        self._target, self._timeout = target, timeout
        parts = urlsplit(target.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"'{target.url}' is not an address like https://stats.example.org/")
        self._parts = parts
        self._connection: Optional[http.client.HTTPConnection] = None
        self._used = 0.0

    def post(self, token: str, requests: Sequence[str]) -> Reply:
        """Sends one bulk request. Raises NotSent, Lost."""
        # The tracker looks for "requests" beyond the first byte: the token goes first.
        body = json.dumps({"token_auth": token, "requests": list(requests)}).encode("ascii")
        return self._send(body, "application/json", len(requests))

    def plain(self, token: str, request: str) -> Reply:
        """Sends one hit (``?idsite=…``) as a request of its own. Raises NotSent, Lost."""
        # In the body: an address is written into the access log, with the token in it.
        body = f"{request.lstrip('?')}&token_auth={token}".encode("ascii")
        return self._send(body, "application/x-www-form-urlencoded", 1)

    def _send(self, body: bytes, kind: str, sent: int) -> Reply:
        headers = {"Content-Type": kind, "User-Agent": "matops"}
        if self._target.host:
            headers["Host"] = self._target.host
        connection = self._open()
        began = time.monotonic()
        try:
            connection.request("POST", self._target.path, body, headers)
            answer = connection.getresponse()
            data = answer.read(_MOST)
            location = answer.getheader("Location") or ""
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Lost(_words(error)) from None
        except BaseException:
            self.close()
            raise
        if not answer.isclosed():  # more than _MOST: nothing that Matomo says
            self.close()
        self._used = time.monotonic()
        return Reply(answer.status, data, self._used - began, sent, location)

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is not None and time.monotonic() - self._used > _IDLE:
            self.close()
        if self._connection is None or self._connection.sock is None:
            self.close()
            connection = self._new()
            try:
                connection.connect()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise NotSent(_words(error)) from None
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.settimeout(self._timeout)
            self._connection = connection
        return self._connection

    def _new(self) -> http.client.HTTPConnection:
        name, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(name, port, timeout=_CONNECT)
        context = ssl.create_default_context()
        if not self._target.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(name, port, timeout=_CONNECT, context=context)

    def close(self) -> None:
        """Closes the connection; safe to call twice."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
        self._connection = None


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
