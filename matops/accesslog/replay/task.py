"""What all workers of a replay share, and who knows what was recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

from matops.accesslog.replay.client import Target
from matops.accesslog.replay.ledger import Ledger
from matops.accesslog.replay.pace import Pace
from matops.accesslog.replay.request import Item, Rules, names
from matops.errors import MatopsError


class Mark(Protocol):
    """Who makes the token, and knows what was recorded: ``matomo.replay_token.Token``."""

    secret: str
    id: int

    def arm(self, batch: int) -> int: ...
    def used(self) -> Optional[bool]: ...
    def revoke(self, token: int) -> None: ...
    def settle(self, token: int, batch: int, wait: bool = True) -> Optional[bool]: ...
    def drop(self) -> None: ...
    def close(self) -> None: ...


class Asked(Protocol):
    """Whether somebody wants us to stop: ``reason`` ('' = no)."""

    reason: str


class Answer(Protocol):
    """As ``matomo.recorded.Answer``."""

    @property
    def times(self) -> Optional[int]: ...
    @property
    def why(self) -> str: ...
    @property
    def others(self) -> int: ...
    @property
    def likely(self) -> bool: ...


class Recorder(Protocol):
    """Who looks into the log tables: ``matomo.recorded.Recorded``."""

    def ask(self, hits: Sequence[Any]) -> Sequence[Answer]: ...


def asked(item: Item) -> dict[str, Any]:
    """The hit as it was sent: it names its own time, so a row's time is exactly that."""
    hit = item.hit
    return {"query": item.text, "time": float(int(hit.epoch)), "ip": hit.ip or "0.0.0.0"}


@dataclass
class Run:
    """What the workers share. ``add``: so many hits are settled. ``patience``: seconds that the
    server may be away. ``probe``: a request that records nothing (it has no rec=1), but takes the
    whole way through token and transaction. ``recorder``: None = nobody can be asked."""

    path: Path
    rules: Rules
    target: Target
    ledger: Ledger
    pace: Pace
    mark: Callable[[], Mark]
    stop: Asked
    say: Callable[[str], None]
    recorder: Optional[Recorder] = None
    add: Callable[[int], None] = lambda hits: None
    size: int = 100
    probe: str = "?idsite=1&rec=0"
    timeout: float = 120.0
    patience: float = 600.0

    def __post_init__(self) -> None:
        self.failure: Optional[BaseException] = None
        self.ended = threading.Event()
        """No batch leaves any more."""
        self._asking = threading.Lock()
        self._met: set[tuple[str, int]] = set()
        self._told = 0.0

    def days(self, items: Sequence[Item]) -> set[tuple[str, int]]:
        """Sites and days (UTC) of these hits of which none was recorded yet in this run.

        The first hit of a day makes Matomo write options (a salt, a report to be built anew) in a
        way in which two transactions at once end in a deadlock, whose failure it passes over.
        """
        found = {(names(i.hit.query).get("idsite", ""), int(i.hit.epoch // 86400)) for i in items}
        return found - self._met

    def met(self, days: set[tuple[str, int]]) -> None:
        """These are recorded."""
        self._met |= days

    def look_for(self, items: Sequence[Item]) -> Sequence[Answer]:
        """What the log tables say of each hit; one worker asks at a time."""
        assert self.recorder is not None
        with self._asking:
            return self.recorder.ask([asked(item) for item in items])

    def there(self, items: Sequence[Item]) -> set[int]:
        """Positions of those that are surely recorded; none where nobody can be asked."""
        if self.recorder is None:
            return set()
        return {i.position for i, answer in zip(items, self.look_for(items)) if answer.times}

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
