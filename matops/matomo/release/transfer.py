"""HTTP as the host speaks it: TLS checked, time-outs on silence, failures as one line."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any, Optional

from matops import __version__
from matops.errors import MatopsError, Refused
from matops.matomo.release.source import check_url, shown

STALL = 45  # seconds of silence after which a connection counts as dead
AGENT = f"matops/{__version__}"


class Broken(Exception):
    """The connection or the server failed in a way that may be gone at the next try."""


class NotThere(MatopsError):
    """The server says that it has no such file (404, 410)."""


class Denied(MatopsError):
    """The server does not give it to us (401, 403, 405 and the like)."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """Follows a redirect, unless it leaves TLS."""
        check_url(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise Refused(f"{shown(req.full_url)} redirects to an unencrypted address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def request(
    url: str, headers: Optional[dict[str, str]] = None, *, method: str = "GET", stall: int = STALL
) -> Any:
    """The response, open; 206 and 416 are given back as they are.

    Raises Broken (try again), NotThere, Refused (certificate, downgrade), MatopsError.
    """
    asked = urllib.request.Request(
        check_url(url),
        headers={"User-Agent": AGENT, "Accept-Encoding": "identity", **(headers or {})},
        method=method,
    )
    opener = urllib.request.build_opener(_NoDowngrade)
    try:
        return opener.open(asked, timeout=stall)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        raise _status(url, error) from None
    except urllib.error.URLError as error:
        raise _unreached(url, error.reason) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreached(url, error) from None


def fetch_text(url: str, limit: int = 65536, stall: int = 15) -> bytes:
    """A short answer, whole. Raises NotThere, Refused, MatopsError; two more tries if Broken."""
    for attempt in (1, 2, 3):
        try:
            with request(url, stall=stall) as response:
                data: bytes = response.read(limit + 1)
            if len(data) > limit:
                raise Refused(f"{shown(url)} is longer than {limit} bytes")
            return data
        except (Broken, OSError, http.client.HTTPException) as error:
            if attempt == 3:
                raise unreachable(url, error) from None
    raise AssertionError("not reached")


def head(url: str) -> dict[str, Any]:
    """``{size, etag, modified}`` of what stands at ``url``, each None where not told.

    Same errors as ``fetch_text``, but for servers that do not answer HEAD.
    """
    nothing = {"size": None, "etag": None, "modified": None}
    try:
        with request(url, method="HEAD", stall=15) as response:
            length = response.headers.get("Content-Length") or ""
            return {
                "size": int(length) if length.isdigit() else None,
                "etag": response.headers.get("ETag"),
                "modified": response.headers.get("Last-Modified"),
            }
    except Denied:
        return nothing
    except (Broken, OSError, http.client.HTTPException) as error:
        raise unreachable(url, error) from None


def unreachable(url: str, error: BaseException) -> MatopsError:
    """The error for a server that could not be talked to, after all tries."""
    return MatopsError(
        f"this host cannot get {shown(url)}: {error}",
        next="open the way to it from this host, "
        "or download the zip elsewhere and give it as --release FILE",
    )


def _status(url: str, error: urllib.error.HTTPError) -> Exception:
    what = f"{shown(url)}: the server answers {error.code} {error.reason}".rstrip()
    if error.code in (404, 410):
        return NotThere(what, state="Nothing was downloaded", next="check the version or the URL")
    if error.code >= 500 or error.code in (408, 429):
        return Broken(what)
    return Denied(what, state="Nothing was downloaded", next="check the URL, or a proxy")


def _unreached(url: str, reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Refused(
            f"{shown(url)}: its TLS certificate is not valid: {reason.verify_message}",
            state="Nothing was downloaded",
            next="check this host's clock and ca-certificates; never switch the check off",
        )
    if isinstance(reason, ssl.SSLError):
        return Broken(f"TLS failed ({reason.reason or reason})")
    if isinstance(reason, socket.gaierror):
        return Broken("its name cannot be resolved")
    if isinstance(reason, (socket.timeout, TimeoutError)):
        return Broken("no answer in time")
    text = getattr(reason, "strerror", None) or str(reason)
    return Broken(text)
