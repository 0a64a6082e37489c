"""Every error an operator can meet, each with its exit code.

One line tells what failed, on which host, what state things are in now and what to do next.
Anything the world can cause is one of these; a traceback means a bug in matops.
"""

from __future__ import annotations


class MatopsError(Exception):
    """Root of all errors of matops. Exit code 1: it failed, and we know that it did.

    ``what`` failed, ``state`` things are in now, what to do ``next``; ``host`` where.
    """

    code = 1

    def __init__(self, what: str, *, host: str = "", state: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.host = host
        self.state = state
        self.next = next

    def line(self) -> str:
        """The one line shown to the operator."""
        text = f"{self.host}: {self.what}" if self.host else self.what
        for part, lead in ((self.state, ""), (self.next, "Next: ")):
            if part:
                text = f"{text.rstrip('.')}. {lead}{part}"
        return " ".join(text.split())

    def on(self, host: str) -> MatopsError:
        """The same error, with the host filled in where it was raised without knowing it."""
        self.host = self.host or host
        return self

    def __str__(self) -> str:
        return self.line()


class UsageError(MatopsError):
    """Exit code 2: what was typed, or a setting, is not understood; nothing was done."""

    code = 2


class Refused(MatopsError):
    """Exit code 3: a safety check said no; nothing was changed."""

    code = 3


class OutcomeUnknown(MatopsError):
    """Exit code 4: we cannot tell whether it happened. Never treated as a failure."""

    code = 4


class ConnectionLost(OutcomeUnknown):
    """The link to the host went away in the middle of something."""


class Unreachable(MatopsError):
    """The host could not be reached, or would not let us in; nothing was done there."""


class PrivilegeMissing(MatopsError):
    """An account (sudo, database, file system) is not allowed to do what is needed."""


class Locked(MatopsError):
    """Exit code 75: another run holds the lock (EX_TEMPFAIL: cron may try later)."""

    code = 75
