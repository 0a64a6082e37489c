"""Matomo's families of tables, by their names after the prefix."""

from __future__ import annotations

import re

_ARCHIVE = re.compile(r"archive_(blob|numeric)_(\d{4})_(\d{2})$")

OTHER_SCHEMA = "not Matomo's"


def family(table: str, prefix: str = "") -> str:
    """``log``, ``archive_blob 2026-01``, ``archive_numeric 2026-01``, ``other``.

    A table without the prefix belongs to somebody else: ``not Matomo's``.
    """
    if not table.startswith(prefix):
        return OTHER_SCHEMA
    name = table[len(prefix) :]
    found = _ARCHIVE.match(name)
    if found:
        return f"archive_{found[1]} {found[2]}-{found[3]}"
    return "log" if name.startswith("log_") else "other"


def group(family_name: str) -> str:
    """The family without its month: ``archive_blob``."""
    return family_name.split(" ", 1)[0] if family_name.startswith("archive_") else family_name
