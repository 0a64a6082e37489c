"""The console of a private copy of a staged tree: run as the web user, proven before it is used.

``prove`` asks that very console, through Matomo's own configuration, where it is connected to: it
must read back the sentinel that only the scratch database has. The same PHP, user, environment
and files then serve every other command.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Callable

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.matomo import ini
from matops.matomo.staged_php import (
    CHECK,
    COMMANDS,
    GUARD,
    GUARDED,
    INI,
    MARK,
    PLUGIN,
    PREPEND,
)
from matops.matomo.staged_tree import StagedTree

_WAIT = 120  # seconds for a command that only reads
_GUARDED_KEYS = ("host", "port", "unix_socket", "dbname", "username")

Hear = Callable[[str, float], object]


class StagedConsole:
    """Console commands of ``tree``. ``php``: the program that runs them."""

    def __init__(self, tree: StagedTree, php: str) -> None:
        self.tree = tree
        self.php = php
        self._blocked = tree.folder / "blocked.log"

    def equip(self, local: str, common: str) -> None:
        """Writes configuration, guard and our two commands into the copy."""
        bundled = (self.tree.config / "global.ini.php").read_text(errors="replace")
        layers = [ini.parse(text) for text in (bundled, common, local)]
        merged = ini.merge(*layers)
        expected = {key: ini.text_of(merged, "database", key) for key in _GUARDED_KEYS}
        facts = {"expected": expected, "blocked": str(self._blocked)}
        folder = str(self.tree.folder)
        files = {
            "ini/zz-matops.ini": INI.replace("@FOLDER@", folder),
            "prepend.php": PREPEND,
            "check.php": CHECK,
            "matomo/config/matops.json": json.dumps(facts),
            "matomo/config/config.php": GUARD,
            "matomo/config/config.ini.php": local,
            **({"matomo/config/common.config.ini.php": common} if common else {}),
            **{f"matomo/plugins/{PLUGIN}/Commands/{n}": text for n, text in COMMANDS.items()},
        }
        for name, text in files.items():
            self.tree.write(name, text)

    def local_config(self) -> str:
        """config.ini.php of the copy as it is now."""
        return (self.tree.config / "config.ini.php").read_text(errors="replace")

    def blocked(self) -> dict[str, int]:
        """Hosts that were not asked over HTTP, and how often they would have been."""
        found: dict[str, int] = {}
        with contextlib.suppress(OSError):
            for line in self._blocked.read_text(errors="replace").splitlines():
                found[line] = found.get(line, 0) + 1
        return found

    def prove(self, *, schema: str, token: str, prefix: str) -> list[str]:
        """What the staged console reads back, as lines of proof. Refused where it is not the
        scratch database, or where anything of it lies outside the private copy."""
        self._pinned()
        found = self.ask("matops:where")
        wrong = differences(found, str(self.tree.tree), schema, token, prefix)
        if wrong:
            raise Refused(
                f"the staged console does not work where it must: {'; '.join(wrong)}",
                state="No migration was run; nothing live was changed",
                next="something outside config/ leads it there: look at PHP's auto_prepend_file, "
                "and at plugins that change the database's settings",
            )
        return [
            f"the staged console itself read the sentinel back from {found['dbname']} "
            f"(as {found['account']}, on {found['hostname']}:{found['port']})",
            f"its configuration, caches and files are in {self.tree.folder} only",
            "each of its PHP processes is pinned to that folder, and ends before it opens a "
            "database of another name, host or account; mail and HTTP are cut off",
        ]

    def _pinned(self) -> None:
        """Before any of Matomo's code runs: is every PHP process of the copy pinned to it?"""
        folder = self.tree.folder
        code, text = self._php([str(folder / "check.php")])
        found = answer(text)
        if (
            found is None
            or found["pinned"] != str(folder)
            or found["user"] != str(self.tree.tree)
            or found["others"]
        ):
            lines = [line for line in text.splitlines() if line and MARK not in line]
            raise Refused(
                "PHP cannot be kept to the private copy: its settings lead elsewhere "
                f"({lines[0][:200] if lines else f'exit code {code}'})",
                state="Nothing of Matomo was run",
                next="look at auto_prepend_file in PHP's ini files, and at the setting php: is it "
                "a wrapper?",
            )

    def ask(self, command: str) -> Any:
        """The answer of one of our commands. MatopsError where there is none."""
        code, text = self.run([command])
        found = answer(text)
        if found is None:
            raise no_answer(command, code, text)
        return found

    def run(self, words: Sequence[str], timeout: float = _WAIT) -> tuple[int, str]:
        """(exit code, output) of a console command in the copy."""
        return self._php([str(self.tree.tree / "console"), *words], timeout)

    def _php(self, words: Sequence[str], timeout: float = _WAIT) -> tuple[int, str]:
        pieces: list[str] = []
        code = self._stream(words, lambda piece, now: pieces.append(piece), timeout)
        return code, "".join(pieces)

    def stream(self, words: Sequence[str], hear: Hear, timeout: float) -> int:
        """Runs a command; ``hear(piece, seconds)`` gets its output as it comes; its exit code.

        However we leave, the command does not go on. OutcomeUnknown past ``timeout`` seconds.
        """
        return self._stream([str(self.tree.tree / "console"), *words], hear, timeout)

    def _stream(self, words: Sequence[str], hear: Hear, timeout: float) -> int:
        process = subprocess.Popen(
            [self.php, *words],
            cwd=self.tree.tree,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **self.tree.web_user.options(self.tree.folder),
        )
        try:
            return _listen(process, hear, timeout, " ".join(words[1:2]) or "PHP")
        finally:
            for pid in [process.pid, *self.tree.processes()]:
                with contextlib.suppress(ProcessLookupError):
                    if process.poll() is None or pid != process.pid:
                        os.kill(pid, signal.SIGKILL)
            process.wait()


def _listen(process: subprocess.Popen[bytes], hear: Hear, timeout: float, what: str) -> int:
    assert process.stdout
    began = time.monotonic()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with selectors.DefaultSelector() as waiting, process.stdout as stream:
        waiting.register(stream, selectors.EVENT_READ)
        while True:
            left = timeout - (time.monotonic() - began)
            if left <= 0:
                raise OutcomeUnknown(
                    f"{what} took longer than {timeout:.0f} s in the scratch database",
                    state="It was ended; nothing live was changed",
                    next="see what the database waits for: db.locks",
                )
            if waiting.select(min(left, 5)):
                piece = os.read(stream.fileno(), 65536)
                hear(decoder.decode(piece, final=not piece), time.monotonic() - began)
                if not piece:
                    return _code(process, what)


def _code(process: subprocess.Popen[bytes], what: str) -> int:
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        raise OutcomeUnknown(
            f"{what} says nothing more and does not end",
            state="It was ended; nothing live was changed",
            next="run this again",
        ) from None


def differences(
    found: dict[str, Any], tree: str, schema: str, token: str, prefix: str
) -> list[str]:
    """Why what the console said is not good enough; [] where it is. Pure."""
    wrong = []
    if found.get("dbname") != schema:
        wrong.append(f"it is connected to the database {found.get('dbname')}")
    if not token or found.get("sentinel") != token or found.get("option") != token:
        wrong.append("it does not read the sentinel")
    if found.get("prefix") != prefix:
        wrong.append(f"its tables_prefix is '{found.get('prefix')}'")
    if found.get("reader"):
        wrong.append("it has a second database for reading")
    if not found.get("guard"):
        wrong.append("its guard is not in force")
    if found.get("mail"):
        wrong.append("it would send mail")
    if "redis" in str(found.get("cache", "")).lower():
        wrong.append("its cache is in Redis")
    for name, path in (found.get("paths") or {"its paths": "nowhere"}).items():
        if not f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(tree)}/"):
            wrong.append(f"{name} is {path}")
    return wrong


def answer(text: str) -> Any:
    """What one of our own pieces of PHP said, in its output; None where it did not. Pure."""
    found = re.search(rf"^{MARK}(\S+)\s*$", text, re.MULTILINE)
    return json.loads(base64.b64decode(found[1])) if found else None


def no_answer(command: str, code: int, text: str) -> MatopsError:
    """The error for a command that said nothing of use."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if code == GUARDED:
        guard = [line for line in lines if line.startswith("MATOPS-GUARD")]
        return Refused(
            f"the staged console was about to open another database ({guard[-1:] or code})",
            state="It was stopped before that; nothing live was changed",
            next="find what redirects it: a plugin, or PHP's auto_prepend_file",
        )
    telling = [line for line in lines if re.search(r"(?i)error|exception|SQLSTATE", line)]
    said = (telling or lines or ["no output"])[0][:300]
    return MatopsError(
        f"the staged console cannot run {command} (exit code {code}): {said}",
        state="No migration was run; nothing live was changed",
        next="repair that first: the update itself would fail in the same way",
    )
