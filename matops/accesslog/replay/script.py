"""Matomo's own ``import_logs.py --replay-tracking``, fed and watched. Never believed.

What it is fed cannot trip it: ASCII, one format, no failed statuses. Its token goes to it through
stdin and its own memory, never onto a command line. What it says is shown, not trusted: exit 0
with nothing imported, "imported" hits of which the tracker said ``tracked: 0``, a recorder that
died while the process waits for ever. What came of it is looked for in the database afterwards.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from matops.accesslog import gapfile
from matops.accesslog.replay.request import Item
from matops.errors import MatopsError, Refused

USUAL = "misc/log-analytics/import_logs.py"
"""Below the docroot, where a release of Matomo has it."""

# runpy makes it believe it was typed; /proc/PID/cmdline shows only this. It dies with us (prctl:
# PR_SET_PDEATHSIG, SIGKILL).
_WRAPPER = (
    "import ctypes, json, runpy, sys; ctypes.CDLL(None).prctl(1, 9); "
    "sys.argv = json.loads(sys.stdin.readline()); "
    "sys.path.insert(0, ''); runpy.run_path(sys.argv[0], run_name='__main__')"
)
_DROPPED = re.compile(r"(^|&)(?:token_auth|queuedtracking)=[^&]*")
_IMPORTED = re.compile(r"(\d+) requests imported successfully")
_CAP = 200_000  # characters of its output that are kept


@dataclass(frozen=True)
class Script:
    """The script that was found. ``around_queue``: it sends queuedtracking=0 itself."""

    path: Path
    around_queue: bool


@dataclass(frozen=True)
class Outcome:
    """How one run of it ended. ``claimed``: hits that it says were imported, -1 = it says nothing;
    ``hung``: it was ended by us."""

    code: int
    claimed: int
    hung: bool
    last: str

    @property
    def shown(self) -> str:
        """For a line."""
        if self.hung:
            return "it hung, and was ended"
        said = f"it says {self.claimed} imported" if self.claimed >= 0 else "it says nothing"
        return f"exit code {self.code}, {said}" + (f" ({self.last})" if self.code else "")


def find(docroot: str, asked: str = "") -> Script:
    """The script, judged by its text. Refused where there is none, or one that cannot replay."""
    path = Path(asked) if asked else Path(docroot) / USUAL
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise Refused(
            f"{path} cannot be read: {error.strerror}",
            state="Nothing was sent",
            next="use --how native, or name the script: --import-logs PATH",
        ) from None
    if "--replay-tracking" not in text:
        raise Refused(
            f"{path} is no import_logs.py that can replay tracking requests",
            state="Nothing was sent",
            next="use --how native, or name another one: --import-logs PATH",
        )
    return Script(path, "queuedtracking" in text)


def export(items: Iterable[Item], target: Path) -> None:
    """The hits as a log that it can read (0600). MatopsError where it cannot be written."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
            for item in items:
                query = _DROPPED.sub("", item.hit.query).lstrip("&")
                # A failed status would become a custom variable, and in old versions a title.
                hit = item.hit._replace(query=query, status=200, path="/matomo.php", method="GET")
                file.write(gapfile.combined(hit))
    except OSError as error:
        raise MatopsError(f"{target} cannot be written: {error.strerror}") from None


def run(
    script: Script,
    words: Sequence[str],
    token: str,
    log: Path,
    patience: float,
    stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Runs it over ``log``; ended after ``patience`` seconds, or when ``stopped``."""
    argv = [str(script.path), *words, f"--token-auth={token}", str(log)]
    process = subprocess.Popen(
        [sys.executable, "-c", _WRAPPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    hung, until = False, time.monotonic() + patience
    given: Optional[bytes] = json.dumps(argv).encode() + b"\n"
    try:
        while True:
            try:
                said, _ = process.communicate(given, timeout=1)
                break
            except subprocess.TimeoutExpired:
                given = None
                if not hung and (time.monotonic() > until or stopped()):
                    hung = True
                    process.kill()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    text = said[-_CAP:].decode(errors="replace").replace(token, "…")
    found = _IMPORTED.search(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if process.returncode:  # its last line is how to skip; the one before says why
        lines = [line for line in lines if not line.startswith("You can restart")]
    return Outcome(process.returncode, int(found[1]) if found else -1, hung,
                   lines[-1][:200] if lines else "no output")  # fmt: skip
