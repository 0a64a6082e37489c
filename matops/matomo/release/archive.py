"""A zip from outside, judged entry by entry before anything of it is written.

Python's zipfile would strip or clean some hostile names by itself; a release that holds one is
not a release, so it is refused whole. Used on the host (inside the agent) and here alike.
"""

from __future__ import annotations

import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from matops.errors import MatopsError, Refused
from matops.units import show_size

MAX_ENTRIES = 200_000  # a release has about 13 000
_CHUNK = 1 << 20
_BLOCK = 4096  # what the smallest file takes on disk
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# A file beside the release's one folder, in every official zip.
BESIDE = ("How to install Matomo.html",)


@dataclass(frozen=True)
class Contents:
    """What a zip holds. ``disk``: bytes that it takes unpacked, whole blocks counted."""

    files: int
    folders: int
    size: int
    disk: int


@contextmanager
def opened(path: Path, name: str = "") -> Iterator[zipfile.ZipFile]:
    """The zip, open. Refused where it is none, is cut short, or an entry is damaged."""
    label = name or path.name
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise Refused(f"{label} is damaged, cut short, or not a zip: {error}") from None
    except (zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise Refused(f"{label} is damaged: {error}") from None
    except OSError as error:
        raise MatopsError(f"{label} cannot be read: {error.strerror or error}") from None


def examine(
    archive: zipfile.ZipFile, top: Optional[Sequence[str]], max_size: int, name: str
) -> Contents:
    """Judges all names, kinds and sizes, then reads every entry to its end (CRC).

    ``top``: the folders that may stand at the top (None: any). Refused with the first thing
    that is wrong; nothing is written.
    """
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise Refused(f"{name} holds {len(entries)} entries, more than {MAX_ENTRIES}")
    size = sum(entry.file_size for entry in entries)
    if size > max_size:
        raise Refused(
            f"{name} unpacks to {show_size(size)}, more than {show_size(max_size)}",
            next="if that is right, raise release_max_size in config/matops.yaml",
        )
    seen: dict[str, bool] = {}
    for entry in entries:
        _judge(entry, top, name)
        _unique(entry, seen, name)
    _no_file_is_a_folder(seen, name)
    for entry in entries:
        read_through(archive, entry, name)
    plain = [entry for entry in entries if not entry.is_dir()]
    folders = {part for entry in entries for part in _parents(entry.filename)}
    disk = sum(-(-entry.file_size // _BLOCK) * _BLOCK for entry in plain) + len(folders) * _BLOCK
    return Contents(len(plain), len(folders), size, disk)


def read_through(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> None:
    """Reads an entry to its end: zipfile compares its CRC there. Refused where it differs."""
    size = 0
    with archive.open(entry) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
    if size != entry.file_size:
        raise Refused(f"{name} is damaged: {show(entry)} is shorter than it says")


def show(entry: zipfile.ZipInfo) -> str:
    """An entry's name, harmless on a terminal."""
    return ascii(entry.orig_filename)[:120]


def check_name(text: str) -> str:
    """'' for a name that stays below the folder it is unpacked to, else what is wrong with it."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        return "has control characters in its name"
    if "\\" in text:
        return "has a backslash in its name"
    if text.startswith("/"):
        return "has an absolute name"
    if re.match(r"[A-Za-z]:", text):
        return "names a drive"
    parts = text.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "would leave the folder"
    if len(text) > 1000 or any(len(part.encode("utf-8", "replace")) > 255 for part in parts):
        return "has too long a name"
    return ""


def _judge(entry: zipfile.ZipInfo, top: Optional[Sequence[str]], name: str) -> None:
    # filename is already cut at a NUL byte; orig_filename is what the zip says.
    trouble = check_name(entry.orig_filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if not trouble and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        trouble = "is a symbolic link" if kind == stat.S_IFLNK else "is a special file"
    if not trouble and entry.flag_bits & 0x1:
        trouble = "is encrypted"
    if not trouble and entry.compress_type not in _METHODS:
        trouble = "is packed by a method other than deflate"
    if not trouble and top is not None and entry.orig_filename not in BESIDE:
        first, slash, _ = entry.orig_filename.partition("/")
        if first not in top or not slash:
            trouble = f"is outside {' '.join(top)}/"
    if trouble:
        raise Refused(f"{name} is not to be trusted: {show(entry)} {trouble}")


def _unique(entry: zipfile.ZipInfo, seen: dict[str, bool], name: str) -> None:
    folded = unicodedata.normalize("NFC", entry.filename.rstrip("/")).casefold()
    if folded in seen:
        raise Refused(
            f"{name} is not to be trusted: {show(entry)} is there twice, "
            "or differs from another entry in case only"
        )
    seen[folded] = entry.is_dir()


def _no_file_is_a_folder(seen: dict[str, bool], name: str) -> None:
    for each in seen:
        for parent in _parents(each):
            if seen.get(parent, True) is False:
                raise Refused(
                    f"{name} is not to be trusted: {ascii(parent)[:120]} is a file and a folder"
                )


def _parents(name: str) -> list[str]:
    """The folders a name needs, itself included where it is one."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
