"""Commands over SSH, on a Fabric connection whose host keys are checked for real.

Fabric connects; we run. Its own ``run`` costs quadratic time on captured output, loses
sudo's password when stdin is closed, and reports a lost link as an exit code.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any

import paramiko
from fabric import Connection

from matops.errors import ConnectionLost, MatopsError, OutcomeUnknown, Unreachable
from matops.host.shell import Result, Stdin

# Its transport thread would print tracebacks beside our one line.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CHUNK = 64 * 1024
_KEEPALIVE = 15  # seconds
_SILENCE = 45_000  # milliseconds without an acknowledgement after which a link counts as dead


def strict(connection: Connection) -> None:
    """Makes a connection, and each jump host before it, refuse unknown and changed host keys.

    Fabric sets AutoAddPolicy and never loads a known_hosts file: with a changed key it
    connected silently. Connections are lazy, so this is in time before the first command.
    """
    client = connection.client
    for path in _known_hosts(connection):
        with contextlib.suppress(OSError):
            client.load_system_host_keys(str(path))
    _apply_alias(connection)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    if isinstance(connection.gateway, Connection):
        strict(connection.gateway)


def _known_hosts(connection: Connection) -> list[Path]:
    files = str(connection.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts")).split()
    system = str(
        connection.ssh_config.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts")
    ).split()
    return [Path(name).expanduser() for name in [*system, *files] if name != "/dev/null"]


def _apply_alias(connection: Connection) -> None:
    # HostKeyAlias: the keys stand in known_hosts under another name. Paramiko does not know it.
    alias = connection.ssh_config.get("hostkeyalias")
    known = connection.client._system_host_keys
    for key in (known.lookup(alias) or {}).values() if alias else ():
        name = connection.host
        known.add(
            name if connection.port == 22 else f"[{name}]:{connection.port}", key.get_name(), key
        )


class SshLink:
    """One host over SSH. ``name`` is what the operator typed behind ``-H``."""

    is_local = False

    def __init__(self, connection: Connection, connect_timeout: int = 15) -> None:
        strict(connection)
        self.connection = connection
        self.name = str(connection.original_host)
        self._opening = threading.Lock()  # the lock's heartbeat is a second thread
        gate = connection
        while isinstance(gate, Connection):
            gate.connect_timeout = gate.connect_timeout or connect_timeout
            gate = gate.gateway

    def open(self) -> paramiko.Transport:
        """The live transport, connected on first use. Raises Unreachable."""
        with self._opening:
            return self._open()

    def _open(self) -> paramiko.Transport:
        if not self.connection.is_connected:
            try:
                self.connection.open()
            except Exception as error:
                self.close()
                raise _unreachable(error, self.name) from None
            transport = self.connection.client.get_transport()
            transport.set_keepalive(_KEEPALIVE)
            _notice_silence(transport)
        transport = self.connection.client.get_transport()
        assert transport is not None
        return transport

    def execute(
        self, command: str, stdin: Stdin, timeout: float, cap: int, gate: bytes = b""
    ) -> Result:
        """See ``shell.Link``. Output past ``cap`` is read and thrown away."""
        transport = self.open()
        try:
            channel = transport.open_session(timeout=15)
            channel.exec_command(_for_any_shell(command))
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.close()
            raise ConnectionLost(
                f"the SSH link broke before the command could start ({_words(error)})",
                state="The command was most likely not run",
                next="run the same task again",
            ) from None
        try:
            return _converse(channel, stdin, timeout, cap, gate)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            raise _lost(_words(error)) from None
        except OutcomeUnknown:
            if not transport.is_active():
                self.close()
            raise
        finally:
            channel.close()

    def close(self) -> None:
        """Closes the connection and its jump hosts; the next command connects anew."""
        with contextlib.suppress(Exception):
            self.connection.close()


def _for_any_shell(command: str) -> str:
    # sshd hands this to the login shell, which may be csh or fish: nothing in it may mean
    # something to them, no newline, no quote, no exclamation mark.
    text = base64.b64encode(command.encode()).decode()
    return f"exec /bin/sh -c 'eval \"$(echo {text} | base64 -d)\"'"


class _Feed:
    """Sends stdin piece by piece, as far as the channel takes it.

    ``closed``: after the first piece the rest waits until this is set to False.
    """

    def __init__(self, channel: Any, data: Stdin, closed: bool) -> None:
        self._channel = channel
        self.closed = closed
        self._pieces = iter([data]) if isinstance(data, bytes) else data
        self._rest = memoryview(b"")
        self.done = False
        self._begun = False

    def end(self) -> None:
        """Sends nothing more."""
        if not self.done:
            self.done = True
            self._channel.shutdown_write()

    def push(self) -> bool:
        """Sends one piece if there is room; True while more could follow at once."""
        if self.done or not self._channel.send_ready():
            return False
        if not self._rest:
            if self.closed and self._begun:
                return False
            self._begun = True
            piece = next(self._pieces, None)
            if piece is None:
                self.done = True
                self._channel.shutdown_write()
                return False
            self._rest = memoryview(piece)
            if not self._rest:
                return True
        sent = self._channel.send(self._rest[:_CHUNK])
        self._rest = self._rest[sent:]
        return True


def _converse(channel: Any, stdin: Stdin, timeout: float, cap: int, gate: bytes) -> Result:
    deadline = time.monotonic() + timeout
    feed = _Feed(channel, stdin, bool(gate))
    channel.settimeout(30)
    kept = {"out": bytearray(), "err": bytearray()}
    truncated = False
    while True:
        busy = _push(feed)
        for name, ready, receive in (
            ("out", channel.recv_ready, channel.recv),
            ("err", channel.recv_stderr_ready, channel.recv_stderr),
        ):
            while ready():
                chunk = receive(_CHUNK)
                room = max(cap - len(kept[name]), 0)
                truncated = truncated or len(chunk) > room
                kept[name] += chunk[:room]
                busy = True
        if feed.closed:
            feed.closed = gate not in kept["out"]
            if b"try again" in kept["err"]:  # sudo: a wrong password; one attempt is enough
                feed.end()
        if channel.exit_status_ready() and channel.eof_received and not busy:
            break
        if channel.closed and not busy:
            break
        if time.monotonic() > deadline:
            raise OutcomeUnknown(
                f"no answer within {timeout:.0f} s",
                state="The command may still be running there",
                next="run the same task again: it looks first",
            )
        if not busy:
            pause = 0.005 if not feed.done else 0.25
            if channel.eof_received:  # readable for ever: only its exit code is still to come
                channel.status_event.wait(pause)
            else:
                select.select([channel], [], [], pause)
    return _finish(channel, kept, truncated)


def _push(feed: _Feed) -> bool:
    try:
        return feed.push()
    except OSError:
        feed.done = True  # the command stopped reading; its exit code tells why
        return False


def _finish(channel: Any, kept: dict[str, bytearray], truncated: bool) -> Result:
    code = channel.recv_exit_status()
    if code == -1:
        # Never a failure: the command may have ended well, or still be running.
        raise _lost("the channel closed without an exit code")
    return Result(code, bytes(kept["out"]), bytes(kept["err"]), truncated)


def _lost(why: str) -> ConnectionLost:
    return ConnectionLost(
        f"the SSH link was lost while a command ran ({why})",
        state="Its outcome is unknown; it may still be running there",
        next="run the same task again: it looks first and goes on from what it finds",
    )


def _notice_silence(transport: paramiko.Transport) -> None:
    # A black-holed link would hang for a quarter of an hour: with keepalives unanswered this
    # lets the kernel give up after _SILENCE. Jump hosts' channels are not sockets: skipped.
    sock = transport.sock
    if isinstance(sock, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _unreachable(error: Exception, name: str) -> MatopsError:
    """One line for each way in which a connection cannot be made."""
    state = "Nothing was done there"
    if isinstance(error, paramiko.BadHostKeyException):
        what = "its SSH host key has CHANGED: it is another machine, or someone is in between"
        fix = "find out why; only then correct known_hosts (ssh-keygen -R)"
    elif isinstance(error, paramiko.SSHException) and "not found in known_hosts" in str(error):
        what = "its SSH host key is not in known_hosts"
        fix = f"log in once with ssh {name}, compare the key, accept it; then again"
    elif isinstance(error, paramiko.AuthenticationException):
        what = "no SSH key of ours was accepted"
        fix = "check the user (-H user@host), ssh-add -l, or give a key with fab -i"
    elif isinstance(error, socket.gaierror):
        what = "no such host name"
        fix = "check the spelling, or the Host entry of your ssh_config"
    elif "protocol banner" in str(error):
        what = "the SSH server hung up, or said nothing, before the login"
        fix = "try again in some minutes: sshd may be overloaded, or penalise this address"
    elif isinstance(error, (socket.timeout, TimeoutError)):
        what = "no answer to the SSH connection"
        fix = "is the host up, and the way there open?"
    else:
        what = f"cannot connect by SSH: {_words(error)}"
        fix = "check that ssh reaches the host"
    return Unreachable(what, host=name, state=state, next=fix)
