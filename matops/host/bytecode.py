"""The agent's modules compiled once a host, in a twin beside it, and not once a start.

Python keeps no bytecode of what it imports from a zip: each task compiled 45,000 lines first,
1.3 s of a processor. The first task on a host writes them down, for its own Python only. The twin
is named after the agent, whose name is its content's: it cannot be of another version.

This module stands at the top of the zip, imports nothing of matops, and is never in the way: where
the twin cannot be made or read, the agent starts as it would without.
"""

from __future__ import annotations

import contextlib
import os
import sys

NAME = "matops_bytecode.py"
"""What it is called there."""

_NO_CHECK = (1).to_bytes(4, "little")  # PEP 552: valid by its source's hash, which nobody looks at


def twin(agent: str) -> str:
    """``…/matops-<hash>.pyz`` → ``…/matops-<hash>.cpython-313.pyz``"""
    return f"{agent[: -len('.pyz')]}.{sys.implementation.cache_tag}.pyz"


def original(path: str) -> str:
    """The agent whose twin ``path`` is; ``path`` itself where it is none."""
    end = f".{sys.implementation.cache_tag}.pyz"
    return f"{path[: -len(end)]}.pyz" if path.endswith(end) else path


def use(agent: str, make: bool) -> None:
    """Has modules imported from the twin of ``agent`` from now on; makes it first if asked to and
    it is not there. Raises nothing."""
    path = twin(original(agent))
    if make and not os.path.exists(path):
        # Not ours to write, no room, a file that is none of ours: the agent needs no twin.
        with contextlib.suppress(Exception):
            _make(agent, path)
    if os.path.exists(path):
        sys.path.insert(0, path)


def _make(agent: str, path: str) -> None:
    import tempfile  # here and below: no other start shall pay for what only this one needs
    import zipfile

    handle, partial = tempfile.mkstemp(
        prefix=os.path.basename(path)[: -len("pyz")], suffix=".pyz", dir=os.path.dirname(path)
    )
    try:
        with open(handle, "wb") as file:
            with zipfile.ZipFile(agent) as source, zipfile.ZipFile(file, "w") as target:
                for entry in source.infolist():
                    data = source.read(entry)
                    target.writestr(entry, data)
                    # One for another Python, which no task imports, stays as it is.
                    with contextlib.suppress(SyntaxError):
                        if (name := entry.filename).endswith(".py"):
                            target.writestr(f"{name}c", _compiled(agent, name, data))
            os.fchmod(handle, 0o755)
            os.fsync(handle)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _compiled(agent: str, name: str, data: bytes) -> bytes:
    import importlib.util
    import marshal

    code = compile(data, f"{agent}/{name}", "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + _NO_CHECK + importlib.util.source_hash(data)
    return head + marshal.dumps(code)
