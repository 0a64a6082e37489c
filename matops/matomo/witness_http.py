"""Asks web servers what they answer now. Runs on the host (and on the operator's machine).

Three questions, none of which records, queues or runs anything (measured: matomo.md, and the
counts of every table before and after):

* ``GET index.php``: the UI. The maintenance page is known by its text, taken from the very
  template (``plugins/Morpheus/templates/maintenance.tpl``): with ``multi_server_environment``
  it answers 200.
* ``GET matomo.php`` with no query string at all: the tracker. 200 with a line about Matomo when
  it records, 503 when ``record_statistics = 0`` (Tracker/Response::outputResponse): an empty
  request never gets as far as a visit. With *any* parameter it would: an unknown site alone
  writes a row into ``tracking_failure``.
* an OPTIONS preflight with a nonce, for the access logs (``accesslog/probes/marker.py``).
"""

from __future__ import annotations

import contextlib
import glob
import http.client
import os
import re
import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

Facts = dict[str, Any]
Target = dict[str, Any]
"""``address``, ``port``, ``secure`` (None = try), ``name`` (Host header), ``base`` (path up to
and with the last slash), ``public`` (asked by name, through whatever stands in front)."""

CONNECT, TIMEOUT = 4.0, 15.0  # seconds; a cold UI takes some
AGENT = "matops"
_WEB = re.compile(r"^(apache2|httpd|nginx|lighttpd|caddy|litespeed|lshttpd|openresty)")
_MANY = 8  # names × listening sockets asked, at most, each
_HTTPS = (443, 8443)

MAINTENANCE, UI, ERROR, REDIRECT, REFUSED, OTHER, SILENT = (
    "maintenance page", "Matomo's UI", "error", "redirect", "refused", "something else",
    "no answer")  # fmt: skip
RECORDING, OFF, QUEUE = "recording", "off", "a queue's empty answer"
"""QUEUE: QueuedTracking answers a bare request with nothing, whether the tracker is on or off
(its Handler::finish; tried with 5.1.1): the answer tells only that PHP and the plugin run."""


def targets(url: str, config: str, *, here: bool = True) -> list[Target]:
    """Where this installation answers: through its public name, and on this very machine.

    ``url``: the setting, '' = the first trusted host. ``config``: the text of config.ini.php.
    ``here``: with the sockets that a web server of this machine listens on.
    """
    names = re.findall(r'(?m)^\s*trusted_hosts\[\]\s*=\s*"?([^"\s]+)', config)
    secure = re.search(r'(?m)^\s*(?:force_ssl|assume_secure_protocol)\s*=\s*"?1', config)
    found: list[Target] = []
    parts = urlsplit(url)
    base = re.sub(r"/[^/]*\.php$", "/", parts.path).rstrip("/") + "/"
    if url:
        names = [parts.netloc, *(name for name in names if name != parts.netloc)]
    if names:
        host, _, port = names[0].partition(":")
        scheme = parts.scheme or ("https" if secure else "")
        number = int(port) if port.isdigit() else 443 if scheme == "https" else 80
        found.append(_target(host, number, scheme == "https" or None, names[0], base, True))
    if here:
        sockets = listening() or [("127.0.0.1", 443), ("127.0.0.1", 80)]
        found += [
            _target(address, port, None, name, base, False)
            for name in names[:_MANY] or ["localhost"]
            for address, port in sockets[:_MANY]
        ]
    return found


def _target(
    address: str, port: int, secure: Optional[bool], name: str, base: str, public: bool
) -> Target:
    return {"address": address, "port": port, "secure": secure, "name": name, "base": base,
            "public": public}  # fmt: skip


def listening() -> list[tuple[str, int]]:
    """``(address, port)`` of this machine's web server's sockets; [] where none is seen."""
    inodes = set(_web_sockets())
    found = set()
    for path, size in (("/proc/net/tcp", 4), ("/proc/net/tcp6", 16)):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and words[9] in inodes:  # LISTEN
                    found.add(_address(words[1], size))
    return sorted(found, key=lambda each: (each[1] not in (80, 443), each[1]))


def _web_sockets() -> Iterator[str]:
    for comm in glob.glob("/proc/[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if not _WEB.match(Path(comm).read_text()):
                continue
            for link in glob.glob(f"{os.path.dirname(comm)}/fd/*"):
                with contextlib.suppress(OSError):
                    if inode := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                        yield inode[1]


def _address(text: str, size: int) -> tuple[str, int]:
    words, _, port = text.partition(":")
    raw = bytes.fromhex(words)
    packed = b"".join(
        struct.pack(">I", struct.unpack("=I", raw[i : i + 4])[0]) for i in range(0, size, 4)
    )
    address = socket.inet_ntop(socket.AF_INET6 if size == 16 else socket.AF_INET, packed)
    if address in ("0.0.0.0", "::"):  # :: takes IPv4, too, unless told otherwise
        return "127.0.0.1", int(port, 16)
    return address.removeprefix("::ffff:"), int(port, 16)


def ask(
    target: Target,
    file: str,
    *,
    method: str = "GET",
    agent: str = AGENT,
    headers: Optional[dict[str, str]] = None,
    timeout: float = TIMEOUT,
) -> Facts:
    """One request: ``status`` (0 = none, then ``error``), ``body`` (64 KB), ``location``, ``url``.

    Certificates are not checked: nothing secret is sent, and here the name is another one.
    """
    answer: Facts = {}
    for port, secure in _ways(target):
        there = {**target, "port": port}
        answer = _ask(there, file, secure, method, agent, headers or {}, timeout)
        # Apache and nginx answer plain HTTP on a TLS port with 400.
        if answer["status"] and not (answer["status"] == 400 and "HTTPS" in answer["body"]):
            break
    return answer


def _ways(target: Target) -> list[tuple[int, bool]]:
    port, secure = target["port"], target["secure"]
    if secure is not None:
        return [(port, secure)]
    if target["public"] and port == 80:  # a name whose scheme nobody told us
        return [(80, False), (443, True)]
    return [(port, True), (port, False)] if port in _HTTPS else [(port, False), (port, True)]


def _ask(
    target: Target, file: str, secure: bool, method: str, agent: str, headers: dict[str, str],
    timeout: float,
) -> Facts:  # fmt: skip
    path = file if file.startswith("/") or file == "*" else target["base"] + file
    name = target["name"].partition(":")[0]
    facts: Facts = {
        "url": f"{'https' if secure else 'http'}://{target['name']}{path}",
        "public": target["public"],
        "where": f"{target['address']}:{target['port']}",
        "status": 0, "type": "", "body": "", "location": "", "error": "",
    }  # fmt: skip
    connection = http.client.HTTPConnection(target["address"], target["port"], timeout=timeout)
    try:
        plain = socket.create_connection((target["address"], target["port"]), CONNECT)
        plain.settimeout(timeout)
        if secure:
            context = ssl._create_unverified_context()
            plain = context.wrap_socket(plain, server_hostname=name)
        connection.sock = plain
        connection.request(
            method, path,
            headers={"Host": target["name"], "User-Agent": agent, "Cache-Control": "no-cache",
                     "Connection": "close", **headers},
        )  # fmt: skip
        response = connection.getresponse()
        facts["body"] = response.read(65536).decode(errors="replace")
        facts["status"] = response.status
        facts["type"] = response.getheader("Content-Type") or ""
        facts["location"] = response.getheader("Location") or ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        facts["error"] = getattr(error, "strerror", None) or str(error) or type(error).__name__
    finally:
        connection.close()
    return facts


def ask_all(found: Sequence[Target], file: str) -> list[Facts]:
    """Every target, at the same time; redirects within the same name are followed once."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda target: follow(target, file), found))


def follow(target: Target, file: str, **how: Any) -> Facts:
    """``ask``; one redirect to the same name is followed, as to https."""
    answer = ask(target, file, **how)
    to = urlsplit(answer["location"])
    name = target["name"].partition(":")[0]
    if answer["status"] in (301, 302, 307, 308) and to.hostname == name:
        port = to.port or (443 if to.scheme == "https" else 80)
        there = {**target, "secure": to.scheme == "https", "port": port}
        path = (to.path or "/") + (f"?{to.query}" if to.query else "")
        followed = ask(there, path, **how)
        if followed["status"]:  # where TLS ends at a balancer, nobody here listens for it
            return {**followed, "url": answer["url"], "where": answer["where"]}
    return answer


def page_text(docroot: str) -> str:
    """What stands on the maintenance page and on no other; '' where there is no template."""
    path = Path(docroot) / "plugins" / "Morpheus" / "templates" / "maintenance.tpl"
    try:
        fixed = re.split(r"%\w+%", path.read_text(errors="replace"))
    except OSError:
        return ""
    return max(fixed, key=len).strip()


def ui_kind(answer: Facts, page: str) -> str:
    """What an answer of index.php is: one of the words above. Pure."""
    status, body = answer["status"], answer["body"]
    if not status:
        return SILENT
    if (page and page in body) or (status in (200, 503) and "undergoing maintenance" in body):
        return MAINTENANCE
    if status >= 500 or "Fatal error" in body[:2000]:
        return ERROR
    if status in (401, 403, 407):
        return REFUSED
    if 300 <= status < 400:
        return REDIRECT
    return UI if re.search(r"(?i)matomo|piwik", body) else OTHER


def tracker_kind(answer: Facts) -> str:
    """What an answer of a bare matomo.php is: RECORDING, OFF, or as for the UI. Pure."""
    status = answer["status"]
    if status == 503:
        return OFF if answer["type"].startswith("image/") else ERROR  # a proxy's is a page
    if status == 200 and "part of Matomo" in answer["body"]:
        return RECORDING
    if status == 200 and not answer["body"].strip():
        return QUEUE
    return ui_kind(answer, "") if status != 200 else OTHER
