"""What one check says, and the facts that all checks judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from matops.matomo import ini
from matops.matomo.release.stages import Staged
from matops.settings import Settings

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"
"""fail: the upgrade must not go on. warn: look at it. unknown: it could not be seen."""

_WORST = (FAIL, WARN, UNKNOWN, OK)


@dataclass(frozen=True)
class CheckResult:
    """One line of the preflight table. ``name`` is what ``--force`` takes.

    ``todo`` is empty only where the status is ok. ``figures``: bytes, seconds, lists: for
    JSON and monitoring.
    """

    name: str
    status: str
    found: str
    wanted: str = ""
    todo: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """Everything seen, before anything is judged. Raw dictionaries come from the probes.

    ``before``/``after``: the operator's clock around the probe. ``preflight``: the database
    conversation; empty where it failed, ``preflight_error`` says why in one line. ``staged``:
    the release that waits to be installed. ``others``: what archives on the installation's other
    hosts, by name.
    ``db_machine``: facts of the database's own machine, where it is another one and was asked
    (``error``: it could not be).
    """

    settings: Settings
    docroot: str
    web_user: str
    version: str
    config: ini.Sections
    database_is_local: bool
    privileged: bool
    before: float
    after: float
    probes: Mapping[str, Mapping[str, Any]]
    preflight: Mapping[str, Any] = field(default_factory=dict)
    preflight_error: str = ""
    db_machine: Optional[Mapping[str, Any]] = None
    target_version: str = ""
    staged: Optional[Staged] = None
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    window: int = 0

    def probe(self, module: str) -> Mapping[str, Any]:
        """The facts of one probe module; empty where it failed."""
        return self.probes.get(module, {})

    @property
    def database(self) -> Mapping[str, Any]:
        """What the database said; empty where it could not be asked."""
        found = self.preflight.get("database", {})
        return {} if "error" in found else found

    @property
    def database_error(self) -> str:
        """Why the database could not be asked; '' where it was."""
        return str(self.preflight_error or self.preflight.get("database", {}).get("error", ""))

    def text(self, section: str, key: str, default: str = "") -> str:
        """One value of the merged configuration."""
        return ini.text_of(self.config, section, key, default)

    def is_on(self, section: str, key: str) -> bool:
        """A switch of the configuration, as PHP would take it: '' and 0 are off."""
        return self.text(section, key) not in ("", "0")


def worst(statuses: Sequence[str]) -> str:
    """fail before warn before unknown before ok; ok for none."""
    return next((status for status in _WORST if status in statuses), OK)


def failed(facts: Mapping[str, Any]) -> str:
    """The one line of a probe module or a reading that failed, else ''."""
    return str(facts.get("error", ""))
