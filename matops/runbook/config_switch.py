"""What the switches in ``config.ini.php`` have in common: read, remember, set, put back."""

from __future__ import annotations

from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused
from matops.matomo import config_edit
from matops.matomo.ini_edit import Value
from matops.matomo.site import Site
from matops.runbook.outage import Outage
from matops.runbook.step import Say, Step


class ConfigSwitch(Step):
    """A step that sets one key on one server. ``KEY`` of the outage's record, ``SECTION``,
    ``NAME`` of the setting.

    ``first``: the server whose switch came before this one's. Servers may share one docroot
    (NFS), or their configuration: then there is nothing left to do here but to write that down,
    and to wait until this server sees it (attributes are cached there for up to a minute).
    """

    KEY: str
    SECTION: str
    NAME: str

    def __init__(self, site: Site, say: Say, *, first: Optional[Site] = None) -> None:
        super().__init__(site, say)
        self.first = None if first is site else first
        self.outage = Outage(site)
        self.kept = ""
        """Where the previous config.ini.php was kept by this run; '' = it was not changed."""

    @property
    def key(self) -> str:
        """``Section.name``."""
        return f"{self.SECTION}.{self.NAME}"

    def in_file(self) -> Optional[dict[str, Any]]:
        """``{"value", "raw"}`` in config.ini.php itself; None where it is absent there."""
        found = self.site.agent.call(
            "matops.matomo.config_edit:look",
            {"docroot": self.site.docroot, "keys": [[self.SECTION, self.NAME]]},
            user=self.site.keeper,
        )
        answer: Optional[dict[str, Any]] = found[self.key]
        return answer

    def in_force(self) -> Optional[Value]:
        """The value that counts, defaults of Matomo included; as Matomo's own reader sees it
        where its PHP runs, else as ours does."""
        read = config_edit.through_matomo(self.site, [[self.SECTION, self.NAME]])
        if read is not None:
            value = read[self.key]
            if value is None or isinstance(value, list):
                return value
            return {True: "1", False: ""}.get(value, str(value))
        here = self.in_file()
        if here is not None:
            value = here["value"]
            return value if isinstance(value, list) else str(value)
        return self.site.config.get(self.SECTION, {}).get(self.NAME)

    def must_be_writable(self) -> None:
        """Refused, in one line, where the file could not be changed. Leaves no trace."""
        if why := config_edit.trouble(self.site):
            raise Refused(
                why,
                host=self.site.host.name,
                state="Nothing was changed",
                next="make it and its folder writable (mount, chattr, owner), or give sudo",
            )

    def remembered(self) -> Optional[dict[str, Any]]:
        """What the outage's record says was found: ``{"on", "raw"}``, or None."""
        found: Optional[dict[str, Any]] = self.outage.found(self.KEY)
        return found

    @property
    def alone(self) -> bool:
        """True where the settings list no other web server."""
        return self.first is None and len(self.site.settings.servers) <= 1

    def shared(self) -> Optional[dict[str, Any]]:
        """What ``first`` found before it switched, where its file is the very same as ours now."""
        if self.first is None:
            return None
        found: Optional[dict[str, Any]] = Outage(self.first).found(self.KEY)
        return found if found and self._digest(self.first) == self._digest(self.site) else None

    def _digest(self, site: Site) -> str:
        return str(
            site.agent.call(
                "matops.matomo.config_file:digest", {"docroot": site.docroot}, user=site.keeper
            )
        )

    @property
    def tries(self) -> int:
        """How often to look before a switch counts as not come here: for 2 s, or a minute."""
        return 4 if self.first is None else 120

    def put(self, value: Any) -> dict[str, Any]:
        """Sets it (None = remove, ``{"raw": …}`` = these characters); ``config_edit.edit``'s
        answer. Says what an operator should hear."""
        answer = config_edit.edit(self.site, [[self.SECTION, self.NAME, value]])
        for note in answer["notes"]:
            self.say(f"  {note}")
        self.kept = answer["kept"] or self.kept
        return answer

    def first_put(self, value: Any) -> dict[str, Any]:
        """``put`` right after ``remember``: where nothing came of it, nothing is to be put back."""
        try:
            return self.put(value)
        except OutcomeUnknown:
            raise
        except MatopsError:
            self.outage.forget(self.KEY)
            raise

    def put_back(self, found: Optional[dict[str, Any]]) -> dict[str, Any]:
        """As it was remembered, to the letter; absent where it was absent."""
        raw = (found or {}).get("raw")
        return self.put(None if raw is None else {"raw": raw})

    def shown(self, found: Optional[dict[str, Any]]) -> str:
        """``absent`` or the value as written, for a line."""
        raw = (found or {}).get("raw")
        return "absent" if raw is None else str(raw)

    def took_back(self, why: str) -> MatopsError:
        """The error after a switch was undone at once."""
        others = ", ".join(self.site.settings.servers) if self.first else ""
        before = f"; the servers that came before it are still switched (of {others})"
        return MatopsError(
            why,
            host=self.site.host.name,
            state=f"{self.name} was taken back at once: [{self.SECTION}] {self.NAME} is as before "
            f"here{before if others else ''}",
            next="repair that, then run this again"
            + ("; rollback puts the others back" if self.first else ""),
        )

    @property
    def way_back(self) -> str:
        """Words that name the previous file."""
        return f"; the file as it was: {self.kept}" if self.kept else ""
