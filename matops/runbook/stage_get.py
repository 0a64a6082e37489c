"""Gets a release's zip onto the host and decides whether it may be used."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from matops.errors import Refused
from matops.host import files
from matops.matomo.release.signature import verdict
from matops.matomo.release.source import Source
from matops.matomo.release.stages import PACKAGE, downloads_of
from matops.matomo.site import Site
from matops.runbook.stage_jobs import call_there
from matops.runbook.step import Say
from matops.settings import ROOT
from matops.units import show_size

Confirm = Callable[[str], bool]
"""Asks the operator whether this sha256 is the right one."""

Found = dict[str, Any]
"""What ``survey.survey`` found."""


def fetch(site: Site, found: Found, say: Say) -> None:
    """The host downloads it by itself, as a job that outlives us."""
    payload = {
        "url": found["url"],
        "folder": downloads_of(site),
        "name": found["name"],
        "max_size": site.settings.release_max_size,
        "fresh": found["stale"],
    }
    label = f"release.download.{found['name'][:-4].lower()}"
    call_there(site, label, "matomo.release.download:fetch", payload, say)


def upload(site: Site, found: Found, source: Source, say: Say) -> None:
    """Sends a local zip, and its signature where one lies beside it."""
    path, folder, name = Path(source.text), downloads_of(site), found["name"]
    files.make_folder(site.host, folder, user=site.keeper)
    progress = _Progress(source.size, say)
    files.upload(site.host, path, f"{folder}/{name}.part", user=site.keeper, progress=progress)
    signature = path.with_name(f"{path.name}.asc")
    if signature.is_file():
        data = signature.read_bytes()[:65536]
        files.write(site.host, f"{folder}/{name}.asc", data, user=site.keeper, mode="0600")
    _ask(site, "download:arrived", folder=folder, name=name,
         source=f"file {path.name}", sha256=source.sha256)  # fmt: skip


def verify(site: Site, found: Found, sha256: str, confirm: Optional[Confirm], say: Say) -> None:
    """Signature, given checksum, or the operator's word. Refused without any of them."""
    where = {"folder": downloads_of(site), "name": found["name"]}
    facts = _ask(site, "signature:judge", keyring=_keyring(site), timeout=900, **where)
    decision = verdict(facts, sha256)
    trust = decision.trust
    if decision.ask:
        say(f"{decision.why}. Its sha256 is {facts['sha256']}")
        if not (confirm and confirm(facts["sha256"])):
            raise Refused(
                f"the release cannot be trusted yet: {decision.why}",
                host=site.host.name,
                state="It is on the host, unused",
                next="compare with a source you trust, then run this again with "
                f"--sha256 {facts['sha256']}",
            )
        trust = "the sha256 confirmed by the operator"
    elif not decision.use:
        aside = _ask(site, "signature:refuse", **where)
        raise Refused(
            f"the release is not to be trusted: {decision.why}",
            host=site.host.name,
            state=f"It was put aside as {aside} and will not be used",
            next="check --sha256 and the source, then run this again",
        )
    _ask(site, "signature:accept", sha256=facts["sha256"], trust=trust, **where)
    say(f"verified: {trust}")


def _keyring(site: Site) -> str:
    ring = ROOT / Path(site.settings.keyring).expanduser()
    return base64.b64encode(ring.read_bytes()).decode() if ring.is_file() else ""


def _ask(site: Site, function: str, *, timeout: Optional[float] = None, **payload: Any) -> Any:
    return site.agent.call(f"{PACKAGE}.{function}", payload, user=site.keeper, timeout=timeout)


class _Progress:
    """Says every tenth of an upload."""

    def __init__(self, total: int, say: Say) -> None:
        self._total, self._say = max(total, 1), say
        self._done = self._told = 0

    def __call__(self, size: int) -> None:
        self._done += size
        tenth = self._done * 10 // self._total
        if tenth > self._told:
            self._told = tenth
            self._say(f"uploaded {show_size(self._done)} of {show_size(self._total)}")
