"""Fetches a file to this host: resumes what broke off, never mixes two versions of a file.

Runs on the host inside a detached job, by Python alone: curl need not be there, and one
mechanism is easier to trust than two. Progress goes to stderr, which is the job's log.
"""

from __future__ import annotations

import http.client
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, Refused
from matops.matomo.release import transfer
from matops.matomo.release.downloads import Download, alone, sha256_of
from matops.matomo.release.faults import room, told
from matops.matomo.release.source import beside, shown
from matops.matomo.release.transfer import Broken, Denied, NotThere
from matops.units import show_size

_CHUNK = 256 * 1024
_PAUSES = (1, 2, 5, 10, 20)  # seconds between tries that brought nothing

Tell = Callable[[str], object]


def fetch(
    *, url: str, folder: str, name: str, max_size: int, fresh: bool = False
) -> dict[str, Any]:
    """Downloads ``url`` and, where there is one, its signature ``<url>.asc``.

    ``{size, sha256, signed}``. Safe to repeat: what is complete is not fetched again, unless
    ``fresh`` says that it is another file than is wanted. Raises NotThere, Refused (too big,
    TLS), Locked, MatopsError.
    """
    with alone(folder):
        download = Download(folder, name)
        # Without its query, which may hold a token; the name tells such URLs apart.
        if fresh or download.notes().get("url") != shown(url):
            download.forget()
            download.note(url=shown(url))
        if not download.look()["complete"]:
            with told("download", folder, "The download was not finished"):
                _Fetch(download, url, max_size, _tell).run()
            download.note(complete=True, sha256=sha256_of(download.part))
        signed = _signature(download, url)
        return {"size": download.have, "sha256": download.notes()["sha256"], "signed": signed}


def arrived(*, folder: str, name: str, source: str, sha256: str) -> None:
    """Notes a file that was uploaded to ``<name>.part``. MatopsError where it is damaged."""
    with alone(folder):
        download = Download(folder, name)
        if not download.part.exists() or sha256_of(download.part) != sha256:
            download.forget()
            raise MatopsError(
                "the upload arrived damaged or cut short",
                state="It was removed again",
                next="run this again",
            )
        download.note(url=source, complete=True, sha256=sha256)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _signature(download: Download, url: str) -> bool:
    # A server that fails is not a server that has no signature: only "no such file" counts.
    try:
        data = transfer.fetch_text(beside(url, ".asc"))
    except (NotThere, Denied):
        download.signature.unlink(missing_ok=True)
        return False
    # Some servers answer every path with a page of their own.
    if b"-----BEGIN PGP SIGNATURE-----" not in data:
        download.signature.unlink(missing_ok=True)
        return False
    download.signature.write_bytes(data)
    return True


class _Fetch:
    """One download, over as many connections as it takes."""

    def __init__(self, download: Download, url: str, max_size: int, tell: Tell) -> None:
        self._download, self._url, self._max, self._tell = download, url, max_size, tell
        self._part: Path = download.part
        self._meter = _Meter(tell)

    def run(self) -> None:
        tries = 0
        while True:
            before = self._have()
            try:
                if self._once():
                    return
                error: Exception = Broken("the connection was cut")
            except Broken as caught:
                error = caught
            tries = 0 if self._have() > before else tries + 1
            if tries > len(_PAUSES) - 1:
                raise transfer.unreachable(self._url, error) from None
            self._tell(f"{error or type(error).__name__} at {show_size(self._have())}; going on")
            time.sleep(_PAUSES[tries])

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _once(self) -> bool:
        """One connection; True if the file is whole now."""
        have, notes = self._have(), self._download.notes()
        with transfer.request(self._url, _resume(have, notes)) as response:
            if response.status == 416:
                return self._past_the_end(have, response.headers.get("Content-Range", ""))
            total = self._agree(response, have, notes)
            if total is None and have:
                return False
            return self._copy(response, response.status == 206, total)

    def _past_the_end(self, have: int, said: str) -> bool:
        if said == f"bytes */{have}" and have:
            return True
        self._restart("the file on the server is another one now")
        return False

    def _agree(self, response: Any, have: int, notes: dict[str, Any]) -> Optional[int]:
        """The size to expect; starts over where what we have is not of this file.

        None with something at hand: nothing to copy from this response, ask again.
        """
        headers = response.headers
        if response.status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
            same = found and int(found[1]) == have and notes.get("size") in (None, int(found[2]))
            if not same or _changed(headers, notes):
                self._restart("the file on the server is another one now")
                raise Broken("started over")
            assert found
            return int(found[2])
        if have:
            self._restart("the server starts over (no resume, or another file)")
        length = headers.get("Content-Length") or ""
        total = int(length) if length.isdigit() else None
        self._fits(total or 0)
        self._download.note(
            etag=headers.get("ETag"), modified=headers.get("Last-Modified"), size=total
        )
        return total

    def _fits(self, total: int) -> None:
        if total > self._max:
            raise Refused(
                f"{shown(self._url)} is {show_size(total)}, more than {show_size(self._max)}",
                state="It was not downloaded",
                next="if that is right, raise release_max_size in config/matops.yaml",
            )
        if total > shutil.disk_usage(self._download.folder).free:
            folder = str(self._download.folder)
            raise MatopsError(
                f"download: {show_size(total)} do not fit into {folder} ({room(folder)})",
                state="It was not downloaded",
                next="free some space there, or set state_dir to a bigger disk",
            )

    def _copy(self, response: Any, append: bool, total: Optional[int]) -> bool:
        try:
            with self._part.open("ab" if append else "wb") as file:
                self._meter.begin(file.tell(), total)
                while chunk := _read(response):
                    file.write(chunk)
                    self._meter.add(len(chunk))
                    if self._meter.done > self._max:
                        break
        except OSError:
            # A full disk: give back what we took of it, once the figures are told.
            folder = str(self._part.parent)
            try:
                with told("download", folder, "What had come was removed again"):
                    raise
            finally:
                self._part.unlink(missing_ok=True)
        if self._meter.done > self._max:
            self._part.unlink()
            self._fits(self._meter.done)
        self._meter.end()
        return total is None or self._meter.done == total

    def _restart(self, why: str) -> None:
        self._tell(why)
        self._part.unlink(missing_ok=True)
        self._download.note(etag=None, modified=None, size=None)


def _read(response: Any) -> bytes:
    # Apart from the writing: a network's error must not look like a disk's.
    try:
        chunk: bytes = response.read(_CHUNK)
        return chunk
    except (OSError, http.client.HTTPException) as error:
        raise Broken(str(error) or type(error).__name__) from None


def _resume(have: int, notes: dict[str, Any]) -> dict[str, str]:
    if not have:
        return {}
    headers = {"Range": f"bytes={have}-"}
    etag = notes.get("etag") or ""
    # If-Range takes strong validators only; a weak one would always start over.
    strong = etag if etag and not etag.startswith("W/") else notes.get("modified")
    return {**headers, "If-Range": strong} if strong else headers


def _changed(headers: Any, notes: dict[str, Any]) -> bool:
    pairs = (("ETag", "etag"), ("Last-Modified", "modified"))
    return any(
        headers.get(name) and notes.get(key) and headers.get(name) != notes[key]
        for name, key in pairs
    )


class _Meter:
    """Says how far it is, every few seconds."""

    def __init__(self, tell: Tell, every: float = 3.0) -> None:
        self._tell, self._every = tell, every
        self.done, self._start, self._total = 0, 0, None  # type: int, int, Optional[int]
        self._began = self._said = time.monotonic()

    def begin(self, done: int, total: Optional[int]) -> None:
        """A connection begins at byte ``done``."""
        self.done = self._start = done
        self._total = total
        self._began = self._said = time.monotonic()

    def add(self, size: int) -> None:
        """Bytes that came in."""
        self.done += size
        if time.monotonic() - self._said >= self._every:
            self._said = time.monotonic()
            self._line()

    def end(self) -> None:
        """The connection ended."""
        self._line()

    def _line(self) -> None:
        speed = (self.done - self._start) / max(time.monotonic() - self._began, 0.001)
        of = f" of {show_size(self._total)}" if self._total else ""
        self._tell(f"downloaded {show_size(self.done)}{of}, {show_size(speed)}/s")
