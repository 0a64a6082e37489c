"""Sends one request to the tracker and looks for it in the access logs. On the host, stdlib only.

asked: ``url`` ('' = the first trusted host). Uses ``found["site"]`` and ``found["web"]``.
The request is a CORS preflight (OPTIONS): Matomo answers it with 204 before it looks at
anything (Tracker::main), so nothing is recorded, queued or run: measured, with the counts of
every table before and after. The nonce stands in the query string and in the user agent, so
that a log without query strings is told apart from a log without the request.
"""

from __future__ import annotations

import binascii
import http.client
import os
import re
import ssl
import threading
import time
from typing import Any
from urllib.parse import urlsplit

Facts = dict[str, Any]

CONNECT, APPEAR, OTHERS = 3.0, 2.0, 0.15  # seconds
TAIL = 4 << 20  # bytes of a log written since the request that are searched, at most


def collect(asked: Facts, found: Facts) -> Facts:
    """``sent`` says how the request went, ``hits`` each log line that is it."""
    site, web = found.get("site", {}), found.get("web", {})
    nonce = "matops-" + binascii.hexlify(os.urandom(8)).decode()
    offsets = sizes(web.get("logs", []))
    if not offsets:
        return {"sent": None, "hits": [], "reason": "no access log is readable"}
    sent = send(targets(asked.get("url") or "", site.get("config") or ""), nonce)
    hits = search(offsets, nonce) if sent.get("status") else []
    return {"nonce": nonce, "sent": sent, "hits": hits, "searched": sorted(offsets)}


def sizes(logs: list[str]) -> dict[str, int]:
    found = {}
    for path in logs:
        try:
            if os.access(path, os.R_OK):
                found[path] = os.stat(path).st_size
        except OSError:
            continue
    return found


def targets(url: str, config: str) -> list[list[str]]:
    """``[url, Host header]`` to try in turn; this machine itself comes last."""
    names = re.findall(r'(?m)^\s*trusted_hosts\[\]\s*=\s*"?([^"\s]+)', config)
    secure = re.search(r'(?m)^\s*(?:force_ssl|assume_secure_protocol)\s*=\s*"?1', config)
    schemes = ["https", "http"] if secure else ["http", "https"]
    tries = [[url, ""]] if url else []
    if not url and names:
        tries = [[f"{scheme}://{names[0]}/", ""] for scheme in schemes]
    host = urlsplit(url).netloc or (names[0] if names else "localhost")
    return tries + [[f"{scheme}://127.0.0.1/", host] for scheme in schemes]


def send(tries: list[list[str]], nonce: str) -> Facts:
    """The first request that gets an answer; ``tried`` says what happened to the others."""
    tried: list[str] = []
    silent = False
    for url, host in tries:
        if silent and not host:
            continue  # the same address by the other scheme would be waited for as long
        answer: Facts = {}
        # A resolver may hang far longer than any time-out of a socket.
        worker = threading.Thread(target=attempt, args=(url, host, nonce, answer), daemon=True)
        worker.start()
        worker.join(CONNECT + 1)
        if answer.get("status"):
            return dict(answer, tried=tried)
        failed = answer.get("error", "no answer")
        tried.append(f"{url}: {failed}")
        silent = silent or (not host and failed in ("no answer", "timed out"))
    return {"status": 0, "tried": tried}


def attempt(url: str, host: str, nonce: str, answer: Facts) -> None:
    try:
        for _ in range(3):  # the first URL and two redirects
            done = request(url, host, nonce)
            if done["status"] not in (301, 302, 307, 308) or not done["location"]:
                break
            if not done["location"].startswith("http"):
                break
            url, host = re.sub(r"[^/]*\?.*$", "", done["location"]), ""
        done["loopback"] = bool(host) or done["peer"].startswith("127.") or done["peer"] == "::1"
        answer.update(done)
    except (OSError, http.client.HTTPException, ValueError) as error:
        answer["error"] = getattr(error, "strerror", None) or str(error) or type(error).__name__


def request(url: str, host: str, nonce: str) -> Facts:
    parts = urlsplit(url)
    path = re.sub(r"/[^/]*\.php$", "/", parts.path or "/").rstrip("/") + "/matomo.php"
    name, port = parts.hostname or "127.0.0.1", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # Nothing secret is sent, and a certificate for the public name is not checked here.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(name, port, timeout=CONNECT, context=context)
    else:
        connection = http.client.HTTPConnection(name, port, timeout=CONNECT)
    headers = {
        "User-Agent": nonce,
        "Access-Control-Request-Method": "POST",
        "Origin": f"{parts.scheme}://{host or parts.netloc}",
        "Connection": "close",
    }
    if host:
        headers["Host"] = host
    try:
        connection.connect()
        source = connection.sock.getsockname()[0]
        peer = connection.sock.getpeername()[0]
        connection.request("OPTIONS", f"{path}?matops_check={nonce}", headers=headers)
        response = connection.getresponse()
        response.read(4096)
        return {
            "url": url,
            "host": host,
            "status": response.status,
            "location": response.getheader("Location") or "",
            "server": response.getheader("Server") or "",
            "via": response.getheader("Via") or "",
            "source": source,
            "peer": peer,
        }
    finally:
        connection.close()


def search(offsets: dict[str, int], nonce: str) -> list[Facts]:
    """Log lines written since that are the request; a log may be flushed a little later."""
    hits: dict[str, Facts] = {}
    deadline = time.monotonic() + APPEAR
    while time.monotonic() < deadline:
        for path, offset in offsets.items():
            hit = None if hits.get(path, {}).get("how") == "query" else look(path, offset, nonce)
            if hit:
                hits[path] = hit
        if any(hit["how"] == "query" for hit in hits.values()):
            deadline = min(deadline, time.monotonic() + OTHERS)
        time.sleep(0.03)
    return list(hits.values())


def look(path: str, offset: int, nonce: str) -> Facts | None:
    """``how``: its query string was found, or only its user agent, or only method and path."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size < offset:
                offset = 0  # rotated in between
            file.seek(offset)
            lines = file.read(TAIL).decode(errors="replace").splitlines()
    except OSError:
        return None
    for how, sign in (
        ("query", re.compile(r"matops_check=" + nonce)),
        ("agent", re.compile(nonce)),
        ("method", re.compile(r"OPTIONS.*/matomo\.php(?!\?)")),
    ):
        for line in lines:
            if sign.search(line):
                return {"path": path, "how": how, "line": line[:2000]}
    return None
