"""A release server which can be told to misbehave; serves bytes from memory or files."""

from __future__ import annotations

import http.server
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union


@dataclass
class Item:
    """What stands at one path. ``cut_at``: each answer ends after so many bytes, for ``cuts``
    answers. ``ranges``: False = ignores Range. ``pace``: seconds slept for each 256 KiB."""

    body: Union[bytes, Path]
    etag: str = ""
    ranges: bool = True
    cut_at: int = 0
    cuts: int = 0
    pace: float = 0.0
    status: int = 200

    def data(self) -> bytes:
        """The bytes served."""
        return self.body if isinstance(self.body, bytes) else self.body.read_bytes()


@dataclass
class ReleaseServer:
    """``items`` by path; ``log`` of (method, path, Range header or '')."""

    address: str
    items: dict[str, Item] = field(default_factory=dict)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    _server: Optional[http.server.ThreadingHTTPServer] = None

    def start(self) -> ReleaseServer:
        """Listens on a free port of the address."""
        self._server = http.server.ThreadingHTTPServer((self.address, 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """Closes the port."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def url(self, path: str) -> str:
        """The URL of a path, as the host reaches it."""
        assert self._server
        return f"http://{self.address}:{self._server.server_address[1]}{path}"

    def asked(self, path: str) -> list[str]:
        """The Range headers of all GETs for this path."""
        return [ranged for method, each, ranged in self.log if (method, each) == ("GET", path)]


def _handler(server: ReleaseServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *unused: Any) -> None:
            """Quiet."""

        def do_HEAD(self) -> None:
            """Headers only."""
            self._answer(with_body=False)

        def do_GET(self) -> None:
            """Headers and body, as far as the item lets."""
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            server.log.append((self.command, path, self.headers.get("Range", "")))
            item = server.items.get(self.path) or server.items.get(path)
            if item is None or item.status != 200:
                self.send_error(item.status if item else 404)
                return
            data = item.data()
            start = self._start(item, len(data))
            if start is not None and start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200 if start is None else 206)
            self.send_header("Content-Length", str(len(data) - (start or 0)))
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            if item.etag:
                self.send_header("ETag", item.etag)
            self.end_headers()
            if with_body:
                self._send(item, data[start or 0 :])

        def _start(self, item: Item, size: int) -> Optional[int]:
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            if not found or not item.ranges or (condition and condition != item.etag):
                return None
            return int(found[1])

        def _send(self, item: Item, data: bytes) -> None:
            if item.cuts:
                item.cuts -= 1
                data = data[: item.cut_at]
            try:
                for begin in range(0, len(data), 1 << 18):
                    self.wfile.write(data[begin : begin + (1 << 18)])
                    threading.Event().wait(item.pace)
            except OSError:
                pass
            self.close_connection = True

    return Handler
