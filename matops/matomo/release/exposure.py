"""Proves by real requests that no web server gives out a folder. Runs on the host.

A file with a secret word is put into the folder and asked for under every URL that could reach
it. Only its word counts: a front controller answers 200 to anything.
"""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote, urlsplit

from matops.matomo.release import webconf
from matops.matomo.release.transfer import AGENT

_PATIENCE = 8.0  # seconds for one answer
_BASES, _PATHS = 10, 10  # asked at most; each path costs three short requests a base
_READ = 65536


@dataclass(frozen=True)
class Base:
    """A web server to ask: where to connect, and as whom to address it."""

    address: str
    port: int
    tls: bool
    name: str

    @property
    def url(self) -> str:
        """For messages."""
        return f"{'https' if self.tls else 'http'}://{self.name}:{self.port}"


@dataclass
class Proof:
    """``served``: URLs that gave the folder's files out. ``answered``: servers that spoke."""

    served: list[str]
    answered: list[str]
    silent: list[str]
    requests: int
    servers: list[str]

    @property
    def line(self) -> str:
        """What was asked, for the journal."""
        return f"{self.requests} requests to {', '.join(self.answered) or 'nobody'}"


def prove(folder: Path, docroot: str, web: dict[str, Any], owner: tuple[int, int]) -> Proof:
    """Asks every plausible URL of ``folder`` for files put there for the purpose.

    ``web``: ``{url, hosts}``, the site's public URL ('' = none) and trusted_hosts. ``owner``
    (uid, gid) gets the files, which are removed again. Asks for index.php too where it is.
    """
    word = secrets.token_hex(16)
    names = [f"matops-{word[:8]}.txt", f"matops-{word[:8]}.php"]
    bodies = [word, f"<?php /* {word} */ echo strrev('{word}');"]
    conf = webconf.read()
    times = folder.stat()
    try:
        for name, body in zip(names, bodies):
            path = folder / name
            with path.open("x") as file:
                file.write(body)
            if os.geteuid() == 0:
                os.chown(path, *owner)
            path.chmod(0o640)
        return _ask_all(folder, docroot, web, conf, names, word)
    finally:
        for name in names:
            (folder / name).unlink(missing_ok=True)
        # A second look leaves the stage just as it was, its time included.
        os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))


def paths(folder: Path, docroot: str, url: str, mappings: list[tuple[str, str]]) -> list[str]:
    """URL paths under which the folder could be reached; the likely ones first. Pure but for
    resolving symbolic links."""
    real = os.path.realpath(folder)
    base = urlsplit(url).path or "/"
    found = []
    for prefix, served in [(base, docroot), ("/", docroot), *mappings]:
        top = os.path.realpath(served)
        if real.startswith(top.rstrip("/") + "/"):
            found.append(f"{prefix.rstrip('/')}/{os.path.relpath(real, top)}")
    tail = "/".join(Path(real).parts[-3:] if folder.name == "matomo" else Path(real).parts[-2:])
    found += [f"/{tail}", f"{base.rstrip('/')}/{tail}", f"/%2e%2e/{tail}"]
    return list(dict.fromkeys(found))[:_PATHS]


def bases(web: dict[str, Any], conf: webconf.WebConf) -> list[Base]:
    """The servers to ask, under each name they may know. Pure."""
    url = urlsplit(str(web.get("url") or ""))
    hosts = [urlsplit(f"//{host}").hostname or "" for host in web.get("hosts") or []]
    names = [name for name in dict.fromkeys([url.hostname or "", *hosts, *conf.names]) if name]
    found = []
    if url.hostname:
        tls = url.scheme == "https"
        found.append(Base(url.hostname, url.port or (443 if tls else 80), tls, url.hostname))
    for address, port, tls in conf.listens or [("", 80, False), ("", 443, True)]:
        at = address or "127.0.0.1"
        found += [Base(at, port, tls, name) for name in [*names[:4], at]]
    return list(dict.fromkeys(found))[:_BASES]


def _ask_all(
    folder: Path, docroot: str, web: dict[str, Any], conf: webconf.WebConf,
    names: list[str], word: str,
) -> Proof:  # fmt: skip
    proof = Proof([], [], [], 0, [])
    where = paths(folder, docroot, str(web.get("url") or ""), conf.mappings)
    has_index = (folder / "index.php").exists()
    for base in bases(web, conf):
        for path in where:
            silent = False
            for served in _ask(base, path, names, word, has_index, proof):
                if served is None:
                    silent = True
                    break
                proof.served.append(f"{base.url}{served}")
            if silent:
                proof.silent.append(base.url)
                break
        else:
            proof.answered.append(base.url)
    return proof


def _ask(
    base: Base, path: str, names: list[str], word: str, has_index: bool, proof: Proof
) -> Iterator[Optional[str]]:
    """Yields paths that are given out; None where the server does not answer."""
    for name in names:
        answer = _get(base, f"{path}/{name}", proof)
        if answer is None:
            yield None
            return
        if word in answer[1] or word[::-1] in answer[1]:
            yield f"{path}/{name}"
    if has_index:
        # A page of 200 may come from a front controller: it must differ from what a file
        # that is certainly not there gets.
        index = _get(base, f"{path}/index.php", proof)
        control = _get(base, f"{path}/matops-none-{word[:8]}.php", proof)
        if index and control and index[0] != control[0] and index[0] not in (401, 403, 404, 410):
            yield f"{path}/index.php"


def _get(base: Base, path: str, proof: Proof) -> Optional[tuple[int, str]]:
    answer = _request(base, path, {}, proof)
    if answer and 300 <= answer[0] < 400:
        # Behind a proxy that ends TLS, plain requests are only sent to https.
        return _request(base, path, {"X-Forwarded-Proto": "https"}, proof)
    return answer


def _request(
    base: Base, path: str, headers: dict[str, str], proof: Proof
) -> Optional[tuple[int, str]]:
    connection = http.client.HTTPConnection(base.address, base.port, timeout=_PATIENCE)
    proof.requests += 1
    try:
        sock: socket.socket = socket.create_connection((base.address, base.port), _PATIENCE)
        if base.tls:
            sock = _unverified().wrap_socket(sock, server_hostname=base.name)
        connection.sock = sock
        sent = {"Host": base.name, "User-Agent": AGENT, "Connection": "close", **headers}
        connection.request("GET", quote(path, safe="/%"), headers=sent)
        response = connection.getresponse()
        server = response.headers.get("Server", "")
        if server and server not in proof.servers:
            proof.servers.append(server)
        return response.status, response.read(_READ).decode("latin-1")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _unverified() -> ssl.SSLContext:
    # What matters is whether the folder is given out, not to whom we speak; nothing secret
    # is sent, and by its address no certificate would fit.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
