"""What became of one ``core:update --yes``: done, crashed, or failed for a reason. Pure.

Its exit code does not tell: plugin errors end with 0, a killed php with 255 (through ssh), a lost
connection with 1. A crash may be tried again; a migration that failed must not: it would fail
again, or do half of it twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Optional

from matops.matomo.update_output import Step, UpdateOutput, component_of, version_of

DONE, UP_TO_DATE = "done", "up to date"
CRASHED, FAILED, STOPPED, PLUGINS = "crashed", "failed", "stopped", "plugins failed"

_LOST = re.compile(
    r"server has gone away|Lost connection to|Server shutdown in progress|Connection was killed"
    r"|SQLSTATE\[(?:HY000|08S01|08004|70100)\]\s*(?:\[|:[^\n]*?)?\b(?:2002|2003|2006|2013|1053|1927|1040|1203)\b"
    r"|WSREP has not yet prepared node"  # Galera: it is not in its cluster, for a moment
    r"|Connection refused|No such file or directory \(\d+\) to database"
    r"|Packets out of order|Error while (?:sending|reading)[^\n]*packet",
    re.IGNORECASE,
)
_WORDS = re.compile(r"SQLSTATE\[|PHP (?:Fatal|Parse) error|\bException\b|\bError\b|\bFatal\b", re.I)
_FATAL = re.compile(r"(?im)^.*(?:PHP )?(?:Fatal|Parse) error:.*$|^.*Allowed memory size.*$")
_KILL, _ABORT, _SEGV, _BUS = 137, 134, 139, 135
_ASKED_TO = (130, 143, 129)
"""INT, TERM, HUP: somebody wanted it to end; it is not started again behind his back."""
_LOGGED = "error or warning logs detected"


@dataclass(frozen=True)
class Ending:
    """How it ended. ``why``: one line; ``step``: the migration that failed, if one did."""

    kind: str
    why: str = ""
    step: Optional[Step] = None
    deactivated: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Lines behind [X] and [!] of an update that went on to its end."""
    lost_link: bool = False
    """The database went away."""

    @property
    def what(self) -> str:
        """The failed migration in words: ``migration 5 of 16 (core 5.6.0-b1): ALTER …``."""
        if self.step is None:
            return ""
        text = " ".join(self.step.statement.split())
        file = " ".join(filter(None, (component_of(self.step.file), version_of(self.step.file))))
        whose = f" ({file})" if file else ""
        return f"migration {self.step.number} of {self.step.of}{whose}: {text[:300]}"


def judge(
    code: Optional[int], output: UpdateOutput, done_words: Collection[str], up_to_date: bool = False
) -> Ending:
    """``output`` after ``end()``. ``code`` None: nobody wrote an exit code (killed, or the machine
    went down). ``done_words``: "Everything is already up to date." in all languages;
    ``up_to_date``: the database says so by now."""
    text = output.text
    if any(words in text for words in done_words):
        return Ending(UP_TO_DATE)
    failed = next((step for step in output.steps if step.error), None)
    lost = bool(_LOST.search(_trouble_of(text, failed)))
    if output.critical and code != 0:
        why = failed.error if failed else output.complaint()
        return Ending(CRASHED if lost else FAILED, why, failed, lost_link=lost)
    if code in _ASKED_TO:
        return Ending(STOPPED, f"it was ended by a signal ({code - 128 if code else 0})", failed)
    if code == 0:
        return _went_through(output)
    if up_to_date and code == 1 and _LOGGED in text:
        return _went_through(output)
    fatal = _FATAL.search(text)
    if fatal:
        return Ending(FAILED, " ".join(fatal[0].split())[:300], failed)
    if lost:
        return Ending(
            CRASHED, _line_of(_LOST, text) or "the database went away", failed, (), (), True
        )
    if (code is None or code > 128) and not _WORDS.search(_behind(text)):
        return Ending(CRASHED, _signal(code), failed)
    return Ending(FAILED, output.complaint() or _last(text) or f"exit code {code}", failed)


def _went_through(output: UpdateOutput) -> Ending:
    lines = warnings(output.text)
    if output.critical or "[!]" in output.text:
        why = "; ".join(lines[:3]) or "it printed [!] without a reason"
        failed = next((step for step in output.steps if step.error), None)
        return Ending(PLUGINS, why, failed, tuple(output.deactivated), tuple(lines))
    if not output.steps and "*** " not in output.text:
        return Ending(FAILED, _last(output.text) or "it printed nothing")
    return Ending(DONE)


def warnings(text: str) -> list[str]:
    """What is listed behind the first [X] or [!], each on one line; not the help below it."""
    marks = [place for place in (text.find("[X]"), text.find("[!]")) if place >= 0]
    found: list[str] = []
    for line in text[min(marks) :].splitlines()[1:] if marks else []:
        item = re.match(r"\s{4}\* (.+)", line)
        if item:
            found.append(item[1])
        elif re.match(r"\s{4}[^\s*]", line):
            break  # a paragraph of its own: what to do about it
        elif found:
            found[-1] += f" {line}"
    return [" ".join(one.split())[:400] for one in found]


def _trouble_of(text: str, failed: Optional[Step]) -> str:
    """The part of the output that tells why: statements themselves may hold any words."""
    _, mark, tail = text.partition("[X]")
    return tail if mark else "\n".join([failed.error if failed else "", _behind(text)])


def _behind(text: str) -> str:
    """What comes behind the last migration that was begun."""
    place = text.rfind("  Executing ")
    return text[place:].partition("... ")[2] if place >= 0 else text


def _signal(code: Optional[int]) -> str:
    if code is None:
        return "it vanished without an exit code (killed, or the machine went down)"
    names = {_KILL: "killed (signal 9: by hand, or the kernel was out of memory)",
             _ABORT: "php aborted (signal 6)", _SEGV: "php crashed (signal 11)",
             _BUS: "php crashed (signal 7)"}  # fmt: skip
    return names.get(code, f"php ended with {code} and no message")


def _line_of(pattern: re.Pattern[str], text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if pattern.search(line)]
    return lines[-1][:300] if lines else ""


def _last(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if _WORDS.search(line)]
    return (telling or lines or [""])[-1][:300]
