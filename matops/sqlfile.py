"""Reads the statements of ``sql/``: one per file, or a flavour's twin beside it.

``name.sql`` serves every server; ``name.mysql.sql`` and ``name.mariadb.sql`` go before it.
A statement's header (its leading ``--`` lines) says what it reads or changes, its cost, its
locks. ``{{table}}``-like marks stand for identifiers, filled in by ``mysql.quote`` only.
"""

from __future__ import annotations

import functools
from pathlib import Path

_ROOT = Path(__file__).parent.parent


@functools.cache
def load(name: str, flavour: str = "") -> str:
    """The statement ``name`` without its header; for ``flavour`` (mysql, mariadb) if it has one.

    Raises FileNotFoundError where there is none: a bug, not something the world can cause.
    """
    candidates = [f"{name}.{flavour}.sql", f"{name}.sql"] if flavour else [f"{name}.sql"]
    for candidate in candidates:
        text = _read(_ROOT / "sql" / candidate)
        if text is not None:
            lines = [line for line in text.splitlines() if not line.startswith("--")]
            return "\n".join(lines).strip().rstrip(";")
    raise FileNotFoundError(f"sql/{candidates[-1]}")


def _read(path: Path) -> str | None:
    # The loader reads from a checkout and from inside the agent's zip alike.
    try:
        loader = globals()["__loader__"]
        data: bytes = loader.get_data(str(path))
    except OSError:
        return None
    return data.decode()
