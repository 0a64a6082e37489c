"""One long statement on a connection and thread of its own, so that somebody can watch it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Optional, Union

from matops.mysql.session import Address, ConnectionCut, DatabaseError, Row, Session

INTERRUPTED = 1317
LOCK_TIMEOUT = 1205
NO_TABLE = (1146, 1051)
NOT_ONLINE = (1845, 1846)
ROW_LOG_FULL = 1799
READ_ONLY = (1290, 1836)
NO_CONNECTION_FREE = (1040, 1203, 1226)
ROW_VERSIONS = 4092
ROW_TOO_WIDE = 1118


class Running:
    """Runs ``text`` at once. Ask ``alive``, then read ``rows`` or ``error``.

    The connection has no read timeout: a time-out would only stop our listening, while the server
    went on. Raises DatabaseError where the connection cannot be made or its variables not set.
    """

    def __init__(
        self,
        address: Address,
        text: str,
        variables: Mapping[str, Union[int, float, str]],
        tag: str = "",
        doing: str = "rebuild",
    ) -> None:
        self.session = Session(address, timeout=None, variables=variables)
        self.id = self.session.connection_id
        self.text, self.tag, self.doing = text, tag, doing
        self.rows: list[Row] = []
        self.error: Optional[DatabaseError] = None
        self._done = threading.Event()
        self._began = time.monotonic()
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="rebuild", daemon=True)

    def start(self) -> None:
        """Sends the statement."""
        self._began = time.monotonic()
        self._thread.start()

    def _run(self) -> None:
        try:
            self.rows = self.session.run(self.text, doing=self.doing)
            # OPTIMIZE reports failures as rows, KILL included ("Corrupt": it is not).
            trouble = complaint(self.rows)
            if trouble:
                self.error = DatabaseError(trouble)
        except DatabaseError as error:
            self.error = error
        except Exception as error:  # the driver's own trouble on a connection that broke
            self.error = ConnectionCut(f"the connection broke: {type(error).__name__}: {error}")
        self.seconds = time.monotonic() - self._began
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """Waits at most so long; True once the statement has come back."""
        return self._done.wait(seconds)

    @property
    def alive(self) -> bool:
        """Has it not come back yet?"""
        return not self._done.is_set()

    def close(self) -> None:
        """Closes the connection. The server does not stop a statement for that: cancel first."""
        self.session.close()


def complaint(rows: list[Row]) -> str:
    """Why an OPTIMIZE or ANALYZE failed, '' where it did not. Case differs between servers."""
    words = [
        (str(row.get("Msg_type", "")).lower(), str(row.get("Msg_text", "")))
        for row in rows
        if "Msg_type" in row
    ]
    errors = [text for kind, text in words if kind == "error"]
    failed = [text for kind, text in words if kind == "status" and "failed" in text.lower()]
    return "; ".join(errors or failed)
