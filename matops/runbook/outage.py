"""The outage's record on a host: what was found before we changed it, and the marks we made.

``<state_dir>/outage.json`` (0600). A switch that will be put back later writes down what it
found *before* it changes anything; the first writing counts, so that a second run of a
half-done step never takes the held state for the original. Putting back forgets the entry; the
file of an outage that is over is kept beside it, by its start.
"""

from __future__ import annotations

import json
from typing import Any

from matops.errors import MatopsError
from matops.host import files
from matops.matomo.site import Site
from matops.units import utc_now

VERSION = 1


class Outage:
    """The record of one host. Each call is one or two round trips; the caller holds the lock.

    All raise MatopsError where the file is there but cannot be read or understood: then nothing
    may be changed, because what is to be put back is not known.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def path(self) -> str:
        """Where it lies on the host."""
        return f"{self._site.state_dir}/outage.json"

    def read(self) -> dict[str, Any]:
        """``{"found": {key: …}, "notes": {key: …}, "began": ISO time}``; empty ones if none."""
        try:
            text = files.read(self._site.host, self.path, user=self._site.keeper, limit=16 << 20)
        except files.NotThere:
            return {"v": VERSION, "began": "", "found": {}, "notes": {}}
        try:
            data = json.loads(text)
            if data["v"] != VERSION:
                raise ValueError(f"version {data['v']}")
            return {**data, "found": dict(data["found"]), "notes": dict(data["notes"])}
        except (ValueError, KeyError, TypeError) as error:
            raise MatopsError(
                f"the outage's record {self.path} cannot be understood ({error})",
                host=self._site.host.name,
                state="Nothing was changed",
                next="look at it: it holds what must be put back",
            ) from None

    def remember(self, key: str, value: Any) -> Any:
        """Writes down what was found, unless that was done before; returns what counts."""
        data = self.read()
        if key not in data["found"]:
            data["found"][key] = value
            self._write(data)
        return data["found"][key]

    def found(self, key: str, default: Any = None) -> Any:
        """What was remembered, or ``default``."""
        return self.read()["found"].get(key, default)

    def forget(self, key: str) -> None:
        """It has been put back, and that was verified."""
        data = self.read()
        if key in data["found"]:
            del data["found"][key]
            self._write(data)

    def note(self, key: str, value: Any) -> None:
        """A mark or a decision; a later one of the same key replaces it."""
        data = self.read()
        data["notes"][key] = value
        self._write(data)

    def noted(self, key: str, default: Any = None) -> Any:
        """The mark of that key, or ``default``."""
        return self.read()["notes"].get(key, default)

    def close(self) -> str:
        """Sets the record aside, ``outages/<start>.json``; its path, or '' where there is none.

        Raises MatopsError while something is still to be put back.
        """
        data = self.read()
        if not data["began"]:
            return ""
        if data["found"]:
            raise MatopsError(
                f"this outage has still to put back: {', '.join(sorted(data['found']))}",
                host=self._site.host.name,
                state=f"Its record stays: {self.path}",
                next="`recover` puts back what is left",
            )
        folder = f"{self._site.state_dir}/outages"
        target = f"{folder}/{data['began'].replace(':', '')}.json"
        self._site.host.run(
            'umask 077; mkdir -p -- "$1" && mv -T -- "$2" "$3"',
            folder,
            self.path,
            target,
            user=self._site.keeper,
            what="set the outage's record aside",
        )
        return target

    def _write(self, data: dict[str, Any]) -> None:
        data["began"] = data["began"] or utc_now().isoformat(timespec="seconds")
        files.make_folder(self._site.host, self._site.state_dir, user=self._site.keeper)
        text = json.dumps(data, indent=1, default=str).encode()
        files.write(self._site.host, self.path, text, user=self._site.keeper, mode="0600")
