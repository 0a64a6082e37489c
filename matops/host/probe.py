"""All facts about a host in one round trip.

The sources of a few stdlib-only modules travel on stdin to the host's own python3, which runs
each one's ``collect(asked, found) -> dict`` and answers in JSON. Nothing is left behind. Raw
material comes back; pure parsers elsewhere make sense of it. A module that fails reports
``{"error": …}`` under its name and spoils nothing else.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Optional

from matops.errors import MatopsError, PrivilegeMissing
from matops.host.shell import CommandFailed, Host

# Python 3.6 syntax: it must be able to say that the host's Python is too old.
_BOOT = """
import json, sys, time, types
if sys.version_info < (3, 9):
    print(json.dumps({"old": sys.version.split()[0]}))
    sys.exit()
asked = json.load(sys.stdin)
found = {}
for name, source in asked["modules"]:
    begun = time.time()
    module = types.ModuleType(name)
    try:
        exec(compile(source, name, "exec"), module.__dict__)
        found[name] = module.collect(asked["asked"], found)
    except Exception as error:
        found[name] = {"error": "%s: %s" % (type(error).__name__, error)}
    found[name]["seconds"] = round(time.time() - begun, 3)
json.dump(found, sys.stdout)
"""

_NO_PYTHON = 96


@dataclass(frozen=True)
class Probe:
    """What came back: ``found[module] = facts``; whether it ran as root; the times around it.

    ``before`` and ``after`` are seconds since 1970 on the operator's clock.
    """

    found: dict[str, dict[str, Any]]
    privileged: bool
    before: float
    after: float
    limited: str = ""
    """Why it did not run as root."""

    def facts(self, module: str) -> dict[str, Any]:
        """The facts of one module; empty where it failed (its ``error`` says why)."""
        return self.found.get(module, {})


def collect(
    host: Host, modules: Sequence[ModuleType], asked: dict[str, Any], timeout: float = 60
) -> Probe:
    """Asks the host everything at once, as root where we may, else as who logged in.

    Raises MatopsError where the host has no Python 3.9, and the errors of ``Host.run``.
    """
    sources = [
        (module.__name__.rpartition(".")[2], inspect.getsource(module)) for module in modules
    ]
    request = json.dumps({"modules": sources, "asked": asked}).encode()
    before = time.time()
    try:
        answer, _privileged = _ask(host, request, "root", timeout), True
    except PrivilegeMissing as missing:
        if host.has_password:  # a wrong password: the operator meant to be root
            raise
        before = time.time()
        answer = _ask(host, request, None, timeout)
        return Probe(answer, False, before, time.time(), missing.line())
    return Probe(answer, True, before, time.time())


def _ask(host: Host, request: bytes, user: Optional[str], timeout: float) -> dict[str, Any]:
    script = f'command -v python3 >/dev/null || exit {_NO_PYTHON}; exec python3 -I -S -c "$1"'
    result = host.run(
        script, _BOOT, user=user, stdin=request, timeout=timeout,
        cap=16 << 20, check=False, what="read the host's facts",
    )  # fmt: skip
    if result.code == _NO_PYTHON:
        raise MatopsError(
            "the host has no python3 (3.9 or newer is needed)",
            host=host.name,
            next="install python3 there; nothing else is needed",
        )
    if result.code != 0:
        raise CommandFailed("read the host's facts", result).on(host.name)
    answer: dict[str, Any] = json.loads(result.out)
    if "old" in answer:
        raise MatopsError(
            f"the host's python3 is {answer['old']}; 3.9 or newer is needed",
            host=host.name,
            next="install a newer python3 there; nothing else is needed",
        )
    return answer
