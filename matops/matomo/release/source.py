"""What ``--release`` may say: ``latest``, a version, a URL, a local file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from matops.errors import Refused, UsageError
from matops.matomo.release import archive
from matops.matomo.release.tree import TREE, version_in
from matops.matomo.release.versions import is_release

LATEST, VERSION, URL, FILE = "latest", "version", "url", "file"


@dataclass(frozen=True)
class Source:
    """Where a release comes from. ``version`` is '' where only the host will know.

    ``sha256`` and ``size`` (bytes) are known of a local file only.
    """

    kind: str
    text: str
    version: str = ""
    sha256: str = ""
    size: int = 0


def parse(text: str) -> Source:
    """Understands ``--release``. UsageError; Refused for a local file that is no
    release. Reads a local file once, for its sha256."""
    text = text.strip()
    if text.lower() == LATEST:
        return Source(LATEST, LATEST)
    if is_release(text):
        return Source(VERSION, text, text)
    if "://" in text:
        return Source(URL, check_url(text))
    path = Path(text).expanduser()
    if path.is_file():
        return _file(path)
    if re.fullmatch(r"[\d.]+\w*", text):
        raise UsageError(f"--release: '{text}' is not a whole version; write it like 5.8.0")
    raise UsageError(
        f"--release: '{text}' is no version, URL or file here",
        next="write latest, 5.8.0, https://… or the path of a zip on this machine",
    )


def check_url(url: str) -> str:
    """The URL if it can be fetched. UsageError: other schemes, credentials in it, blanks."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"'{parts.scheme}://…' cannot be fetched: only http and https URLs can")
    if not re.fullmatch(r"[!-~]+", url):  # else the request fails, with the URL in its message
        raise UsageError("--release: the URL holds characters that must be %-encoded")
    if parts.username or parts.password:
        raise UsageError(
            "a user or password in a URL would end up in logs",
            next="download the zip yourself and give the file",
        )
    return url


def shown(url: str) -> str:
    """The URL as it may be shown and kept: without user, password and query (a token, often)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def beside(url: str, ending: str) -> str:
    """The URL of the file beside this one: the ending goes to its path, before a query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + ending, fragment=""))


def check_sha256(text: str) -> str:
    """The checksum in lower case, or ''. UsageError where it is none."""
    text = text.strip().lower()
    if text and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise UsageError("--sha256: wants 64 hexadecimal digits")
    return text


def name_for(url: str) -> str:
    """The name of a download: readable, safe in a path, different for each URL."""
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", urlsplit(url).path.rsplit("/", 1)[-1])[-60:]
    stem = last.rpartition(".zip")[0] or last
    return f"{stem.strip('.-') or 'release'}-{hashlib.sha256(url.encode()).hexdigest()[:8]}.zip"


def _file(path: Path) -> Source:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return Source(FILE, str(path), _peek(path), digest.hexdigest(), path.stat().st_size)
    except OSError as error:
        raise UsageError(f"--release: {path} cannot be read: {error.strerror}") from None


def _peek(path: Path) -> str:
    # Saves an upload where the answer is known here; the host tests the zip whole.
    with archive.opened(path) as opened:
        try:
            with opened.open(f"{TREE}/core/Version.php") as file:
                return version_in(file.read(20_000).decode("utf-8", "replace"))
        except KeyError:
            raise Refused(f"{path.name} is no Matomo release: no core/Version.php") from None
