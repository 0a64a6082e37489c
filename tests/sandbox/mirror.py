"""The Debian mirror this machine itself uses, read from its apt configuration."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from .errors import SandboxError

APT = Path("/etc/apt")
LISTS = Path("/var/lib/apt/lists")
_KEYRINGS = [
    Path(f"/usr/share/keyrings/debian-archive-keyring.{suffix}") for suffix in ("gpg", "pgp")
]
KEYRING = next((path for path in _KEYRINGS if path.exists()), _KEYRINGS[0])
# Third parties use these words, too: the Origin, where apt has fetched one, or else the path
# of the URI decides.
SUITES = frozenset(
    "bullseye bookworm trixie forky duke sid oldstable stable testing unstable".split()
)


@dataclass(frozen=True)
class Source:
    """One repository line: where, and which suites and components of it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def find_mirror(apt: Path = APT, lists: Path = LISTS) -> str:
    """The URI of the main Debian archive of this machine."""
    found = [(_trust(source, lists), source.uri) for source in _sources(apt) if _debian(source)]
    usable = [(trust, uri) for trust, uri in found if trust > 0]
    if not usable:
        raise SandboxError(f"no Debian mirror found in {apt}/sources.list or sources.list.d")
    return max(usable, key=lambda pair: pair[0])[1].rstrip("/")


def proxy_env() -> dict[str, str]:
    """The http proxy of apt, for the tools that do not read apt's configuration."""
    asked = subprocess.run(
        ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"],
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"PROXY='([^']+)'", asked.stdout)
    return {"http_proxy": match.group(1)} if match and match.group(1) != "DIRECT" else {}


def _debian(source: Source) -> bool:
    return "main" in source.components and bool(SUITES & set(source.suites))


def _trust(source: Source, lists: Path) -> int:
    origin = _origin(source, lists)
    if origin is not None:
        return 2 if origin == "Debian" else 0
    return 1 if urlsplit(source.uri).path.rstrip("/").endswith("/debian") else 0


def _origin(source: Source, lists: Path) -> Optional[str]:
    site = source.uri.rstrip("/").split("://", 1)[-1].replace("_", "%5f").replace("/", "_")
    for suite in source.suites:
        release = lists / f"{site}_dists_{suite}_InRelease"
        if release.is_file():
            match = re.search(r"^Origin: (.+)$", release.read_text(errors="replace"), re.M)
            return match.group(1).strip() if match else ""
    return None


def _sources(apt: Path) -> Iterator[Source]:
    parts = apt / "sources.list.d"
    for path in [apt / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            yield from parse_one_line(path.read_text(errors="replace"))
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822(path.read_text(errors="replace"))


def parse_one_line(text: str) -> Iterator[Source]:
    """`deb [options] URI suite component ...`"""
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", " ", line.split("#", 1)[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            yield from _expanded([words[1]], [words[2]], words[3:])


def parse_deb822(text: str) -> Iterator[Source]:
    """Stanzas of `Types:`, `URIs:`, `Suites:`, `Components:`."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        unfolded = re.sub(r"\n[ \t]+", " ", stanza)
        fields = {
            key.strip().lower(): value.split()
            for key, _, value in (line.partition(":") for line in unfolded.splitlines())
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled", ["yes"]) == ["no"]:
            continue
        uris, suites = fields.get("uris", []), fields.get("suites", [])
        yield from _expanded(uris, suites, fields.get("components", []))


def _expanded(uris: list[str], suites: list[str], components: list[str]) -> Iterator[Source]:
    for uri in uris:
        for real in _mirror_list(uri) if uri.startswith("mirror+file:") else [uri]:
            if real.startswith(("http://", "https://", "file:")):
                yield Source(real, tuple(suites), tuple(components))


def _mirror_list(uri: str) -> list[str]:
    # Debian's cloud images name a file of mirrors, which debootstrap does not understand.
    path = Path(urlsplit(uri.replace("mirror+file:", "file:", 1)).path)
    text = path.read_text(errors="replace") if path.is_file() else ""
    return [line.split()[0] for line in text.splitlines() if line.strip() and line[0] != "#"]
