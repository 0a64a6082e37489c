"""Reads what ``core:update --yes`` prints, as it comes. Pure.

core:update prints ``  Executing <statement>... `` before a migration and ``Done. [n / m]`` behind
it (plugins/CoreUpdater/Commands/Update/CliUpdateObserver.php); these words, ``[X]``, ``[!]`` and
"Error trying to execute the migration" are not translated. A statement may go on for lines. One
that fails has no "Done"; why it failed comes at the end, in a list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional

# At the beginning of a line, or right behind one that failed: that one has no end of line.
_BEGIN = re.compile(r"(?:(?<![\s\S])|(?<=\n)|(?<=\.\.\. )) {2}Executing ")
_DONE = re.compile(r"\.\.\. Done\. \[(\d+) / (\d+)\][ \t]*(?:\r?\n|$)")
_FAILED = re.compile(
    r"\*\s+(?P<file>\S[^\n]*?):\s*\n\s*Error trying to execute the migration '(?P<what>.*?)'\.\s*\n"
    r"\s*The error was: (?P<why>.*?)(?=\n\s*\n|\n\s*\* |\Z)",
    re.DOTALL,
)
_DEACTIVATED = re.compile(r"\[!\][^\n]*: ([^\n]+)")
_ITEM = re.compile(r"\n\s*\*\s+([^\n]+)")


@dataclass
class Step:
    """One migration as printed. ``number`` 0: it did not come to an end."""

    statement: str
    number: int = 0
    of: int = 0
    seconds: float = 0.0
    error: str = ""
    file: str = ""
    """The update file that failed: ``…/core/Updates/5.6.0-b1.php``."""


@dataclass
class UpdateOutput:
    """Feed it pieces with their times (seconds); read ``steps``; ``end`` after the last."""

    steps: list[Step] = field(default_factory=list)
    text: str = ""
    _at: int = 0
    _begun: float = 0.0
    _open: Optional[Step] = None

    def feed(self, piece: str, now: float) -> list[Step]:
        """Takes a piece of the output; the migrations that ended with it."""
        self.text += piece
        ended: list[Step] = []
        while True:
            step = self._next(now)
            if step is None:
                return ended
            ended.append(step)

    def _next(self, now: float) -> Optional[Step]:
        """The next migration that has ended, if the text holds its end."""
        begin = _BEGIN.search(self.text, self._at)
        if begin is None:
            return None
        if self._open is None:
            self._open, self._begun = Step(""), now
        start = begin.end()
        done = _DONE.search(self.text, start)
        # The next one has begun before this one was done: it failed, and core:update went on.
        following = _BEGIN.search(self.text, start)
        if following and (done is None or following.start() < done.start()):
            return self._close(_cut(self.text[start : following.start()]), following.start())
        if done is None:
            return None
        number, of = int(done[1]), int(done[2])
        return self._close(self.text[start : done.start()], done.end(), number, of, now)

    def _close(self, statement: str, at: int, number: int = 0, of: int = 0, now: float = 0) -> Step:
        step = self._open or Step("")
        step.statement, step.number, step.of = statement.strip(), number, of
        step.seconds = max(now - self._begun, 0.0) if number else 0.0
        self.steps.append(step)
        self._at, self._open = at, None
        return step

    def end(self) -> None:
        """After the last piece: numbers what failed, and gives each its reason."""
        if self._open is not None:
            begin = _BEGIN.search(self.text, self._at)
            rest = self.text[begin.end() :] if begin else ""
            self._close(_cut(rest), len(self.text))
        total = max((step.of for step in self.steps), default=0)
        failures = {_squeezed(f["what"]): f for f in _FAILED.finditer(self.text)}
        for place, step in enumerate(self.steps, 1):
            step.of = step.of or total or len(self.steps)
            if step.number:
                continue
            step.number = place
            found = failures.get(_squeezed(step.statement))
            step.error = _one_line(found["why"]) if found else self.complaint() or "it did not end"
            step.file = found["file"].strip() if found else ""

    @property
    def current(self) -> str:
        """The migration that has begun and not ended, '' where there is none."""
        begin = _BEGIN.search(self.text, self._at)
        return self.text[begin.end() :].partition("... ")[0].strip() if begin else ""

    @property
    def critical(self) -> bool:
        """True where core:update broke off: "[X] Critical Error"."""
        return re.search(r"(?m)^\s*\[X\] ", self.text) is not None

    @property
    def deactivated(self) -> list[str]:
        """Plugins that it switched off because their migration failed."""
        after = self.text.partition("[X]")[2]
        found = _DEACTIVATED.search(after)
        return [name.strip() for name in found[1].split(",")] if found else []

    def complaint(self) -> str:
        """The first line of the list behind [X], else the last line that tells of an error."""
        head, mark, tail = self.text.partition("[X]")
        found = _ITEM.search(tail) if mark else None
        if found:
            return _one_line(found[1])
        lines = [line.strip() for line in head.splitlines() if line.strip()]
        telling = [line for line in lines if re.search(r"(?i)SQLSTATE|error|exception|fatal", line)]
        return _one_line((telling or [""])[-1])


def version_of(file: str) -> str:
    """``5.6.0-b1`` from ``…/core/Updates/5.6.0-b1.php``."""
    return file.rpartition("/")[2].replace(".php", "")


def component_of(file: str) -> str:
    """core, or the plugin's name, from the path of an update file."""
    plugin = re.search(r"/plugins/([^/]+)/Updates/", file)
    return plugin[1] if plugin else ("core" if "/core/" in file else "")


def _cut(text: str) -> str:
    """A statement that did not end: up to the dots that core:update puts behind it."""
    head, dots, _ = text.partition("... ")
    return head if dots else text.partition("\n\n")[0].rstrip(". \n")


def _squeezed(text: str) -> str:
    return " ".join(text.split()).rstrip("; ")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
