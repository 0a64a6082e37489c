"""One statement again where the table was being exchanged (RENAME) at that very moment."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

from matops.mysql.session import DatabaseError

Answer = TypeVar("Answer")
NO_SUCH_TABLE = 1146
TOO_LONG = (1969, 3024)
"""The server ended a statement at max_statement_time (MariaDB), max_execution_time (MySQL)."""
PAUSE = 0.2
"""Seconds; two ALTER … RENAME leave the name empty for some milliseconds, RENAME for none."""


def once_more(ask: Callable[[], Answer]) -> Answer:
    """``ask()``; a second time after 1146 (no such table). Raises what the second try raises."""
    try:
        return ask()
    except DatabaseError as error:
        if error.number != NO_SUCH_TABLE:
            raise
    time.sleep(PAUSE)
    return ask()
