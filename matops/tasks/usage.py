"""What was typed wrong ends with exit code 2, as every usage error of ours; invoke's own is 1."""

from __future__ import annotations

import re
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.parser.parser import ParseMachine


class Mistyped(ParseError, Exit):  # type: ignore[misc]
    """Invoke prints a ParseError, and takes the exit code of an Exit: this is both."""

    def __init__(self, text: str, context: Any) -> None:
        Exception.__init__(self, text)
        self.context = context  # what completion in a shell asks for
        self.message = None  # it is printed once already
        self._code = 2


def words(message: str, task: str) -> str:
    """Invoke's message as one line of ours. Pure."""
    text = re.sub(r"<Argument: (\w+)[^>]*>", lambda m: "--" + m[1].replace("_", "-"), message)
    return f"{text.rstrip('.!')}. Nothing was changed. Next: --help {task}".rstrip()


def _error(machine: Any, message: str) -> None:
    raise Mistyped(
        words(message, getattr(machine.context, "name", "") or "TASK"), machine.context
    ) from None


def install() -> None:
    """A missing argument, an unknown flag or task: invoke has no setting for its exit code."""
    ParseMachine.error = _error
