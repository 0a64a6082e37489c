"""``invalidations.size``: one screen to decide from."""

from __future__ import annotations

from typing import Any

TASKS: tuple[Any, ...] = ()
