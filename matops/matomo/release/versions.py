"""Versions of Matomo, of PHP and of plugins: their order. Pure functions."""

from __future__ import annotations

import re

Key = tuple[int, ...]

# The stages of PHP's version_compare(), which Matomo and Composer both order by.
_STAGES = {
    "dev": 0, "alpha": 1, "a": 1, "beta": 2, "b": 2, "rc": 3, "c": 3,
    "": 4, "pl": 5, "p": 5, "patch": 5,
}  # fmt: skip

_VERSION = re.compile(
    r"v?(\d+(?:\.\d+){0,3})(?:[-_.+~]?(dev|alpha|a|beta|b|rc|c|pl|patch|p)((?:[-.]?\d+)*))?"
    # What PHP builds of distributions append (8.2.28-1~deb12u1) says nothing about features.
    r"(?:[-+~].*)?",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"\d+\.\d+\.\d+(?:-[A-Za-z]+[A-Za-z0-9.]*)?")


def key(version: str) -> Key:
    """A key that sorts versions: ``5.8.0-b1`` < ``5.8.0-rc2`` < ``5.8.0`` = ``5.8``.

    ValueError for what is not a version.
    """
    found = _VERSION.fullmatch(version.strip())
    if not found:
        raise ValueError(f"'{version}' is not a version")
    numbers = [int(part) for part in found[1].split(".")]
    more = [int(part) for part in re.findall(r"\d+", found[3] or "")]
    return (*[*numbers, 0, 0, 0, 0][:4], _STAGES[(found[2] or "").lower()], *more)


def is_release(text: str) -> bool:
    """True for what names a Matomo release (``5.8.0``, ``5.9.0-b1``) and is safe in a path."""
    return bool(_PLAIN.fullmatch(text))
