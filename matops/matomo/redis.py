"""A tiny Redis client: the few reading commands that the checks need. Standard library only."""

from __future__ import annotations

import contextlib
import socket
import ssl
from types import TracebackType
from typing import Optional, Union

from matops.errors import MatopsError, PrivilegeMissing

Reply = Union[str, int, None, list["Reply"]]

_LONGEST = 8 << 20  # bytes of one reply; INFO is about 6 KB


class RedisRefused(MatopsError):
    """Redis answered with an error (``-ERR …``): command unknown, renamed or not allowed."""


class Redis:
    """One connection. Use as a context manager. Never shows the password."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 6379,
        *,
        password: str = "",
        database: int = 0,
        timeout: float = 3.0,
    ) -> None:
        """Connects, authenticates, selects. ``host`` as phpredis takes it: a name, /path or
        unix:///path (a socket), tcp://name, tls://name or ssl://name (certificate verified).

        ``timeout``: seconds for the connection and for each answer.
        Raises MatopsError (not reachable), PrivilegeMissing (wrong or missing password).
        """
        scheme, name = _parts(host)
        self.shown = name if scheme == "unix" else f"{name}:{port}"
        try:
            self._socket = _connected(scheme, name, port, timeout)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise self._unreachable(error) from None
        self._file = self._socket.makefile("rb")
        try:
            if password:
                self.ask("AUTH", password)
            if database:
                self.ask("SELECT", str(database))
        except MatopsError:
            self.close()
            raise

    def ask(self, *words: str) -> Reply:
        """One command, one reply. RedisRefused, PrivilegeMissing, MatopsError (link lost)."""
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        try:
            self._socket.sendall(b"".join(parts))
            return self._reply()
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from None

    def info(self) -> dict[str, str]:
        """``INFO`` as a dictionary."""
        lines = str(self.ask("INFO")).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and line[:1] != "#")

    def config(self, pattern: str) -> dict[str, str]:
        """``CONFIG GET pattern``. RedisRefused where hosted services forbid it."""
        found = self.ask("CONFIG", "GET", pattern)
        words = [str(word) for word in found] if isinstance(found, list) else []
        return dict(zip(words[::2], words[1::2]))

    def length(self, key: str) -> int:
        """``LLEN``: entries of a list; 0 where there is none."""
        found = self.ask("LLEN", key)
        return found if isinstance(found, int) else 0

    def close(self) -> None:
        """Closes the connection; safe to call twice."""
        with contextlib.suppress(OSError):
            self._file.close()
            self._socket.close()

    def __enter__(self) -> Redis:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def _unreachable(self, error: Exception) -> MatopsError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return MatopsError(
            f"Redis at {self.shown} cannot be reached: {why}",
            next="start Redis, or correct redisHost and redisPort of QueuedTracking",
        )

    def _reply(self) -> Reply:
        line = self._file.readline(65536)
        if not line.endswith(b"\r\n"):
            raise ValueError("it closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode(errors="replace")
        if kind == b"-":
            raise self._refused(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))] if int(rest) >= 0 else None
        raise ValueError("it does not speak Redis' protocol")

    def _bulk(self, size: int) -> Optional[str]:
        if size < 0:
            return None
        if size > _LONGEST:
            raise ValueError(f"a reply of {size} bytes")
        data = self._file.read(size + 2)
        # Bytes that are no UTF-8 come back with .encode(errors="surrogateescape").
        return data[:-2].decode(errors="surrogateescape")

    def _refused(self, words: str) -> MatopsError:
        what = f"Redis at {self.shown} refused: {words}"
        if words.startswith(("NOAUTH", "WRONGPASS", "ERR invalid password", "ERR AUTH")):
            return PrivilegeMissing(
                what, next="correct redisPassword in QueuedTracking's system settings"
            )
        return RedisRefused(what)


def _parts(host: str) -> tuple[str, str]:
    """(scheme, name or path) of a redisHost. Pure."""
    scheme, mark, rest = host.partition("://")
    if not mark:
        return ("unix" if host.startswith("/") else "tcp"), host
    return {"ssl": "tls"}.get(scheme.lower(), scheme.lower()), rest


def _connected(scheme: str, name: str, port: int, timeout: float) -> socket.socket:
    if scheme == "unix":
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(timeout)
        link.connect(name)
        return link
    if scheme not in ("tcp", "tls"):
        raise ValueError(f"redisHost begins with {scheme}://, which is not known here")
    link = socket.create_connection((name, port), timeout)
    if scheme == "tcp":
        return link
    # PHP's streams verify the certificate and its name, too.
    return ssl.create_default_context().wrap_socket(link, server_hostname=name)
