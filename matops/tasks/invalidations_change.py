"""``invalidations.truncate`` and the ways back; ``reset``, ``dedupe``."""

from __future__ import annotations

from typing import Any

TASKS: tuple[Any, ...] = ()
