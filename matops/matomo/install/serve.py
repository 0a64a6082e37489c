"""Which release does the web server run? Asked over HTTP, on this host and at the public URL.

PHP's code cache (opcache) may go on with the old files: for ``revalidate_freq`` seconds, or for
ever where ``validate_timestamps`` is off; with a switched link its realpath cache, too. So a small
PHP file with a secret name is put into the docroot for a second: it says which version PHP itself
reads, and empties the cache. A web server that runs nothing but Matomo's own entry points (as
matomo-org's nginx configuration does) is asked for static files instead.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote, urlsplit

from matops.matomo.install import gate, reload
from matops.matomo.install.place import Place
from matops.matomo.install.seen import OURS
from matops.matomo.release import exposure, webconf
from matops.matomo.release.exposure import Base
from matops.matomo.release.faults import told
from matops.matomo.release.owner import owner_of
from matops.matomo.release.transfer import AGENT

_PATIENCE = 8.0  # seconds for one answer
_SETTLED = 12.0  # seconds that all workers may take to let go of the old code
_IN_A_ROW = 3  # answers with the new version, for each server
_READ = 8 << 20

# Answers none but who knows the word; opcache.restrict_api may forbid the reset: then it says so.
SCRIPT = """<?php
if (($_GET['word'] ?? '') !== '@WORD@') { http_response_code(404); exit; }
$reset = isset($_GET['reset']) && function_exists('opcache_reset') ? @opcache_reset() : null;
clearstatcache(true);
require_once __DIR__ . '/core/Version.php';
header('Content-Type: text/plain'); header('Cache-Control: no-store');
echo strrev('@WORD@'), json_encode(array('version' => Piwik\\Version::VERSION, 'reset' => $reset,
    'sapi' => PHP_SAPI, 'cache' => (bool) ini_get('opcache.enable'), 'pid' => getmypid(),
    'stamps' => (bool) ini_get('opcache.validate_timestamps'), 'folder' => __DIR__));
"""


@dataclass
class Answers:
    """``php``: {server: what its PHP says}; ``files``: servers whose static files are the wanted;
    ``wrong``: {server: why not}; ``silent``: those that did not answer."""

    php: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)


def prove(
    *, docroot: str, folder: str, web_user: str, web: dict[str, Any], version: str,
    linked: bool = False, may_reload: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Has every server that answers run ``version``; the answers, as ``Answers``.

    Empties the code cache; reloads Apache (graceful) or php-fpm where that does not do, or a
    link was switched. ``folder``: the installation's, for the list of static files. OSError is
    told; nothing is raised for a wrong version: it stands in ``wrong``.
    """
    found = Answers()
    with told("ask the web server for the new release", docroot, "The trees are in place"):
        sweep(docroot)
        asker = Asker(docroot, web, web_user, version, Place(folder))
        if linked and may_reload:
            found.actions += reload.all_servers()
        asker.ask(found, reset=True)
        if (found.wrong or found.files) and may_reload and not found.actions:
            found.actions += reload.all_servers()
            asker.ask(found, reset=False)
    return {**vars(found), "running": [name for _, name in reload.masters()]}


class Asker:
    """Asks each base; see ``exposure.bases``."""

    def __init__(
        self, docroot: str, web: dict[str, Any], web_user: str, version: str, place: Place
    ) -> None:
        self.docroot, self.version = docroot, version
        conf = webconf.read()
        self.bases = exposure.bases(web, conf)
        self.prefixes = prefixes(docroot, str(web.get("url") or ""), conf.mappings)
        self.owner = owner_of(docroot, web_user)
        self._static = list(_telling(place, Path(docroot)))

    def ask(self, found: Answers, *, reset: bool) -> None:
        """Asks all until they agree, or the time is up."""
        end = time.monotonic() + _SETTLED
        with self._script() as (name, word):
            for base in self.bases:
                while not self._one(base, name, word, found, reset) and time.monotonic() < end:
                    time.sleep(0.3)

    def _one(self, base: Base, name: str, word: str, found: Answers, reset: bool) -> bool:
        """True where this base needs no more asking. Notes what it says."""
        url = base.url
        for each in (found.silent, found.files):
            if url in each:
                each.remove(url)
        found.wrong.pop(url, None)
        found.php.pop(url, None)
        prefix, heard = "", None
        for prefix in self.prefixes:
            answer = get(base, f"{prefix}{name}?word={word}{'&reset=1' if reset else ''}")
            if answer is None:
                found.silent.append(url)
                return True
            heard = said(answer[1], word)
            if heard:
                break
        if not heard:
            return self._by_files(base, found)
        for _ in range(_IN_A_ROW - 1):
            again = get(base, f"{prefix}{name}?word={word}")
            heard = (said(again[1], word) if again else None) or heard
            if heard["version"] != self.version:
                break
        found.php[url] = heard
        if heard["version"] != self.version:
            found.wrong[url] = f"its PHP still runs {heard['version']}"
        return url not in found.wrong

    def _by_files(self, base: Base, found: Answers) -> bool:
        for prefix in self.prefixes:
            for name, digest in self._static:
                answer = get(base, f"{prefix}{quote(name)}?matops={secrets.token_hex(4)}")
                if not answer or answer[0] != 200:
                    break
                if hashlib.sha256(answer[1]).hexdigest() == digest:
                    found.files.append(base.url)
                    return True
        # Not this Matomo's server, maybe: only an address whose files are the docroot's counts.
        found.silent.append(base.url)
        return True

    @contextmanager
    def _script(self) -> Iterator[tuple[str, str]]:
        word = secrets.token_hex(16)
        path = Path(self.docroot) / f"matops-{secrets.token_hex(12)}.php"
        try:
            with path.open("x") as file:
                file.write(SCRIPT.replace("@WORD@", word))
            if os.geteuid() == 0:
                os.chown(path, self.owner.uid, self.owner.gid)
            path.chmod(0o640)
            yield path.name, word
        finally:
            path.unlink(missing_ok=True)


def sweep(docroot: str) -> None:
    """Removes what runs that were killed left in a tree to ask for."""
    for path in Path(docroot).glob("matops-*"):
        if OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
    gate.remove(docroot)


def prefixes(docroot: str, url: str, mappings: list[tuple[str, str]]) -> list[str]:
    """URL paths of the docroot, each ending in a slash. Pure but for resolving links."""
    real = os.path.realpath(docroot)
    found = [urlsplit(url).path] if url else []
    for prefix, served in mappings:
        top = os.path.realpath(served)
        if f"{real}/".startswith(f"{top.rstrip('/')}/"):
            found.append(f"{prefix.rstrip('/')}/{os.path.relpath(real, top)}")
    paths = [f"/{path.strip('/.')}/".replace("//", "/") for path in [*found, "/"]]
    return list(dict.fromkeys(paths))[:6]


def _telling(place: Place, docroot: Path) -> Iterator[tuple[str, str]]:
    """Static files whose content tells the two releases apart: (path, sha256 now)."""
    old, new = place.load("old.json") or {}, place.load("new.json") or {}
    fitting = [
        name for name, each in new.items()
        if name.endswith((".js", ".css", ".svg")) and name.startswith("plugins/")
        and "/dist/" in name and list(old.get(name, [])) != list(each)
    ]  # fmt: skip
    for name in ["matomo.js", *sorted(fitting)[:3]]:
        try:
            yield name, hashlib.sha256((docroot / name).read_bytes()).hexdigest()
        except OSError:
            continue


def said(body: bytes, word: str) -> Optional[dict[str, Any]]:
    """What the script says in an answer; None where it is not its answer."""
    mark = word[::-1].encode()
    if mark not in body:
        return None
    try:
        found: dict[str, Any] = json.loads(body.split(mark, 1)[1])
        return found
    except ValueError:
        return None


def get(base: Base, path: str) -> Optional[tuple[int, bytes]]:
    """(status, body); None where the server does not answer. A redirect to https is followed as
    behind a proxy that ends TLS."""
    answer = _request(base, path, {})
    if answer and 300 <= answer[0] < 400:
        return _request(base, path, {"X-Forwarded-Proto": "https"})
    return answer


def _request(base: Base, path: str, headers: dict[str, str]) -> Optional[tuple[int, bytes]]:
    connection = http.client.HTTPConnection(base.address, base.port, timeout=_PATIENCE)
    try:
        sock: socket.socket = socket.create_connection((base.address, base.port), _PATIENCE)
        if base.tls:
            context = ssl.create_default_context()
            context.check_hostname = False  # addressed by IP; nothing secret is sent
            context.verify_mode = ssl.CERT_NONE
            sock = context.wrap_socket(sock, server_hostname=base.name)
        connection.sock = sock
        sent = {"Host": base.name, "User-Agent": AGENT, "Connection": "close", **headers}
        connection.request("GET", path, headers=sent)
        response = connection.getresponse()
        return response.status, response.read(_READ)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
