"""One way to run something on a machine, over SSH or here.

``Host.run`` composes one shell command, becomes another user where asked, and tells apart:
it ran and returned; it could not become that user; it took too long (and was ended there);
the link was lost and nobody knows.
"""

from __future__ import annotations

import itertools
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Optional, Protocol, Union

from matops.errors import MatopsError, OutcomeUnknown, PrivilegeMissing

CAP = 64 * 1024
"""Bytes of output kept of a short command. Longer output belongs into a file or a job."""

_KILL_AFTER = 5  # seconds between timeout's TERM and its KILL
_GRACE = 10  # seconds that the far end's own time-out is given before ours says "unknown"

Stdin = Union[bytes, Iterator[bytes]]


@dataclass(frozen=True)
class Result:
    """What a command left: exit code and captured bytes (``truncated`` beyond the cap)."""

    code: int
    out: bytes
    err: bytes
    truncated: bool = False

    @property
    def text(self) -> str:
        """Standard output, decoded."""
        return self.out.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """The last line that says something: stderr's, else stdout's."""
        for stream in (self.err, self.out):
            lines = stream.decode(errors="replace").strip().splitlines()
            if lines:
                return lines[-1].strip()
        return f"exit code {self.code}, no message"


class CommandFailed(MatopsError):
    """A command ran on the host and ended with another code than 0; ``result`` has it."""

    def __init__(self, what: str, result: Result) -> None:
        super().__init__(f"{what}: {result.complaint}")
        self.result = result


class Link(Protocol):
    """How commands reach a machine: ``ssh.SshLink`` or ``local.LocalLink``."""

    name: str
    is_local: bool

    def execute(
        self, command: str, stdin: Stdin, timeout: float, cap: int, gate: bytes = b""
    ) -> Result:
        """Runs ``command`` in ``sh``. Raises Unreachable, ConnectionLost, OutcomeUnknown.

        With a ``gate`` only the first piece of ``stdin`` is sent before the gate has appeared
        on stdout: what is meant for the command must not be read by sudo as a password.
        """

    def close(self) -> None:
        """Gives the link back; the next ``execute`` opens it anew."""


class Host:
    """One machine. ``name`` is what the operator typed; ``link`` is how to get there."""

    def __init__(
        self,
        link: Link,
        *,
        sudo: bool = True,
        sudo_password: Callable[[], Optional[str]] = lambda: None,
        ask_password: Optional[Callable[[], str]] = None,
        timeout: float = 120,
    ) -> None:
        self.link = link
        self.name = link.name
        self.may_sudo = sudo
        self._sudo_password = sudo_password
        self._ask_password = ask_password
        self.timeout = timeout

    @property
    def is_local(self) -> bool:
        """True where commands run on this very machine."""
        return self.link.is_local

    def run(
        self,
        command: Union[str, Sequence[str]],
        *args: str,
        user: Optional[str] = None,
        stdin: Stdin = b"",
        timeout: Optional[float] = None,
        cap: int = CAP,
        check: bool = True,
        what: str = "",
    ) -> Result:
        """Runs a shell script (text; ``args`` are $1…) or a program (list) and returns it.

        ``user``: None = who logged in; else become that user (``root``, the web user).
        ``stdin`` goes to the command alone: secrets travel here, never in the command.
        Raises CommandFailed for a code other than 0 (with ``check``), PrivilegeMissing,
        Unreachable, ConnectionLost, OutcomeUnknown (time-out at our end).
        """
        limit = self.timeout if timeout is None else timeout
        label = what or _label(command)
        began = time.monotonic()
        try:
            result = self._run_as(command, args, user, stdin, limit, cap)
        except PrivilegeMissing as missing:
            if not (self._ask_password and self.wants_password(missing)):
                raise
            password = self._ask_password()
            self._sudo_password, self._ask_password = (lambda: password), None
            result = self._run_as(command, args, user, stdin, limit, cap)
        if _ended_by_timeout(result.code, time.monotonic() - began, limit):
            raise OutcomeUnknown(
                f"{label} took longer than {limit:.0f} s and was ended",
                host=self.name,
                state="What it had done by then stays",
                next="look at the host's load, then run this again",
            )
        if check and result.code != 0:
            raise CommandFailed(label, result).on(self.name)
        return result

    def _run_as(
        self,
        command: Union[str, Sequence[str]],
        args: Sequence[str],
        user: Optional[str],
        stdin: Stdin,
        limit: float,
        cap: int,
    ) -> Result:
        mark = secrets.token_hex(8)
        script = command if isinstance(command, str) else shlex.join(command)
        inner = _inner(script, args, mark, limit)
        password = self._password_for(user)
        line = _become(inner, user, self.may_sudo, password is not None)
        payload = _payload(mark, password, stdin)
        gate = f"{mark}\n".encode() if password is not None else b""
        try:
            raw = self.link.execute(line, payload, limit + _GRACE, cap + 64, gate)
        except MatopsError as error:
            raise error.on(self.name) from None
        return self._unwrap(raw, mark, user)

    def wants_password(self, missing: PrivilegeMissing) -> bool:
        """True where sudo asked for a password and we had none to give.

        ``sudo -n`` says the same to an account that has no sudo rights at all.
        """
        return "password is required" in missing.what and not self.has_password

    @property
    def has_password(self) -> bool:
        """True where a sudo password was given."""
        return self._sudo_password() is not None

    def _password_for(self, user: Optional[str]) -> Optional[str]:
        return self._sudo_password() if user is not None and self.may_sudo else None

    def _unwrap(self, raw: Result, mark: str, user: Optional[str]) -> Result:
        begin = f"{mark}\n".encode()
        if begin not in raw.out and user is None:
            raise MatopsError(
                f"no command can be run there: {raw.complaint}",
                host=self.name,
                state="Nothing was run",
                next="check that the login shell of this account runs /bin/sh",
            )
        if begin not in raw.out:
            raise PrivilegeMissing(
                f"may not become {user or 'the login user'}: {raw.complaint}",
                host=self.name,
                state="Nothing was run",
                next=_sudo_hint(raw.complaint),
            )
        # What sudo says before our command starts (a lecture, a banner) is not its output.
        out = raw.out.split(begin, 1)[1]
        err = raw.err.split(begin, 1)[-1]
        return Result(raw.code, out, err, raw.truncated)

    def close(self) -> None:
        """Gives the link back."""
        self.link.close()


def _label(command: Union[str, Sequence[str]]) -> str:
    words = command.split() if isinstance(command, str) else list(command)
    return " ".join(words[:4])


def _inner(script: str, args: Sequence[str], mark: str, limit: float) -> str:
    # 1. Say that we are through, on both streams.
    # 2. Throw away stdin up to the mark: where sudo wanted no password (NOPASSWD, a fresh
    #    ticket) the password line is still there and must not reach the command.
    # 3. coreutils' timeout ends the command *there*; ours alone would leave it running. It is
    #    not exec'ed: a command killed by a signal then has an exit code, as in a shell.
    shell = shlex.join(["sh", "-c", script, "sh", *args])
    return (
        f"export LC_ALL=C.UTF-8; echo {mark}; echo {mark} >&2; "
        f'while IFS= read -r l; do [ "$l" = {mark} ] && break; done; '
        f"timeout -k {_KILL_AFTER} {max(limit, 1):.0f} {shell}; exit $?"
    )


def _ended_by_timeout(code: int, elapsed: float, limit: float) -> bool:
    # timeout says 124, or 137 where it had to kill; a command may end with these by itself.
    return (code == 124 and elapsed >= limit - 1) or (
        code == 137 and elapsed >= limit + _KILL_AFTER - 1
    )


def _become(inner: str, user: Optional[str], may_sudo: bool, has_password: bool) -> str:
    quoted = shlex.quote(inner)
    if user is None:
        return f"exec sh -c {quoted}"
    name = shlex.quote(user)
    # -n never asks; -S reads the password from stdin, with an empty prompt.
    ask = "-S -p ''" if has_password else "-n"
    # In sudo's own language its messages would not be recognised.
    sudo = f"exec env LC_ALL=C sudo {ask} -H -u {name} -- sh -c {quoted}"
    refuse = "echo 'sudo is switched off by the setting sudo: false' >&2; exit 1"
    return (
        f'if [ "$(id -un)" = {name} ]; then exec sh -c {quoted}; '
        f'elif [ "$(id -u)" = 0 ]; then exec runuser -u {name} -- sh -c {quoted}; '
        f"else {sudo if may_sudo else refuse}; fi"
    )


def _payload(mark: str, password: Optional[str], stdin: Stdin) -> Stdin:
    begin = f"{mark}\n".encode()
    if password is None and isinstance(stdin, bytes):
        return begin + stdin
    first = [begin] if password is None else [f"{password}\n".encode(), begin]
    return itertools.chain(first, [stdin] if isinstance(stdin, bytes) else stdin)


def _sudo_hint(complaint: str) -> str:
    if "password is required" in complaint:
        return "give sudo's password (fab --prompt-for-sudo-password), or let this account use sudo"
    if "incorrect password" in complaint or "try again" in complaint:
        return "the sudo password was wrong; type it again"
    if "not found" in complaint:
        return "install sudo there, or log in as root"
    return "let this account use sudo on the host (sudoers), or log in as one that may"
