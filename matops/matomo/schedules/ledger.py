"""What a holder has found before it changed anything: ``<keep>/<who>.json`` (0600)."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from matops.errors import MatopsError
from matops.units import utc_now

VERSION = 1


class Ledger:
    """The ledger of one holder. ``entries``: id → what was found. MatopsError: not understood."""

    def __init__(self, keep: str, who: str) -> None:
        self.path = f"{keep}/{who}.json"
        self.keep, self.who = keep, who
        self.since = ""
        self.entries: dict[str, dict[str, Any]] = {}
        try:
            with open(self.path, encoding="utf-8") as file:
                data = json.load(file)
            if data["v"] != VERSION:
                raise ValueError(f"version {data['v']}")
            self.since, self.entries = str(data["since"]), dict(data["entries"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MatopsError(
                f"the record of held schedules {self.path} cannot be read ({error})",
                state="Nothing was changed",
                next="held lines of cron can be put back by hand: take '#matops-hold … # ' off",
            ) from None

    def add(self, found: dict[str, dict[str, Any]]) -> None:
        """Writes down what is not in it yet: the first writing counts."""
        self.since = self.since or utc_now().isoformat(timespec="seconds")
        self.entries = {**found, **self.entries}
        self.write()

    def drop(self, key: str) -> None:
        """It has been put back."""
        self.entries.pop(key, None)
        self.write()

    def write(self) -> None:
        """Atomic; removed where nothing is held."""
        if not self.entries:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            return
        os.makedirs(self.keep, mode=0o700, exist_ok=True)
        data = {"v": VERSION, "since": self.since, "entries": self.entries}
        save(self.path, json.dumps(data, indent=1).encode())


def save(path: str, data: bytes) -> None:
    """A file of 0600, whole or not at all."""
    temp = f"{path}.{os.getpid()}"
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temp, path)
