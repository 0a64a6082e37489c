"""Tables for people, and the same rows as JSON for machines."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

_MARKS = {
    "ok": "32", "done": "32", "already done": "32", "warn": "33", "skipped": "2",
    "fail": "31", "failed": "31", "unknown": "35", "outcome unknown": "35", "running": "36",
}  # fmt: skip


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], wrap: int = 0) -> str:
    """A plain table; the column ``wrap`` (counted from the end, 1 = last) takes the free width.

    Colours the status words on a terminal only.
    """
    from tabulate import tabulate

    width = shutil.get_terminal_size((150, 24)).columns
    cells = [[_one_line(cell) for cell in row] for row in rows]
    if wrap and cells:
        at = len(headers) - wrap
        others = sum(
            max(len(str(line[i])) for line in [list(headers), *cells]) + 2
            for i in range(len(headers))
            if i != at
        )
        room = max(width - others - 2, 30)
        for row in cells:
            lines = [part for line in row[at].split("\n") for part in _wrap(line, room)]
            row[at] = "\n".join(lines)
    text = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    return _colour(text) if sys.stdout.isatty() else text


def _wrap(line: str, room: int) -> list[str]:
    return textwrap.wrap(line, room, subsequent_indent="   " if line.startswith("->") else "")


def _one_line(cell: object) -> str:
    text = str("" if cell is None else cell)
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))


def _colour(text: str) -> str:
    lines = []
    for line in text.splitlines():
        for word, code in _MARKS.items():
            if f"  {word}  " in line:
                line = line.replace(f"  {word}  ", f"  \033[{code}m{word}\033[0m  ", 1)
                break
        lines.append(line)
    return "\n".join(lines)


def as_json(data: object) -> str:
    """One JSON document, readable."""
    return json.dumps(data, indent=2, default=str, ensure_ascii=False)
