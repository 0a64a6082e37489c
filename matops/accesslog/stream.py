"""A log's bytes, whatever it is compressed with: told by its first bytes, never by its name.

Every way of reading ends the same way: all bytes up to the damage are given, and ``damage``
says what is wrong with the rest. Memory stays flat: pieces have at most CHUNK bytes.
"""

from __future__ import annotations

import bz2
import functools
import importlib
import lzma
import os
import queue
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from typing import IO, Any, Callable, Optional

from matops.errors import MatopsError

CHUNK = 256 << 10  # what is made of it still fits a processor's cache
_READ = 128 << 10  # compressed bytes at a time: a log shrinks to a tenth or a twentieth
_AHEAD = 4  # lots of chunks that are decompressed while others are looked at
_LOT = 4  # chunks handed over at once: each time the threads wait for one another

_MAGIC = (
    (b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\x1f\x9d", "Z"), (b"\x04\x22\x4d\x18", "lz4"), (b"PK\x03\x04", "zip"),
)  # fmt: skip
_TOOLS = {"zst": "zstd", "Z": "gzip", "lz4": "lz4"}


def kind_of(path: str) -> str:
    """``gz bz2 xz zst Z lz4 zip``, ``plain``. OSError."""
    with open(path, "rb") as file:
        head = file.read(8)
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "plain")


class Stream:
    """The bytes of one compressed log. ``read`` counts its compressed bytes (for progress).

    After ``chunks`` is used up, ``damage`` is '' or one line about what could not be read.
    """

    def __init__(self, path: str, kind: str) -> None:
        self.path, self.kind = path, kind
        self.damage = ""
        self.read = 0

    def chunks(self) -> Iterator[bytes]:
        """Pieces of the content, decompressed by another thread ahead of us. MatopsError: no
        program here can read it; OSError."""
        return _ahead(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        if self.kind == "gz":
            tool = outside_gzip()
            return self._by_tool(tool) if tool else self._by(gzip_decoder())
        if self.kind == "bz2":
            return self._by(bz2.BZ2Decompressor)
        if self.kind == "xz":
            return self._by(lzma.LZMADecompressor)
        if self.kind == "zst" and (zstd := _zstd()):
            return self._by(zstd)
        name = _TOOLS.get(self.kind, "")
        if not name or not shutil.which(name):
            raise MatopsError(
                f"{self.path} is compressed ({self.kind}), and nothing here can read that",
                next=f"install {name}" if name else "unpack it",
            )
        return self._by_tool([name, "-dc"])

    def _by(self, decoder: Callable[[], Any]) -> Iterator[bytes]:
        """Member by member (rule 9): logs are appended to each other, and cut."""
        with open(self.path, "rb") as file:
            yield from self._members(file, decoder)

    def _members(self, file: IO[bytes], decoder: Callable[[], Any]) -> Iterator[bytes]:
        current, rest, fresh = decoder(), b"", True
        while data := rest or self._more(file):
            if fresh:
                data = data.lstrip(b"\0")  # tapes and dd pad their blocks
            fresh = fresh and not data
            rest = b""
            try:
                yield from _outs(current, data)
            except Exception as error:  # zlib's, lzma's, isal's and zstd's own kinds
                self.damage = f"it is damaged ({' '.join(str(error).split()) or 'unreadable'})"
                return
            if current.eof:
                rest, current, fresh = current.unused_data, decoder(), True
        if not fresh:
            self.damage = "it is cut off: its end is missing"

    def _more(self, file: IO[bytes]) -> bytes:
        data = file.read(_READ)
        self.read += len(data)
        return data

    def _by_tool(self, words: list[str]) -> Iterator[bytes]:
        given = 0
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            process = subprocess.Popen(
                words, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert process.stdout and process.stderr
            try:
                while chunk := process.stdout.read(CHUNK):
                    given += len(chunk)
                    self.read = min(file.tell() if file.seekable() else 0, size)
                    yield chunk
                code = process.wait()
                says = process.stderr.read(300).decode(errors="replace").strip()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                process.stdout.close()
                process.stderr.close()
        self.read = size
        if code and self.kind != "gz":
            self.damage = f"it is damaged or cut off ({says or f'exit code {code}'})"
        elif code or (self.kind == "gz" and _size_noted(self.path) != given % (1 << 32)):
            # What the program gave up on, the library reads up to the very cut. igzip and pigz
            # say nothing where they leave out what follows rubbish.
            yield from _without(self._by(zlib_decoder), given)


def _size_noted(path: str) -> int:
    """The uncompressed size of a .gz modulo 2^32, by its last bytes; of the last one only, where
    several were joined."""
    with open(path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - 4, 0))
        return int.from_bytes(file.read(4), "little")


def _outs(decoder: Any, data: bytes) -> Iterator[bytes]:
    """All that ``data`` gives, in pieces. zlib hands back what it did not use; the others keep
    it themselves and say whether they need more."""
    if not data:
        return
    while True:
        out = decoder.decompress(data, CHUNK)
        if out:
            yield out
        data = getattr(decoder, "unconsumed_tail", b"")
        hungry = getattr(decoder, "needs_input", True)
        if decoder.eof or (not data and hungry and len(out) < CHUNK):
            return


def _without(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(skip - len(chunk), 0)


def zlib_decoder() -> Any:
    """A decoder of one gzip member, of the standard library."""
    return zlib.decompressobj(31)


@functools.lru_cache(maxsize=1)
def gzip_decoder() -> Callable[[], Any]:
    """isal's where it is installed (twice as fast as the standard library's)."""
    try:
        isal = importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib_decoder
    return lambda: isal.decompressobj(31)


@functools.lru_cache(maxsize=1)
def outside_gzip() -> list[str]:
    """igzip or pigz where Python has only its standard library; [] = read it here.

    Measured output: igzip 700-960 MB/s, isal 650, pigz 275-364, the standard library 230-340.
    """
    if gzip_decoder() is not zlib_decoder:
        return []
    program = shutil.which("igzip") or shutil.which("pigz")
    return [program, "-dc"] if program else []


def reader_name() -> str:
    """What reads .gz here: ``isal``, ``igzip``, ``pigz`` or ``zlib``."""
    if gzip_decoder() is not zlib_decoder:
        return "isal"
    tool = outside_gzip()
    return os.path.basename(tool[0]) if tool else "zlib"


def _zstd() -> Optional[Callable[[], Any]]:
    try:  # Python 3.14
        return importlib.import_module("compression.zstd").ZstdDecompressor  # type: ignore[no-any-return]
    except (ImportError, AttributeError):
        return None


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, made by a thread of their own; its errors are raised here."""
    box: queue.Queue[Any] = queue.Queue(_AHEAD)
    over = threading.Event()

    def put(item: Any) -> bool:
        while not over.is_set():
            try:
                box.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        lot: list[bytes] = []
        try:
            for piece in pieces:
                lot.append(piece)
                if len(lot) == _LOT:
                    if not put(lot):
                        return
                    lot = []
            put(lot)
            put(None)
        except BaseException as error:
            put(lot)
            put(error)
        finally:
            close = getattr(pieces, "close", None)
            if close:
                close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := box.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield from item
    finally:
        over.set()
        thread.join(5)
