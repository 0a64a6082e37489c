"""What all workers of a replay share, and who knows what was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

from matops.accesslog.replay.client import Target
from matops.accesslog.replay.ledger import Ledger
from matops.accesslog.replay.pace import Pace
from matops.accesslog.replay.request import Rules
from matops.errors import MatopsError


class Mark(Protocol):
    """Who makes the token, and knows what was recorded: ``matomo.replay_token.Token``."""

    secret: str
    id: int

    def arm(self, batch: int) -> int: ...
    def used(self) -> Optional[bool]: ...
    def settle(self, token: int, batch: int) -> Optional[bool]: ...
    def drop(self) -> None: ...
    def close(self) -> None: ...


class Asked(Protocol):
    """Whether somebody wants us to stop: ``reason`` ('' = no)."""

    reason: str


@dataclass
class Run:
    """What the workers share. ``add``: so many hits are settled. ``patience``: seconds that the
    server may be away. ``probe``: a request that records nothing (it has no rec=1), but takes the
    whole way through token and transaction."""

    path: Path
    rules: Rules
    target: Target
    ledger: Ledger
    pace: Pace
    mark: Callable[[], Mark]
    stop: Asked
    say: Callable[[str], None]
    add: Callable[[int], None] = lambda hits: None
    size: int = 100
    probe: str = "?idsite=1&rec=0"
    timeout: float = 120.0
    patience: float = 600.0

    def __post_init__(self) -> None:
        self.failure: Optional[BaseException] = None
        self._told = 0.0

    @property
    def over(self) -> bool:
        """Asked to stop, or a worker failed."""
        return bool(self.stop.reason) or self.failure is not None

    def fail(self, error: BaseException) -> None:
        """The first failure counts."""
        self.failure = self.failure or error

    def tell(self, line: str) -> None:
        """One line, not more often than every ten seconds: all workers see the same trouble."""
        if time.monotonic() - self._told > 10:
            self._told = time.monotonic()
            self.say(line)


def give_back(mark: Mark, keep: bool = False) -> None:
    """Takes its token away, unless it must still tell something, and closes it."""
    try:
        if not keep:
            mark.drop()
        mark.close()
    except MatopsError:
        pass  # it ends by itself; the next run takes it away
